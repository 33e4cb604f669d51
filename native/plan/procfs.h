/* A process's files below /proc, for those who map its ids. */
#ifndef PYRUN_PROCFS_H
#define PYRUN_PROCFS_H

#include <sys/types.h>

/* Write `text` to /proc/PID/FILE by one write(2), as the id maps want it (user_namespaces(7)).  0, or -1 with errno. */
int proc_write(pid_t pid, const char *file, const char *text);

#endif

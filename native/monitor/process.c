/* What /proc says of processes, ourselves included.  It is the user's, so the pids in it are those of the user's namespace. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor.h"

ssize_t read_text(int directory_fd, const char *path, char *text, size_t size)
{
	int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

unsigned long long start_time(int directory_fd, const char *path)
{
	char text[1024], *at;

	read_text(directory_fd, path, text, sizeof(text));
	at = strrchr(text, ')'); /* the name may hold spaces and parentheses */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* "self" is a link to our pid. */
pid_t own_host_pid(void)
{
	char text[16];
	ssize_t got = readlink("/proc/self", text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

/* fdinfo of a pidfd shows the pid in the namespace of the procfs that is asked (since 5.4), the only name by which
 * /proc/PID/uid_map can be opened from here. */
pid_t host_pid_of(int pidfd)
{
	char path[64], text[512], *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	read_text(AT_FDCWD, path, text, sizeof(text));
	line = strstr(text, "\nPid:");
	return line ? (pid_t)strtol(line + 5, NULL, 10) : -1;
}

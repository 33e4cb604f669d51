/* A process that joins a running container and executes a plan there. */
#ifndef PYRUN_PLAN_JOIN_H
#define PYRUN_PLAN_JOIN_H

#include "plan.h"

struct plan_join {
	int pidfd; /* the container's init */
	int namespaces; /* CLONE_NEW* to join */
	int stdio[3]; /* -1: from the plan's console */
	int control_fd; /* receives the console's master; -1: none */
	int cgroup_fd; /* cgroup.procs of the container's group; -1: it stays in the caller's */
};

/* In a child of the caller, with all signals blocked.  Writes an int32_t to result_fd: the pid of the process, in the
 * caller's pid namespace; a failure goes to report_fd, which execve(2) closes.  Ends with the process and with its code. */
_Noreturn void plan_join(const struct plan_join *join, const struct plan *plan, int report_fd, int result_fd);

#endif

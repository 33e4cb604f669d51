/* What Python calls (through cffi, see cdef.txt): processes in namespaces, begun without running any Python. */
#ifndef PYRUN_MODULE_H
#define PYRUN_MODULE_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "../plan/plan.h"

/* A program in the engine user namespace.  Either userns_fd is joined, or new_userns makes one, mapped by
 * newuidmap/newgidmap (NULL: a single id is written directly), or neither: stay in the caller's. */
struct pyrun_spawn {
	int userns_fd;
	int new_userns;
	const char *newuidmap;
	const char *newgidmap;
	const char *uid_map; /* "inside outside count …" */
	const char *gid_map;
	unsigned long long clone_flags; /* more namespaces for it: CLONE_NEWPID */
	const char *path;
	char **argv;
	char **environment;
	int *fds; /* fds[i] becomes descriptor i; -1: /dev/null */
	int fd_count;
	int *keep; /* stay open under their own numbers, all >= fd_count */
	int keep_count;
};

/* clone3 with signals blocked around it: the child starts with all of them blocked, so that no handler of Python's runs
 * there; whoever executes a program unblocks them.  The caller's mask is as before. */
struct clone_args;
long pyrun_clone_quietly(struct clone_args *args);

/* Returns the pid, a child of the caller, or -1 with `failure` filled. */
int pyrun_spawn(const struct pyrun_spawn *spawn, struct plan_failure *failure);

/* Replay a plan in a child with fresh namespaces (tests, --debug): its exit status, or -1 with `failure`. */
int pyrun_run_plan(const char *plan, size_t size, unsigned long long clone_flags, struct plan_failure *failure);

/* Whether the user namespace is the caller's own child: 1, 0, or -errno. */
int pyrun_userns_owned(int userns_fd);

/* logs.c: how the records of a log are shown.  `since`, `until`: nanoseconds since 1970, both included. */
struct pyrun_log_view {
	int driver; /* enum log_driver of monitor/job.h */
	int timestamps, has_range;
	int64_t since, until;
	const char *details; /* what each line begins with, after its time */
	size_t details_size;
	int is_inside[2]; /* the stream's last record was a part of a line */
	char known[20]; /* the second that was parsed last */
	int64_t known_seconds;
};

struct pyrun_log_run {
	int stream; /* 1 or 2 */
	uint32_t length;
};

/* Text of both streams in the order it was written in; runs[] says whose it is. */
struct pyrun_log_text {
	char *bytes;
	size_t size, used;
	struct pyrun_log_run *runs;
	size_t run_size, run_count;
};

/* Show the whole records of `in`, as many as `out` has room for; returns how many bytes they were.  What is no record is
 * passed over. */
size_t pyrun_log_show(struct pyrun_log_view *view, const char *in, size_t size, struct pyrun_log_text *out);

/* Look from the end of `in`, which ends a record, for the *left-th record that ends a line; *left becomes 0 at the one that is
 * found.  Returns its end; if it is not there, where the records that were looked at begin.  is_first: `in` begins the file;
 * is_last: it ends the log. */
size_t pyrun_log_tail(int driver, const char *in, size_t size, int is_first, int is_last, size_t *left);

#endif

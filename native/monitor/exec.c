/* The process of an `exec`: joined from here, waited for here.  Its caller, who may detach or be killed, has only this small
 * program between himself and the container: it records the end (`exec_die`) whoever is left, and reads the terminal when
 * nobody else does; without a holder of the master the programs on it would get SIGHUP, and with one that reads nothing they
 * would stop at their next output.
 *
 * Descriptors 0 to 2: the process's own (/dev/null where it gets a console); then those below. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../plan/join.h"
#include "../plan/syscalls.h"
#include "container.h"

enum { ORDER_FD = 3, CONTAINER_FD, REPORT_FD, CALLER_FD, CGROUP_FD, KEPT_FDS };

/* What the caller says; that he goes without a word says nothing of the process. */
enum { CALLER_RECORDED_START = 's', CALLER_SAW_FAILURE = 'f' };

/* A sealed memfd: this, the plan, the path of the record of events, the event up to its attributes; texts with their NUL.
 * The same in pyrun/runtime/join.py, always of the same release. */
struct exec_order {
	uint32_t namespaces;
	uint32_t has_console;
	uint32_t plan_size;
	uint32_t events_size; /* 0: nothing is recorded */
	uint32_t event_size;
	uint32_t reserved;
};
_Static_assert(sizeof(struct exec_order) == 24, "pyrun/runtime/join.py packs it, and a plan is aligned to 8");

static struct {
	struct plan plan;
	const struct exec_order *order;
	int pidfd; /* of the one in between: plan_join() */
	pid_t pid;
	int master_fd;
	int word; /* of the caller; 0: none yet */
	int caller_fd;
} attended = { .pidfd = -1, .master_fd = -1, .caller_fd = CALLER_FD };

static int fail(const char *call)
{
	struct plan_failure failure = { .step = -1, .error = errno };

	strncpy(failure.syscall, call, sizeof(failure.syscall) - 1);
	(void)!write(REPORT_FD, &failure, sizeof(failure));
	return 127;
}

static int load_order(void)
{
	struct stat st;
	const char *base;
	const struct exec_order *o;

	if (fstat(ORDER_FD, &st) < 0)
		return -1;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, ORDER_FD, 0);
	if (base == MAP_FAILED)
		return -1;
	o = attended.order = (const struct exec_order *)base;
	errno = EINVAL;
	if ((size_t)st.st_size < sizeof(*o) ||
	    (uint64_t)st.st_size != sizeof(*o) + (uint64_t)o->plan_size + o->events_size + o->event_size ||
	    (o->event_size > 0 && base[st.st_size - 1] != '\0'))
		return -1;
	return plan_load(&attended.plan, o + 1, o->plan_size) < 0 ? -1 : 0;
}

/* Tells the caller the pid, and hands on the console's master, which the process has sent to `console_fd` (-1: none). */
static void tell_caller(int32_t pid, int console_fd)
{
	char kind;
	struct iovec iov = { .iov_base = &kind, .iov_len = 1 };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header;

	if (console_fd < 0 || recvmsg(console_fd, &message, MSG_CMSG_CLOEXEC) != 1)
		message.msg_controllen = 0; /* or it never got that far */
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&attended.master_fd, CMSG_DATA(header), sizeof(int));
	iov = (struct iovec){ &pid, sizeof(pid) };
	(void)!sendmsg(CALLER_FD, &message, MSG_NOSIGNAL);
}

static int start(void)
{
	struct plan_join join = { .pidfd = CONTAINER_FD, .namespaces = (int)attended.order->namespaces,
				  .control_fd = -1, .cgroup_fd = CGROUP_FD }; /* or /dev/null */
	int control[2] = { -1, -1 }, result[2];
	int32_t pid = 0;
	long first;

	for (int i = 0; i < 3; i++)
		join.stdio[i] = attended.order->has_console ? -1 : i;
	if (pipe2(result, O_CLOEXEC) < 0)
		return fail("pipe2");
	if (attended.order->has_console && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return fail("socketpair");
	join.control_fd = control[1];
	first = sys_clone3(&(struct clone_args){ .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&attended.pidfd, .exit_signal = SIGCHLD });
	if (first < 0)
		return fail("clone3");
	if (first == 0)
		plan_join(&join, &attended.plan, REPORT_FD, result[1]);
	attended.pid = (pid_t)first;
	close(result[1]);
	close(control[1]);
	/* Neither the caller's streams nor the container may be kept by us. */
	sys_close_range(0, 2, 0);
	close(CONTAINER_FD);
	close(CGROUP_FD);
	errno = ECHILD; /* it was killed; what else went wrong it has said before us */
	if (read(result[0], &pid, sizeof(pid)) != sizeof(pid))
		fail("clone3");
	close(result[0]);
	close(REPORT_FD);
	tell_caller(pid, control[0]);
	close(control[0]);
	return 0;
}

/* Reads what is there; -1: nothing will come any more. */
static int read_some(int fd, char *byte)
{
	char bytes[4096];
	ssize_t got = read(fd, bytes, sizeof(bytes));

	*byte = got > 0 ? bytes[0] : 0;
	return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)) ? 0 : -1;
}

static void hear_caller(void)
{
	char word;

	if (read_some(attended.caller_fd, &word) < 0) {
		close(attended.caller_fd);
		attended.caller_fd = -1;
	}
	if (word)
		attended.word = word;
}

/* Until the process has ended. */
static void attend(void)
{
	char discarded;

	for (;;) {
		struct pollfd fds[] = { { .fd = attended.pidfd, .events = POLLIN },
					{ .fd = attended.caller_fd, .events = POLLIN },
					{ .fd = attended.caller_fd < 0 ? attended.master_fd : -1, .events = POLLIN } };

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[1].revents)
			hear_caller();
		if (fds[2].revents && read_some(attended.master_fd, &discarded) < 0) {
			close(attended.master_fd); /* EIO: the last slave is closed */
			attended.master_fd = -1;
		}
		if (fds[0].revents)
			return;
	}
}

static void record_end(int code)
{
	const char *path = (const char *)(attended.order + 1) + attended.order->plan_size;
	char rest[64];

	/* The start is recorded first. */
	while (!attended.word && attended.caller_fd >= 0)
		hear_caller();
	if (attended.word == CALLER_SAW_FAILURE || attended.order->events_size == 0)
		return;
	snprintf(rest, sizeof(rest), ",\"exitCode\":\"%d\"},\"Action\":\"exec_die\"", code);
	event_append(path, path + attended.order->events_size, rest);
}

int exec_program(void)
{
	sigset_t all;
	int status = 0, code;

	prctl(PR_SET_NAME, "pyrun-exec");
	setsid(); /* the end of the caller's session hangs up on all that are in it */
	(void)!chdir("/");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sys_close_range(KEPT_FDS, ~0u, 0);
	for (int fd = ORDER_FD; fd < KEPT_FDS; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (load_order() < 0)
		return fail("order");
	code = start();
	if (code != 0)
		return code;
	prctl(PR_SET_DUMPABLE, 0);
	attend();
	waitpid(attended.pid, &status, 0);
	code = exit_code_of(status);
	record_end(code);
	return code;
}

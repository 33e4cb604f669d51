/* Starting a program of ours in the engine user namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../plan/procfs.h"
#include "../plan/syscalls.h"
#include "module.h"

#define MAP_WORDS 64

static int fail(struct plan_failure *failure, const char *call)
{
	*failure = (struct plan_failure){ .step = -1, .error = errno };
	strncpy(failure->syscall, call, sizeof(failure->syscall) - 1);
	return -1;
}

static _Noreturn void child_fail(int report_fd, const char *call)
{
	struct plan_failure failure;

	fail(&failure, call);
	(void)!write(report_fd, &failure, sizeof(failure));
	_exit(127);
}

/* newuidmap PID inside outside count …; returns its pid. */
static pid_t start_mapper(const char *path, pid_t target, const char *map)
{
	char text[1024], pid_text[16], *argv[MAP_WORDS], *save = NULL;
	char *environment[] = { NULL };
	int count = 0;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", map);
	snprintf(pid_text, sizeof(pid_text), "%d", (int)target);
	argv[count++] = (char *)(uintptr_t)path;
	argv[count++] = pid_text;
	for (char *word = strtok_r(text, " \n", &save); word && count < MAP_WORDS - 1; word = strtok_r(NULL, " \n", &save))
		argv[count++] = word;
	argv[count] = NULL;
	errno = posix_spawn(&pid, path, NULL, NULL, argv, environment);
	return errno ? -1 : pid;
}

static int mapper_result(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

static int map_ids(const struct pyrun_spawn *s, pid_t pid, struct plan_failure *failure)
{
	pid_t uid_mapper, gid_mapper;
	int uid_result, gid_result;

	if (!s->newuidmap) {
		/* gid_map: EPERM unless setgroups is "deny" first, since 3.19: user_namespaces(7). */
		if (proc_write(pid, "setgroups", "deny") < 0)
			return fail(failure, "write(setgroups)");
		if (proc_write(pid, "uid_map", s->uid_map) < 0)
			return fail(failure, "write(uid_map)");
		return proc_write(pid, "gid_map", s->gid_map) < 0 ? fail(failure, "write(gid_map)") : 0;
	}
	/* Side by side: each is a setuid program that takes a millisecond. */
	uid_mapper = start_mapper(s->newuidmap, pid, s->uid_map);
	gid_mapper = start_mapper(s->newgidmap, pid, s->gid_map);
	uid_result = uid_mapper < 0 ? -1 : mapper_result(uid_mapper);
	gid_result = gid_mapper < 0 ? -1 : mapper_result(gid_mapper);
	if (uid_result < 0)
		return fail(failure, "newuidmap");
	return gid_result < 0 ? fail(failure, "newgidmap") : 0;
}

/* Put fds[i] at descriptor i.  First all out of the way of the targets, then into place. */
static int place_fds(const struct pyrun_spawn *s)
{
	int moved[16], base = 64;

	for (int i = 0; i < s->fd_count; i++) {
		int fd = s->fds[i] >= 0 ? s->fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);

		moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, base);
		if (moved[i] < 0)
			return -1;
	}
	for (int i = 0; i < s->fd_count; i++)
		if (dup2(moved[i], i) < 0)
			return -1;
	return 0;
}

static _Noreturn void run_program(const struct pyrun_spawn *s, int report_fd)
{
	sigset_t none;
	int kept = fcntl(report_fd, F_DUPFD_CLOEXEC, 64);

	if (kept < 0 || place_fds(s) < 0)
		child_fail(report_fd, "dup2");
	/* Nothing else that the caller has open goes with it; the report pipe closes itself at execve. */
	if (sys_close_range((unsigned)s->fd_count, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(kept, "close_range");
	for (int i = 0; i < s->keep_count; i++)
		if (fcntl(s->keep[i], F_SETFD, 0) < 0)
			child_fail(kept, "fcntl");
	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(s->path, s->argv, s->environment);
	child_fail(kept, "execve");
}

/* In the child of a new user namespace: wait until its ids are mapped, then be its root. */
static void wait_for_maps(int go_fd, int report_fd)
{
	char byte;

	if (read(go_fd, &byte, 1) != 1)
		_exit(127); /* the caller died */
	if (sys_setresgid(0) < 0)
		child_fail(report_fd, "setresgid");
	if (sys_setresuid(0) < 0)
		child_fail(report_fd, "setresuid");
}

/* Join, then clone once more where a pid namespace is wanted: setns(2) and unshare(2) of one act on children only.
 * CLONE_PARENT makes that second child the caller's own. */
static _Noreturn void join_and_run(const struct pyrun_spawn *s, int report_fd)
{
	struct clone_args args = { .flags = s->clone_flags | CLONE_PARENT };
	long pid;

	if (s->userns_fd >= 0 && setns(s->userns_fd, CLONE_NEWUSER) < 0)
		child_fail(report_fd, "setns");
	if (s->userns_fd >= 0 && (sys_setresgid(0) < 0 || sys_setresuid(0) < 0))
		child_fail(report_fd, "setresuid");
	if (!s->clone_flags)
		run_program(s, report_fd);
	pid = sys_clone3(&args);
	if (pid < 0)
		child_fail(report_fd, "clone3");
	if (pid == 0)
		run_program(s, report_fd);
	(void)!write(report_fd, &(int32_t){ (int32_t)pid }, sizeof(int32_t));
	_exit(0);
}

static int read_report(int fd, struct plan_failure *failure, int32_t *second_pid)
{
	char buffer[sizeof(struct plan_failure) + sizeof(int32_t)];
	size_t used = 0;
	int32_t word;
	int result = 0;
	ssize_t got;

	while (used < sizeof(buffer) && (got = read(fd, buffer + used, sizeof(buffer) - used)) != 0)
		if (got > 0)
			used += (size_t)got;
		else if (errno != EINTR)
			break;
	/* A record, a pid, or both, in either order: two processes write them.  A record begins with -1. */
	for (size_t at = 0; at + sizeof(int32_t) <= used;) {
		memcpy(&word, buffer + at, sizeof(word));
		if (word > 0) {
			*second_pid = word;
			at += sizeof(word);
		} else if (at + sizeof(*failure) <= used) {
			memcpy(failure, buffer + at, sizeof(*failure));
			errno = failure->error;
			at += sizeof(*failure);
			result = -1;
		} else {
			break;
		}
	}
	return result;
}

int pyrun_spawn(const struct pyrun_spawn *s, struct plan_failure *failure)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	int report[2], go[2] = { -1, -1 }, result;
	int32_t second = 0;
	long pid;

	if (s->fd_count > 16)
		return errno = EINVAL, fail(failure, "spawn");
	if (pipe2(report, O_CLOEXEC) < 0)
		return fail(failure, "pipe2");
	if (pipe2(go, O_CLOEXEC) < 0) {
		fail(failure, "pipe2");
		close(report[0]);
		close(report[1]);
		return -1;
	}
	if (s->new_userns)
		args.flags = CLONE_NEWUSER | s->clone_flags;
	pid = pyrun_clone_quietly(&args);
	if (pid == 0) {
		close(report[0]);
		close(go[1]);
		if (!s->new_userns)
			join_and_run(s, report[1]);
		wait_for_maps(go[0], report[1]);
		run_program(s, report[1]);
	}
	close(report[1]);
	close(go[0]);
	result = pid < 0 ? fail(failure, "clone3") : 0;
	if (result == 0 && s->new_userns)
		result = map_ids(s, (pid_t)pid, failure);
	if (result == 0)
		(void)!write(go[1], "G", 1);
	close(go[1]);
	if (result == 0)
		result = read_report(report[0], failure, &second);
	close(report[0]);
	if (pid > 0 && (result < 0 || second)) {
		/* The first child has done its part, or failed: nothing is left behind. */
		while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
			;
		while (result < 0 && second > 0 && waitpid(second, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return result < 0 ? -1 : second ? second : (int)pid;
}

int pyrun_userns_owned(int userns_fd)
{
	uid_t owner;
	struct stat parent, own;
	int parent_fd, result;

	if (ioctl(userns_fd, NS_GET_OWNER_UID, &owner) < 0)
		return -errno;
	parent_fd = ioctl(userns_fd, NS_GET_PARENT);
	if (parent_fd < 0)
		return errno == EPERM ? 0 : -errno; /* not below us: ioctl_ns(2) */
	result = fstat(parent_fd, &parent) < 0 || stat("/proc/self/ns/user", &own) < 0 ? -errno :
		 owner == geteuid() && parent.st_ino == own.st_ino && parent.st_dev == own.st_dev;
	close(parent_fd);
	return result;
}

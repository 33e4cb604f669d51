/* A process in a running container (`exec`), and the replay of a plan. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../plan/syscalls.h"
#include "module.h"

static void record(struct plan_failure *failure, const char *call)
{
	*failure = (struct plan_failure){ .step = -1, .error = errno };
	strncpy(failure->syscall, call, sizeof(failure->syscall) - 1);
}

static _Noreturn void report(int report_fd, const struct plan_failure *failure)
{
	(void)!write(report_fd, failure, sizeof(*failure));
	_exit(127);
}

static _Noreturn void report_call(int report_fd, const char *call)
{
	struct plan_failure failure;

	record(&failure, call);
	report(report_fd, &failure);
}

/* First all out of the way: a caller without standard streams has pipes at 0 to 2.  dup2 also clears CLOEXEC. */
static void place_stdio(const struct pyrun_join *join, int report_fd)
{
	int moved[3] = { -1, -1, -1 };

	for (int i = 0; i < 3; i++)
		if (join->stdio[i] >= 0 && (moved[i] = fcntl(join->stdio[i], F_DUPFD_CLOEXEC, 3)) < 0)
			report_call(report_fd, "fcntl");
	for (int i = 0; i < 3; i++)
		if (moved[i] >= 0 && dup2(moved[i], i) < 0)
			report_call(report_fd, "dup2");
}

static _Noreturn void joined_main(const struct pyrun_join *join, const struct plan *plan, int report_fd)
{
	struct plan_failure failure;
	struct plan_run run = {
		.control_fd = join->control_fd, .report_fd = report_fd, .init_fd = -1, .console_fd = -1, .peer_mounts_fd = -1
	};

	run.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run.root_fd < 0)
		report_call(report_fd, "open");
	/* An orphan from inside goes to the init inside: nobody outside is needed for it any more. */
	if (join->detached) {
		long last = sys_clone3(&(struct clone_args){ .exit_signal = SIGCHLD });

		if (last < 0)
			report_call(report_fd, "clone3");
		if (last > 0)
			_exit(0);
	}
	place_stdio(join, report_fd);
	/* The caller's descriptors are the host's: none may be open where the container could name it. */
	if (plan_close_others(&run) < 0)
		report_call(report_fd, "close_range");
	plan_execute(plan, &run, &failure);
	report(report_fd, &failure);
}

/* Not dumpable from before we are visible inside, so that nobody there can ptrace us or open a /proc/PID/… of ours
 * (CVE-2016-9962); once more after each change of credentials, which sets the flag to fs.suid_dumpable: proc(5). */
static void hide(int report_fd)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		report_call(report_fd, "prctl(DUMPABLE)");
}

/* The first child joins; its own child is in the pid namespace.  It stays outside until that ends, and ends with its
 * code: a pid namespace ends only when all of its dead are reaped (pid_namespaces(7)), and should our caller be killed,
 * whoever inherits his children may never do that (a container's `sleep infinity`): stop and rm would never return. */
static _Noreturn void joining_main(const struct pyrun_join *join, const struct plan *plan, int report_fd, int result_fd)
{
	struct plan_failure failure;
	int status = 0;
	long second;

	if (plan_open_first(plan, &(struct plan_run){ 0 }, &failure) < 0)
		report(report_fd, &failure);
	hide(report_fd);
	if (setns(join->pidfd, join->namespaces) < 0)
		report_call(report_fd, "setns");
	hide(report_fd);
	if ((join->namespaces & CLONE_NEWUSER) && (sys_setresgid(0) < 0 || sys_setresuid(0) < 0) && errno != EINVAL)
		report_call(report_fd, "setresuid");
	hide(report_fd);
	second = sys_clone3(&(struct clone_args){ .exit_signal = SIGCHLD });
	if (second < 0)
		report_call(report_fd, "clone3");
	if (second == 0)
		joined_main(join, plan, report_fd);
	(void)!write(result_fd, &(int32_t){ (int32_t)second }, sizeof(int32_t));
	/* Neither our caller's streams nor its report may be kept open by us. */
	sys_close_range(0, ~0u, 0);
	while (waitpid((pid_t)second, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* read(2) of one record; a signal handler of Python's must not make us lose it. */
static ssize_t read_record(int fd, void *bytes, size_t size)
{
	ssize_t got;

	do
		got = read(fd, bytes, size);
	while (got < 0 && errno == EINTR);
	return got;
}

long pyrun_clone_quietly(struct clone_args *args)
{
	sigset_t all, before;
	long pid;
	int saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = sys_clone3(args);
	saved = errno;
	if (pid != 0)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

int pyrun_join(const struct pyrun_join *join, int *report_out, struct plan_failure *failure)
{
	int fds[2], result[2];
	struct plan plan;
	int32_t pid = 0;
	long first;

	*report_out = -1;
	errno = EINVAL;
	if (plan_load(&plan, join->plan, join->plan_size) < 0)
		return record(failure, "plan"), -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return record(failure, "pipe2"), -1;
	if (pipe2(result, O_CLOEXEC) < 0) {
		record(failure, "pipe2");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	first = pyrun_clone_quietly(&(struct clone_args){ .exit_signal = SIGCHLD });
	if (first == 0)
		joining_main(join, &plan, fds[1], result[1]);
	record(failure, "clone3");
	close(fds[1]);
	close(result[1]);
	if (first < 0 || read_record(result[0], &pid, sizeof(pid)) != sizeof(pid))
		pid = -1;
	close(result[0]);
	if (pid > 0) {
		*report_out = fds[0];
		return (int)first;
	}
	while (first > 0 && waitpid((pid_t)first, NULL, 0) < 0 && errno == EINTR)
		;
	if (first > 0 && read_record(fds[0], failure, sizeof(*failure)) != sizeof(*failure)) {
		errno = ECHILD; /* it was killed */
		record(failure, "clone3");
	}
	close(fds[0]);
	return -1;
}

int pyrun_run_plan(const char *bytes, size_t size, unsigned long long clone_flags, struct plan_failure *failure)
{
	struct clone_args args = { .flags = clone_flags, .exit_signal = SIGCHLD };
	struct plan plan;
	int fds[2], status;
	ssize_t got;
	long pid;

	errno = EINVAL;
	if (plan_load(&plan, bytes, size) < 0)
		return record(failure, "plan"), -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return record(failure, "pipe2"), -1;
	pid = pyrun_clone_quietly(&args);
	if (pid == 0) {
		struct plan_run run = { .control_fd = -1, .report_fd = fds[1], .root_fd = -1, .init_fd = -1, .console_fd = -1, .peer_mounts_fd = -1 };

		if (plan_execute(&plan, &run, failure) == 0)
			_exit(0);
		report(fds[1], failure);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return record(failure, "clone3"), -1;
	}
	got = read_record(fds[0], failure, sizeof(*failure));
	close(fds[0]);
	while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got == sizeof(*failure))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

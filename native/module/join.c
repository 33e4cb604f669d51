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

static _Noreturn void joined_main(const struct pyrun_join *join, const struct plan *plan, int report_fd)
{
	struct plan_failure failure;
	struct plan_run run = {
		.control_fd = join->control_fd, .report_fd = report_fd, .init_fd = -1, .console_fd = -1
	};

	run.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run.root_fd < 0)
		report_call(report_fd, "open");
	for (int i = 0; i < 3; i++)
		if (join->stdio[i] >= 0 && dup2(join->stdio[i], i) < 0)
			report_call(report_fd, "dup2");
	plan_execute(plan, &run, &failure);
	report(report_fd, &failure);
}

int pyrun_join(const struct pyrun_join *join, int *report_out, struct plan_failure *failure)
{
	struct clone_args args = { .flags = CLONE_PARENT };
	int fds[2], status;
	struct plan plan;
	int32_t pid = 0;
	pid_t first;
	int result[2];

	errno = EINVAL;
	if (plan_load(&plan, join->plan, join->plan_size) < 0)
		return record(failure, "plan"), -1;
	if (pipe2(fds, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
		return record(failure, "pipe2"), -1;
	first = fork();
	if (first == 0) {
		long second;

		/* From before we are visible inside: no ptrace, no /proc/PID of ours to open (CVE-2016-9962). */
		prctl(PR_SET_DUMPABLE, 0);
		if (setns(join->pidfd, join->namespaces) < 0)
			report_call(fds[1], "setns");
		if (join->namespaces & CLONE_NEWUSER) {
			if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
				report_call(fds[1], "setresuid");
		}
		second = sys_clone3(&args);
		if (second < 0)
			report_call(fds[1], "clone3");
		if (second == 0)
			joined_main(join, &plan, fds[1]);
		(void)!write(result[1], &(int32_t){ (int32_t)second }, sizeof(int32_t));
		_exit(0);
	}
	close(fds[1]);
	close(result[1]);
	/* The second child's number is told by the first, and translated: CLONE_PARENT made it ours. */
	if (first < 0 || read(result[0], &pid, sizeof(pid)) != sizeof(pid))
		pid = -1;
	close(result[0]);
	while (first > 0 && waitpid(first, &status, 0) < 0 && errno == EINTR)
		;
	*report_out = fds[0];
	if (pid > 0)
		return pid;
	if (first < 0 || read(fds[0], failure, sizeof(*failure)) != sizeof(*failure))
		record(failure, "fork");
	close(fds[0]);
	*report_out = -1;
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
	pid = sys_clone3(&args);
	if (pid == 0) {
		struct plan_run run = { .control_fd = -1, .report_fd = fds[1], .root_fd = -1, .init_fd = -1, .console_fd = -1 };

		if (plan_execute(&plan, &run, failure) == 0)
			_exit(0);
		report(fds[1], failure);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return record(failure, "clone3"), -1;
	}
	got = read(fds[0], failure, sizeof(*failure));
	close(fds[0]);
	while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got == sizeof(*failure))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

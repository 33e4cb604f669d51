/* The replay of a plan. */
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

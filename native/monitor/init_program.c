/* `--init`: pid 1 of the container that starts the command, hands signals on and reaps what is left to it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "monitor.h"

enum { REPORT_FD = 3 };

static _Noreturn void report_and_exit(const char *call)
{
	struct plan_failure failure = { .step = -1, .op = PLAN_exec, .error = errno };
	int code = errno == ENOENT ? 127 : 126;

	strncpy(failure.syscall, call, sizeof(failure.syscall) - 1);
	(void)!write(REPORT_FD, &failure, sizeof(failure));
	_exit(code);
}

static int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int init_program(int argc, char **argv)
{
	siginfo_t info;
	sigset_t all;
	int status;
	pid_t child;

	prctl(PR_SET_DUMPABLE, 0);
	sys_close_range(4, ~0u, 0);
	fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
	if (argc < 2)
		return 127;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	child = fork();
	if (child < 0)
		report_and_exit("fork");
	if (child == 0) {
		sigset_t none;

		setpgid(0, 0);
		/* A terminal's foreground group must be the command's, or its first read stops it (SIGTTIN). */
		tcsetpgrp(0, getpid());
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		plan_exec_program(argv[1], argv + 1, environ);
		report_and_exit("execve");
	}
	/* Here too: a signal may come before the child has done it. */
	setpgid(child, child);
	close(REPORT_FD);
	for (;;) {
		if (sigwaitinfo(&all, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD) {
			if (info.si_signo < SIGRTMIN && info.si_signo != SIGTTIN && info.si_signo != SIGTTOU)
				kill(child, info.si_signo); /* not its group: as docker's init */
			continue;
		}
		for (pid_t reaped; (reaped = waitpid(-1, &status, WNOHANG)) > 0;)
			if (reaped == child)
				return exit_code_of(status);
	}
}

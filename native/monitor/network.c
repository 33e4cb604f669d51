/* The user-mode network: pasta or slirp4netns, a child of ours in our pid namespace, so that it cannot outlive us. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "monitor.h"

#define ARGUMENTS 128
#define ARGUMENT_BYTES 512

/* {pid} becomes init's pid, {ready} the number of the ready descriptor: known only now. */
static void substitute(char *out, const char *in, pid_t pid, int ready_fd)
{
	size_t used = 0;

	while (*in && used < ARGUMENT_BYTES - 16) {
		if (strncmp(in, "{pid}", 5) == 0) {
			used += (size_t)snprintf(out + used, 16, "%d", (int)pid);
			in += 5;
		} else if (strncmp(in, "{ready}", 7) == 0) {
			used += (size_t)snprintf(out + used, 16, "%d", ready_fd);
			in += 7;
		} else {
			out[used++] = *in++;
		}
	}
	out[used] = '\0';
}

_Noreturn void helper_exec(char **argv, int words_fd)
{
	char *environment[] = { (char *)(uintptr_t) "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", NULL };
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR);

	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(words_fd, 2);
	sys_close_range(4, ~0u, 0);
	/* pasta takes an ignored SIGPIPE for a failure. */
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, environment);
	_exit(127);
}

static _Noreturn void network_main(const struct job *job, pid_t init_pid, int ready_fd, int words_fd)
{
	static char text[ARGUMENTS][ARGUMENT_BYTES];
	char *argv[ARGUMENTS + 1];
	const char *argument = job_string(job, job->header->network_argv);
	uint32_t count = job->header->network_argc;

	for (uint32_t i = 0; i < count; i++, argument += strlen(argument) + 1) {
		substitute(text[i], argument, init_pid, 3);
		argv[i] = text[i];
	}
	argv[count] = NULL;
	/* Both kinds hold the write end: closing it, by exit or by word, is what we wait for. */
	if (ready_fd != 3)
		dup2(ready_fd, 3);
	fcntl(3, F_SETFD, job_has(job, JOB_NETWORK_READY_FD) ? 0 : FD_CLOEXEC);
	helper_exec(argv, words_fd);
}

int network_start(const struct job *job, const struct init_process *init, struct network *network)
{
	int ready[2] = { -1, -1 }, words[2];

	network->ready_fd = -1;
	network->words_fd = -1;
	if (pipe2(words, O_CLOEXEC | O_NONBLOCK) < 0 || (job_has(job, JOB_NETWORK_READY_FD) && pipe2(ready, O_CLOEXEC) < 0))
		return -1;
	network->pid = fork();
	if (network->pid == 0) {
		/* Descriptor 3 is the job: overwritten only in the child. */
		if (ready[1] < 0)
			ready[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		network_main(job, init->network_pid ? init->network_pid : init->host_pid, ready[1], words[1]);
	}
	if (ready[1] >= 0)
		close(ready[1]);
	close(words[1]);
	network->ready_fd = ready[0];
	network->words_fd = words[0];
	return network->pid < 0 ? -1 : 0;
}

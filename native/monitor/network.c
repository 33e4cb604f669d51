/* The user-mode network: pasta or slirp4netns, a child of ours in our pid namespace, so that it cannot outlive us. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
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

static int arguments_fit(const struct job *job)
{
	const char *argument = job_string(job, job->header->network_argv);

	for (uint32_t i = 0; i < job->header->network_argc; i++, argument += strlen(argument) + 1)
		if (strlen(argument) > ARGUMENT_BYTES - 32)
			return errno = E2BIG, 0;
	return 1;
}

int network_start(const struct job *job, const struct init_process *init, struct network *network)
{
	int ready[2] = { -1, -1 }, words[2];

	if (!arguments_fit(job))
		return -1;
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

static ssize_t exchange(int fd, const char *request, char *answer, size_t size)
{
	size_t used = 0, length = strlen(request);
	ssize_t got;

	/* It reads to the end of file, and then answers. */
	if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length || shutdown(fd, SHUT_WR) < 0)
		return -1;
	while ((got = read(fd, answer + used, size - 1 - used)) > 0)
		used += (size_t)got;
	answer[used] = '\0';
	return got < 0 ? -1 : (ssize_t)used;
}

/* One request, one connection.  Returns the length of the answer, or -1. */
static ssize_t ask(const char *socket_path, const char *request, char *answer, size_t size)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;
	ssize_t got = -1;

	if (fd < 0)
		return -1;
	strncpy(name.sun_path, socket_path, sizeof(name.sun_path) - 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		got = exchange(fd, request, answer, size);
	saved = errno;
	close(fd);
	errno = saved;
	return got;
}

int network_publish(const struct job *job, char *words, size_t size)
{
	const char *path = job_string(job, job->header->network_api);
	const char *request = job_string(job, job->header->network_requests);

	for (uint32_t i = 0; path && request && i < job->header->network_request_count; i++, request += strlen(request) + 1) {
		char answer[256];
		ssize_t got = ask(path, request, answer, sizeof(answer));

		if (got > 0 && !strstr(answer, "\"error\""))
			continue;
		if (got >= 0)
			errno = 0; /* the answer says why */
		snprintf(words, size, "%s\n%s", request, got > 0 ? answer : "");
		return -1;
	}
	return 0;
}

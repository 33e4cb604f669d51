/* fuse-overlayfs, where the kernel's overlay is refused: a child of ours in our pid namespace, so that it cannot outlive us.
 * It is in the engine's user namespace, whose ids are the container's: FUSE carries numbers, and those of the mount's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "container.h"

/* Longer than any disk should need; only a process that holds the mount from outside makes it last. */
#define FINISH_MILLISECONDS 30000

void fuse_start(const struct job *job, int *device_fd, struct fuse *fuse)
{
	const struct plan_step *step = NULL;
	int words[2];

	for (uint32_t i = 0; i < job->plan.step_count; i++)
		if (job->plan.steps[i].op == PLAN_fuse_overlay)
			step = &job->plan.steps[i];
	if (*device_fd < 0 || !step || fuse->pid > 0 || pipe2(words, O_CLOEXEC | O_NONBLOCK) < 0) {
		close_fd(device_fd);
		return;
	}
	fuse->pid = fork();
	if (fuse->pid == 0) {
		const char *program = job->plan.data + step->s2, *options = job->plan.data + step->s3;
		/* libfuse takes a descriptor that is mounted already for a mount point: since 3.3. */
		const char *argv[] = { program, "-f", "-o", options, "/dev/fd/3", NULL };

		dup2(*device_fd, 3); /* the job's number; the job itself is mapped */
		helper_exec((char **)(uintptr_t)argv, words[1]);
	}
	if (fuse->pid < 0)
		fuse->pid = 0;
	close(words[1]);
	close_fd(device_fd);
	fuse->words_fd = words[0];
}

/* The mount went with the container's mount namespace, whereupon the program ends by itself, its files written. */
void fuse_finish(struct fuse *fuse)
{
	struct pollfd ended = { .events = POLLIN };

	if (fuse->pid <= 0)
		return;
	ended.fd = sys_pidfd_open(fuse->pid);
	if (ended.fd < 0 || poll(&ended, 1, FINISH_MILLISECONDS) <= 0)
		kill(fuse->pid, SIGKILL);
	close_fd(&ended.fd);
	while (waitpid(fuse->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fuse->pid = 0;
}

/* Restart policies: whether the container is started again after a run, and when.
 * Rules and times: moby daemon/internal/restartmanager. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "container.h"

enum { FIRST_MS = 100, LONGEST_MS = 60000, STABLE_MS = 10000 };

/* The wish is a file, "NAME MAXIMUM\n", which `update` replaces while we run; none: no. */
static int is_wished(void)
{
	char text[64];

	read_text(container.directory_fd, "restart", text, sizeof(text));
	if (strncmp(text, "always ", 7) == 0 || strncmp(text, "unless-stopped ", 15) == 0)
		return 1;
	if (strncmp(text, "on-failure ", 11) == 0 && container.status != 0) {
		unsigned long most = strtoul(text + 11, NULL, 10);

		return most == 0 || container.restarts < most;
	}
	return 0;
}

/* 100 ms, and twice as long after each run that ended within 10 s, up to a minute. */
static int64_t delay_ms(void)
{
	static int64_t delay;

	if (container.started && monotonic_ms() - container.started_at >= STABLE_MS)
		delay = 0;
	delay = delay == 0 ? FIRST_MS : delay * 2;
	if (delay > LONGEST_MS)
		delay = LONGEST_MS;
	return delay;
}

/* The network program holds the ports that its successor will want, and may have made itself a daemon. */
static void end_helpers(void)
{
	if (!job_shares_pids(&container.job)) {
		kill(-1, SIGKILL); /* pid 1 of our namespace: all that are in it, but not us: kill(2) */
		while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
			;
		return;
	}
	if (container.network.pid > 0)
		kill(container.network.pid, SIGKILL);
	do
		members_end_children();
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

static void close_all(void)
{
	int *fds[] = { &container.init.pidfd,	  &container.init.control_fd,  &container.init.report_fd,
		       &container.init.stdin_fd,  &container.init.stdout_fd,   &container.init.stderr_fd,
		       &container.init.fuse_fd,	  &container.network.ready_fd, &container.network.words_fd,
		       &container.fuse.words_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close_fd(fds[i]);
}

/* After a run: whether there will be another one; then all is ready for it, and `restart_at` is set. */
int restart_follows(void)
{
	uint32_t code = (uint32_t)container.status;

	on_signal();
	if (!container.has_run || container.is_leaving || !is_wished())
		return 0;
	end_helpers();
	close_all();
	container.restarts++;
	container.restart_at = monotonic_ms() + delay_ms();
	container.init.pid = 0;
	container.started = 0;
	/* On a full disk the record stays as it was: wrong for a while, which is better than no restart. */
	(void)state_restarting(&container.job, container.directory_fd, container.restarts, container.status);
	clients_broadcast(FRAME_EXIT, &code, sizeof(code));
	return 1;
}

/* The start of the container, from the lock to execve: what must be ready, what init says, what failed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "clients.h"
#include "container.h"
#include "health.h"

/* The first failure is the one that is told. */
void fail_before_init(const char *call)
{
	container.failure.record = (struct plan_failure){ .step = -1, .error = errno };
	strncpy(container.failure.record.syscall, call, sizeof(container.failure.record.syscall) - 1);
}

int begin(void)
{
	struct job *job = &container.job;

	container.directory_fd = open(job_string(job, job->header->directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (container.directory_fd < 0)
		return fail_before_init("open"), -1;
	container.lock_fd = state_lock(container.directory_fd);
	if (container.lock_fd < 0)
		return fail_before_init("fcntl(OFD_SETLK)"), -1;
	if (state_is_copied(container.directory_fd)) {
		close_fd(&container.lock_fd); /* it stays, as it is, for the next try */
		return errno = EAGAIN, fail_before_init("copying"), -1;
	}
	if (state_is_alive(job, container.directory_fd))
		return errno = EBUSY, fail_before_init("state"), -1;
	if (state_clear(container.directory_fd) < 0)
		return fail_before_init("open(exit)"), -1;
	if (clients_listen(job) < 0)
		return fail_before_init("bind"), -1;
	if (job_has(job, JOB_LOG) && log_open(job, container.directory_fd) < 0)
		return fail_before_init("open(log)"), -1;
	return 0;
}

/* One run; what fails is told by its end. */
int run_begin(void)
{
	struct job *job = &container.job;
	const char *call;

	run_reset();
	call = init_clone(job, &container.init);
	if (call)
		return fail_before_init(call), -1;
	if (job_shares_pids(job) && members_watch(&container.members, &container.init, container.lock_fd) < 0)
		return fail_before_init("sendmsg(guard)"), -1;
	if (init_write_maps(job, &container.init) < 0)
		return fail_before_init("write(uid_map)"), -1;
	container.network_ready = 1;
	if (job_has(job, JOB_NETWORK)) {
		container.network_ready = 0;
		container.network_deadline = monotonic_ms() + job->header->network_patience_ms;
		if (network_start(job, &container.init, &container.network) < 0)
			return fail_before_init("fork"), -1;
	}
	if (init_go(&container.init) < 0 && errno != EPIPE) /* killed already: its report says so */
		return fail_before_init("send"), -1;
	return 0;
}

void give_go_when_ready(void)
{
	if (!container.init_waits || !container.network_ready)
		return;
	container.init_waits = 0;
	share_release(&container.init);
	init_go(&container.init);
}

void on_control(void)
{
	int kind = -1;

	while (container.init.control_fd >= 0 && (kind = init_message(&container.init)) > 0)
		if (kind == 'R')
			container.init_waits = 1;
		else if (kind == PLAN_SENDS_CONSOLE && container.window.ws_row && container.window.ws_col)
			ioctl(container.init.stdout_fd, TIOCSWINSZ, &container.window);
		else if (kind == PLAN_SENDS_FUSE)
			fuse_start(&container.job, &container.init.fuse_fd, &container.fuse);
	if (kind < 0)
		close_fd(&container.init.control_fd);
}

void abandon(const char *call, int error)
{
	if (container.failure.record.step == -2) {
		errno = error;
		fail_before_init(call);
	}
	sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
}

/* The program runs: say so, first on disk. */
static void on_started(void)
{
	uint32_t pid = (uint32_t)container.init.host_pid;

	container.started = 1;
	container.started_at = monotonic_ms();
	health_begin(); /* before anybody can see that it runs: an earlier life's record would be taken for this one's */
	if ((container.has_run && state_clear_exit(container.directory_fd) < 0) ||
	    state_running(&container.job, container.directory_fd, &container.init, container.restarts) < 0) {
		abandon("write(state)", errno);
		container.started = 0;
		return;
	}
	container.has_run = 1;
	event_start(&container.job);
	clients_broadcast(FRAME_STARTED, &pid, sizeof(pid));
	/* Who stops a container that waits to be started again sends SIGTERM and then reads the state: either that is
	 * "running", or the signal is there by now. */
	if (container.restarts) {
		on_signal();
		if (container.is_leaving)
			sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
	}
}

/* What init says: PLAN_EXECUTING, then EOF: the program runs.  A record: it does not, and this is why.  EOF alone: it
 * was killed before it could do either.  Each is one write(2), so a read gets whole ones. */
void on_report(void)
{
	char bytes[1 + sizeof(struct plan_failure)];
	ssize_t got;

	while ((got = read(container.init.report_fd, bytes, sizeof(bytes))) == 1)
		container.executing = 1;
	if (got < 0 && errno == EAGAIN && !container.exited)
		return;
	close_fd(&container.init.report_fd);
	if (got >= (ssize_t)sizeof(struct plan_failure)) {
		if (container.failure.record.step == -2)
			memcpy(&container.failure.record, bytes + got - sizeof(struct plan_failure), sizeof(struct plan_failure));
		return;
	}
	if (!container.executing)
		abandon("killed", ECHILD);
	if (container.failure.record.step == -2) /* else we ended it ourselves before it could execute anything */
		on_started();
}

static void network_failed(const char *call, int error)
{
	if (container.failure.record.step == -2) {
		container.failure.record = (struct plan_failure){ .step = -1, .op = -1, .error = error };
		strncpy(container.failure.record.syscall, call, sizeof(container.failure.record.syscall) - 1);
	}
	sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
}

void on_network_ready(void)
{
	char byte;

	container.network_ready = read(container.network.ready_fd, &byte, 1) == 1;
	close_fd(&container.network.ready_fd);
	if (!container.network_ready) {
		/* It will never say so now: its end tells why. */
		if (container.network.pid > 0)
			kill(container.network.pid, SIGKILL);
	} else if (network_publish(&container.job, container.failure.words, sizeof(container.failure.words)) < 0) {
		container.network_ready = 0;
		network_failed("publish", errno);
		container.failure.words_length = strlen(container.failure.words);
	}
}

int64_t network_time_left(void)
{
	if (container.network_ready || container.exited || container.network.pid <= 0)
		return INT64_MAX;
	return container.network_deadline - monotonic_ms();
}

void network_late(void)
{
	network_failed("network timeout", ETIMEDOUT);
	kill(container.network.pid, SIGKILL);
}

void network_result(int status)
{
	container.network.pid = 0;
	if (container.network_ready)
		return; /* the helper went while the container runs: its network is down, the container goes on */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !job_has(&container.job, JOB_NETWORK_READY_FD)) {
		container.network_ready = 1;
		return;
	}
	/* It ends when init has ended as well: then init's word, written before, is the cause. */
	if (container.init.report_fd >= 0)
		on_report();
	if (container.failure.record.step == -2)
		take_words(container.network.words_fd);
	network_failed("network", exit_code_of(status));
}

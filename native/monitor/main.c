/* pyrun-monitor: starts one container, pumps its output, keeps its exit code.
 * Descriptor 3: the job; 4: the socket of the client that started us.  pid 1 of its own pid namespace, parent of the
 * container's: when it dies, however it dies, the kernel ends the container (pid_namespaces(7)). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "clients.h"
#include "container.h"
#include "health.h"

enum { JOB_FD = 3, CLIENT_FD = 4 };

struct container container;

static int as_timeout(int64_t left)
{
	if (left == INT64_MAX)
		return -1;
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* The one timer: until the next thing that is due. */
static int poll_timeout(void)
{
	int64_t left = network_time_left(), due = container.restart_at >= 0 ? container.restart_at : health_deadline();
	int64_t clients_left = clients_time_left();

	if (due >= 0 && due - monotonic_ms() < left)
		left = due - monotonic_ms();
	if (clients_left < left)
		left = clients_left;
	return as_timeout(left);
}

enum { SLOT_SIGNAL, SLOT_CONTROL, SLOT_REPORT, SLOT_OUT, SLOT_ERR, SLOT_IN, SLOT_READY, SLOT_GUARD, SLOT_CHECK, SLOT_CLIENTS };

static void turn(void)
{
	struct pollfd fds[SLOT_CLIENTS + 1 + CLIENTS_MAX];
	struct init_process *init = &container.init;
	int reading = container.started && !clients_congested();
	int count;

	fds[SLOT_SIGNAL] = (struct pollfd){ .fd = container.signal_fd, .events = POLLIN };
	fds[SLOT_CONTROL] = (struct pollfd){ .fd = init->control_fd, .events = POLLIN };
	fds[SLOT_REPORT] = (struct pollfd){ .fd = init->report_fd, .events = POLLIN };
	fds[SLOT_OUT] = (struct pollfd){ .fd = reading ? init->stdout_fd : -1, .events = POLLIN };
	fds[SLOT_ERR] = (struct pollfd){ .fd = reading ? init->stderr_fd : -1, .events = POLLIN };
	fds[SLOT_IN] = (struct pollfd){ .fd = container.input_used ? *input_fd() : -1, .events = POLLOUT };
	fds[SLOT_READY] = (struct pollfd){ .fd = container.network.ready_fd, .events = POLLIN };
	fds[SLOT_GUARD] = (struct pollfd){ .fd = container.members.guard_pidfd, .events = POLLIN };
	fds[SLOT_CHECK] = (struct pollfd){ .fd = health_output_fd(), .events = POLLIN };
	count = clients_poll(fds + SLOT_CLIENTS, container.input_used == 0);
	if (poll(fds, (nfds_t)(SLOT_CLIENTS + count), poll_timeout()) < 0)
		return;
	if (fds[SLOT_CONTROL].revents)
		on_control();
	if (fds[SLOT_READY].revents)
		on_network_ready();
	else if (network_time_left() <= 0)
		network_late();
	if (fds[SLOT_REPORT].revents)
		on_report();
	if (fds[SLOT_GUARD].revents) { /* never without one */
		close_fd(&container.members.guard_pidfd);
		container.is_leaving = 1;
		sys_pidfd_send_signal(init->pidfd, SIGKILL);
	}
	if (fds[SLOT_OUT].revents)
		pump(&init->stdout_fd, 1);
	if (fds[SLOT_ERR].revents)
		pump(&init->stderr_fd, 2);
	if (fds[SLOT_IN].revents)
		push_input();
	if (fds[SLOT_CHECK].revents)
		health_read();
	health_turn();
	clients_serve(fds + SLOT_CLIENTS, count, on_frame);
	/* Nobody would ever hear of this container; and a start that hangs could not be ended otherwise. */
	if (container.first_client_gone && !container.has_run)
		abandon("client", ECANCELED);
	if (fds[SLOT_SIGNAL].revents)
		on_signal();
	give_go_when_ready();
}

/* Returns whether the container is to be started again now; clients are served meanwhile. */
static int wait_for_restart(void)
{
	while (!container.is_leaving && container.restart_at > monotonic_ms())
		turn();
	container.restart_at = -1;
	return !container.is_leaving;
}

static void finish(void)
{
	uint32_t code = (uint32_t)container.status;

	log_close();
	if (container.lock_fd >= 0)
		remove_entries(&container.job);
	if (container.lock_fd >= 0 && !container.has_run)
		state_restore(container.directory_fd);
	if (job_has(&container.job, JOB_EPHEMERAL) && container.lock_fd >= 0 && !state_is_kept(container.directory_fd)) {
		log_wait_for_readers();
		remove_trees(&container.job);
		event_list(&container.job, JOB_EVENTS_REMOVED);
	}
	close_fd(&container.lock_fd);
	clients_accept_last();
	if (container.has_run)
		clients_broadcast(FRAME_EXIT, &code, sizeof(code));
	else
		clients_broadcast(FRAME_FAILED, &container.failure, sizeof(container.failure.record) + container.failure.words_length);
	/* The record is written; what attached clients have not read yet is still theirs. */
	while (clients_pending()) {
		struct pollfd fds[1 + CLIENTS_MAX];
		int count = clients_poll(fds, 0);

		if (poll(fds, (nfds_t)count, as_timeout(clients_time_left())) >= 0)
			clients_serve(fds, count, on_frame);
	}
}

static void live(void)
{
	do {
		if (run_begin() == 0)
			while (!container.exited)
				turn();
		run_end();
	} while (restart_follows() && wait_for_restart());
}

static int run_monitor(void)
{
	sigset_t mask;

	prctl(PR_SET_NAME, "pyrun-monitor");
	setsid();
	/* The caller's directory must not be busy for as long as a container runs. */
	(void)!chdir("/");
	fcntl(JOB_FD, F_SETFD, FD_CLOEXEC);
	fcntl(CLIENT_FD, F_SETFD, FD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	container.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	run_reset();
	container.directory_fd = container.lock_fd = -1;
	container.restart_at = -1;
	container.members.guard_pidfd = -1;
	clients_init(CLIENT_FD);
	if (container.signal_fd < 0 || job_load(&container.job, JOB_FD) < 0) {
		fail_before_init("job");
		clients_broadcast(FRAME_FAILED, &container.failure, sizeof(container.failure.record) + container.failure.words_length);
		return 1;
	}
	container.window.ws_row = container.job.header->rows;
	container.window.ws_col = container.job.header->columns;
	if (job_shares_pids(&container.job) && members_guard(&container.members) < 0)
		fail_before_init("fork(guard)");
	else if (begin() == 0)
		live();
	finish();
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	if (strcmp(name ? name + 1 : argv[0], "pyrun-init") == 0)
		return init_program(argc, argv);
	if (argc > 1 && strcmp(argv[1], "exec") == 0)
		return exec_program();
	return run_monitor();
}

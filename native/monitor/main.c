/* pyrun-monitor: starts one container, pumps its output, keeps its exit code.
 * Descriptor 3: the job; 4: the socket of the client that started us.  pid 1 of its own pid namespace, parent of the
 * container's: when it dies, however it dies, the kernel ends the container (pid_namespaces(7)). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "clients.h"
#include "container.h"

enum { JOB_FD = 3, CLIENT_FD = 4 };

struct container container;

/* We are pid 1 of our namespace: orphans (a daemonised pasta) come to us too. */
static void reap(void)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (pid == container.init.pid) {
			container.exited = 1;
			container.status = exit_code_of(status);
		} else if (pid == container.network.pid) {
			network_result(status);
		} else if (pid == container.fuse.pid) {
			/* Its root file system is gone: whatever the container did next would fail. */
			container.fuse.pid = 0;
			if (container.started)
				sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
		}
	}
}

enum { SLOT_SIGNAL, SLOT_CONTROL, SLOT_REPORT, SLOT_OUT, SLOT_ERR, SLOT_IN, SLOT_READY, SLOT_CLIENTS };

static void turn(int signal_fd)
{
	struct pollfd fds[SLOT_CLIENTS + 1 + CLIENTS_MAX];
	struct init_process *init = &container.init;
	int reading = container.started && !clients_congested();
	int count;

	fds[SLOT_SIGNAL] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	fds[SLOT_CONTROL] = (struct pollfd){ .fd = init->control_fd, .events = POLLIN };
	fds[SLOT_REPORT] = (struct pollfd){ .fd = init->report_fd, .events = POLLIN };
	fds[SLOT_OUT] = (struct pollfd){ .fd = reading ? init->stdout_fd : -1, .events = POLLIN };
	fds[SLOT_ERR] = (struct pollfd){ .fd = reading ? init->stderr_fd : -1, .events = POLLIN };
	fds[SLOT_IN] = (struct pollfd){ .fd = container.input_used ? *input_fd() : -1, .events = POLLOUT };
	fds[SLOT_READY] = (struct pollfd){ .fd = container.network.ready_fd, .events = POLLIN };
	count = clients_poll(fds + SLOT_CLIENTS, container.input_used == 0);
	if (poll(fds, (nfds_t)(SLOT_CLIENTS + count), -1) < 0)
		return;
	if (fds[SLOT_CONTROL].revents)
		on_control();
	if (fds[SLOT_READY].revents) {
		char byte;

		container.network_ready = read(container.network.ready_fd, &byte, 1) == 1;
		close_fd(&container.network.ready_fd);
		/* It will never say so now: its end tells why. */
		if (!container.network_ready && container.network.pid > 0)
			kill(container.network.pid, SIGKILL);
	}
	if (fds[SLOT_REPORT].revents)
		on_report();
	if (fds[SLOT_OUT].revents)
		pump(&init->stdout_fd, 1);
	if (fds[SLOT_ERR].revents)
		pump(&init->stderr_fd, 2);
	if (fds[SLOT_IN].revents)
		push_input();
	clients_serve(fds + SLOT_CLIENTS, count, on_frame);
	/* Nobody would ever hear of this container; and a start that hangs could not be ended otherwise. */
	if (container.first_client_gone && !container.started)
		abandon("client", ECANCELED);
	if (fds[SLOT_SIGNAL].revents) {
		struct signalfd_siginfo info;

		(void)!read(signal_fd, &info, sizeof(info));
		reap();
	}
	give_go_when_ready();
}

static void finish(void)
{
	uint32_t code = (uint32_t)container.status;

	if (container.init.pidfd >= 0 && !container.exited) {
		sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
		while (waitpid(container.init.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	container.exited = 1;
	/* The console or the record may have come together with SIGCHLD. */
	if (container.init.control_fd >= 0)
		on_control();
	if (container.init.report_fd >= 0)
		on_report();
	fuse_finish(&container.fuse);
	if (container.failure.record.op == PLAN_fuse_overlay)
		take_words(container.fuse.words_fd);
	if (container.started)
		drain();
	log_close();
	if (container.started) {
		state_exit(&container.job, container.directory_fd, container.status);
		event_die(&container.job, container.status);
	}
	if (container.lock_fd >= 0)
		state_unlink(&container.job);
	if (job_has(&container.job, JOB_EPHEMERAL) && container.lock_fd >= 0) {
		state_remove_tree(&container.job);
		event_list(&container.job, JOB_EVENTS_REMOVED);
	}
	close_fd(&container.lock_fd);
	clients_accept_last();
	if (container.started)
		clients_broadcast(FRAME_EXIT, &code, sizeof(code));
	else
		clients_broadcast(FRAME_FAILED, &container.failure, sizeof(container.failure.record) + container.failure.words_length);
	/* The record is written; what attached clients have not read yet is still theirs. */
	while (clients_pending()) {
		struct pollfd fds[1 + CLIENTS_MAX];
		int count = clients_poll(fds, 0);

		if (poll(fds, (nfds_t)count, -1) > 0)
			clients_serve(fds, count, on_frame);
	}
}

static int run_monitor(void)
{
	sigset_t mask;
	int signal_fd;

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
	signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	container.failure.record.step = -2;
	container.directory_fd = container.lock_fd = -1;
	container.network.ready_fd = container.network.words_fd = container.fuse.words_fd = -1;
	container.init = (struct init_process){ .pidfd = -1, .control_fd = -1, .report_fd = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .fuse_fd = -1 };
	clients_init(CLIENT_FD);
	if (signal_fd < 0 || job_load(&container.job, JOB_FD) < 0) {
		fail_before_init("job");
		clients_broadcast(FRAME_FAILED, &container.failure, sizeof(container.failure.record) + container.failure.words_length);
		return 1;
	}
	if (begin() == 0)
		while (!container.exited)
			turn(signal_fd);
	finish();
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	if (strcmp(name ? name + 1 : argv[0], "pyrun-init") == 0)
		return init_program(argc, argv);
	return run_monitor();
}

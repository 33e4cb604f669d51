/* pyrun-monitor: starts one container, pumps its output, keeps its exit code.
 * Descriptor 3: the job; 4: the socket of the client that started us.  pid 1 of its own pid namespace, parent of the
 * container's: when it dies, however it dies, the kernel ends the container (pid_namespaces(7)). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "clients.h"
#include "container.h"

enum { JOB_FD = 3, CLIENT_FD = 4 };

struct container container;

/* The first failure is the one that is told. */
static void fail_before_init(const char *call)
{
	container.failure.record = (struct plan_failure){ .step = -1, .error = errno };
	strncpy(container.failure.record.syscall, call, sizeof(container.failure.record.syscall) - 1);
}

static int begin(void)
{
	struct job *job = &container.job;

	container.directory_fd = open(job_string(job, job->header->directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (container.directory_fd < 0)
		return fail_before_init("open"), -1;
	container.lock_fd = state_lock(container.directory_fd);
	if (container.lock_fd < 0)
		return fail_before_init("fcntl(OFD_SETLK)"), -1;
	if (state_clear(container.directory_fd) < 0)
		return fail_before_init("open(exit)"), -1;
	if (clients_listen(job) < 0)
		return fail_before_init("bind"), -1;
	if (job_has(job, JOB_LOG) && log_open(job, container.directory_fd) < 0)
		return fail_before_init("open(log)"), -1;
	if (init_clone(job, &container.init) < 0)
		return fail_before_init("clone3"), -1;
	if (init_write_maps(job, &container.init) < 0)
		return fail_before_init("write(uid_map)"), -1;
	container.network_ready = 1;
	if (job_has(job, JOB_NETWORK)) {
		container.network_ready = 0;
		if (network_start(job, &container.init, &container.network) < 0)
			return fail_before_init("fork"), -1;
	}
	if (init_go(&container.init) < 0 && errno != EPIPE) /* killed already: its report says so */
		return fail_before_init("send"), -1;
	return 0;
}

static void give_go_when_ready(void)
{
	if (!container.init_waits || !container.network_ready)
		return;
	container.init_waits = 0;
	init_go(&container.init);
}

static int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void on_control(void)
{
	struct job_header const *h = container.job.header;
	struct winsize window = { .ws_row = h->rows, .ws_col = h->columns };
	int kind = -1;

	while (container.init.control_fd >= 0 && (kind = init_message(&container.init)) > 0)
		if (kind == 'R')
			container.init_waits = 1;
		else if (kind == PLAN_SENDS_CONSOLE && h->rows && h->columns)
			ioctl(container.init.stdout_fd, TIOCSWINSZ, &window);
		else if (kind == PLAN_SENDS_FUSE)
			fuse_start(&container.job, &container.init.fuse_fd, &container.fuse);
	if (kind < 0)
		close_fd(&container.init.control_fd);
}

/* End a start that has not come to execve; `call` is what is said to have failed. */
static void abandon(const char *call, int error)
{
	if (container.failure.record.step == -2) {
		errno = error;
		fail_before_init(call);
	}
	sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
}

/* What init says: PLAN_EXECUTING, then EOF: the program runs.  A record: it does not, and this is why.  EOF alone: it
 * was killed before it could do either.  Each is one write(2), so a read gets whole ones. */
static void on_report(void)
{
	char bytes[1 + sizeof(struct plan_failure)];
	uint32_t pid = (uint32_t)container.init.host_pid;
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
	if (container.failure.record.step != -2)
		return; /* we ended it ourselves before it could execute anything */
	container.started = 1;
	if (state_write(&container.job, container.directory_fd, &container.init) < 0) {
		abandon("write(state)", errno);
		container.started = 0;
		return;
	}
	clients_broadcast(FRAME_STARTED, &pid, sizeof(pid));
}

static void network_result(int status)
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
	if (container.failure.record.step == -2) {
		container.failure.record = (struct plan_failure){ .step = -1, .op = -1, .error = exit_code_of(status), .syscall = "network" };
		take_words(container.network.words_fd);
	}
	sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
}

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
	if (container.started)
		state_exit(&container.job, container.directory_fd, container.status);
	if (container.lock_fd >= 0)
		state_unlink(&container.job);
	if (job_has(&container.job, JOB_EPHEMERAL) && container.lock_fd >= 0)
		state_remove_tree(&container.job);
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

/* One run of the container and its end.  A restart policy makes several of them in one monitor, each with the same plan
 * in new namespaces, under the one lock. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "../plan/syscalls.h"
#include "container.h"
#include "health.h"

void run_reset(void)
{
	container.init = (struct init_process){
		.pidfd = -1, .control_fd = -1, .report_fd = -1, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .fuse_fd = -1,
		.peer_mounts_fd = -1, .network_pidfd = -1
	};
	container.network = (struct network){ .ready_fd = -1, .words_fd = -1 };
	container.fuse = (struct fuse){ .words_fd = -1 };
	container.members.mounts_fd = -1;
	container.init_waits = container.executing = container.started = container.exited = container.status = 0;
	container.failure.record = (struct plan_failure){ .step = -2 };
	container.failure.words_length = 0;
	container.input_used = 0;
	container.input_eof = 0;
}

/* We are pid 1 of our namespace: orphans (a daemonised pasta) come to us too.  (Else to the guard: members.c.) */
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
		} else {
			health_reaped(pid, status);
		}
	}
}

/* SIGTERM: no further run.  It comes before SIGCHLD where both are pending (lower numbers first), so who stops a
 * container sends it before he ends init. */
void on_signal(void)
{
	struct signalfd_siginfo info;
	int is_child = 0;

	while (read(container.signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			container.is_leaving = 1;
		else if (info.ssi_signo == SIGHUP)
			(void)!clients_listen(&container.job); /* the socket was taken with the runtime directory */
		else
			is_child = 1;
	if (container.is_leaving && container.restarts && !container.started && container.init.pidfd >= 0)
		abandon("stopped", ECANCELED);
	if (is_child)
		reap();
}

/* docker's: 127 and 126 for a program that cannot be executed, 128 for any other start that fails. */
static int code_of_failure(void)
{
	const struct plan_failure *record = &container.failure.record;

	if (record->op != PLAN_exec || strncmp(record->syscall, "exec", 4) != 0)
		return 128;
	return record->error == ENOENT || record->error == ENOTDIR ? 127 : 126;
}

/* After it all of the container is dead and all that it has said is written down. */
void run_end(void)
{
	if (container.init.pidfd >= 0 && !container.exited) {
		sys_pidfd_send_signal(container.init.pidfd, SIGKILL);
		while (waitpid(container.init.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	container.exited = 1;
	members_end(&container.members);
	share_release(&container.init);
	health_end();
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
	log_end_lines();
	/* A start that was abandoned because somebody stops the container is not how it ended. */
	if (!container.started)
		container.status = container.is_leaving ? container.last_status : code_of_failure();
	container.last_status = container.status;
	if (!container.has_run)
		return;
	state_exit(&container.job, container.directory_fd, container.status);
	if (container.started)
		event_die(&container.job, container.status);
}

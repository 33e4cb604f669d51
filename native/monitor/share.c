/* Namespaces that are another container's.  The user namespace above both is ours, so we may enter them; but we must stay
 * where we are, so init is cloned by a child that has entered.  The other's init is looked up at each start anew, in the
 * state file that its monitor has written: it may have been started again in between. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "monitor.h"

/* The user namespace last: from within, nothing could be entered that another one owns (setns(2)). */
static const struct {
	int flag;
	const char *file;
} kinds[] = { { CLONE_NEWNET, "ns/net" }, { CLONE_NEWIPC, "ns/ipc" }, { CLONE_NEWUTS, "ns/uts" }, { CLONE_NEWPID, "ns/pid" }, { CLONE_NEWUSER, "ns/user" } };

enum { KIND_NETWORK, KIND_IPC, KIND_UTS, KIND_PID, KIND_USER, KINDS };
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == KINDS, "a name for each");

struct shared {
	int fds[KINDS]; /* -1: not shared */
	int peer_mounts_fd; /* the mount namespace of whose IPC namespace it is */
};

/* The running init of the container in `directory`: its directory in /proc. */
static int open_peer(const struct job *job, const char *directory)
{
	int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (directory_fd < 0)
		return -1;
	fd = state_open_init(job, directory_fd);
	close(directory_fd);
	return fd;
}

static int open_shared(const struct job *job, struct shared *shared)
{
	const char *text = job_string(job, job->header->shared);

	*shared = (struct shared){ .fds = { -1, -1, -1, -1, -1 }, .peer_mounts_fd = -1 };
	for (uint32_t i = 0; i < job->header->shared_count; i++, text += strlen(text) + 1) {
		char *directory;
		unsigned long flags = strtoul(text, &directory, 10);
		int peer_fd = open_peer(job, directory + 1), missing = 0;

		if (peer_fd < 0)
			return -1;
		for (int kind = 0; kind < KINDS; kind++)
			if (flags & (unsigned long)kinds[kind].flag)
				missing |= (shared->fds[kind] = openat(peer_fd, kinds[kind].file, O_RDONLY | O_CLOEXEC)) < 0;
		if (flags & CLONE_NEWIPC)
			missing |= (shared->peer_mounts_fd = openat(peer_fd, "ns/mnt", O_RDONLY | O_CLOEXEC)) < 0;
		close(peer_fd);
		if (missing)
			return -1;
	}
	return 0;
}

static void close_shared(const struct shared *shared)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (shared->fds[kind] >= 0)
			close(shared->fds[kind]);
	if (shared->peer_mounts_fd >= 0)
		close(shared->peer_mounts_fd);
}

/* Not dumpable: those inside may see us or what we clone, and must not trace it (CVE-2016-9962). */
static int enter(const struct shared *shared)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	for (int kind = 0; kind < KINDS; kind++)
		if (shared->fds[kind] >= 0 && setns(shared->fds[kind], kinds[kind].flag) < 0)
			return -1;
	/* A change of credentials has set the flag to fs.suid_dumpable: proc(5). */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A new network namespace that pasta can open while init is not dumpable, for ever where others see it and else until
 * it has its ids: held by a child of ours outside.  It ends when it is told to, or with us. */
static int hold_network(struct init_process *init, struct shared *shared)
{
	char path[64], byte;
	int ready[2];
	long pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = sys_clone3(&(struct clone_args){
		.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uint64_t)(uintptr_t)&init->network_pidfd
	});
	if (pid == 0) {
		if ((shared->fds[KIND_USER] >= 0 && setns(shared->fds[KIND_USER], CLONE_NEWUSER) < 0) || unshare(CLONE_NEWNET) < 0)
			_exit(1);
		/* Not before setns(2): a change of credentials clears both. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_DUMPABLE, 1);
		if (write(ready[1], "", 1) != 1) /* the monitor is gone already */
			_exit(1);
		sys_close_range(0, ~0u, 0);
		for (;;)
			pause();
	}
	close(ready[1]);
	errno = EPERM;
	if (pid > 0 && read(ready[0], &byte, 1) == 1) {
		init->network_pid = host_pid_of(init->network_pidfd);
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)init->network_pid);
		shared->fds[KIND_NETWORK] = open(path, O_RDONLY | O_CLOEXEC);
	}
	close(ready[0]);
	return shared->fds[KIND_NETWORK] < 0 ? -1 : 0;
}

struct answer {
	long pid; /* of init */
	int pidfd, error;
	const char *call;
};

/* By a child that enters: CLONE_FILES puts the pidfd of init into our table, CLONE_PARENT makes init our child, with the
 * exit signal of who cloned it.  0: we are init; 1: `answer` is filled; -1 with errno. */
static int clone_inside(const struct shared *shared, struct clone_args *args, struct answer *answer)
{
	long joiner = sys_clone3(&(struct clone_args){ .flags = CLONE_FILES, .exit_signal = SIGCHLD }), pid = -1;

	if (joiner < 0)
		return -1;
	if (joiner > 0) {
		while (waitpid((pid_t)joiner, NULL, 0) < 0 && errno == EINTR)
			;
		return 1;
	}
	answer->call = "setns";
	if (enter(shared) == 0) {
		args->flags |= CLONE_PARENT;
		args->exit_signal = 0;
		args->pidfd = (uint64_t)(uintptr_t)&answer->pidfd;
		answer->call = "clone3";
		pid = sys_clone3(args);
		if (pid == 0)
			return 0; /* and touch nothing of what is shared */
	}
	answer->error = errno;
	answer->pid = pid;
	_exit(0);
}

static const char *clone_with(const struct shared *shared, struct init_process *init, struct clone_args *args, long *pid)
{
	struct answer *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *call;

	if (answer == MAP_FAILED)
		return "mmap";
	*answer = (struct answer){ .pid = -1, .pidfd = -1, .error = ECHILD, .call = "clone3" };
	/* init's copy of our table has it, for the plan's bind_peer. */
	init->peer_mounts_fd = shared->peer_mounts_fd;
	switch (clone_inside(shared, args, answer)) {
	case 0:
		*pid = 0;
		return NULL;
	case -1:
		answer->error = errno;
	}
	init->peer_mounts_fd = -1;
	init->pidfd = answer->pidfd;
	*pid = answer->pid;
	call = *pid < 0 ? answer->call : NULL;
	errno = answer->error;
	munmap(answer, sizeof(*answer));
	return call;
}

const char *share_clone(const struct job *job, struct init_process *init, struct clone_args *args, long *pid)
{
	struct shared shared;
	const char *call = NULL;

	*pid = -1;
	if (open_shared(job, &shared) < 0)
		call = "open(peer)";
	if (!call && job_has(job, JOB_NETWORK)) {
		args->flags &= ~(uint64_t)CLONE_NEWNET;
		if (hold_network(init, &shared) < 0)
			call = "unshare(network)";
	}
	if (!call)
		call = clone_with(&shared, init, args, pid);
	if (*pid != 0)
		close_shared(&shared);
	return call;
}

/* The network is up: it lives by init now. */
void share_release(struct init_process *init)
{
	if (init->network_pidfd >= 0) {
		sys_pidfd_send_signal(init->network_pidfd, SIGKILL);
		close(init->network_pidfd);
	}
	init->network_pidfd = -1;
	init->network_pid = 0;
}

/* The end of a container that shares its pid namespace (--pid host, container:ID): no kernel ends the rest when its first
 * process has ended, or when we have been killed.  Who belongs to it is told by its mount namespace, which it never
 * shares; and what is orphaned outside of another container's namespace comes to the guard.
 *
 * The guard is our parent, a subreaper that waits for our end and then ends what we have left.  It must be above us: init
 * too becomes its child then, and whoever else inherited it might never reap it, without which the pid namespace of
 * another container cannot end (pid_namespaces(7)).  Until it is done the container runs: it has our lock, in the queue
 * of a socket both of whose ends we have as well, so that we can take it back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "container.h"

/* Whether the process is in that mount namespace: only of the living, and of those that we may look at, can that be said. */
static int is_member(const char *pid, const struct stat *mounts)
{
	char path[280];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	return stat(path, &st) == 0 && st.st_ino == mounts->st_ino && st.st_dev == mounts->st_dev;
}

/* One look through /proc.  The last that was killed is waited for, by its pidfd: by then most others have ended too. */
static int kill_members(const struct stat *mounts)
{
	DIR *proc = opendir("/proc");
	struct pollfd last = { .fd = -1, .events = POLLIN };
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name), pidfd;

		/* First the descriptor, then the question: a pid that is given away in between makes no victim. */
		if (pid <= 0 || (pidfd = sys_pidfd_open(pid)) < 0)
			continue;
		if (is_member(entry->d_name, mounts) && sys_pidfd_send_signal(pidfd, SIGKILL) == 0) {
			close_fd(&last.fd);
			last.fd = pidfd;
		} else {
			close(pidfd);
		}
	}
	if (proc)
		closedir(proc);
	if (last.fd < 0)
		return 0;
	poll(&last, 1, -1);
	close(last.fd);
	return 1;
}

static void end_all(int mounts_fd)
{
	struct stat mounts;

	while (fstat(mounts_fd, &mounts) == 0 && kill_members(&mounts))
		;
}

/* The descriptors that were sent last: [0] the mount namespace, [1] the lock.  Returns whether there were any. */
static int take_back(int socket_fd, int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = &(char){ 0 }, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header;

	if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return 0;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return 0;
	memcpy(fds, CMSG_DATA(header), 2 * sizeof(int));
	return 1;
}

static int entrust(int socket_fd, const int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = &(char){ 0 }, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(header), fds, 2 * sizeof(int));
	return sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* Those who came to us as orphans: programs that helped the monitor, and members in a mount namespace of their own.
 * Returns whether there were any (or may have been: that file is there since 3.5, but an option of the kernel's). */
int members_end_children(void)
{
	char text[4096], path[64], *at = text, *end;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
	read_text(AT_FDCWD, path, text, sizeof(text));
	for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end, count++)
		kill((pid_t)pid, SIGKILL); /* not reaped yet, so the pid is its own */
	return count;
}

static _Noreturn void guard_main(pid_t monitor, int socket_fd)
{
	int fds[2];
	pid_t ended;

	prctl(PR_SET_NAME, "pyrun-guard");
	dup2(socket_fd, 0);
	sys_close_range(1, ~0u, 0);
	do
		ended = waitpid(-1, NULL, 0);
	while (ended != monitor && (ended > 0 || errno == EINTR));
	if (take_back(0, fds))
		end_all(fds[0]);
	while (members_end_children())
		waitpid(-1, NULL, 0);
	_exit(0);
}

int members_guard(struct members *members)
{
	pid_t monitor;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, members->entrusted) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -1;
	monitor = fork();
	if (monitor > 0)
		guard_main(monitor, members->entrusted[1]);
	if (monitor < 0)
		return -1;
	members->guard_pidfd = sys_pidfd_open(getppid());
	/* While we live the orphans are ours: a network program that made itself a daemon must go before the next run. */
	return members->guard_pidfd < 0 ? -1 : prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

int members_watch(struct members *members, const struct init_process *init, int lock_fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)init->host_pid);
	members->mounts_fd = open(path, O_RDONLY | O_CLOEXEC);
	return members->mounts_fd < 0 ? -1 : entrust(members->entrusted[0], (int[2]){ members->mounts_fd, lock_fd });
}

void members_end(struct members *members)
{
	int fds[2];

	if (members->mounts_fd < 0)
		return;
	end_all(members->mounts_fd);
	close_fd(&members->mounts_fd);
	if (take_back(members->entrusted[1], fds)) {
		close(fds[0]);
		close(fds[1]);
	}
}

/* The container's init: cloned into its namespaces, then it executes the plan. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../plan/procfs.h"
#include "../plan/syscalls.h"
#include "monitor.h"

struct stdio_pipes {
	int child[3]; /* what init gets as 0, 1, 2; -1 = the console */
};

/* A copy of ourselves that nobody can write to: what runs inside the container must not be a file of the host
 * that the container's root could open through /proc/1/exe (CVE-2019-5736). */
static int sealed_self(void)
{
	int exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("pyrun-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t offset = 0;
	struct stat st;

	if (exe_fd < 0 || fd < 0 || fstat(exe_fd, &st) < 0)
		return -1;
	while (offset < st.st_size) {
		char buffer[65536];
		ssize_t got = pread(exe_fd, buffer, sizeof(buffer), offset);

		if (got <= 0 || write(fd, buffer, (size_t)got) != got)
			return -1;
		offset += got;
	}
	close(exe_fd);
	if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -1;
	return fd;
}

/* What we were given is the container's, in this run and in one after it; no helper of ours may hold it. */
static int share_own_stdio(struct stdio_pipes *pipes)
{
	static int own[3] = { -1, -1, -1 };
	int null_fd;

	if (own[0] < 0) {
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int fd = 0; fd < 3; fd++)
			if ((own[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0 || dup2(null_fd, fd) < 0)
				return -1;
		close(null_fd);
	}
	for (int fd = 0; fd < 3; fd++)
		if ((pipes->child[fd] = fcntl(own[fd], F_DUPFD_CLOEXEC, 3)) < 0)
			return -1;
	return 0;
}

static int open_stdio(const struct job *job, struct init_process *init, struct stdio_pipes *pipes)
{
	int in[2], out[2], err[2];

	init->stdin_fd = init->stdout_fd = init->stderr_fd = -1;
	pipes->child[0] = pipes->child[1] = pipes->child[2] = -1;
	if (job_has(job, JOB_TTY))
		return 0;
	if (job_has(job, JOB_PASSTHROUGH))
		return share_own_stdio(pipes);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		return -1;
	if (job_has(job, JOB_STDIN)) {
		if (pipe2(in, O_CLOEXEC) < 0)
			return -1;
		pipes->child[0] = in[0];
		init->stdin_fd = in[1];
		fcntl(in[1], F_SETFL, O_NONBLOCK);
	} else {
		pipes->child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	pipes->child[1] = out[1];
	pipes->child[2] = err[1];
	init->stdout_fd = out[0];
	init->stderr_fd = err[0];
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* The id outside of `id` inside a map, "INSIDE OUTSIDE SIZE" a line; -1: it has none. */
static uid_t id_outside(const char *map, uint64_t id)
{
	unsigned long long inside, outside, size;
	int length;

	for (; sscanf(map, "%llu %llu %llu%n", &inside, &outside, &size, &length) == 3; map += length)
		if (id >= inside && id - inside < size)
			return (uid_t)(outside + (id - inside));
	return (uid_t)-1;
}

/* The image's user may not be who owns the pipes: /dev/stdout is opened by path by nginx and others.  Pipes only: the
 * null device is the host's. */
static void give_stdio(const struct job *job, const struct stdio_pipes *pipes)
{
	const char *map = job_string(job, job->header->uid_map);

	for (uint32_t i = 0; i < job->plan.step_count; i++)
		if (job->plan.steps[i].op == PLAN_ids && !job_has(job, JOB_PASSTHROUGH))
			for (int fd = 0; fd < 3; fd++) {
				uint64_t id = job->plan.steps[i].a;
				struct stat st;

				if (pipes->child[fd] < 0 || fstat(pipes->child[fd], &st) < 0 || !S_ISFIFO(st.st_mode))
					continue;
				if (fchown(pipes->child[fd], map ? id_outside(map, id) : (uid_t)id, (gid_t)-1) < 0)
					return; /* a single-id map has nobody else */
			}
}

static _Noreturn void fail(int report_fd, const char *syscall_name)
{
	struct plan_failure failure = { .step = -1, .op = 0, .error = errno };

	strncpy(failure.syscall, syscall_name, sizeof(failure.syscall) - 1);
	(void)!write(report_fd, &failure, sizeof(failure));
	_exit(127);
}

static _Noreturn void init_main(const struct job *job, const struct init_process *init, int control_fd, int report_fd, int init_fd,
				struct stdio_pipes *pipes)
{
	struct plan_failure failure;
	struct plan_run run = {
		.control_fd = control_fd, .report_fd = report_fd, .root_fd = -1, .init_fd = init_fd, .console_fd = -1,
		.peer_mounts_fd = init->peer_mounts_fd, .announces_exec = 1
	};
	char byte;

	prctl(PR_SET_NAME, "pyrun:[init]");
	if (recv(control_fd, &byte, 1, 0) != 1 || byte != 'G')
		_exit(127); /* the monitor is gone */
	if (plan_open_first(&job->plan, &run, &failure) < 0) {
		(void)!write(report_fd, &failure, sizeof(failure));
		_exit(127);
	}
	/* Root of the new namespace where it has one: what we make belongs to the container's root. */
	if (job_string(job, job->header->uid_map)) {
		if (sys_setresgid(0) < 0 && errno != EINVAL)
			fail(report_fd, "setresgid");
		if (sys_setresuid(0) < 0 && errno != EINVAL)
			fail(report_fd, "setresuid");
	}
	/* The network program opens our /proc/PID/ns/net without CAP_SYS_PTRACE, so we must be dumpable, which a change
	 * of ids ends.  Nobody else is in this container yet (else it looks at another, see share.c); whoever joins it
	 * later is not dumpable (native/module). */
	prctl(PR_SET_DUMPABLE, job_has(job, JOB_NETWORK) && !init->network_pid);
	for (int fd = 0; fd < 3; fd++)
		if (pipes->child[fd] >= 0 && dup2(pipes->child[fd], fd) < 0)
			fail(report_fd, "dup2");
	umask(0);
	plan_execute(&job->plan, &run, &failure);
	(void)!write(report_fd, &failure, sizeof(failure));
	_exit(127);
}

const char *init_clone(const struct job *job, struct init_process *init)
{
	const char *call = "clone3";
	struct stdio_pipes pipes;
	int control[2], report[2], init_fd = -1, saved;
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = job->header->clone_flags | CLONE_PIDFD };
	long pid;

	init->pidfd = -1;
	args.pidfd = (uint64_t)(uintptr_t)&init->pidfd;
	if (job_has(job, JOB_INIT) && (init_fd = sealed_self()) < 0)
		return "memfd_create";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 || pipe2(report, O_CLOEXEC) < 0 ||
	    fcntl(report[0], F_SETFL, O_NONBLOCK) < 0 || open_stdio(job, init, &pipes) < 0)
		return "pipe2";
	give_stdio(job, &pipes);
	if (job->header->shared_count)
		call = share_clone(job, init, &args, &pid);
	else
		pid = sys_clone3(&args);
	if (pid == 0) {
		close(control[0]);
		close(report[0]);
		init_main(job, init, control[1], report[1], init_fd, &pipes);
	}
	saved = errno;
	close(control[1]);
	close(report[1]);
	if (init_fd >= 0)
		close(init_fd);
	for (int i = 0; i < 3; i++)
		if (pipes.child[i] >= 0)
			close(pipes.child[i]);
	init->pid = (pid_t)pid;
	init->control_fd = control[0];
	init->report_fd = report[0];
	errno = saved;
	if (pid < 0)
		return call;
	init->host_pid = host_pid_of(init->pidfd);
	return init->host_pid > 0 ? NULL : "open(fdinfo)";
}

int init_write_maps(const struct job *job, const struct init_process *init)
{
	const char *uid_map = job_string(job, job->header->uid_map), *gid_map = job_string(job, job->header->gid_map);

	if (!uid_map || !gid_map || !(job->header->clone_flags & CLONE_NEWUSER)) /* another container's is mapped already */
		return 0;
	return proc_write(init->host_pid, "uid_map", uid_map) < 0 ? -1 : proc_write(init->host_pid, "gid_map", gid_map);
}

int init_go(const struct init_process *init)
{
	return send(init->control_fd, "G", 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int init_message(struct init_process *init)
{
	char kind = 0;
	struct iovec iov = { .iov_base = &kind, .iov_len = 1 };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header;

	errno = 0; /* EOF sets none */
	if (recvmsg(init->control_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return errno == EAGAIN ? 0 : -1;
	header = CMSG_FIRSTHDR(&message);
	if (kind == PLAN_SENDS_CONSOLE && header && header->cmsg_type == SCM_RIGHTS) {
		memcpy(&init->stdout_fd, CMSG_DATA(header), sizeof(int));
		fcntl(init->stdout_fd, F_SETFL, O_NONBLOCK);
	}
	if (kind == PLAN_SENDS_FUSE && header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&init->fuse_fd, CMSG_DATA(header), sizeof(int));
	return kind;
}

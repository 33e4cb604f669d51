/* What the process itself becomes: host name, limits, session, working directory. */
#include <errno.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "syscalls.h"

/* s1: host name; s2: domain name. */
int step_hostname(struct step_context *c)
{
	const char *host = step_string(c, c->step->s1), *domain = step_string(c, c->step->s2);

	CALL(c, "sethostname");
	if (host && sethostname(host, strlen(host)) < 0)
		return -1;
	CALL(c, "setdomainname");
	return domain ? setdomainname(domain, strlen(domain)) : 0;
}

/* count: RLIMIT_*; a: soft; b: hard.  Read back: a limit that was not taken is an error, not a surprise. */
int step_rlimit(struct step_context *c)
{
	struct rlimit limit = { .rlim_cur = (rlim_t)c->step->a, .rlim_max = (rlim_t)c->step->b }, now;

	CALL(c, "setrlimit");
	if (setrlimit((int)c->step->count, &limit) < 0 || getrlimit((int)c->step->count, &now) < 0)
		return -1;
	if (now.rlim_cur == limit.rlim_cur && now.rlim_max == limit.rlim_max)
		return 0;
	errno = EINVAL;
	return -1;
}

int step_loopback_up(struct step_context *c)
{
	struct ifreq request = { .ifr_name = "lo" };
	int result, fd;

	CALL(c, "socket");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	CALL(c, "ioctl(SIOCSIFFLAGS)");
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	result = ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
	return result;
}

/* Tell the parent that we are here and wait for its word (the network is up, the start was asked for). */
int step_sync(struct step_context *c)
{
	char byte = 'R';
	ssize_t got;

	CALL(c, "send");
	if (send(c->run->control_fd, &byte, 1, MSG_NOSIGNAL) != 1)
		return -1;
	CALL(c, "recv");
	do
		got = recv(c->run->control_fd, &byte, 1, 0);
	while (got < 0 && errno == EINTR);
	CALL(c, "prctl(DUMPABLE)");
	/* The network program has looked at us: nobody else needs to (CVE-2016-9962). */
	if (got == 1 && byte == 'G')
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	errno = ECANCELED;
	return -1;
}

/* Standard streams that are the null device come from the host: open the container's own instead.  Through
 * /proc/self/fd its root could otherwise change the mode of the host's, where it is the host's root. */
static int own_null_device(struct step_context *c)
{
	for (int i = 0; i < 3; i++) {
		struct stat st;
		int fd;

		if (fstat(i, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			continue;
		CALL(c, "open(/dev/null)");
		fd = root_open(c, "/dev/null", O_RDWR);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
			continue; /* a rootfs without one: an OCI bundle may have any /dev */
		if (fd < 0)
			return -1;
		if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && dup2(fd, i) < 0)
			return -1;
		close(fd);
	}
	return 0;
}

/* Own session; the console, where there is one, becomes the controlling terminal and stdio. */
int step_session(struct step_context *c)
{
	int fd = c->run->console_fd;

	CALL(c, "setsid");
	if (setsid() < 0 && errno != EPERM) /* EPERM: already a leader */
		return -1;
	if (fd < 0)
		return own_null_device(c);
	CALL(c, "ioctl(TIOCSCTTY)");
	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		return -1;
	CALL(c, "dup3");
	for (int i = 0; i < 3; i++)
		if (dup2(fd, i) < 0)
			return -1;
	if (fd > 2)
		close(fd);
	c->run->console_fd = -1;
	return 0;
}

/* a: mask. */
int step_umask(struct step_context *c)
{
	umask((mode_t)c->step->a);
	return 0;
}

/* A session keyring of its own: the caller's keys are not the container's.  a: 1 = EDQUOT may pass, because the
 * filter forbids keyctl (a user has 200 keyrings: keyrings(7)). */
int step_keyring(struct step_context *c)
{
	CALL(c, "keyctl");
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS)
		return 0;
	return (c->step->a & 1) && (errno == EDQUOT || errno == EPERM) ? 0 : -1;
}

/* s1: directory.  It must lie inside the root: an inherited descriptor of the host's would be visible here as a
 * path that getcwd(2) calls unreachable (CVE-2024-21626). */
int step_chdir(struct step_context *c)
{
	char cwd[PATH_MAX];

	/* Nothing after this step looks anything up by it: so no descriptor of ours is a directory any more. */
	if (c->run->root_fd >= 0)
		close(c->run->root_fd);
	c->run->root_fd = -1;
	CALL(c, "chdir");
	if (chdir(step_string(c, c->step->s1)) < 0)
		return -1;
	CALL(c, "getcwd");
	if (syscall(SYS_getcwd, cwd, sizeof(cwd)) < 0)
		return -1;
	if (cwd[0] == '/')
		return 0;
	errno = ENOENT;
	return -1;
}

/* Without a pid namespace that does it: the kernel kills us when our parent ends.  After the last change of ids, which
 * clears it, as does the program's own or that of a set-user-ID one: prctl(2) PR_SET_PDEATHSIG. */
int step_die_with_parent(struct step_context *c)
{
	char byte;

	CALL(c, "prctl(PDEATHSIG)");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -1;
	/* Has it ended before that?  Its end of the socket tells. */
	CALL(c, "recv");
	if (recv(c->run->control_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return 0;
	errno = ECANCELED;
	return -1;
}

/* s1: score.  With PLAN_OPEN_FIRST, the only way: it is done by then, while /proc was the host's and we were the user. */
int step_oom_score(struct step_context *c)
{
	if (c->step->step_flags & PLAN_OPEN_FIRST)
		return 0;
	errno = EINVAL;
	return -1;
}

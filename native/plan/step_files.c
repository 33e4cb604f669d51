/* Paths inside the root that are no mounts of their own: masked and read-only ones, the console, directories, links, sysctls. */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "internal.h"
#include "syscalls.h"

static int on_filesystem(struct step_context *c, int fd, unsigned long magic)
{
	struct statfs fs;

	CALL(c, "fstatfs");
	if (fstatfs(fd, &fs) < 0)
		return -1;
	if ((unsigned long)fs.f_type == magic)
		return 0;
	errno = EXDEV; /* something was put in its place: CVE-2025-52565, CVE-2025-52881 */
	return -1;
}

/* PROC_ROOT_INO is 1 by ABI, sysfs' (kernfs) root likewise: a directory further down, bound there, is not the whole. */
static int is_top(struct step_context *c, int fd)
{
	struct stat st;

	CALL(c, "fstat");
	if (fstat(fd, &st) < 0)
		return -1;
	if (st.st_ino == 1)
		return 0;
	errno = EXDEV;
	return -1;
}

/* What lies under /proc and /sys must be what the kernel put there when we hide, protect or write it: the look-up starts
 * at the root of a real procfs or sysfs and cannot leave it (CVE-2025-31133, CVE-2025-52881).  Mounts on the way are
 * allowed: in a container of another engine some of these paths are masked already. */
static int open_kernel_path(struct step_context *c, const char *path, uint64_t flags, uint64_t resolve)
{
	int is_proc = strncmp(path, "/proc/", 6) == 0, is_sys = strncmp(path, "/sys/", 5) == 0;
	int top_fd, fd;

	if (!is_proc && !is_sys)
		return root_open(c, path, flags);
	top_fd = root_open(c, is_proc ? "/proc" : "/sys", O_PATH | O_DIRECTORY);
	if (top_fd < 0)
		return -1;
	if (on_filesystem(c, top_fd, is_proc ? PROC_SUPER_MAGIC : SYSFS_MAGIC) < 0 || is_top(c, top_fd) < 0)
		return close_keeping_errno(top_fd);
	CALL(c, "openat2");
	fd = sys_openat2(top_fd, path + (is_proc ? 6 : 5), flags | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve);
	close_keeping_errno(top_fd);
	return fd;
}

/* The null device itself, checked: a replaced /dev/null would show what it should hide (CVE-2025-31133). */
static int null_device_mount(struct step_context *c)
{
	struct stat st;
	int fd;

	CALL(c, "open_tree");
	fd = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		return -1;
	CALL(c, "fstat");
	if (fstat(fd, &st) < 0)
		return close_keeping_errno(fd);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
		errno = ENODEV;
		return close_keeping_errno(fd);
	}
	/* Read-only: a device can be written all the same, but chmod of a masked path must not reach the host's node. */
	if (set_attributes(c, fd, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return close_keeping_errno(fd);
	return fd;
}

/* s1: path; a directory gets an empty read-only tmpfs, anything else the null device.  Runs before pivot. */
int step_mask(struct step_context *c)
{
	struct stat st;
	int target_fd = open_kernel_path(c, step_string(c, c->step->s1), O_PATH, 0);
	int mount_fd, result = -1;

	if (target_fd < 0)
		return -1;
	CALL(c, "fstat");
	if (fstat(target_fd, &st) < 0)
		return close_keeping_errno(target_fd);
	mount_fd = S_ISDIR(st.st_mode) ? new_mount(c, "tmpfs", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
				       : null_device_mount(c);
	if (mount_fd >= 0) {
		result = move_onto(c, mount_fd, target_fd);
		close_keeping_errno(mount_fd);
	} else if (errno == ENOSYS) {
		char target[40];

		snprintf(target, sizeof(target), "/proc/self/fd/%d", target_fd);
		CALL(c, "mount");
		result = mount("tmpfs", target, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0k");
	}
	close_keeping_errno(target_fd);
	return result;
}

/* s1: path that becomes read-only, with all below it. */
int step_readonly(struct step_context *c)
{
	int target_fd = open_kernel_path(c, step_string(c, c->step->s1), O_PATH, 0);
	int tree_fd, result = -1;

	if (target_fd < 0)
		return -1;
	CALL(c, "open_tree");
	tree_fd = open_tree(target_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree_fd < 0)
		return close_keeping_errno(target_fd);
	if (set_attributes(c, tree_fd, MOUNT_ATTR_RDONLY, 0, 1) == 0)
		result = move_onto(c, tree_fd, target_fd);
	close_keeping_errno(tree_fd);
	close_keeping_errno(target_fd);
	return result;
}

/* SCM_RIGHTS: unix(7). */
int send_descriptor(struct step_context *c, char kind, int fd)
{
	struct iovec iov = { .iov_base = &kind, .iov_len = 1 };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	CALL(c, "sendmsg");
	return sendmsg(c->run->control_fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* Whether a link was prepared there; then errno is ELOOP. */
static int is_link(struct step_context *c, const char *path)
{
	struct stat st = { 0 };
	int fd = root_open(c, path, O_PATH | O_NOFOLLOW);

	if (fd >= 0) {
		(void)!fstat(fd, &st);
		close(fd);
	}
	errno = ELOOP;
	return S_ISLNK(st.st_mode);
}

/* A pty of the container's own devpts; a: 1 = also mount it on /dev/console, rows << 16, columns << 32; b: uid that
 * shall own it. */
int step_console(struct step_context *c)
{
	int unlock = 0, master_fd, slave_fd, tree_fd, target_fd, result;
	struct winsize size = { .ws_row = (unsigned short)(c->step->a >> 16), .ws_col = (unsigned short)(c->step->a >> 32) };

	master_fd = root_open(c, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
	if (master_fd < 0)
		return -1;
	if (on_filesystem(c, master_fd, DEVPTS_SUPER_MAGIC) < 0)
		return close_keeping_errno(master_fd);
	CALL(c, "ioctl(TIOCGPTPEER)");
	if (ioctl(master_fd, TIOCSPTLCK, &unlock) < 0)
		return close_keeping_errno(master_fd);
	/* TIOCGPTPEER (since 4.13): the slave by descriptor; no path that an image could have prepared. */
	slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave_fd < 0)
		return close_keeping_errno(master_fd);
	/* Before the program can ask for it; 0: nobody knows it yet. */
	if (size.ws_row && size.ws_col)
		ioctl(master_fd, TIOCSWINSZ, &size);
	result = send_descriptor(c, PLAN_SENDS_CONSOLE, master_fd);
	close_keeping_errno(master_fd);
	if (result < 0)
		return close_keeping_errno(slave_fd);
	c->run->console_fd = slave_fd;
	CALL(c, "fchown");
	/* EPERM, EINVAL: a single-id map has no other owner to give it to. */
	if (fchown(slave_fd, (uid_t)c->step->b, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)
		return -1;
	if (!(c->step->a & 1))
		return 0;
	CALL(c, "open_tree");
	tree_fd = open_tree(slave_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree_fd < 0)
		return -1;
	target_fd = is_link(c, "/dev/console") ? -1 : root_mount_point(c, "/dev/console", 0);
	result = target_fd < 0 ? -1 : move_onto(c, tree_fd, target_fd);
	close_keeping_errno(tree_fd);
	if (target_fd >= 0)
		close_keeping_errno(target_fd);
	return result;
}

/* s1: path; a: mode. */
int step_mkdir(struct step_context *c)
{
	int fd = root_mkdir(c, step_string(c, c->step->s1), (unsigned)c->step->a);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* s1: what it points to; s2: path.  What is already there stays. */
int step_symlink(struct step_context *c)
{
	const char *name;
	int parent_fd = root_parent(c, step_string(c, c->step->s2), &name), result;

	if (parent_fd < 0)
		return -1;
	CALL(c, "symlinkat");
	result = symlinkat(step_string(c, c->step->s1), parent_fd, name);
	if (result < 0 && errno == EEXIST)
		result = 0;
	close_keeping_errno(parent_fd);
	return result;
}

/* s1: path below /proc/sys; s2: value.  Never through anything but procfs (CVE-2025-52881). */
int step_sysctl(struct step_context *c)
{
	const char *value = step_string(c, c->step->s2);
	/* /proc/sys has no links, and nothing may be mounted there that would lead the write elsewhere. */
	int fd = open_kernel_path(c, step_string(c, c->step->s1), O_WRONLY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	ssize_t wrote;

	if (fd < 0)
		return -1;
	if (on_filesystem(c, fd, PROC_SUPER_MAGIC) < 0)
		return close_keeping_errno(fd);
	CALL(c, "write");
	wrote = write(fd, value, strlen(value));
	if (wrote >= 0)
		errno = EIO; /* taken in part: procfs does not, but then this would be no value that was asked for */
	close_keeping_errno(fd);
	return wrote == (ssize_t)strlen(value) ? 0 : -1;
}

/* Mounts inside the root: file systems, binds, masked and read-only paths, the console. */
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

enum { BIND_RECURSIVE = 1 };

static int close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

static int move_onto(struct step_context *c, int mount_fd, int target_fd)
{
	CALL(c, "move_mount");
	return move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

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

static int set_options(struct step_context *c, int context_fd)
{
	const char *option = step_string(c, c->step->s3);
	char key[64];

	CALL(c, "fsconfig");
	for (uint32_t i = 0; i < c->step->count; i++, option = next_string(option)) {
		const char *equals = strchr(option, '=');
		size_t length = equals ? (size_t)(equals - option) : strlen(option);

		if (length >= sizeof(key)) {
			errno = EINVAL;
			return -1;
		}
		memcpy(key, option, length);
		key[length] = '\0';
		if (fsconfig(context_fd, equals ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
			     equals ? equals + 1 : NULL, 0) < 0)
			return -1;
	}
	CALL(c, "fsconfig(create)");
	return fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

/* A detached mount of the step's file system; -1 with ENOSYS where the calls are missing (or filtered). */
static int new_mount(struct step_context *c, const char *type, unsigned attributes)
{
	int context_fd, mount_fd;

	CALL(c, "fsopen");
	context_fd = fsopen(type, FSOPEN_CLOEXEC);
	if (context_fd < 0)
		return -1;
	/* "proc on /proc", as everybody else shows it in /proc/mounts. */
	CALL(c, "fsconfig");
	if (fsconfig(context_fd, FSCONFIG_SET_STRING, "source", type, 0) < 0 || set_options(c, context_fd) < 0)
		return close_keeping_errno(context_fd);
	CALL(c, "fsmount");
	mount_fd = fsmount(context_fd, FSMOUNT_CLOEXEC, attributes);
	close_keeping_errno(context_fd);
	return mount_fd;
}

static unsigned long mount_flags(uint64_t attributes)
{
	/* MOUNT_ATTR_RDONLY, NOSUID, NODEV, NOEXEC have the values of MS_RDONLY … MS_NOEXEC. */
	return (unsigned long)(attributes & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
}

/* Without fsopen(2) (before 5.2): mount(2) on the descriptor that was checked. */
static int old_mount(struct step_context *c, const char *type, int target_fd)
{
	char target[40], data[1024] = "";
	const char *option = step_string(c, c->step->s3);
	size_t used = 0;

	for (uint32_t i = 0; i < c->step->count; i++, option = next_string(option)) {
		used += (size_t)snprintf(data + used, sizeof(data) - used, "%s%s", i ? "," : "", option);
		if (used >= sizeof(data)) {
			errno = E2BIG;
			return -1;
		}
	}
	snprintf(target, sizeof(target), "/proc/self/fd/%d", target_fd);
	CALL(c, "mount");
	return mount(type, target, type, mount_flags(c->step->a), data);
}

/* s1: file system type; s2: where; s3: `count` options key[=value]; a: MOUNT_ATTR_*. */
int step_fsmount(struct step_context *c)
{
	const char *type = step_string(c, c->step->s1);
	int target_fd = root_mount_point(c, step_string(c, c->step->s2), 1);
	int mount_fd, result;

	if (target_fd < 0)
		return -1;
	mount_fd = new_mount(c, type, (unsigned)c->step->a);
	if (mount_fd < 0) {
		result = errno == ENOSYS ? old_mount(c, type, target_fd) : -1;
	} else {
		result = move_onto(c, mount_fd, target_fd);
		close_keeping_errno(mount_fd);
	}
	close_keeping_errno(target_fd);
	return result;
}

static int set_attributes(struct step_context *c, int fd, uint64_t set, uint64_t propagation, int recursive)
{
	struct mount_attr attr = { .attr_set = set, .propagation = propagation };

	if (!set && !propagation)
		return 0;
	CALL(c, "mount_setattr");
	return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

/* s1: source on the host; s2: where; a: MOUNT_ATTR_* to set; b: BIND_*; count: MS_PRIVATE, MS_SLAVE or MS_SHARED. */
int step_bind(struct step_context *c)
{
	const struct plan_step *step = c->step;
	int recursive = (step->b & BIND_RECURSIVE) != 0;
	struct stat st;
	int tree_fd, target_fd, result = -1;

	CALL(c, "open_tree");
	tree_fd = open_tree(AT_FDCWD, step_string(c, step->s1),
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
	if (tree_fd < 0)
		return -1;
	if (fstat(tree_fd, &st) < 0 || set_attributes(c, tree_fd, step->a, step->count, recursive) < 0)
		return close_keeping_errno(tree_fd);
	target_fd = root_mount_point(c, step_string(c, step->s2), S_ISDIR(st.st_mode));
	if (target_fd >= 0) {
		result = move_onto(c, tree_fd, target_fd);
		close_keeping_errno(target_fd);
	}
	close_keeping_errno(tree_fd);
	return result;
}

/* What lies under /proc and /sys must be what the kernel put there when we hide or protect it. */
static int open_kernel_path(struct step_context *c, const char *path)
{
	int fd = root_open(c, path, O_PATH);
	int proc = strncmp(path, "/proc/", 6) == 0, sys = strncmp(path, "/sys/", 5) == 0;

	if (fd < 0)
		return -1;
	if (proc && on_filesystem(c, fd, PROC_SUPER_MAGIC) < 0)
		return close_keeping_errno(fd);
	if (sys && on_filesystem(c, fd, SYSFS_MAGIC) < 0 && on_filesystem(c, fd, CGROUP2_SUPER_MAGIC) < 0)
		return close_keeping_errno(fd);
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
	return fd;
}

/* s1: path; a directory gets an empty read-only tmpfs, anything else the null device.  Runs before pivot. */
int step_mask(struct step_context *c)
{
	struct stat st;
	int target_fd = open_kernel_path(c, step_string(c, c->step->s1));
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
	int target_fd = open_kernel_path(c, step_string(c, c->step->s1));
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

/* Hand the master side to the parent; SCM_RIGHTS: unix(7). */
static int send_descriptor(struct step_context *c, int fd)
{
	char kind = 'T';
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

/* A pty of the container's own devpts; a: 1 = also mount it on /dev/console; b: uid that shall own it. */
int step_console(struct step_context *c)
{
	int unlock = 0, master_fd, slave_fd, tree_fd, target_fd, result;

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
	result = send_descriptor(c, master_fd);
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
	target_fd = root_mount_point(c, "/dev/console", 0);
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
	int fd = root_open(c, step_string(c, c->step->s1), O_WRONLY | O_NOFOLLOW);
	ssize_t wrote;

	if (fd < 0)
		return -1;
	if (on_filesystem(c, fd, PROC_SUPER_MAGIC) < 0)
		return close_keeping_errno(fd);
	CALL(c, "write");
	wrote = write(fd, value, strlen(value));
	close_keeping_errno(fd);
	return wrote == (ssize_t)strlen(value) ? 0 : -1;
}

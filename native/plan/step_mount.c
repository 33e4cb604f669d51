/* Mounts inside the root: file systems and binds. */
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "internal.h"
#include "syscalls.h"

enum { BIND_RECURSIVE = 1 };

int close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

int move_onto(struct step_context *c, int mount_fd, int target_fd)
{
	CALL(c, "move_mount");
	return move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
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
int new_mount(struct step_context *c, const char *type, unsigned attributes)
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

int set_attributes(struct step_context *c, int fd, uint64_t set, uint64_t propagation, int recursive)
{
	struct mount_attr attr = { .attr_set = set, .propagation = propagation };

	if (!set && !propagation)
		return 0;
	/* EINVAL unless a change of the atime setting clears all of it first: mount_setattr(2). */
	if (set & MOUNT_ATTR__ATIME)
		attr.attr_clr = MOUNT_ATTR__ATIME;
	CALL(c, "mount_setattr");
	return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

/* s1: source on the host; s2: where; a: MOUNT_ATTR_* to set; b: BIND_*; count: MS_PRIVATE, MS_SLAVE or MS_SHARED. */
int step_bind(struct step_context *c)
{
	const struct plan_step *step = c->step;
	int recursive = (step->b & BIND_RECURSIVE) != 0;
	char source[HOST_PATH_MAX];
	struct stat st;
	int tree_fd, target_fd, result = -1;

	CALL(c, "open_tree");
	tree_fd = open_tree(AT_FDCWD, host_path(c, step->s1, source),
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

/* In the mount namespace run->peer_mounts_fd: a copy of the mount at `path`.  No link is followed there, where its root may
 * have put some, and what is taken is a tmpfs and nothing else. */
static int peer_tree(struct step_context *c, const char *path)
{
	struct statfs fs;
	int tree_fd, source_fd;

	CALL(c, "setns");
	if (setns(c->run->peer_mounts_fd, CLONE_NEWNS) < 0)
		return -1;
	CALL(c, "openat2");
	source_fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS);
	if (source_fd < 0)
		return -1;
	if (fstatfs(source_fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
		errno = EXDEV;
		return close_keeping_errno(source_fd);
	}
	CALL(c, "open_tree");
	tree_fd = open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	close_keeping_errno(source_fd);
	return tree_fd;
}

/* s1: a directory of another container's, its /dev/shm; s2: where; a: MOUNT_ATTR_* to set. */
int step_bind_peer(struct step_context *c)
{
	int own_fd, tree_fd, target_fd, result = -1;

	CALL(c, "open(ns/mnt)");
	own_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (own_fd < 0)
		return -1;
	tree_fd = peer_tree(c, step_string(c, c->step->s1));
	if (tree_fd < 0)
		return close_keeping_errno(own_fd); /* we may still be there: no step follows this one */
	CALL(c, "setns(back)");
	if (setns(own_fd, CLONE_NEWNS) == 0 && set_attributes(c, tree_fd, c->step->a, 0, 0) == 0) {
		target_fd = root_mount_point(c, step_string(c, c->step->s2), 1);
		result = target_fd < 0 ? -1 : move_onto(c, tree_fd, target_fd);
		close_keeping_errno(target_fd);
	}
	close_keeping_errno(tree_fd);
	close_keeping_errno(own_fd);
	return result;
}

/* The root file system: made in place, then pivoted into. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "internal.h"
#include "syscalls.h"

enum { OVERLAY_VOLATILE = 1, OVERLAY_OLD_API = 2 };

/* a: MS_* propagation flags for the whole tree. */
int step_propagation(struct step_context *c)
{
	CALL(c, "mount");
	return mount(NULL, "/", NULL, (unsigned long)c->step->a, NULL);
}

static int open_directory(struct step_context *c, const char *path)
{
	CALL(c, "open");
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_layer(struct step_context *c, uint32_t path)
{
	char name[HOST_PATH_MAX];

	return open_directory(c, host_path(c, path, name));
}

/* Layers are named /proc/self/fd/N: fsconfig(2) takes strings of 255 bytes, mount(2) one page for all options. */
static int overlay_layer(struct step_context *c, int context_fd, const char *key, uint32_t path)
{
	char name[40];
	int fd = open_layer(c, path), result;

	if (fd < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	CALL(c, "fsconfig");
	result = fsconfig(context_fd, FSCONFIG_SET_STRING, key, name, 0);
	close(fd);
	return result;
}

/* Since Linux 6.5: one lower directory a call (`lowerdir+`). */
static int overlay_new_api(struct step_context *c)
{
	const struct plan_step *step = c->step;
	const char *lower = step_string(c, step->s2);
	char point[HOST_PATH_MAX];
	int context_fd, mount_fd = -1, saved;

	CALL(c, "fsopen");
	context_fd = fsopen("overlay", FSOPEN_CLOEXEC);
	if (context_fd < 0)
		return -1;
	CALL(c, "fsconfig(source)");
	if (fsconfig(context_fd, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0)
		goto out;
	for (uint32_t i = 0; i < step->count; i++, lower = next_string(lower))
		if (overlay_layer(c, context_fd, "lowerdir+", string_offset(c, lower)) < 0)
			goto out;
	if (step->s3 != PLAN_NONE && (overlay_layer(c, context_fd, "upperdir", step->s3) < 0 ||
				      overlay_layer(c, context_fd, "workdir", step->s4) < 0))
		goto out;
	CALL(c, "fsconfig");
	/* userxattr: overlay's own attributes are user.overlay.*, the only ones a user namespace may set; since 5.11. */
	if (fsconfig(context_fd, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0)
		goto out;
	if ((step->a & OVERLAY_VOLATILE) && fsconfig(context_fd, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		goto out;
	CALL(c, "fsconfig(create)");
	if (fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		goto out;
	CALL(c, "fsmount");
	/* nodev: without a user namespace the container's root may mknod(2) a disk of the host's. */
	mount_fd = fsmount(context_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (mount_fd < 0)
		goto out;
	CALL(c, "move_mount");
	if (move_mount(mount_fd, "", AT_FDCWD, host_path(c, step->s1, point), MOVE_MOUNT_F_EMPTY_PATH) < 0) {
		saved = errno;
		close(mount_fd);
		mount_fd = -1;
		errno = saved;
	}
out:
	saved = errno;
	close(context_fd);
	if (mount_fd >= 0)
		close(mount_fd);
	errno = saved;
	return mount_fd < 0 ? -1 : 0;
}

static int append_layer(struct step_context *c, char *options, size_t *used, const char *prefix, uint32_t path)
{
	int fd = open_layer(c, path), wrote;

	if (fd < 0)
		return -1;
	wrote = snprintf(options + *used, 4096 - *used, "%s/proc/self/fd/%d", prefix, fd);
	if (wrote < 0 || *used + (size_t)wrote >= 4096) {
		errno = E2BIG; /* 127 layers fit; the overlay of an image with more is refused by name */
		return -1;
	}
	*used += (size_t)wrote;
	return 0;
}

/* 5.11 to 6.4: one option string of at most a page for mount(2).  The descriptors stay open until exec. */
static int overlay_old_api(struct step_context *c)
{
	const struct plan_step *step = c->step;
	const char *lower = step_string(c, step->s2);
	char options[4096], point[HOST_PATH_MAX];
	size_t used = 0;

	for (uint32_t i = 0; i < step->count; i++, lower = next_string(lower))
		if (append_layer(c, options, &used, i ? ":" : "lowerdir=", string_offset(c, lower)) < 0)
			return -1;
	if (step->s3 != PLAN_NONE && (append_layer(c, options, &used, ",upperdir=", step->s3) < 0 ||
				      append_layer(c, options, &used, ",workdir=", step->s4) < 0))
		return -1;
	used += (size_t)snprintf(options + used, sizeof(options) - used, ",userxattr%s",
				 (step->a & OVERLAY_VOLATILE) ? ",volatile" : "");
	if (used >= sizeof(options)) {
		errno = E2BIG;
		return -1;
	}
	CALL(c, "mount");
	return mount("overlay", host_path(c, step->s1, point), "overlay", MS_NODEV, options);
}

/* s1: mount point on the host; s2: `count` lower directories, highest first; s3, s4: upper and work; a: OVERLAY_*. */
int step_overlay(struct step_context *c)
{
	char point[HOST_PATH_MAX];
	int result = -1;

	errno = ENOSYS;
	if (!(c->step->a & OVERLAY_OLD_API))
		result = overlay_new_api(c);
	/* EINVAL at the first fsconfig: `lowerdir+` is unknown before 6.5.  ENOSYS: no fsopen at all, or filtered. */
	if (result < 0 && (errno == ENOSYS || (errno == EINVAL && strcmp(c->run->syscall, "fsconfig") == 0)))
		result = overlay_old_api(c);
	if (result < 0)
		return -1;
	c->run->root_fd = open_directory(c, host_path(c, c->step->s1, point));
	return c->run->root_fd < 0 ? -1 : 0;
}

/* s1: a directory on the host that is the root file system as it is. */
int step_root_bind(struct step_context *c)
{
	char point[HOST_PATH_MAX];
	const char *path = host_path(c, c->step->s1, point);

	CALL(c, "mount");
	/* pivot_root(2) wants a mount point that is not the current root's own. */
	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -1;
	c->run->root_fd = open_directory(c, path);
	if (c->run->root_fd < 0)
		return -1;
	CALL(c, "mount_setattr");
	return mount_setattr(c->run->root_fd, "", AT_EMPTY_PATH, &(struct mount_attr){ .attr_set = MOUNT_ATTR_NODEV },
			     sizeof(struct mount_attr));
}

/* s1: mount point on the host; for the parent, which runs it: s2: the program, s3: its options.  The file system is made by
 * us, as its device must have been opened in the mount's own user namespace (allowed there since 4.18). */
int step_fuse_overlay(struct step_context *c)
{
	const char *path = step_string(c, c->step->s1);
	char options[120];
	struct statfs fs;
	int device_fd, result;

	CALL(c, "open(/dev/fuse)");
	device_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device_fd < 0)
		return -1;
	/* allow_other: for the container's other users; default_permissions: the kernel checks modes, as on any disk. */
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		 device_fd);
	CALL(c, "mount");
	if (mount("fuse-overlayfs", path, "fuse.fuse-overlayfs", MS_NODEV, options) < 0)
		return close_keeping_errno(device_fd);
	result = send_descriptor(c, PLAN_SENDS_FUSE, device_fd);
	/* With the program's the last copy goes, and what waits for an answer wakes with an error. */
	close_keeping_errno(device_fd);
	if (result < 0)
		return -1;
	CALL(c, "statfs");
	if (statfs(path, &fs) < 0)
		return -1;
	c->run->root_fd = open_directory(c, path);
	return c->run->root_fd < 0 ? -1 : 0;
}

/* "/" is the container's root's, where the map gives the user's own id to another (--userns=keep-id). */
int step_own_root(struct step_context *c)
{
	CALL(c, "fchownat");
	return fchownat(c->run->root_fd, "", 0, 0, AT_EMPTY_PATH);
}

int step_pivot(struct step_context *c)
{
	CALL(c, "fchdir");
	if (fchdir(c->run->root_fd) < 0)
		return -1;
	CALL(c, "pivot_root");
	/* ".", ".": the old root is stacked on the new one and needs no directory there: pivot_root(2) NOTES. */
	if (sys_pivot_root(".", ".") < 0)
		return -1;
	CALL(c, "umount2");
	if (umount2(".", MNT_DETACH) < 0)
		return -1;
	CALL(c, "chdir");
	if (chdir("/") < 0)
		return -1;
	close(c->run->root_fd);
	c->run->root_fd = open_directory(c, "/");
	if (c->run->root_fd < 0)
		return -1;
	CALL(c, "close_range");
	return plan_close_others(c->run);
}

/* --read-only: last of the mounts, as mount points must be made before it. */
int step_root_readonly(struct step_context *c)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	CALL(c, "mount_setattr");
	return mount_setattr(c->run->root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

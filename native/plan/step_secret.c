/* Secrets: files that are made in memory. */
#include <errno.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "internal.h"
#include "syscalls.h"

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t wrote = write(fd, bytes, length);

		if (wrote < 0)
			return -1;
		bytes += wrote;
		length -= (size_t)wrote;
	}
	return 0;
}

/* s1: where; s2: its `a` >> 16 bytes; a & 0xffff: mode; b: uid, and gid << 32.  On a tmpfs and nothing else, as it must not
 * come to be in a layer. */
static int make_file(struct step_context *c)
{
	const struct plan_step *step = c->step;
	const char *name;
	struct statfs fs;
	int parent_fd = root_parent(c, step_string(c, step->s1), &name), fd;

	if (parent_fd < 0)
		return -1;
	CALL(c, "fstatfs");
	if (fstatfs(parent_fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
		errno = EXDEV;
		return close_keeping_errno(parent_fd);
	}
	CALL(c, "openat");
	fd = openat(parent_fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
	close_keeping_errno(parent_fd);
	if (fd < 0)
		return -1;
	CALL(c, "write");
	if (write_all(fd, step_string(c, step->s2), step->a >> 16) < 0)
		return close_keeping_errno(fd);
	CALL(c, "fchown");
	if (fchown(fd, (uid_t)step->b, (gid_t)(step->b >> 32)) < 0 || fchmod(fd, (mode_t)(step->a & 07777)) < 0)
		return close_keeping_errno(fd);
	close(fd);
	return 0;
}

/* ... s3: where it is bound as well, or none. */
int step_secret(struct step_context *c)
{
	const char *place = step_string(c, c->step->s3);
	int file_fd, tree_fd, target_fd, result = -1;

	if (make_file(c) < 0)
		return -1;
	if (!place)
		return 0;
	file_fd = root_open(c, step_string(c, c->step->s1), O_PATH | O_NOFOLLOW);
	if (file_fd < 0)
		return -1;
	CALL(c, "open_tree");
	tree_fd = open_tree(file_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	close_keeping_errno(file_fd);
	if (tree_fd < 0)
		return -1;
	target_fd = set_attributes(c, tree_fd, MOUNT_ATTR_RDONLY, 0, 0) < 0 ? -1 : root_mount_point(c, place, 0);
	if (target_fd >= 0) {
		result = move_onto(c, tree_fd, target_fd);
		close_keeping_errno(target_fd);
	}
	close_keeping_errno(tree_fd);
	return result;
}

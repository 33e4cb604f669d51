/* Paths inside the container's root.  An image's symlinks may point anywhere and a volume's may change while we
 * look: every look-up is openat2(2) with RESOLVE_IN_ROOT (since 5.6), and what is mounted on is the descriptor that
 * was checked, never the path again (CVE-2021-30465). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "syscalls.h"

#define LINKS_MAX 8
#define RESOLVE_INSIDE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static int mkdir_following(struct step_context *c, const char *path, unsigned mode, int depth);

int root_open(struct step_context *c, const char *path, uint64_t flags)
{
	CALL(c, "openat2");
	for (int tries = 0; tries < 64; tries++) {
		int fd = sys_openat2(c->run->root_fd, path, flags | O_CLOEXEC, 0, RESOLVE_INSIDE);

		/* EAGAIN: a rename raced with "..": openat2(2) asks to try again. */
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return -1;
}

/* Open the directory that holds the last component of `path`; *name is that component. */
int root_parent(struct step_context *c, const char *path, const char **name)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	*name = slash ? slash + 1 : path;
	if (length >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (**name == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, length);
	parent[length] = '\0';
	return root_open(c, length ? parent : "/", O_PATH | O_DIRECTORY);
}

/* Write to `whole` (PATH_MAX bytes) where the link `name` of the directory `prefix` points, as a path of the root; 0 if it
 * is no link. Only dangling ones come here. */
static int link_target(struct step_context *c, int parent_fd, const char *prefix, const char *name, int depth, char *whole)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(parent_fd, name, target, sizeof(target) - 1);

	CALL(c, "readlinkat");
	if (length < 0)
		return 0; /* no link: somebody has made the thing as we looked */
	if (depth >= LINKS_MAX) {
		errno = ELOOP;
		return -1;
	}
	target[length] = '\0';
	if (snprintf(whole, PATH_MAX, "%.*s/%s", target[0] == '/' ? 0 : (int)(name - prefix), prefix, target) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 1;
}

/* Make what the dangling link `name` of the directory `prefix` points to, as if the root were the world: an image may
 * bring /var/run -> /run without /run. */
static int make_link_target(struct step_context *c, int parent_fd, const char *prefix, const char *name, unsigned mode, int depth)
{
	char whole[PATH_MAX];
	int fd, found = link_target(c, parent_fd, prefix, name, depth, whole);

	if (found <= 0)
		return found;
	fd = mkdir_following(c, whole, mode, depth + 1);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* mkdir -p inside the root; returns an O_PATH descriptor of the directory. */
int root_mkdir(struct step_context *c, const char *path, unsigned mode)
{
	return mkdir_following(c, path, mode, 0);
}

static int mkdir_following(struct step_context *c, const char *path, unsigned mode, int depth)
{
	char prefix[PATH_MAX];
	size_t length = strlen(path);
	int fd = root_open(c, path, O_PATH | O_DIRECTORY);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (length >= sizeof(prefix)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t end = 1; end <= length; end++) {
		const char *name;
		int parent_fd;

		if (end < length && path[end] != '/')
			continue;
		if (path[end - 1] == '/')
			continue;
		memcpy(prefix, path, end);
		prefix[end] = '\0';
		fd = root_open(c, prefix, O_PATH | O_DIRECTORY);
		if (fd < 0 && errno == ENOENT) {
			parent_fd = root_parent(c, prefix, &name);
			if (parent_fd < 0)
				return -1;
			CALL(c, "mkdirat");
			if (mkdirat(parent_fd, name, mode) < 0 &&
			    (errno != EEXIST || make_link_target(c, parent_fd, prefix, name, mode, depth) < 0)) {
				return close_keeping_errno(parent_fd);
			}
			close(parent_fd);
			fd = root_open(c, prefix, O_PATH | O_DIRECTORY);
		}
		if (fd < 0)
			return -1;
		if (end < length)
			close(fd);
		else
			return fd;
	}
	return root_open(c, path, O_PATH | O_DIRECTORY);
}

/* As root_mount_point, for a file.  A dangling link is followed inside the root, as runc does: images bring
 * /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf. */
static int file_following(struct step_context *c, const char *path, int depth)
{
	char parent[PATH_MAX], whole[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int parent_fd, fd, found = 0;

	fd = root_open(c, path, O_PATH);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (!slash || slash[1] == '\0' || (size_t)(slash - path) >= sizeof(parent)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	parent_fd = mkdir_following(c, slash == path ? "/" : parent, 0755, depth);
	if (parent_fd < 0)
		return -1;
	CALL(c, "openat");
	/* O_EXCL|O_NOFOLLOW: the kernel must not follow the link for us, outside the root. */
	fd = openat(parent_fd, slash + 1, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	else if (errno == EEXIST)
		found = link_target(c, parent_fd, path, slash + 1, depth, whole);
	else
		found = -1;
	close_keeping_errno(parent_fd);
	if (found < 0)
		return -1;
	return found ? file_following(c, whole, depth + 1) : root_open(c, path, O_PATH);
}

/* Open `path` as the place of a mount, made when it is missing: a directory, or an empty file. */
int root_mount_point(struct step_context *c, const char *path, int is_directory)
{
	return is_directory ? root_mkdir(c, path, 0755) : file_following(c, path, 0);
}

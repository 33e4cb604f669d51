/* What goes when the container ends: the entries that say "running"; of a --rm container everything. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor.h"

static int is_link_to_us(const struct job *job, const char *path)
{
	char target[4096];
	ssize_t got = readlink(path, target, sizeof(target) - 1);
	const char *id = job_string(job, job->header->id);
	size_t length = strlen(id);

	return got >= (ssize_t)length && memcmp(target + got - length, id, length) == 0;
}

/* The entries that say "running"; only while they are still ours. */
void remove_entries(const struct job *job)
{
	const char *live = job_string(job, job->header->live_link);
	const char *socket_path = job_string(job, job->header->socket_path);

	if (live && is_link_to_us(job, live))
		unlink(live);
	if (socket_path) {
		char network_socket[4096];

		unlink(socket_path);
		/* slirp4netns's, by which ports were published (engine/networking.py). */
		snprintf(network_socket, sizeof(network_socket), "%s.net", socket_path);
		unlink(network_socket);
	}
}

/* rm -r by descriptors, following no link.  Overlay leaves work/work with mode 000: ours to open by capability. */
static void remove_at(int parent_fd, const char *name, int depth)
{
	struct dirent *entry;
	DIR *directory;
	int fd;

	if (unlinkat(parent_fd, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
		return;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fchmodat(parent_fd, name, 0700, 0) == 0)
		fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	while (directory && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && depth < 1000)
			remove_at(fd, entry->d_name, depth + 1);
	if (directory)
		closedir(directory);
	unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* Only while it is still ours, and under the lock of names: once our directory has gone the name is free to be taken over,
 * and between readlink and unlink it would be another container's (store/new_container.py `take_name`). */
static void release_name(const struct job *job, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[4096];
	int fd;

	/* ROOT/names/NAME: ROOT/names.lock */
	snprintf(path, sizeof(path), "%.*s.lock", (int)(strrchr(name, '/') - name), name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	while (fd >= 0 && fcntl(fd, F_OFD_SETLKW, &lock) < 0 && errno == EINTR)
		;
	if (is_link_to_us(job, name))
		unlink(name);
	if (fd >= 0)
		close(fd);
}

/* The container's own directory goes by one rename to where the sweep looks: whenever we are killed, the container is
 * either there, whole and with its name, or not seen at all (its name then leads nowhere, which frees it). */
static void retire(const struct job *job)
{
	const char *directory = job_string(job, job->header->directory), *retired = job_string(job, job->header->retired);
	const char *name = job_string(job, job->header->name_link);

	if (retired && rename(directory, retired) == 0)
		directory = retired;
	if (name)
		release_name(job, name);
	remove_at(AT_FDCWD, directory, 0);
}

/* A volume that somebody else has asked for by its name is not the container's any more (volumes/store.py `disown`). */
static int is_owned(const char *volume)
{
	char path[4096], byte;

	snprintf(path, sizeof(path), "%s/owner", volume);
	return readlink(path, &byte, 1) == 1;
}

void remove_trees(const struct job *job)
{
	const char *path = job_string(job, job->header->remove), *directory = job_string(job, job->header->directory);

	for (uint32_t i = 0; path && i < job->header->remove_count; i++, path += strlen(path) + 1)
		if (strcmp(path, directory) == 0)
			retire(job);
		else if (is_owned(path))
			remove_at(AT_FDCWD, path, 0);
}

/* The log's files: NAME is the newest, then NAME.1, NAME.2 …; none grows beyond the limit by more than a record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

static int directory_fd = -1, file_fd = -1, lost_fd = -1;
static char name[256];
static uint64_t file_size, max_bytes;
static unsigned max_files;
static char buffer[LOG_BUFFER_BYTES];
static size_t buffered;
_Static_assert(LOG_BUFFER_BYTES >= 6 * LOG_PART_BYTES + LOG_FRAME_BYTES, "a record fits");

/* `logs/lost`: two slots, for the ring and for the file, set aside at the start, as writing them must not need space:
 * "1 RECORDS ERRNO FIRST LAST\n", FIRST and LAST being times.  NUL: nothing is lost. */
#define LOST_SLOT_BYTES 128
static struct {
	unsigned long long records;
	char first[48];
} lost[2];

static void name_of(char text[static 300], unsigned number)
{
	snprintf(text, 300, number ? "%s.%u" : "%s", name, number);
}

static int open_log(const char *file_name, int flags)
{
	return openat(directory_fd, file_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0640);
}

/* The oldest goes first, which makes room on a full disk.  If there is none even so, we go on in the file we have. */
static void rotate(void)
{
	char from[300], to[300], fresh[300];
	int fd;

	name_of(to, max_files - 1);
	if (max_files > 1)
		unlinkat(directory_fd, to, 0);
	snprintf(fresh, sizeof(fresh), "%s.new", name);
	fd = open_log(fresh, O_TRUNC);
	if (fd < 0)
		return;
	for (unsigned number = max_files - 1; number >= 1; number--) {
		name_of(to, number);
		name_of(from, number - 1);
		renameat(directory_fd, from, directory_fd, to);
	}
	renameat(directory_fd, fresh, directory_fd, name);
	close(file_fd);
	file_fd = fd;
	file_size = 0;
}

static void open_lost(int logs_fd)
{
	char slots[2][LOST_SLOT_BYTES] = { 0 };

	lost_fd = openat(logs_fd, "lost", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (lost_fd < 0)
		return;
	if (pread(lost_fd, slots, sizeof(slots), 0) != sizeof(slots))
		(void)!pwrite(lost_fd, slots, sizeof(slots), 0);
	for (int i = 0; i < 2; i++)
		sscanf(slots[i], "1 %llu %*d %47s", &lost[i].records, lost[i].first);
}

void log_count_lost(int is_file, const char *records, size_t length, int error)
{
	char slot[LOST_SLOT_BYTES] = { 0 }, now[48];

	for (const char *end; length > 0 && (end = memchr(records, '\n', length)); lost[is_file].records++) {
		length -= (size_t)(end + 1 - records);
		records = end + 1;
	}
	format_time(now, sizeof(now));
	if (!lost[is_file].first[0])
		memcpy(lost[is_file].first, now, sizeof(now));
	snprintf(slot, sizeof(slot), "1 %llu %d %s %s\n", lost[is_file].records, error, lost[is_file].first, now);
	if (lost_fd >= 0)
		(void)!pwrite(lost_fd, slot, sizeof(slot), is_file * LOST_SLOT_BYTES);
}

/* A record written in part goes, or what follows it would be unreadable. */
static size_t whole_records(size_t done)
{
	const char *end = done ? memrchr(buffer, '\n', done) : NULL;
	size_t whole = end ? (size_t)(end - buffer) + 1 : 0;

	if (whole == done || ftruncate(file_fd, (off_t)(file_size + whole)) < 0)
		return done;
	return whole;
}

/* A full disk must not stop the container: what cannot be written is counted, not kept. */
void log_file_flush(void)
{
	size_t done = 0;

	if (log_ring_is_open()) {
		done = log_ring_put(buffer, buffered);
		if (done < buffered)
			log_count_lost(0, buffer + done, buffered - done, ENOBUFS);
		buffered = 0;
		return;
	}
	while (done < buffered) {
		ssize_t wrote = write(file_fd, buffer + done, buffered - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			int error = wrote < 0 ? errno : ENOSPC;

			done = whole_records(done);
			log_count_lost(1, buffer + done, buffered - done, error);
			break;
		}
		done += (size_t)wrote;
	}
	file_size += done;
	buffered = 0;
}

char *log_file_room(size_t length)
{
	/* By record, not by batch: how much is read at once depends on how busy the machine is. */
	int is_full = max_bytes && file_size + buffered >= max_bytes;

	if (is_full || buffered + length > sizeof(buffer))
		log_file_flush();
	if (is_full && file_size >= max_bytes) /* not where the disk is full */
		rotate();
	return buffer + buffered;
}

void log_file_add(const char *end)
{
	buffered = (size_t)(end - buffer);
}

/* --log-opt path=: beside it its older files. */
static int open_directory(const char *path, int logs_fd)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char directory[4096];

	if (!slash)
		return logs_fd;
	if (snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path) >= (int)sizeof(directory)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int log_file_open(const struct job *job, int container_fd)
{
	const char *path = job_string(job, job->header->log_path);
	struct stat st;
	int logs_fd;

	max_bytes = job->header->log_max_bytes;
	max_files = job->header->log_max_files ? job->header->log_max_files : 1;
	if (mkdirat(container_fd, "logs", 0700) < 0 && errno != EEXIST)
		return -1;
	logs_fd = openat(container_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (logs_fd < 0)
		return -1;
	open_lost(logs_fd);
	directory_fd = open_directory(path, logs_fd);
	if (directory_fd < 0)
		return -1;
	snprintf(name, sizeof(name), "%s", path && strrchr(path, '/') ? strrchr(path, '/') + 1 : path ? path : "json.log");
	file_fd = open_log(name, 0);
	if (file_fd < 0 || fstat(file_fd, &st) < 0)
		return -1;
	file_size = (uint64_t)st.st_size;
	return 0;
}

void log_file_close(void)
{
	close(file_fd);
	close(directory_fd);
	file_fd = directory_fd = -1;
}

/* Who follows a log holds a read lock on `lost` until all is read: before the log of a --rm container is removed, a moment
 * is given for that, not more. */
void log_wait_for_readers(void)
{
	struct timespec pause = { .tv_nsec = 10000000 };

	for (int tries = 0; tries < 200 && lost_fd >= 0; tries++) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		if (fcntl(lost_fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
			return;
		nanosleep(&pause, NULL);
	}
}

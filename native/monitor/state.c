/* What others read of us: the lock, the state file, the exit slot. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

enum { EXIT_SLOT_BYTES = 64 };
#define EARLIER_STATE "state.earlier"

/* RFC 3339 with nanoseconds, UTC, as docker writes it. */
void format_time(char *text, size_t size)
{
	struct timespec now;
	struct tm utc;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, size, "%s.%09ldZ", seconds, now.tv_nsec);
}

/* An OFD lock (since 3.15) belongs to this open file: neither forked children nor a reader's close drop it. */
int state_lock(int directory_fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
	int fd = openat(directory_fd, "lock", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -1 : fd;
}

/* Whether `cp` has the root of this container mounted, which it may while nobody starts it (engine/inside.py).  It asks
 * for our lock after it has got its own, and we for its after we have got ours: so one of us sees the other. */
int state_is_copied(int directory_fd)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = openat(directory_fd, "copying", O_RDONLY | O_CLOEXEC), failed;

	if (fd < 0)
		return 0;
	failed = fcntl(fd, F_OFD_GETLK, &lock) < 0;
	close(fd);
	return failed || lock.l_type != F_UNLCK;
}

static int write_exit(int directory_fd, const char slot[static EXIT_SLOT_BYTES])
{
	int fd = openat(directory_fd, "exit", O_WRONLY | O_CLOEXEC);
	ssize_t wrote;

	if (fd < 0)
		return -1;
	wrote = pwrite(fd, slot, EXIT_SLOT_BYTES, 0);
	close(fd);
	return wrote == EXIT_SLOT_BYTES ? 0 : -1;
}

/* NUL: no exit yet.  The slot keeps its blocks. */
int state_clear_exit(int directory_fd)
{
	return write_exit(directory_fd, (char[EXIT_SLOT_BYTES]){ 0 });
}

static char earlier_exit[EXIT_SLOT_BYTES];
static int is_put_aside;

/* Under the lock: what an earlier life left says nothing about this one.  It is put aside until this one has begun. */
int state_clear(int directory_fd)
{
	int fd = openat(directory_fd, "exit", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, earlier_exit, sizeof(earlier_exit)) != sizeof(earlier_exit))
		memset(earlier_exit, 0, sizeof(earlier_exit));
	close(fd);
	is_put_aside = 1;
	if (state_clear_exit(directory_fd) < 0 || (unlinkat(directory_fd, "stopped", 0) < 0 && errno != ENOENT) ||
	    (unlinkat(directory_fd, "kept", 0) < 0 && errno != ENOENT))
		return -1;
	return renameat(directory_fd, "state", directory_fd, EARLIER_STATE) < 0 && errno != ENOENT ? -1 : 0;
}

/* A start that failed (a full disk, a port that is taken) leaves the container as it was: neither needs space. */
void state_restore(int directory_fd)
{
	if (!is_put_aside)
		return;
	if (earlier_exit[0])
		(void)write_exit(directory_fd, earlier_exit);
	renameat(directory_fd, EARLIER_STATE, directory_fd, "state");
}

/* A --rm container that somebody is about to start again. */
int state_is_kept(int directory_fd)
{
	return faccessat(directory_fd, "kept", F_OK, 0) == 0;
}

static const char *field(const char *record, const char *name)
{
	const char *at = strstr(record, name);

	return at ? at + strlen(name) : "";
}

/* The directory in /proc of the init that the state file names, which stays that process's; -1 with errno. */
int state_open_init(const struct job *job, int directory_fd)
{
	const char *boot = job->header->boot_id == PLAN_NONE ? "" : job_string(job, job->header->boot_id);
	char text[1024], path[40];
	unsigned long long started_at;
	int fd;

	if (read_text(directory_fd, "state", text, sizeof(text)) < 0)
		return -1;
	started_at = strtoull(field(text, "\"starttime\":"), NULL, 10);
	if (started_at != 0 && strncmp(field(text, "\"boot_id\":\""), boot, strlen(boot)) == 0) {
		snprintf(path, sizeof(path), "/proc/%ld", strtol(field(text, "\"pid\":"), NULL, 10));
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && start_time(fd, "stat") == started_at)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	errno = ESRCH; /* it has ended: its pid may be somebody else's now */
	return -1;
}

/* Under the lock: whether the init of an earlier life, of this boot, is still there.  A monitor that was killed lets go of
 * its lock before the kernel has ended what it led; and where they share no pid namespace it need not end at all. */
int state_is_alive(const struct job *job, int directory_fd)
{
	int fd = state_open_init(job, directory_fd);

	return fd >= 0 && close(fd) == 0;
}

/* Where there is no room for another file: over the old one, in the blocks that it has, padded to its size. */
static int overwrite_state(int directory_fd, const char *text, size_t length)
{
	char padded[1024];
	struct stat st;
	int fd = openat(directory_fd, "state", O_WRONLY | O_CLOEXEC), wrote_all;

	if (fd < 0)
		return -1;
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, text, length);
	if (fstat(fd, &st) == 0 && (size_t)st.st_size > length && (size_t)st.st_size < sizeof(padded))
		length = (size_t)st.st_size;
	wrote_all = pwrite(fd, padded, length, 0) == (ssize_t)length;
	close(fd);
	return wrote_all ? 0 : -1;
}

static int replace_state(int directory_fd, const char *text, size_t length)
{
	int fd = openat(directory_fd, "state.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved;
	ssize_t wrote;

	if (fd < 0)
		return saved = errno, overwrite_state(directory_fd, text, length) == 0 ? 0 : (errno = saved, -1);
	wrote = write(fd, text, length);
	if (wrote >= 0 && wrote != (ssize_t)length)
		errno = ENOSPC;
	saved = errno;
	close(fd);
	if (wrote == (ssize_t)length && renameat(directory_fd, "state.tmp", directory_fd, "state") == 0)
		return 0;
	saved = wrote == (ssize_t)length ? errno : saved;
	unlinkat(directory_fd, "state.tmp", 0);
	return overwrite_state(directory_fd, text, length) == 0 ? 0 : (errno = saved, -1);
}

static char started[48]; /* the last run */

static int write_state(const struct job *job, int directory_fd, const char *status, pid_t init_pid, unsigned restarts,
		       const char *more)
{
	char text[640 + SEAL_BYTES], stat_path[32];
	size_t length;

	snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", (int)init_pid);
	length = (size_t)snprintf(text, sizeof(text) - SEAL_BYTES,
			  "{\"version\":1,\"status\":\"%s\",\"pid\":%d,\"starttime\":%llu,\"monitor\":%d,"
			  "\"monitor_starttime\":%llu,\"started\":\"%s\",\"boot_id\":\"%s\",\"restarts\":%u%s",
			  status, (int)init_pid, init_pid ? start_time(AT_FDCWD, stat_path) : 0, (int)own_host_pid(),
			  start_time(AT_FDCWD, "/proc/self/stat"), started,
			  job->header->boot_id == PLAN_NONE ? "" : job_string(job, job->header->boot_id), restarts, more);
	length += seal_end(text + length, seal_add(0, text, length));
	return replace_state(directory_fd, text, length);
}

int state_running(const struct job *job, int directory_fd, const struct init_process *init, unsigned restarts)
{
	format_time(started, sizeof(started));
	/* First, as its room may be all that there is. */
	unlinkat(directory_fd, EARLIER_STATE, 0);
	return write_state(job, directory_fd, "running", init->host_pid, restarts, "");
}

int state_restarting(const struct job *job, int directory_fd, unsigned restarts, int exit_code)
{
	char more[96], finished[48];

	format_time(finished, sizeof(finished));
	snprintf(more, sizeof(more), ",\"exit_code\":%d,\"finished\":\"%s\"", exit_code, finished);
	return write_state(job, directory_fd, "restarting", 0, restarts, more);
}

/* The slot was allocated at create: writing it cannot fail for want of space (a rename can, and loses the code). */
int state_exit(const struct job *job, int directory_fd, int exit_code)
{
	char text[EXIT_SLOT_BYTES] = { 0 }, finished[48];
	int fd = openat(directory_fd, "exit", O_WRONLY | O_CLOEXEC), length;

	if (fd < 0)
		return -1;
	format_time(finished, sizeof(finished));
	length = snprintf(text, sizeof(text), "1 %d 0 %s\n", exit_code, finished);
	snprintf(text + length, sizeof(text) - (size_t)length, "%08x", seal_add(0, text, (size_t)length));
	if (pwrite(fd, text, sizeof(text), 0) != sizeof(text)) {
		close(fd);
		return -1;
	}
	if (!job_has(job, JOB_EPHEMERAL))
		fdatasync(fd);
	return close(fd);
}

/* mode=non-blocking: a slow disk must not hold the container back.  Records go through a pipe, which is the buffer, to a
 * process that writes them; what the pipe has no room for is counted and dropped, the newest first, as docker does. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "log.h"

static int ring_fd = -1;
static pid_t writer;
/* Of a record that went into the pipe in part: it goes before all others. */
static char rest[LOG_BUFFER_BYTES];
static size_t rest_at, rest_size;

static void append(const char *bytes, size_t length)
{
	const char *feed;

	for (; length > 0 && (feed = memchr(bytes, '\n', length)); bytes = feed + 1) {
		size_t size = (size_t)(feed - bytes) + 1;
		char *to = log_file_room(size);

		memcpy(to, bytes, size);
		log_file_add(to + size);
		length -= size;
	}
	log_file_flush();
}

/* Nothing of the monitor stays open here: the lock must not outlive it, nor the container's pipes. */
static _Noreturn void write_until_end(const struct job *job, int pipe_fd)
{
	size_t used = 0;
	ssize_t got;
	int directory_fd;

	prctl(PR_SET_NAME, "pyrun-log");
	if (dup2(pipe_fd, 3) < 0 || sys_close_range(4, ~0u, 0) < 0)
		_exit(1);
	directory_fd = open(job_string(job, job->header->directory), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0 || log_file_open(job, directory_fd) < 0)
		_exit(1);
	while ((got = read(3, rest + used, sizeof(rest) - used)) > 0) {
		const char *feed = memrchr(rest, '\n', used + (size_t)got);
		size_t whole = feed ? (size_t)(feed - rest) + 1 : 0;

		used += (size_t)got;
		append(rest, whole);
		memmove(rest, rest + whole, used - whole);
		used -= whole;
	}
	log_file_close();
	_exit(0);
}

int log_ring_start(const struct job *job)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	/* Where the user's pipes hold too much already it stays as it is, pipe(7): then more is dropped. */
	(void)!fcntl(ends[1], F_SETPIPE_SZ, (int)job->header->log_ring_bytes);
	writer = fork();
	if (writer == 0)
		write_until_end(job, ends[0]);
	close(ends[0]);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	ring_fd = ends[1];
	return writer < 0 ? -1 : 0;
}

int log_ring_is_open(void)
{
	return ring_fd >= 0;
}

static size_t push(const char *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t wrote = write(ring_fd, bytes + done, length - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			break;
		done += (size_t)wrote;
	}
	return done;
}

size_t log_ring_put(const char *records, size_t length)
{
	const char *end;
	size_t done;

	rest_at += push(rest + rest_at, rest_size - rest_at);
	if (rest_at < rest_size)
		return 0;
	done = push(records, length);
	if (done == 0 || records[done - 1] == '\n')
		return done;
	end = memchr(records + done, '\n', length - done);
	rest_at = 0;
	rest_size = (size_t)(end - records) + 1 - done;
	memcpy(rest, records + done, rest_size);
	return done + rest_size;
}

/* What is in the pipe is written before the container's end is told. */
void log_ring_finish(void)
{
	fcntl(ring_fd, F_SETFL, 0);
	push(rest + rest_at, rest_size - rest_at);
	close(ring_fd);
	ring_fd = -1;
	while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
		;
}

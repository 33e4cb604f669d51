/* The record of events, which `pyrun events` reads: a JSON line by one write to a file opened O_APPEND, so that the lines
 * of several writers do not mix.  What cannot be written (full disk, no directory) is not there: it is never the
 * container's trouble.  The same in Python, with the reader: pyrun/engine/events.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

#define EVENTS_MAX_BYTES (1 << 20)

static struct timespec started; /* by a clock that does not jump */

/* Two files bound the record.  Of several who find it full, the one that gets its lock moves it away, once. */
static void rotate(int fd, const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat ours, named;
	char older[4096];

	if (fstat(fd, &ours) < 0 || ours.st_size < EVENTS_MAX_BYTES || fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return;
	if (stat(path, &named) < 0 || named.st_ino != ours.st_ino || named.st_dev != ours.st_dev)
		return;
	if (snprintf(older, sizeof(older), "%s.1", path) < (int)sizeof(older))
		(void)!rename(path, older);
}

void event_append(const char *path, const char *body, const char *rest)
{
	char end[48 + SEAL_BYTES];
	struct timespec now;
	uint32_t crc;
	struct iovec line[3] = { { (void *)(uintptr_t)body, strlen(body) }, { (void *)(uintptr_t)rest, strlen(rest) }, { end, 0 } };
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	line[2].iov_len = (size_t)snprintf(end, 48, ",\"timeNano\":%lld", now.tv_sec * 1000000000LL + now.tv_nsec);
	crc = seal_add(seal_add(seal_add(0, body, line[0].iov_len), rest, line[1].iov_len), end, line[2].iov_len);
	line[2].iov_len += seal_end(end + line[2].iov_len, crc);
	if (writev(fd, line, 3) > 0)
		rotate(fd, path);
	close(fd);
}

void event_emit(const struct job *job, const char *action, const char *attributes)
{
	char rest[256];

	if (job->header->events == PLAN_NONE || job->header->event == PLAN_NONE)
		return;
	snprintf(rest, sizeof(rest), "%s},\"Action\":\"%s\"", attributes, action);
	event_append(job_string(job, job->header->events), job_string(job, job->header->event), rest);
}

void event_start(const struct job *job)
{
	event_list(job, JOB_EVENTS_STARTED);
	event_emit(job, "start", "");
	clock_gettime(CLOCK_MONOTONIC, &started);
}

void event_die(const struct job *job, int exit_code)
{
	char attributes[64];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(attributes, sizeof(attributes), ",\"execDuration\":\"%lld\",\"exitCode\":\"%d\"",
		 (long long)(now.tv_sec - started.tv_sec - (now.tv_nsec < started.tv_nsec)), exit_code);
	event_emit(job, "die", attributes);
	event_list(job, JOB_EVENTS_ENDED);
}

void event_list(const struct job *job, enum job_event_list which)
{
	const char *body = job_string(job, job->header->event_lists[which].first);

	for (uint32_t i = 0; body && job->header->events != PLAN_NONE && i < job->header->event_lists[which].count; i++) {
		event_append(job_string(job, job->header->events), body, "");
		body += strlen(body) + 1;
	}
}

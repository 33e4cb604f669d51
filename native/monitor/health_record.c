/* What is told of the health checks: the status, how many have failed in a row, and the last five results. */
#include "health.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor.h"

enum { RESULTS = 5 };

static struct health_result results[RESULTS];
static unsigned count; /* of all that there were: the newest is results[(count - 1) % RESULTS] */

const char *health_word(enum health_status status)
{
	return status == HEALTH_HEALTHY ? "healthy" : status == HEALTH_UNHEALTHY ? "unhealthy" : "starting";
}

static int put(int fd, uint32_t *crc, const char *text, size_t size)
{
	*crc = seal_add(*crc, text, size);
	return write(fd, text, size) == (ssize_t)size ? 0 : -1;
}

static int write_result(int fd, uint32_t *crc, const struct health_result *result, int is_first)
{
	static char text[6 * sizeof(result->output) + 256];
	char *end = text + snprintf(text, 256, "%s{\"Start\":\"%s\",\"End\":\"%s\",\"ExitCode\":%d,\"Output\":\"", is_first ? "" : ",",
				       result->start, result->end, result->code);

	end = mempcpy(json_escape(end, result->output, result->length), "\"}", 2);
	return put(fd, crc, text, (size_t)(end - text));
}

static int write_all(int fd, enum health_status status, unsigned streak)
{
	unsigned first = count > RESULTS ? count - RESULTS : 0;
	char text[128];
	uint32_t crc = 0;

	/* The status first: `ps` reads no further. */
	snprintf(text, sizeof(text), "{\"Status\":\"%s\",\"FailingStreak\":%u,\"Log\":[", health_word(status), streak);
	if (put(fd, &crc, text, strlen(text)) < 0)
		return -1;
	for (unsigned i = first; i < count; i++)
		if (write_result(fd, &crc, &results[i % RESULTS], i == first) < 0)
			return -1;
	if (put(fd, &crc, "]", 1) < 0)
		return -1;
	return put(fd, &(uint32_t){ 0 }, text, seal_end(text, crc));
}

void health_record(int directory_fd, enum health_status status, unsigned streak, const struct health_result *result)
{
	int fd, is_whole;

	if (result)
		results[count++ % RESULTS] = *result;
	fd = openat(directory_fd, "health.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	is_whole = write_all(fd, status, streak) == 0;
	close(fd);
	/* A full disk: the next result will tell. */
	if (!is_whole || renameat(directory_fd, "health.tmp", directory_fd, "health") < 0)
		unlinkat(directory_fd, "health.tmp", 0);
}

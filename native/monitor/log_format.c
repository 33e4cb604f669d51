/* Records as bytes.  Each is one line of the file, so that all readers find their ends alike and resume after a broken one.
 *
 * json-file  {"log":"TEXT\n","stream":"stdout","attrs":{…},"time":"2006-01-02T15:04:05.000000000Z"}   docker's
 * k8s-file   2006-01-02T15:04:05.000000000Z stdout F TEXT       CRI's; P: part of a longer line
 * local      O16ebd2a1f3c85a40 TEXT      ours: nanoseconds since 1970 in hex; O, E: stdout, stderr; o, e: parts
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

#define TIME_BYTES 30
#define JSON_HEAD "{\"log\":\""

static enum log_driver driver;
static struct {
	char *bytes, *time; /* what precedes (k8s-file, local) or follows (json-file) the text; where the time stands in it */
	size_t size;
} frames[2];

/* A frame is made once; only its time changes. */
static int make_frame(int stream, const char *attributes)
{
	char *bytes = malloc(LOG_FRAME_BYTES);
	int size, time_offset = 0;

	if (!bytes)
		return -1;
	if (driver == LOG_JSON_FILE) {
		size = snprintf(bytes, LOG_FRAME_BYTES, "\",\"stream\":\"%s\"%s%s,\"time\":\"%*s\"}\n", stream == 1 ? "stdout" : "stderr",
				attributes ? ",\"attrs\":" : "", attributes ? attributes : "", TIME_BYTES, "");
		time_offset = size - TIME_BYTES - 3;
	} else if (driver == LOG_K8S_FILE) {
		size = snprintf(bytes, LOG_FRAME_BYTES, "%*s %s ", TIME_BYTES, "", stream == 1 ? "stdout" : "stderr");
	} else {
		size = snprintf(bytes, LOG_FRAME_BYTES, "%c%*s ", stream == 1 ? 'O' : 'E', 16, "");
		time_offset = 1;
	}
	if (size >= LOG_FRAME_BYTES - 16) {
		errno = E2BIG;
		return -1;
	}
	frames[stream - 1].bytes = realloc(bytes, (size_t)size + 1);
	if (!frames[stream - 1].bytes)
		return -1;
	frames[stream - 1].time = frames[stream - 1].bytes + time_offset;
	frames[stream - 1].size = (size_t)size;
	return 0;
}

int log_format_open(const struct job *job)
{
	const char *attributes = job_string(job, job->header->log_attributes);

	driver = job->header->log_driver;
	return make_frame(1, attributes) < 0 ? -1 : make_frame(2, attributes);
}

/* RFC 3339, UTC; made anew once a second, in between only its fraction. */
static void write_time(char text[static TIME_BYTES + 1], const struct timespec *now)
{
	static char seconds[24];
	static time_t made;
	long fraction = now->tv_nsec;
	struct tm utc;

	if (made != now->tv_sec) {
		gmtime_r(&now->tv_sec, &utc);
		strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
		made = now->tv_sec;
	}
	memcpy(text, seconds, 19);
	text[19] = '.';
	for (int digit = 28; digit >= 20; digit--, fraction /= 10)
		text[digit] = (char)('0' + fraction % 10);
	text[29] = 'Z';
	text[30] = '\0';
}

void log_format_now(void)
{
	struct timespec now;
	char text[TIME_BYTES + 1];
	size_t size = driver == LOG_LOCAL ? 16 : TIME_BYTES;

	clock_gettime(CLOCK_REALTIME, &now);
	if (driver == LOG_LOCAL)
		snprintf(text, sizeof(text), "%016llx", (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec);
	else
		write_time(text, &now);
	memcpy(frames[0].time, text, size);
	memcpy(frames[1].time, text, size);
}

static char *put_json(char *to, int stream, const char *text, size_t length)
{
	memcpy(to, JSON_HEAD, sizeof(JSON_HEAD) - 1);
	to = json_escape(to + sizeof(JSON_HEAD) - 1, text, length);
	memcpy(to, frames[stream - 1].bytes, frames[stream - 1].size);
	return to + frames[stream - 1].size;
}

size_t log_format_most(size_t length)
{
	/* 16: head of a JSON record, F or P, line feed. */
	return (driver == LOG_JSON_FILE ? 6 * length : length) + frames[0].size + 16;
}

char *log_format_record(char *to, int stream, const char *text, size_t length)
{
	int is_part = text[length - 1] != '\n';

	if (driver == LOG_JSON_FILE)
		return put_json(to, stream, text, length);
	memcpy(to, frames[stream - 1].bytes, frames[stream - 1].size);
	if (driver == LOG_LOCAL && is_part)
		to[0] |= 0x20;
	to += frames[stream - 1].size;
	if (driver == LOG_K8S_FILE) {
		*to++ = is_part ? 'P' : 'F';
		*to++ = ' ';
	}
	memcpy(to, text, length);
	to += length;
	if (is_part)
		*to++ = '\n';
	return to;
}

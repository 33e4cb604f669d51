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

typedef unsigned char block __attribute__((vector_size(16)));

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

/* Bytes of a valid UTF-8 sequence at `s`, or 0 (then it becomes U+FFFD, as Go's encoding/json does). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
			s[0] >= 0xf0 && s[0] < 0xf5			    ? 4 :
									      0;

	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

static int is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\' && byte != '<' && byte != '>' && byte != '&';
}

/* How many bytes from `s` on stand for themselves in JSON: sixteen at a time, as most text is plain. */
static size_t plain_length(const unsigned char *s, size_t length)
{
	size_t i = 0;

	for (; i + sizeof(block) <= length; i += sizeof(block)) {
		uint64_t halves[2];
		block b, special;

		memcpy(&b, s + i, sizeof(b));
		special = (block)(b < 0x20) | (block)(b >= 0x80) | (block)(b == '"') | (block)(b == '\\') | (block)(b == '<') |
			  (block)(b == '>') | (block)(b == '&');
		memcpy(halves, &special, sizeof(halves));
		if (halves[0] | halves[1])
			break;
	}
	while (i < length && is_plain(s[i]))
		i++;
	return i;
}

/* As docker's jsonlogbytes.go, byte for byte: log readers compare.  Returns the end; *taken: bytes of `s` it stands for. */
static char *put_special(char *to, const unsigned char *s, size_t left, size_t *taken)
{
	static const char hex[] = "0123456789abcdef";
	size_t sequence = utf8_length(s, left);

	*taken = sequence ? sequence : 1;
	*to++ = '\\';
	if (sequence == 0) {
		memcpy(to, "ufffd", 5);
		return to + 5;
	}
	if (sequence == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] & 0xfe) == 0xa8) { /* U+2028, U+2029 end lines in JavaScript */
		memcpy(to, "u202", 4);
		to[4] = hex[s[2] & 0xf];
		return to + 5;
	}
	if (sequence > 1) {
		memcpy(to - 1, s, sequence);
		return to - 1 + sequence;
	}
	if (s[0] == '"' || s[0] == '\\' || s[0] == '\n' || s[0] == '\r') {
		*to = s[0] == '\n' ? 'n' : s[0] == '\r' ? 'r' : (char)s[0];
		return to + 1;
	}
	memcpy(to, "u00", 3);
	to[3] = hex[s[0] >> 4];
	to[4] = hex[s[0] & 0xf];
	return to + 5;
}

static char *put_json(char *to, int stream, const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;

	memcpy(to, JSON_HEAD, sizeof(JSON_HEAD) - 1);
	to += sizeof(JSON_HEAD) - 1;
	while (length > 0) {
		size_t taken = plain_length(s, length);

		memcpy(to, s, taken);
		to += taken;
		s += taken;
		length -= taken;
		if (length > 0) {
			to = put_special(to, s, length, &taken);
			s += taken;
			length -= taken;
		}
	}
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

/* Docker's json-file log: one JSON object a line, partial lines of 16 KiB, rotated by size. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor.h"

#define LINE_MAX_BYTES 16384 /* docker cuts longer lines: moby daemon/logger/copier */

static int logs_fd = -1, file_fd = -1;
static uint64_t file_size, max_bytes;
static unsigned max_files;
static struct {
	char bytes[LINE_MAX_BYTES];
	size_t used;
} lines[2];
/* Every byte may become six (\u00XX); one record more must always fit. */
static char out[262144];
static size_t out_used;
static unsigned long long lost_bytes;

static void rotate(void)
{
	char from[32], to[32];

	close(file_fd);
	for (unsigned i = max_files - 1; i >= 1; i--) {
		snprintf(to, sizeof(to), "json.log.%u", i);
		if (i == 1)
			snprintf(from, sizeof(from), "json.log");
		else
			snprintf(from, sizeof(from), "json.log.%u", i - 1);
		renameat(logs_fd, from, logs_fd, to);
	}
	file_fd = openat(logs_fd, "json.log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
	file_size = 0;
}

/* A full disk must not stop the container: what cannot be written is counted, not kept.  A record written in part goes
 * too, or what follows it would be unreadable. */
static size_t whole_records(size_t done)
{
	const char *end = done ? memrchr(out, '\n', done) : NULL;
	size_t whole = end ? (size_t)(end - out) + 1 : 0;

	if (whole == done || ftruncate(file_fd, (off_t)(file_size + whole)) < 0)
		return done;
	return whole;
}

static void flush_out(void)
{
	size_t done = 0;

	while (done < out_used) {
		ssize_t wrote = write(file_fd, out + done, out_used - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			done = whole_records(done);
			lost_bytes += out_used - done;
			break;
		}
		done += (size_t)wrote;
	}
	file_size += done;
	out_used = 0;
}

int log_open(const struct job *job, int directory_fd)
{
	struct stat st;

	max_bytes = job->header->log_max_bytes;
	max_files = job->header->log_max_files ? job->header->log_max_files : 1;
	if (mkdirat(directory_fd, "logs", 0700) < 0 && errno != EEXIST)
		return -1;
	logs_fd = openat(directory_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (logs_fd < 0)
		return -1;
	file_fd = openat(logs_fd, "json.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (file_fd < 0 || fstat(file_fd, &st) < 0)
		return -1;
	file_size = (uint64_t)st.st_size;
	return 0;
}

static void put(const char *text, size_t length)
{
	memcpy(out + out_used, text, length);
	out_used += length;
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

static void put_escaped(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	char escape[8];

	for (size_t i = 0; i < length;) {
		size_t sequence = utf8_length(s + i, length - i);

		if (sequence == 0) {
			put("\\ufffd", 6);
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\') {
			escape[0] = '\\';
			escape[1] = (char)s[i];
			put(escape, 2);
		} else if (s[i] == '\n') {
			put("\\n", 2);
		} else if (s[i] == '\r') {
			put("\\r", 2);
		} else if (s[i] == '\t') {
			put("\\t", 2);
		} else if (s[i] < 0x20 || s[i] == '<' || s[i] == '>' || s[i] == '&') {
			put(escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", s[i]));
		} else {
			put(text + i, sequence);
		}
		i += sequence;
	}
}

static void write_line(int stream, const char *bytes, size_t length, const char *now)
{
	char tail[96];

	if (out_used + 6 * length + 160 > sizeof(out))
		flush_out();
	/* By record, not by batch: how much is read at once depends on how busy the machine is. */
	if (max_bytes && file_size + out_used >= max_bytes) {
		flush_out();
		if (file_size >= max_bytes) /* not where the disk is full */
			rotate();
	}
	put("{\"log\":\"", 8);
	put_escaped(bytes, length);
	put(tail, (size_t)snprintf(tail, sizeof(tail), "\",\"stream\":\"%s\",\"time\":\"%s\"}\n",
				   stream == 1 ? "stdout" : "stderr", now));
}

/* stream: 1 or 2.  Whole lines are written straight from `bytes`; only an unfinished one is kept. */
void log_bytes(int stream, const char *bytes, size_t length)
{
	char now[48];

	if (file_fd < 0)
		return;
	format_time(now, sizeof(now));
	while (length > 0) {
		size_t *used = &lines[stream - 1].used;
		char *line = lines[stream - 1].bytes;
		size_t room = LINE_MAX_BYTES - *used, part = length < room ? length : room;
		const char *newline = memchr(bytes, '\n', part);

		if (newline)
			part = (size_t)(newline - bytes) + 1;
		if (*used == 0 && newline) {
			write_line(stream, bytes, part, now);
		} else {
			memcpy(line + *used, bytes, part);
			*used += part;
			if (newline || *used == LINE_MAX_BYTES) {
				write_line(stream, line, *used, now);
				*used = 0;
			}
		}
		bytes += part;
		length -= part;
	}
	if (out_used)
		flush_out();
}

void log_end_lines(void)
{
	char now[48];

	if (file_fd < 0)
		return;
	format_time(now, sizeof(now));
	for (int stream = 1; stream <= 2; stream++) {
		if (lines[stream - 1].used)
			write_line(stream, lines[stream - 1].bytes, lines[stream - 1].used, now);
		lines[stream - 1].used = 0;
	}
	flush_out();
}

void log_close(void)
{
	if (file_fd < 0)
		return;
	if (lost_bytes) {
		char text[96], now[48];

		format_time(now, sizeof(now));
		write_line(2, text, (size_t)snprintf(text, sizeof(text), "pyrun: %llu bytes of log were lost: no space\n", lost_bytes), now);
	}
	flush_out();
	close(file_fd);
	file_fd = -1;
}

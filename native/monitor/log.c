/* The log of what the container writes: whole lines, or parts of 16 KiB of longer ones.  Off the hot path it costs nothing:
 * lines are formatted straight from what was read, and written once for each read. */
#include <string.h>

#include "log.h"

static struct {
	char bytes[LOG_PART_BYTES];
	size_t used;
} unfinished[2];
static int is_open;

int log_open(const struct job *job, int directory_fd)
{
	if (log_format_open(job) < 0 || log_file_open(job, directory_fd) < 0)
		return -1;
	if (job->header->log_ring_bytes) {
		log_file_close();
		if (log_ring_start(job) < 0)
			return -1;
	}
	is_open = 1;
	return 0;
}

static void add(int stream, const char *text, size_t length)
{
	log_file_add(log_format_record(log_file_room(log_format_most(length)), stream, text, length));
}

/* Bytes at the end of a full part that begin a character and do not end it: they go with the next part. */
static size_t cut_character(const char *bytes, size_t length)
{
	for (size_t back = 1; back <= 3; back++) {
		unsigned char byte = (unsigned char)bytes[length - back];

		if (byte >= 0xc0)
			return (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) > back ? back : 0;
		if (byte < 0x80)
			return 0;
	}
	return 0;
}

/* Keep what is not a whole line yet; a full part is let go.  Returns how many bytes were taken. */
static size_t keep(int stream, const char *bytes, size_t length)
{
	size_t *used = &unfinished[stream - 1].used, room = LOG_PART_BYTES - *used, cut;
	char *line = unfinished[stream - 1].bytes;
	const char *newline;

	if (length > room)
		length = room;
	newline = memchr(bytes, '\n', length);
	if (newline)
		length = (size_t)(newline - bytes) + 1;
	memcpy(line + *used, bytes, length);
	*used += length;
	if (newline) {
		add(stream, line, *used);
		*used = 0;
	} else if (*used == LOG_PART_BYTES) {
		cut = cut_character(line, *used);
		add(stream, line, *used - cut);
		memmove(line, line + *used - cut, cut);
		*used = cut;
	}
	return length;
}

/* stream: 1 or 2. */
void log_bytes(int stream, const char *bytes, size_t length)
{
	if (!is_open)
		return;
	log_format_now();
	while (length > 0) {
		const char *newline = NULL;
		size_t taken;

		if (unfinished[stream - 1].used == 0)
			newline = memchr(bytes, '\n', length < LOG_PART_BYTES ? length : LOG_PART_BYTES);
		taken = newline ? (size_t)(newline - bytes) + 1 : 0;
		if (newline)
			add(stream, bytes, taken);
		else
			taken = keep(stream, bytes, length);
		bytes += taken;
		length -= taken;
	}
	log_file_flush();
}

void log_end_lines(void)
{
	if (!is_open)
		return;
	log_format_now();
	for (int stream = 1; stream <= 2; stream++) {
		if (unfinished[stream - 1].used)
			add(stream, unfinished[stream - 1].bytes, unfinished[stream - 1].used);
		unfinished[stream - 1].used = 0;
	}
	log_file_flush();
}

void log_close(void)
{
	if (!is_open)
		return;
	log_file_flush();
	if (log_ring_is_open())
		log_ring_finish();
	else
		log_file_close();
	is_open = 0;
}

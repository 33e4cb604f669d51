/* Reading a log: blocks of records in, the container's own bytes out.  Forms of a record: monitor/log_format.c. */
#include <string.h>
#include <time.h>

#include "../monitor/job.h"
#include "module.h"

#define TIME_BYTES 30 /* 2006-01-02T15:04:05.000000000Z: the monitor writes no other form */
#define SECOND 1000000000LL

struct record {
	const char *time, *text; /* time: TIME_BYTES long; local: 16 hex digits */
	size_t size; /* of the text as it stands there */
	int stream; /* 1 or 2 */
	int is_part; /* of a line that goes on */
};

/* Nanoseconds since 1970 of the monitor's form of RFC 3339; -1: it is not that.  Most records share their second. */
static int64_t parse_time(struct pyrun_log_view *view, const char *text)
{
	int64_t fraction = 0;

	if (text[19] != '.' || text[29] != 'Z')
		return -1;
	if (memcmp(text, view->known, 19) != 0) {
		struct tm utc = { 0 };
		char copy[20], *end;

		memcpy(copy, text, 19);
		copy[19] = '\0';
		end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &utc);
		if (!end || *end)
			return -1;
		view->known_seconds = timegm(&utc);
		memcpy(view->known, text, 19);
	}
	for (int i = 20; i < 29; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		fraction = fraction * 10 + (text[i] - '0');
	}
	return view->known_seconds * SECOND + fraction;
}

static int64_t parse_hex(const char *text)
{
	int64_t value = 0;

	for (int i = 0; i < 16; i++) {
		int digit = text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : text[i] >= 'a' && text[i] <= 'f' ? text[i] - 'a' + 10 : -1;

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static char *put_time(char *to, int64_t nanoseconds)
{
	time_t seconds = nanoseconds / SECOND;
	long fraction = (long)(nanoseconds % SECOND);
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(to, TIME_BYTES, "%Y-%m-%dT%H:%M:%S.", &utc);
	for (int digit = 28; digit >= 20; digit--, fraction /= 10)
		to[digit] = (char)('0' + fraction % 10);
	to[29] = 'Z';
	return to + TIME_BYTES;
}

static const char *after(const char *at, const char *end, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(end - at) >= length && memcmp(at, word, length) == 0 ? at + length : NULL;
}

/* The quote that ends a JSON string. */
static const char *string_end(const char *at, const char *end)
{
	for (const char *quote; (quote = memchr(at, '"', (size_t)(end - at))); at = quote + 1) {
		const char *slashes = quote;

		while (slashes > at && slashes[-1] == '\\')
			slashes--;
		if ((quote - slashes) % 2 == 0)
			return quote;
	}
	return NULL;
}

/* A line feed, \n, and not the letter n after an escaped backslash. */
static int ends_in_feed(const char *text, const char *end)
{
	const char *slashes = end - 1;

	if (end - text < 2 || end[-1] != 'n')
		return 0;
	while (slashes > text && slashes[-1] == '\\')
		slashes--;
	return (end - 1 - slashes) % 2 == 1;
}

static int read_json(const char *at, const char *end, struct record *record)
{
	const char *text = after(at, end, "{\"log\":\""), *text_end = text ? string_end(text, end) : NULL, *rest;

	if (!text_end)
		return 0;
	record->text = text;
	record->size = (size_t)(text_end - text);
	record->is_part = !ends_in_feed(text, text_end);
	record->stream = 1;
	rest = after(text_end, end, "\",\"stream\":\"stdout\"");
	if (!rest) {
		record->stream = 2;
		rest = after(text_end, end, "\",\"stream\":\"stderr\"");
	}
	if (!rest || end - rest < TIME_BYTES + 11 || memcmp(end - 2, "\"}", 2) != 0)
		return 0;
	record->time = end - 2 - TIME_BYTES;
	return memcmp(record->time - 9, ",\"time\":\"", 9) == 0;
}

static int read_k8s(const char *at, const char *end, struct record *record)
{
	const char *rest;

	if (end - at < TIME_BYTES + 10)
		return 0;
	record->time = at;
	rest = after(at + TIME_BYTES, end, " stdout ");
	record->stream = rest ? 1 : 2;
	if (!rest)
		rest = after(at + TIME_BYTES, end, " stderr ");
	if (!rest || end - rest < 2 || (rest[0] != 'F' && rest[0] != 'P') || rest[1] != ' ')
		return 0;
	record->is_part = rest[0] == 'P';
	record->text = rest + 2;
	record->size = (size_t)(end - record->text);
	return 1;
}

static int read_local(const char *at, const char *end, struct record *record)
{
	if (end - at < 18 || !strchr("OoEe", at[0]) || at[17] != ' ')
		return 0;
	record->stream = (at[0] | 0x20) == 'o' ? 1 : 2;
	record->is_part = (at[0] & 0x20) != 0;
	record->time = at + 1;
	record->text = at + 18;
	record->size = (size_t)(end - record->text);
	return 1;
}

/* A line of the file without its line feed; 0: cut by a crash, or not ours. */
static int read_record(int driver, const char *at, const char *end, struct record *record)
{
	if (driver == LOG_JSON_FILE)
		return read_json(at, end, record);
	return driver == LOG_K8S_FILE ? read_k8s(at, end, record) : read_local(at, end, record);
}

static unsigned hex4(const char *text)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (unsigned)((text[i] & 0xf) + (text[i] >= 'A' ? 9 : 0));
	return value;
}

static char *put_code_point(char *to, unsigned code)
{
	if (code >= 0x800) {
		*to++ = (char)(0xe0 | code >> 12);
		*to++ = (char)(0x80 | (code >> 6 & 0x3f));
	} else if (code >= 0x80) {
		*to++ = (char)(0xc0 | code >> 6);
	}
	*to++ = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
	return to;
}

static char *put_json_text(char *to, const char *at, size_t size)
{
	const char *end = at + size, *slash;

	while ((slash = memchr(at, '\\', (size_t)(end - at))) && end - slash >= 2) {
		memcpy(to, at, (size_t)(slash - at));
		to += slash - at;
		at = slash + 2;
		if (slash[1] == 'u' && end - slash >= 6) {
			to = put_code_point(to, hex4(slash + 2));
			at = slash + 6;
		} else {
			*to++ = slash[1] == 'n' ? '\n' : slash[1] == 'r' ? '\r' : slash[1] == 't' ? '\t' : slash[1];
		}
	}
	memcpy(to, at, (size_t)(end - at));
	return to + (end - at);
}

/* `to` has room for the record, a time and the details. */
static char *put_record(char *to, struct pyrun_log_view *view, const struct record *record)
{
	if (!view->is_inside[record->stream - 1]) {
		if (view->timestamps && view->driver == LOG_LOCAL)
			to = put_time(to, parse_hex(record->time));
		else if (view->timestamps)
			to = (char *)memcpy(to, record->time, TIME_BYTES) + TIME_BYTES;
		if (view->timestamps)
			*to++ = ' ';
		memcpy(to, view->details, view->details_size);
		to += view->details_size;
	}
	view->is_inside[record->stream - 1] = record->is_part;
	if (view->driver == LOG_JSON_FILE)
		return put_json_text(to, record->text, record->size);
	memcpy(to, record->text, record->size);
	to += record->size;
	if (!record->is_part)
		*to++ = '\n';
	return to;
}

static int is_wanted(struct pyrun_log_view *view, const struct record *record)
{
	int64_t moment;

	if (!view->has_range)
		return 1;
	moment = view->driver == LOG_LOCAL ? parse_hex(record->time) : parse_time(view, record->time);
	/* Each for itself: after a jump of the clock they are not in order. */
	return moment >= view->since && moment <= view->until;
}

size_t pyrun_log_show(struct pyrun_log_view *view, const char *in, size_t size, struct pyrun_log_text *out)
{
	const char *at = in, *end = in + size, *newline;

	out->used = out->run_count = 0;
	while (at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
		struct record record;
		char *to = out->bytes + out->used;

		if (out->used + (size_t)(newline - at) + view->details_size + TIME_BYTES + 2 > out->size)
			break;
		if (read_record(view->driver, at, newline, &record) && is_wanted(view, &record)) {
			if (out->run_count == 0 || out->runs[out->run_count - 1].stream != record.stream) {
				if (out->run_count == out->run_size)
					break;
				out->runs[out->run_count++] = (struct pyrun_log_run){ .stream = record.stream };
			}
			to = put_record(to, view, &record);
			out->runs[out->run_count - 1].length += (uint32_t)(to - out->bytes - (long)out->used);
			out->used = (size_t)(to - out->bytes);
		}
		at = newline + 1;
	}
	return (size_t)(at - in);
}

size_t pyrun_log_tail(int driver, const char *in, size_t size, int is_first, int is_last, size_t *left)
{
	size_t end = size;

	/* The record before `end` begins after the line feed before it. */
	while (end > 0 && *left > 0) {
		const char *feed = memrchr(in, '\n', end - 1);
		size_t begin = feed ? (size_t)(feed - in) + 1 : 0;
		struct record record;

		if (!feed && !is_first)
			break;
		/* A line ends here; and at the log's end one that has not ended yet. */
		if (read_record(driver, in + begin, in + end - 1, &record) && (!record.is_part || (is_last && end == size)) &&
		    --*left == 0)
			break;
		end = begin;
	}
	return end;
}

/* Text as the inside of a JSON string. */
#include <string.h>

#include "monitor.h"

typedef unsigned char block __attribute__((vector_size(16)));

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

char *json_escape(char *to, const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;

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
	return to;
}

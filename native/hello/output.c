/* What the freestanding program has instead of stdio: buffered text output, whole files as text. */
#include <fcntl.h>

#include "system.h"

static char output[16384];
static long output_length;

void flush(void)
{
	long done = 0;

	while (done < output_length) {
		long n = call(SYS_write, 1, (long)(output + done), output_length - done, 0);

		if (n <= 0)
			break;
		done += n;
	}
	output_length = 0;
}

void say_part(const char *text, long length)
{
	for (long i = 0; i < length; i++) {
		if (output_length == sizeof(output))
			flush();
		output[output_length++] = text[i];
	}
}

void say(const char *text)
{
	say_part(text, text_length(text));
}

void say_number(unsigned long long number)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		say_part(&digits[--n], 1);
}

void read_text(const char *path, char *buffer, long size)
{
	long fd = call(SYS_openat, AT_CWD, (long)path, O_RDONLY | O_CLOEXEC, 0), length = 0, n;

	if (fd >= 0) {
		while ((n = call(SYS_read, fd, (long)(buffer + length), size - 1 - length, 0)) > 0)
			length += n;
		call(SYS_close, fd, 0, 0, 0);
	}
	buffer[length] = 0;
}

/* GCC calls these even in freestanding code (its manual, "Language Standards"). */
void *memset(void *to, int value, size_t size);
void *memcpy(void *restrict to, const void *restrict from, size_t size);

void *memset(void *to, int value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = (char)value;
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = ((const char *)from)[i];
	return to;
}

/* The archive's bytes from a pipe, in large reads, handed out without copying. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

static uint8_t buffer[BUFFER] __attribute__((aligned(4096)));
static size_t begin, filled;
static int input_fd;
static uint64_t input_limit, input_total;

void input_open(int fd, uint64_t limit)
{
    input_fd = fd;
    input_limit = limit;
    /* fcntl(2): fails above /proc/sys/fs/pipe-max-size and on files; then reads are just smaller. */
    (void)fcntl(fd, F_SETPIPE_SZ, BUFFER);
}

/* Reads once into the free tail; false at the end of the stream. */
static bool fill(void)
{
    for (;;) {
        ssize_t got = read(input_fd, buffer + filled, BUFFER - filled);

        if (got > 0) {
            filled += (size_t)got;
            input_total += (uint64_t)got;
            if (input_total > input_limit) {
                exceed("more than %llu bytes", (unsigned long long)input_limit);
            }
            return true;
        }
        if (got == 0) {
            return false;
        }
        if (errno != EINTR) {
            fail_errno("read", errno);
        }
    }
}

/* Makes `size` bytes available in one piece; false if the stream ends before. */
static bool gather(size_t size)
{
    if (filled - begin >= size) {
        return true;
    }
    if (begin == filled) {
        begin = filled = 0;
    } else if (BUFFER - begin < size) {
        memmove(buffer, buffer + begin, filled - begin);
        filled -= begin;
        begin = 0;
    }
    while (filled - begin < size) {
        if (!fill()) {
            return false;
        }
    }
    return true;
}

const uint8_t *input_block(void)
{
    const uint8_t *block;

    if (!gather(BLOCK)) {
        if (filled != begin) {
            refuse("archive is truncated inside a header");
        }
        return NULL;
    }
    block = buffer + begin;
    begin += BLOCK;
    return block;
}

const uint8_t *input_peek(size_t size)
{
    if (!gather(size)) {
        refuse("archive is truncated");
    }
    return buffer + begin;
}

void input_consume(size_t size)
{
    begin += size;
}

const uint8_t *input_some(uint64_t wanted, size_t *got)
{
    const uint8_t *data;

    if (!gather(1)) {
        refuse("archive is truncated");
    }
    *got = filled - begin;
    if (*got > wanted) {
        *got = (size_t)wanted;
    }
    data = buffer + begin;
    begin += *got;
    return data;
}

void input_skip(uint64_t size)
{
    while (size > 0) {
        size_t got;

        (void)input_some(size, &got);
        size -= got;
    }
}

void input_drain(void)
{
    do {
        begin = filled = 0;
    } while (fill());
}

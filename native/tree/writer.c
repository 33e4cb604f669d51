/* Tar archives, written: ustar, and a pax header before a member that ustar has no room for. The same tree gives the same
 * bytes: no names of owners, no time of access, records in one order. header.c and pax.c read what this writes.
 *
 * Sources: POSIX pax(1) "ustar Interchange Format", "pax Header Block"; star(5) "SCHILY.xattr". */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = 100, PREFIX_SIZE = 155, OUTPUT_BUFFER = 256 << 10 };
#define OCTAL_7 ((UINT64_C(1) << 21) - 1)      /* seven octal digits: ids */
#define OCTAL_11 ((UINT64_C(1) << 33) - 1)     /* eleven: sizes and times */

static uint8_t output[OUTPUT_BUFFER];
static size_t output_used;
static int output_fd;

static struct {
    char *text;
    size_t size, room;
} records;

void writer_open(int fd)
{
    output_fd = fd;
}

static void flush(void)
{
    for (size_t done = 0; done < output_used;) {
        ssize_t wrote = write(output_fd, output + done, output_used - done);

        if (wrote >= 0) {
            done += (size_t)wrote;
        } else if (errno != EINTR) {
            fail_errno("write", errno);
        }
    }
    report.bytes += output_used;
    output_used = 0;
}

static void put(const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size > 0) {
        size_t piece = OUTPUT_BUFFER - output_used < size ? OUTPUT_BUFFER - output_used : size;

        if (from != NULL) {
            memcpy(output + output_used, from, piece);
            from += piece;
        } else {
            memset(output + output_used, 0, piece);
        }
        output_used += piece;
        size -= piece;
        if (output_used == OUTPUT_BUFFER) {
            flush();
        }
    }
}

static void pad(uint64_t size)
{
    put(NULL, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

/* "LENGTH KEY=VALUE\n": the length counts its own digits. */
static void add_record(const char *prefix, const char *key, const char *value, size_t value_size)
{
    size_t rest = strlen(prefix) + strlen(key) + value_size + 3;
    size_t whole = rest + 1, digits = 1;

    for (size_t next; (next = (size_t)snprintf(NULL, 0, "%zu", whole)) != digits;) {
        digits = next;
        whole = rest + digits;
    }
    if (records.size + whole + 1 > records.room) {
        records.room = (records.size + whole + 1) * 2;
        records.text = must_grow(records.text, records.room);
    }
    records.size += (size_t)sprintf(records.text + records.size, "%zu %s%s=", whole, prefix, key);
    memcpy(records.text + records.size, value, value_size);
    records.size += value_size;
    records.text[records.size++] = '\n';
}

static void add_text(const char *key, const char *value)
{
    add_record("", key, value, strlen(value));
}

static void add_number(const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    add_text(key, text);
}

static void add_time(const struct timespec *time)
{
    char text[48];
    int64_t seconds = time->tv_sec;
    long nanoseconds = time->tv_nsec;
    const char *sign = "";

    if (seconds < 0) {
        /* A pax time is a decimal number: -1.25 is a second and a quarter before the epoch, a timespec says {-2, 0.75}. */
        sign = "-";
        seconds = -seconds - (nanoseconds > 0);
        nanoseconds = nanoseconds > 0 ? 1000000000 - nanoseconds : 0;
    }
    snprintf(text, sizeof text, nanoseconds > 0 ? "%s%" PRId64 ".%09ld" : "%s%" PRId64, sign, seconds, nanoseconds);
    add_text("mtime", text);
}

static void octal(uint8_t *field, int size, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%0*" PRIo64, size - 1, value);
    memcpy(field, text, (size_t)size);
}

static uint64_t fitting(const char *key, uint64_t value, uint64_t most)
{
    if (value <= most) {
        return value;
    }
    add_number(key, value);
    return 0;
}

/* Fills name and prefix; a name that does not fit gets a record, and its beginning as a stand-in. */
static void set_name(uint8_t *block, const char *name)
{
    size_t size = strlen(name);
    const char *slash = size > NAME_SIZE ? strchr(name + size - NAME_SIZE - 1, '/') : NULL;

    if (slash != NULL && slash > name && slash[1] != 0 && slash - name <= PREFIX_SIZE) {
        memcpy(block + 345, name, (size_t)(slash - name));
        name = slash + 1;
        size = strlen(name);
    }
    if (size > NAME_SIZE) {
        add_text("path", name);
        size = NAME_SIZE;
    }
    memcpy(block, name, size);
}

static void seal(uint8_t *block, char type)
{
    unsigned sum = 0;

    block[156] = (uint8_t)type;
    memcpy(block + 257, "ustar\00000", 8);
    memset(block + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 7, "%06o", sum);
}

static void put_records(const char *path)
{
    uint8_t block[BLOCK] = {0};
    size_t size = strlen(path);
    const char *last;

    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    for (last = path + size; last > path && last[-1] != '/'; last--) {
    }
    size = (size_t)(path + size - last);
    snprintf((char *)block, NAME_SIZE + 1, "PaxHeaders/%.*s", size > 88 ? 88 : (int)size, last);
    octal(block + 100, 8, 0644);
    octal(block + 108, 8, 0);
    octal(block + 116, 8, 0);
    octal(block + 124, 12, records.size);
    octal(block + 136, 12, 0);
    seal(block, 'x');
    put(block, sizeof block);
    put(records.text, records.size);
    pad(records.size);
}

void writer_put(const struct entry *entry)
{
    char name[PATH_LIMIT + 2];
    uint8_t block[BLOCK] = {0};
    bool whole_second = entry->mtime.tv_nsec == 0 && entry->mtime.tv_sec >= 0;
    size_t link_size = strlen(entry->link);

    records.size = 0;
    snprintf(name, sizeof name, "%s%s", entry->path, entry->type == '5' ? "/" : "");
    set_name(block, name);
    if (link_size > NAME_SIZE) {
        add_text("linkpath", entry->link);
        link_size = NAME_SIZE;
    }
    memcpy(block + 157, entry->link, link_size);
    octal(block + 100, 8, entry->mode & 07777);
    octal(block + 108, 8, fitting("uid", entry->uid, OCTAL_7));
    octal(block + 116, 8, fitting("gid", entry->gid, OCTAL_7));
    octal(block + 124, 12, fitting("size", entry->size, OCTAL_11));
    if (!whole_second || (uint64_t)entry->mtime.tv_sec > OCTAL_11) {
        add_time(&entry->mtime);
    }
    octal(block + 136, 12, entry->mtime.tv_sec < 0 ? 0 : (uint64_t)entry->mtime.tv_sec & OCTAL_11);
    octal(block + 329, 8, entry->major);
    octal(block + 337, 8, entry->minor);
    for (size_t i = 0; i < entry->xattrs.count; i++) {
        const struct xattr *one = &entry->xattrs.list[i];

        add_record("SCHILY.xattr.", one->name, one->value, one->size);
    }
    if (records.size > 0) {
        put_records(entry->path);
    }
    seal(block, entry->type);
    put(block, sizeof block);
    report.entries++;
}

/* A file that grew meanwhile is cut, one that shrank is filled with zeros: the header has said its size. */
void writer_data(int fd, uint64_t size)
{
    uint64_t left = size;

    while (left > 0) {
        size_t room = OUTPUT_BUFFER - output_used < left ? OUTPUT_BUFFER - output_used : (size_t)left;
        ssize_t got = read(fd, output + output_used, room);

        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail_errno("read", errno);
        }
        if (got == 0) {
            put(NULL, left > OUTPUT_BUFFER ? OUTPUT_BUFFER : (size_t)left);
            left -= left > OUTPUT_BUFFER ? OUTPUT_BUFFER : left;
            continue;
        }
        output_used += (size_t)got;
        left -= (uint64_t)got;
        if (output_used == OUTPUT_BUFFER) {
            flush();
        }
    }
    pad(size);
}

void writer_close(void)
{
    put(NULL, 2 * BLOCK);
    flush();
}

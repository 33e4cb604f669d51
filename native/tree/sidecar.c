/* The sidecar: what the tree itself cannot hold, beside it in one sorted file.
 *
 * Format: the line "pyrun-layer 1\n", then records PATH NUL FACTS NUL, sorted by path component by component (a
 * directory before what is in it). FACTS are words separated by spaces:
 *   implied                    a parent directory the archive did not list: its mode and owner are the lower layer's
 *   uid=N gid=N mode=OCTAL     what the archive says, where the file has something else
 *   device=c:MAJOR:MINOR       (b, c) a device that was not made; with mode, uid, gid and mtime=SECONDS.NANOSECONDS
 *   xattr=HEXNAME:HEXVALUE     an attribute that could not be set
 * pyrun/layers/sidecar.py reads it. sidecar_write.c writes what is gathered here. */
#include "sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HELD_BYTES = 8 << 20, ALL_BYTES = 512 << 20 };

/* What is held in memory is bounded: then it is sorted and becomes a run, a file without a name. */
static struct record *held;
static size_t held_count, held_room, held_bytes, all_bytes, read_from_held;
static uint64_t next_sequence;

static struct run {
    FILE *file;
    struct record first;           /* what it gives next; path NULL: no more */
    size_t path_room, facts_room;
} *runs;
static size_t run_count;

/* Component by component: '/' sorts before every other byte, so what is in a directory follows it at once. */
int compare_paths(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    int left = *a == '/' ? 1 : *a == 0 ? 0 : (uint8_t)*a + 2;
    int right = *b == '/' ? 1 : *b == 0 ? 0 : (uint8_t)*b + 2;

    return left - right;
}

static int compare(const void *a, const void *b)
{
    const struct record *left = a, *right = b;
    int order = compare_paths(left->path, right->path);

    if (order != 0) {
        return order;
    }
    return left->sequence < right->sequence ? -1 : 1;
}

static void sort_held(void)
{
    if (held_count > 1) {
        qsort(held, held_count, sizeof *held, compare);
    }
}

static FILE *unnamed_file(void)
{
    int fd = openat(options.dest_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    FILE *file;

    if (fd < 0) {
        fd = memfd_create("sidecar", MFD_CLOEXEC);         /* a file system that has none, or is read-only */
    }
    file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (file == NULL) {
        fail_errno("open", errno);
    }
    return file;
}

static void make_run(void)
{
    struct run run = {.file = unnamed_file()};

    sort_held();
    for (size_t i = 0; i < held_count; i++) {
        fwrite(&held[i].sequence, sizeof held[i].sequence, 1, run.file);
        fwrite(held[i].path, strlen(held[i].path) + 1, 1, run.file);
        fwrite(held[i].facts, strlen(held[i].facts) + 1, 1, run.file);
        free(held[i].path);
    }
    if (fflush(run.file) != 0 || ferror(run.file)) {
        fail_errno("write", errno);
    }
    rewind(run.file);
    runs = must_grow(runs, (run_count + 1) * sizeof *runs);
    runs[run_count++] = run;
    held_count = held_bytes = 0;
}

static void hold(const struct node *parent, const char *name, const char *facts)
{
    char path[PATH_LIMIT + 300];
    size_t path_size, facts_size = strlen(facts) + 1, bytes;

    node_path(parent, name, path);
    path_size = strlen(path) + 1;
    bytes = sizeof *held + 2 * sizeof(size_t) + path_size + facts_size;
    all_bytes += bytes;
    if (all_bytes > ALL_BYTES) {
        exceed("more than %d MiB of owners, devices and attributes that its tree cannot hold", ALL_BYTES >> 20);
    }
    if (held_bytes + bytes > HELD_BYTES && held_count > 0) {
        make_run();
    }
    if (held_count == held_room) {
        held_room = held_room * 2 + 64;
        held = must_grow(held, held_room * sizeof *held);
    }
    held[held_count].path = must_grow(NULL, path_size + facts_size);
    held[held_count].facts = memcpy(held[held_count].path + path_size, facts, facts_size);
    memcpy(held[held_count].path, path, path_size);
    held[held_count++].sequence = next_sequence++;
    held_bytes += bytes;
}

void sidecar_add(const struct node *parent, const char *name, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    hold(parent, name, text);
}

static char *put_hex(char *out, const char *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *out++ = digits[(uint8_t)data[i] >> 4];
        *out++ = digits[(uint8_t)data[i] & 15];
    }
    return out;
}

void sidecar_add_xattr(const struct node *parent, const char *name, const struct xattr *xattr)
{
    size_t name_size = strlen(xattr->name);
    char *facts = must_alloc(8 + 2 * name_size + 2 * xattr->size);
    char *out = stpcpy(facts, "xattr=");

    out = put_hex(out, xattr->name, name_size);
    *out++ = ':';
    *put_hex(out, xattr->value, xattr->size) = 0;
    hold(parent, name, facts);
    free(facts);
}

void sidecar_forget(const struct node *parent, const char *name)
{
    if (next_sequence > 0) {
        hold(parent, name, "");
    }
}

static void advance(struct run *run)
{
    struct record *first = &run->first;

    if (fread(&first->sequence, sizeof first->sequence, 1, run->file) != 1 ||
        getdelim(&first->path, &run->path_room, 0, run->file) < 0 ||
        getdelim(&first->facts, &run->facts_room, 0, run->file) < 0) {
        if (ferror(run->file)) {
            fail_errno("read", errno);
        }
        fclose(run->file);
        free(first->path);
        free(first->facts);
        first->path = NULL;
    }
}

static bool is_given;              /* a record that is to be left behind now */
static struct run *last;           /* where it is from; NULL: it is held */

static void leave_last(void)
{
    if (is_given && last != NULL) {
        advance(last);
    } else if (is_given) {
        free(held[read_from_held++].path);
    }
    is_given = false;
}

void records_begin(void)
{
    sort_held();
    for (size_t i = 0; i < run_count; i++) {
        advance(&runs[i]);
    }
}

const struct record *records_next(void)
{
    const struct record *least;

    leave_last();
    least = read_from_held < held_count ? &held[read_from_held] : NULL;
    last = NULL;
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].first.path != NULL && (least == NULL || compare(&runs[i].first, least) < 0)) {
            least = &runs[i].first;
            last = &runs[i];
        }
    }
    is_given = least != NULL;
    return least;
}


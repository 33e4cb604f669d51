/* The sidecar: what the tree itself cannot hold, beside it in one sorted file.
 *
 * Format: the line "pyrun-layer 1\n", then records PATH NUL FACTS NUL, sorted by path component by component (a
 * directory before what is in it). FACTS are words separated by spaces:
 *   implied                    a parent directory the archive did not list: its mode and owner are the lower layer's
 *   uid=N gid=N mode=OCTAL     what the archive says, where the file has something else
 *   device=c:MAJOR:MINOR       (b, c) a device that was not made; with mode, uid, gid and mtime=SECONDS.NANOSECONDS
 *   xattr=HEXNAME:HEXVALUE     an attribute that could not be set
 * pyrun/layers/sidecar.py reads it. */
#include "tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct record {
    char *path, *facts;            /* facts NULL: everything at and below path that is older is void */
    size_t sequence;
};

static struct record *records;
static size_t record_count, record_room;
static bool has_forgotten;

static void add(const struct node *parent, const char *name, char *facts)
{
    char path[PATH_LIMIT + 300];

    if (record_count == record_room) {
        record_room = record_room * 2 + 64;
        records = must_grow(records, record_room * sizeof *records);
    }
    node_path(parent, name, path);
    records[record_count].path = strcpy(must_alloc(strlen(path) + 1), path);
    records[record_count].facts = facts;
    records[record_count].sequence = record_count;
    record_count++;
}

void sidecar_add(const struct node *parent, const char *name, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(parent, name, strcpy(must_alloc(strlen(text) + 1), text));
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
    add(parent, name, facts);
}

void sidecar_forget(const struct node *parent, const char *name)
{
    if (record_count > 0) {
        has_forgotten = true;
        add(parent, name, NULL);
    }
}

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

static bool is_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    return size == 0 || (strncmp(path, directory, size) == 0 && (path[size] == 0 || path[size] == '/'));
}

/* Marks void records by a NULL path. The forgotten paths above the current record form a stack. */
static void void_forgotten(void)
{
    size_t *stack = must_alloc((record_count + 1) * sizeof *stack);
    size_t depth = 0;

    for (size_t i = 0, end; i < record_count; i = end) {
        while (depth > 0 && !is_below(records[i].path, records[stack[depth - 1]].path)) {
            depth--;
        }
        size_t latest = SIZE_MAX;

        for (end = i; end < record_count && strcmp(records[end].path, records[i].path) == 0; end++) {
            latest = records[end].facts == NULL ? end : latest;
        }
        if (latest != SIZE_MAX) {
            stack[depth++] = latest;
        }
        for (size_t one = i; one < end; one++) {
            for (size_t above = 0; above < depth && records[one].facts != NULL; above++) {
                if (records[stack[above]].sequence > records[one].sequence) {
                    free(records[one].facts);
                    records[one].facts = NULL;
                }
            }
        }
    }
    free(stack);
}

void sidecar_write(int fd)
{
    FILE *file;

    if (fd < 0) {
        return;
    }
    if (record_count > 0) {
        qsort(records, record_count, sizeof *records, compare);
    }
    if (has_forgotten) {
        void_forgotten();
    }
    file = fdopen(dup(fd), "w");
    if (file == NULL) {
        fail_errno("fdopen", errno);
    }
    report_entry = "sidecar";
    fputs("pyrun-layer 1\n", file);
    for (size_t i = 0; i < record_count; i++) {
        const char *facts = records[i].facts;

        if (facts == NULL) {
            continue;
        }
        fwrite(records[i].path, strlen(records[i].path) + 1, 1, file);
        fputs(facts, file);
        while (i + 1 < record_count && records[i + 1].facts != NULL &&
               strcmp(records[i + 1].path, records[i].path) == 0) {
            fprintf(file, " %s", records[++i].facts);
        }
        fputc(0, file);
    }
    if (fclose(file) != 0) {
        fail_errno("write", errno);
    }
}

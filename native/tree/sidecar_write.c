/* Writes the sidecar: what was said of each path, in one record, but for what a later member made void. */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_below(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    return size == 0 || (strncmp(path, directory, size) == 0 && (path[size] == 0 || path[size] == '/'));
}

/* The forgotten paths that the current one is at or below, and when. */
static struct {
    char *path;
    uint64_t sequence;
} *forgotten;
static size_t forgotten_count, forgotten_room;

static void leave_forgotten(const char *path)
{
    while (forgotten_count > 0 && !is_below(path, forgotten[forgotten_count - 1].path)) {
        free(forgotten[--forgotten_count].path);
    }
}

static void forget(const struct record *record)
{
    if (forgotten_count > 0 && strcmp(forgotten[forgotten_count - 1].path, record->path) == 0) {
        forgotten[forgotten_count - 1].sequence = record->sequence;
        return;
    }
    if (forgotten_count == forgotten_room) {
        forgotten_room = forgotten_room * 2 + 64;
        forgotten = must_grow(forgotten, forgotten_room * sizeof *forgotten);
    }
    forgotten[forgotten_count].path = strcpy(must_alloc(strlen(record->path) + 1), record->path);
    forgotten[forgotten_count++].sequence = record->sequence;
}

static bool is_void(uint64_t sequence)
{
    for (size_t i = 0; i < forgotten_count; i++) {
        if (forgotten[i].sequence > sequence) {
            return true;
        }
    }
    return false;
}

/* All facts of one path, in one record. */
static struct {
    char path[PATH_LIMIT + 300];
    char *facts;
    size_t size, room;
} whole;

static void add_facts(const char *facts)
{
    size_t size = strlen(facts);

    if (whole.size + size + 2 > whole.room) {
        whole.room = (whole.size + size + 2) * 2;
        whole.facts = must_grow(whole.facts, whole.room);
    }
    if (whole.size > 0) {
        whole.facts[whole.size++] = ' ';
    }
    memcpy(whole.facts + whole.size, facts, size + 1);
    whole.size += size;
}

static void put_whole(FILE *file)
{
    if (whole.size > 0) {
        fwrite(whole.path, strlen(whole.path) + 1, 1, file);
        fwrite(whole.facts, whole.size + 1, 1, file);
    }
    whole.size = 0;
}

static void merge(FILE *file)
{
    const struct record *one;

    for (bool begun = false; (one = records_next()) != NULL;) {
        if (!begun || strcmp(one->path, whole.path) != 0) {
            put_whole(file);
            strcpy(whole.path, one->path);
            leave_forgotten(one->path);
            begun = true;
        }
        if (one->facts[0] == 0) {
            whole.size = 0;
            forget(one);
        } else if (!is_void(one->sequence)) {
            add_facts(one->facts);
        }
    }
    put_whole(file);
}

void sidecar_write(int fd)
{
    FILE *file;

    if (fd < 0) {
        return;
    }
    records_begin();
    file = fdopen(dup(fd), "w");
    if (file == NULL) {
        fail_errno("fdopen", errno);
    }
    report_entry = "sidecar";
    fputs("pyrun-layer 1\n", file);
    merge(file);
    if (fclose(file) != 0) {
        fail_errno("write", errno);
    }
}

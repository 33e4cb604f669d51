/* The verb `usage`: what trees take. For each path, by its place on the command line: N.disk, the bytes of the blocks of all
 * that is in it, as du(1) counts them, and N.size, the lengths of its regular files. An inode counts once in a whole call. */
#include "tree.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct link {
    dev_t device;
    ino_t inode;
};

static struct link *seen;          /* open addressing; inode 0 is free */
static size_t room, used;

static size_t place_of(const struct link *table, size_t size, struct link wanted)
{
    size_t place = (wanted.inode * 0x9e3779b97f4a7c15u ^ wanted.device) % size;

    while (table[place].inode != 0 &&
           (table[place].inode != wanted.inode || table[place].device != wanted.device)) {
        place = (place + 1) % size;
    }
    return place;
}

/* Whether an inode of several names has been counted before. */
static bool is_counted(const struct stat *status)
{
    struct link wanted = {status->st_dev, status->st_ino};
    size_t place;

    if (status->st_nlink < 2 || S_ISDIR(status->st_mode)) {
        return false;
    }
    if (2 * used >= room) {
        size_t bigger = room ? 2 * room : 1024;
        struct link *table = must_alloc(bigger * sizeof *table);

        for (size_t i = 0; i < room; i++) {
            if (seen[i].inode != 0) {
                table[place_of(table, bigger, seen[i])] = seen[i];
            }
        }
        free(seen);
        seen = table;
        room = bigger;
    }
    place = place_of(seen, room, wanted);
    if (seen[place].inode != 0) {
        return true;
    }
    seen[place] = wanted;
    used++;
    return false;
}

static void measure(int number, char *path)
{
    char *roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    uint64_t disk = 0, size = 0;
    char key[32];
    FTSENT *entry;

    if (walk == NULL) {
        fail_errno("fts_open", errno);
    }
    while ((entry = fts_read(walk)) != NULL) {
        /* What goes while we look is gone; what cannot be read takes the room that can be seen of it. */
        if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR ||
            is_counted(entry->fts_statp)) {
            continue;
        }
        disk += (uint64_t)entry->fts_statp->st_blocks * BLOCK;
        if (S_ISREG(entry->fts_statp->st_mode)) {
            size += (uint64_t)entry->fts_statp->st_size;
        }
    }
    fts_close(walk);
    snprintf(key, sizeof key, "%d.disk", number);
    report_number(key, disk);
    snprintf(key, sizeof key, "%d.size", number);
    report_number(key, size);
}

int verb_usage(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[0], "--report-fd") != 0) {
        usage("usage --report-fd N PATH…");
    }
    report.fd = (int)option_number(argv[1]);
    for (int i = 2; i < argc; i++) {
        report_entry = argv[i];
        measure(i - 2, argv[i]);
    }
    report_finish();
    return 0;
}

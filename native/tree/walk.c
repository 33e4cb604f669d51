/* Walks over a tree: all of it, or what makes it differ from the layers below. Directories before what is in them, names in
 * the order of their bytes.
 *
 * What counts as a difference is what docker counts: moby pkg/archive changes.go. Sources of the marks: union.c. */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct walk_options walk_options;

static walk_tell tell;
static char path[PATH_LIMIT + 1];

/* Appends a name to the path; returns the size that `pop` goes back to. */
static size_t push(const char *name)
{
    size_t size = strlen(path), name_size = strlen(name);

    if (size + 1 + name_size > PATH_LIMIT) {
        report_entry = path;
        fail_errno("openat", ENAMETOOLONG);
    }
    if (size > 0) {
        path[size] = '/';
    }
    memcpy(path + size + (size > 0), name, name_size + 1);
    return size;
}

static void pop(size_t size)
{
    path[size] = 0;
}

static bool is_ignored(void)
{
    for (size_t i = 0; i < walk_options.ignored_count; i++) {
        if (strcmp(walk_options.ignored[i], path) == 0) {
            return true;
        }
    }
    return false;
}

/* Directories on the way that have not changed themselves are told when something in them has. */
static void tell_parents(struct level *level)
{
    char saved;

    if (level->told) {
        return;
    }
    level->told = true;
    tell_parents(level->up);
    saved = path[level->path_size];
    path[level->path_size] = 0;
    tell(CHANGED, level->up, level->name, path, level->number, &level->found);
    path[level->path_size] = saved;
}

static void all_in(struct level *in);

static void all_of(struct level *in, const char *name)
{
    struct stat found;
    int number = merged_look(&in->top, name, path, &found);

    if (number < 0 && walk_options.is_whole && merged_look(&in->below, name, path, &found) >= 0 && found.st_ino == 0) {
        number = 0;                /* a device that no tree could hold, so the copy has not got it either */
    }
    if (number < 0) {
        return;                    /* hidden, or it went meanwhile */
    }
    tell(ADDED, in, name, path, (size_t)number, &found);
    if (S_ISDIR(found.st_mode)) {
        struct level child = {.up = in, .name = name, .number = (size_t)number, .path_size = strlen(path), .told = true};

        merged_enter(&child.top, &in->top, name, (size_t)number);
        merged_enter(&child.below, &in->below, name, 0);
        all_in(&child);
        merged_close(&child.top);
        merged_close(&child.below);
    }
}

static void all_in(struct level *in)
{
    struct names names = {0};

    for (size_t i = 0; i < in->top.count; i++) {
        names_of_part(&names, &in->top.parts[i]);
    }
    names_of_devices(&names, &in->top, path);
    if (walk_options.is_whole) {
        names_of_devices(&names, &in->below, path);
    }
    names_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        size_t size = push(names.list[i]);

        all_of(in, names.list[i]);
        pop(size);
    }
    names_free(&names);
}

static bool differs(const struct level *in, const char *name, const struct stat *now, int below, const struct stat *then)
{
    struct xattrs ours = {0}, theirs = {0};
    bool result;

    if ((now->st_mode & S_IFMT) != (then->st_mode & S_IFMT)) {
        return true;
    }
    if (!S_ISDIR(now->st_mode)) {
        if (!walk_options.is_whole) {
            return true;           /* it was copied up: something has been done to it */
        }
        /* The time of change tells what a restored time of modification hides. */
        if (now->st_size != then->st_size || now->st_mtim.tv_sec != then->st_mtim.tv_sec ||
            now->st_mtim.tv_nsec != then->st_mtim.tv_nsec || now->st_rdev != then->st_rdev ||
            now->st_ctim.tv_sec > walk_options.copied.tv_sec ||
            (now->st_ctim.tv_sec == walk_options.copied.tv_sec && now->st_ctim.tv_nsec > walk_options.copied.tv_nsec)) {
            return true;
        }
    }
    if (now->st_mode != then->st_mode || now->st_uid != then->st_uid || now->st_gid != then->st_gid) {
        return true;
    }
    read_xattrs(&ours, in->top.parts[0].fd, name, -1);
    read_xattrs(&theirs, in->below.parts[below].fd, name, -1);
    result = !same_xattrs(&ours, &theirs);
    xattrs_free(&ours);
    xattrs_free(&theirs);
    return result;
}

static void changes_in(struct level *in);

static void enter(struct level *in, const char *name, const struct stat *now, int below, bool told)
{
    struct level child = {
        .up = in, .name = name, .found = *now, .path_size = strlen(path), .told = told, .hides = in->hides};
    bool is_opaque;

    merged_enter(&child.top, &in->top, name, 0);
    if (below >= 0) {
        merged_enter(&child.below, &in->below, name, (size_t)below);
    }
    is_opaque = child.top.count > 0 && part_is_opaque(&child.top.parts[0]);
    if (is_opaque && child.below.count > 0) {
        if (walk_options.is_layer) {
            tell_parents(&child);
            tell(REPLACED, in, name, path, 0, now);
            merged_close(&child.below);
        }
        child.hides = true;
    }
    if (child.top.count > 0) {
        changes_in(&child);
    }
    merged_close(&child.top);
    merged_close(&child.below);
}

static void change_of(struct level *in, const char *name)
{
    struct stat now, then;
    enum seen seen = part_look(&in->top.parts[0], name, &now);
    int below = merged_look(&in->below, name, path, &then);
    bool told;

    if (seen != PRESENT) {
        /* A device that is only a record was in no tree, so nobody can have removed it. */
        if (below >= 0 && then.st_ino != 0 && (seen == HIDDEN || in->hides)) {
            tell_parents(in);
            tell(DELETED, in, name, path, 0, NULL);
        }
        return;
    }
    if (below >= 0 && then.st_ino == 0) {
        below = -1;
    }
    told = below < 0 || differs(in, name, &now, below, &then);
    if (told) {
        tell_parents(in);
        tell(below < 0 ? ADDED : CHANGED, in, name, path, 0, &now);
    }
    if (S_ISDIR(now.st_mode)) {
        enter(in, name, &now, below >= 0 && S_ISDIR(then.st_mode) ? below : -1, told);
    }
}

static void changes_in(struct level *in)
{
    struct names names = {0};

    names_of_part(&names, &in->top.parts[0]);
    if (in->hides) {
        for (size_t i = 0; i < in->below.count; i++) {
            names_of_part(&names, &in->below.parts[i]);
        }
    }
    names_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        size_t size = push(names.list[i]);

        if (!is_ignored()) {
            change_of(in, names.list[i]);
        }
        pop(size);
    }
    names_free(&names);
}

void walk_all(struct level *root, walk_tell to)
{
    tell = to;
    report_entry = path;
    all_in(root);
}

void walk_one(struct level *in, const char *name, const char *as, walk_tell to)
{
    tell = to;
    report_entry = path;
    (void)push(as);
    all_of(in, name);
}

void walk_changes(struct level *root, walk_tell to)
{
    tell = to;
    report_entry = path;
    root->hides = walk_options.is_whole;
    changes_in(root);
}

/* The verb `difference`: what makes one image's files differ from another's: lines KIND PATH NUL on standard output, as of
 * `changes --list`.
 *
 *   difference [--flat] [--report-fd N] [--layer TREE SIDECAR]… [--base TREE SIDECAR]…            highest first
 *
 * Unlike there, both sides are whole images that may share nothing. A file counts as changed when its metadata differs, the
 * time of modification included, or its content. Files of the same layer are known by their number and not read. */
#include "union.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place_in {                  /* a directory in both images, on the way down */
    struct place_in *up;
    struct merged now, then;
    size_t path_size;
    bool told;
};

static char path[PATH_LIMIT + 1];

static void tell(char kind, const char *name)
{
    printf("%c /%s", kind, name);
    putchar(0);
}

/* A directory on the way to a change is a change. */
static void tell_parents(struct place_in *in)
{
    char saved = path[in->path_size];

    if (in->told) {
        return;
    }
    in->told = true;
    tell_parents(in->up);
    path[in->path_size] = 0;
    tell('C', path);
    path[in->path_size] = saved;
}

static bool same_content(const struct part *now, const struct part *then, const char *name)
{
    static char ours[1 << 16], theirs[1 << 16];
    int now_fd = openat(now->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int then_fd = openat(then->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool same = true;
    ssize_t size = 1;

    if (now_fd < 0 || then_fd < 0) {
        fail_errno("openat", errno);
    }
    for (off_t at = 0; same && size > 0; at += size) {
        size = pread(now_fd, ours, sizeof ours, at);
        if (size < 0) {
            fail_errno("pread", errno);
        }
        same = pread(then_fd, theirs, sizeof theirs, at) == size && memcmp(ours, theirs, (size_t)size) == 0;
    }
    close(now_fd);
    close(then_fd);
    return same;
}

static bool differs(struct place_in *in, const char *name, int now, const struct stat *ours, int then,
                    const struct stat *theirs)
{
    static const struct merged nothing;
    static struct entry a, b;
    struct object left = {&in->now, &nothing, (size_t)now, name, path, ours, -1};
    struct object right = {&in->then, &nothing, (size_t)then, name, path, theirs, -1};
    bool is_directory = S_ISDIR(ours->st_mode);

    if (ours->st_ino != 0 && ours->st_ino == theirs->st_ino && ours->st_dev == theirs->st_dev) {
        return false;
    }
    describe(&a, &left);
    describe(&b, &right);
    if (a.type != b.type || a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || a.size != b.size ||
        a.major != b.major || a.minor != b.minor || strcmp(a.link, b.link) != 0 || !same_xattrs(&a.xattrs, &b.xattrs)) {
        return true;
    }
    if (!is_directory && (a.mtime.tv_sec != b.mtime.tv_sec || a.mtime.tv_nsec != b.mtime.tv_nsec)) {
        return true;
    }
    return a.type == '0' && a.size > 0 && !same_content(&in->now.parts[now], &in->then.parts[then], name);
}

static void compare_in(struct place_in *in);

static void compare_one(struct place_in *in, const char *name)
{
    struct stat ours, theirs;
    int now = merged_look(&in->now, name, path, &ours), then = merged_look(&in->then, name, path, &theirs);
    struct place_in child = {.up = in, .path_size = strlen(path)};

    if (now < 0 && then < 0) {
        return;
    }
    if (now < 0 || then < 0 || differs(in, name, now, &ours, then, &theirs)) {
        tell_parents(in);
        tell(now < 0 ? 'D' : then < 0 ? 'A' : 'C', path);
        child.told = true;
    }
    if (now >= 0 && S_ISDIR(ours.st_mode)) {       /* of what is gone, as of a whiteout, only the top is told */
        merged_enter(&child.now, &in->now, name, (size_t)now);
        if (then >= 0 && S_ISDIR(theirs.st_mode)) {
            merged_enter(&child.then, &in->then, name, (size_t)then);
        }
        compare_in(&child);
        merged_close(&child.now);
        merged_close(&child.then);
    }
}

static void add_names(struct names *names, const struct merged *directory)
{
    for (size_t i = 0; i < directory->count; i++) {
        names_of_part(names, &directory->parts[i]);
    }
    names_of_devices(names, directory, path);
}

/* Whether both are the same directories of the same layers, so that all below is the same. */
static bool same_parts(const struct merged *a, const struct merged *b)
{
    for (size_t i = 0; a->count == b->count && i < a->count; i++) {
        struct stat ours, theirs;

        if (fstat(a->parts[i].fd, &ours) < 0 || fstat(b->parts[i].fd, &theirs) < 0 || ours.st_ino != theirs.st_ino ||
            ours.st_dev != theirs.st_dev) {
            return false;
        }
    }
    return a->count == b->count;
}

static void compare_in(struct place_in *in)
{
    struct names names = {0};
    size_t size = strlen(path);

    if (same_parts(&in->now, &in->then)) {
        return;
    }
    add_names(&names, &in->now);
    add_names(&names, &in->then);
    names_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        if (size + 1 + strlen(names.list[i]) > PATH_LIMIT) {
            report_entry = path;
            fail_errno("openat", ENAMETOOLONG);
        }
        strcpy(path + size, size > 0 ? "/" : "");
        strcat(path, names.list[i]);
        compare_one(in, names.list[i]);
        path[size] = 0;
    }
    names_free(&names);
}

int verb_difference(int argc, char **argv)
{
    static struct place_in root = {.told = true};

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--flat") == 0) {
            options.flat = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[++i]);
        } else if (i + 2 < argc && (strcmp(argv[i], "--layer") == 0 || strcmp(argv[i], "--base") == 0)) {
            merged_add_tree(argv[i][2] == 'l' ? &root.now : &root.then, argv[i + 1], argv[i + 2], KERNEL_MARKS);
            i += 2;
        } else {
            usage("difference [--flat] [--report-fd N] [--layer TREE SIDECAR]… [--base TREE SIDECAR]…");
        }
    }
    report_entry = path;
    compare_in(&root);
    if (fflush(stdout) != 0) {
        fail_errno("write", errno);
    }
    report_finish();
    return 0;
}

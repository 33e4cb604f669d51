/* The verb `patch`: directories that a layer's archive did not list get the metadata they have further down.
 *
 * Arguments are the trees of an image's layers, highest first. Standard input holds records PATH NUL LAYERS NUL, parents
 * first; LAYERS are the numbers of the layers that have PATH implied only, separated by commas. For each path that the
 * image shows with implied metadata the directory is made below --dest-fd with the right metadata, and its parents
 * with those that the image shows. Made in the namespace of the layers, so that owners are theirs. */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static char **trees;
static int tree_count;

/* Opens `name`'s first `size` bytes in one layer. -1: the layer does not have it; then *hidden tells whether it hides
 * what is below. If it has it, *hidden tells whether what is below is hidden all the same. */
static int open_in_layer(const char *tree, const char *name, size_t size, bool *hidden)
{
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char part[256], mark;

    *hidden = false;
    for (size_t at = 0; fd >= 0; at++) {
        size_t part_size = 0;
        int next;

        if (fgetxattr(fd, "user.overlay.opaque", &mark, 1) == 1 && mark == 'y') {
            *hidden = true;
        }
        if (at >= size) {
            return fd;
        }
        while (at < size && name[at] != '/' && part_size < sizeof part - 1) {
            part[part_size++] = name[at++];
        }
        part[part_size] = 0;
        next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno != ENOENT) {
            if (errno != ENOTDIR && errno != ELOOP) {
                fail_errno("openat", errno);
            }
            *hidden = true;        /* a file, a link, a whiteout */
        }
        close(fd);
        fd = next;
    }
    return fd;
}

static bool is_listed_number(const char *numbers, int number)
{
    while (*numbers != 0) {
        if (strtol(numbers, (char **)&numbers, 10) == number) {
            return true;
        }
        numbers += *numbers == ',';
    }
    return false;
}

/* Opens the directory whose metadata the image should show; *on_top tells that it is the one shown already. */
static int open_source(const char *name, size_t size, const char *implied, bool *on_top)
{
    int first = -1;
    bool hidden = false;

    for (int layer = 0; layer < tree_count && !hidden; layer++) {
        int fd = open_in_layer(trees[layer], name, size, &hidden);

        if (fd < 0) {
            continue;
        }
        if (!is_listed_number(implied, layer)) {
            *on_top = first < 0;
            if (first >= 0) {
                close(first);
            }
            return fd;
        }
        if (first < 0) {
            first = fd;
        } else {
            close(fd);
        }
    }
    *on_top = true;
    return first;
}

/* Makes a directory without changing its parent's times; false if it is there. */
static bool make_directory(int parent, const char *name)
{
    struct stat before;

    if (fstat(parent, &before) < 0) {
        fail_errno("fstat", errno);
    }
    if (mkdirat(parent, name, 0700) < 0) {
        if (errno != EEXIST) {
            fail_errno("mkdirat", errno);
        }
        return false;
    }
    struct timespec times[2] = {before.st_atim, before.st_mtim};

    if (futimens(parent, times) < 0) {
        fail_errno("utimensat", errno);
    }
    return true;
}

/* Parents: made with what the image shows of them. They were patched before if they were implied. */
static int make_parents(int dest, const char *name)
{
    int at = fcntl(dest, F_DUPFD_CLOEXEC, 0);
    const char *end = name;
    char part[256];

    while ((end = strchr(end, '/')) != NULL) {
        const char *begin = end;
        struct stat found;
        bool on_top;
        int next, source;

        while (begin > name && begin[-1] != '/') {
            begin--;
        }
        snprintf(part, sizeof part, "%.*s", (int)(end - begin), begin);
        if (make_directory(at, part)) {
            source = open_source(name, (size_t)(end - name), "", &on_top);
            next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (source < 0 || next < 0 || fstat(source, &found) < 0) {
                fail_errno("openat", errno);
            }
            clone_metadata(source, next, NULL, NULL, &found, false);
            close(source);
        } else {
            next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (next < 0) {
                fail_errno("openat", errno);
            }
        }
        close(at);
        at = next;
        end++;
    }
    return at;
}

static void patch_one(int dest, const char *name, const char *implied)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash == NULL ? name : slash + 1;
    struct stat found;
    bool on_top = true;
    int source = open_source(name, strlen(name), implied, &on_top);

    report_entry = name;
    if (!on_top) {
        int parent = make_parents(dest, name);
        int made;

        (void)make_directory(parent, last);
        made = openat(parent, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (made < 0 || fstat(source, &found) < 0) {
            fail_errno("openat", errno);
        }
        clone_metadata(source, made, NULL, NULL, &found, false);
        report.entries++;
        close(made);
        close(parent);
    }
    if (source >= 0) {
        close(source);
    }
}

/* The patch is the highest layer: its root is the image's, where there is no upper directory. */
static void patch_root(int dest)
{
    struct stat found;
    int top = open(trees[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (top < 0 || fstat(top, &found) < 0) {
        fail_errno("open", errno);
    }
    clone_metadata(top, dest, NULL, NULL, &found, false);
    close(top);
}

int verb_patch(int argc, char **argv)
{
    int dest = -1, i = 0;
    char *name = NULL, *implied = NULL;
    size_t name_room = 0, implied_room = 0;

    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--dest-fd") == 0) {
            dest = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[i + 1]);
        } else {
            usage("patch --dest-fd N [--report-fd N] TREE…");
        }
    }
    trees = argv + i;
    tree_count = argc - i;
    if (dest < 0 || tree_count < 1) {
        usage("patch: --dest-fd and trees are needed");
    }
    umask(0);
    while (getdelim(&name, &name_room, 0, stdin) > 1 && getdelim(&implied, &implied_room, 0, stdin) >= 0) {
        patch_one(dest, name, implied);
    }
    free(name);
    free(implied);
    patch_root(dest);
    report_finish();
    return 0;
}

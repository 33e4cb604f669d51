/* Directories of several layers as one: what overlay would show, without a mount; for reading only.
 *
 * It knows the marks of the kernel's overlay ("userxattr") and those that fuse-overlayfs leaves in an upper directory.
 * A container may write to the upper directory meanwhile: names are looked up by descriptor and never followed.
 * Sources: overlayfs.rst "whiteouts and opaque directories"; fuse-overlayfs main.c OPAQUE_XATTR, ".wh.". */
#include "union.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* fuse-overlayfs makes these where it may not make a device or set the attribute. */
static const char fuse_whiteout[] = ".wh.", fuse_opaque[] = ".wh..wh..opq";

void merged_add(struct merged *directory, int fd, const struct layer *layer)
{
    directory->parts = must_grow(directory->parts, (directory->count + 1) * sizeof *directory->parts);
    directory->parts[directory->count++] = (struct part){fd, layer};
}

void merged_add_tree(struct merged *to, const char *tree, const char *sidecar, enum marks marks)
{
    struct layer *layer = must_alloc(sizeof *layer);
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        report_entry = tree;
        fail_errno("open", errno);
    }
    layer->marks = marks;
    layer->has_facts = sidecar[0] != 0;
    if (layer->has_facts) {
        facts_read(&layer->facts, sidecar);
    }
    merged_add(to, fd, layer);
}

void merged_close(struct merged *directory)
{
    for (size_t i = 0; i < directory->count; i++) {
        close(directory->parts[i].fd);
    }
    free(directory->parts);
    *directory = (struct merged){0};
}

static bool marked(int fd, const char *attribute)
{
    char value;

    return fgetxattr(fd, attribute, &value, 1) == 1 && value == 'y';
}

bool part_is_opaque(const struct part *part)
{
    struct stat found;

    switch (part->layer->marks) {
    case NO_MARKS:
        return false;
    case KERNEL_MARKS:
        return marked(part->fd, "user.overlay.opaque");
    default:
        return marked(part->fd, "user.fuseoverlayfs.opaque") || marked(part->fd, "user.overlay.opaque") ||
               marked(part->fd, "trusted.overlay.opaque") ||
               fstatat(part->fd, fuse_opaque, &found, AT_SYMLINK_NOFOLLOW) == 0;
    }
}

static bool has_fuse_whiteout(const struct part *part, const char *name)
{
    char mark[256 + sizeof fuse_whiteout];
    struct stat found;

    if (part->layer->marks != FUSE_MARKS) {
        return false;
    }
    strcpy(mark, fuse_whiteout);
    strncat(mark, name, 255);
    return fstatat(part->fd, mark, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

enum seen part_look(const struct part *part, const char *name, struct stat *found)
{
    if (fstatat(part->fd, name, found, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT && errno != ENAMETOOLONG) {
            fail_errno("fstatat", errno);
        }
        return has_fuse_whiteout(part, name) ? HIDDEN : ABSENT;
    }
    return part->layer->marks != NO_MARKS && whiteout_is(part->fd, name, found) ? HIDDEN : PRESENT;
}

static bool device_record(const struct layer *layer, const char *path, struct stat *found)
{
    struct fact fact;

    if (layer->facts.device_count == 0 || !facts_find(&layer->facts, path, &fact) || fact.device == 0) {
        return false;
    }
    *found = (struct stat){.st_mode = (fact.device == 'b' ? S_IFBLK : S_IFCHR) | fact.mode, .st_nlink = 1,
                           .st_rdev = makedev((unsigned)fact.major, (unsigned)fact.minor), .st_mtim = fact.mtime};
    return true;
}

int merged_look(const struct merged *directory, const char *name, const char *path, struct stat *found)
{
    for (size_t i = 0; i < directory->count; i++) {
        const struct part *part = &directory->parts[i];
        enum seen seen = part_look(part, name, found);

        if (seen == PRESENT || (seen == ABSENT && device_record(part->layer, path, found))) {
            return (int)i;
        }
        if (seen == HIDDEN) {
            break;
        }
    }
    return -1;
}

void merged_enter(struct merged *child, const struct merged *directory, const char *name, size_t from)
{
    *child = (struct merged){0};
    for (size_t i = from; i < directory->count; i++) {
        const struct part *part = &directory->parts[i];
        int fd = openat(part->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
            if (has_fuse_whiteout(part, name)) {
                break;
            }
            continue;
        }
        if (fd < 0) {
            if (errno != ENOTDIR && errno != ELOOP) {
                fail_errno("openat", errno);
            }
            break;                 /* what is no directory hides what is below */
        }
        merged_add(child, fd, part->layer);
        if (part_is_opaque(&child->parts[child->count - 1])) {
            break;
        }
    }
}

static void add_name(struct names *names, const char *name, size_t size)
{
    if (names->count == names->room) {
        names->room = names->room * 2 + 64;
        names->list = must_grow(names->list, names->room * sizeof *names->list);
    }
    names->list[names->count] = must_alloc(size + 1);
    memcpy(names->list[names->count++], name, size);
}

void names_of_part(struct names *names, const struct part *part)
{
    int copy = openat(part->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *one;

    if (directory == NULL) {
        fail_errno("openat", errno);
    }
    while (errno = 0, (one = readdir(directory)) != NULL) {
        const char *name = one->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        if (part->layer->marks == FUSE_MARKS && strncmp(name, fuse_whiteout, 4) == 0) {
            if (strcmp(name, fuse_opaque) == 0) {
                continue;
            }
            name += 4;             /* part_look says that it is hidden */
        }
        add_name(names, name, strlen(name));
    }
    if (errno != 0) {
        fail_errno("getdents64", errno);
    }
    closedir(directory);
}

void names_of_devices(struct names *names, const struct merged *directory, const char *path)
{
    size_t size = strlen(path);

    for (size_t i = 0; i < directory->count; i++) {
        const struct facts *facts = &directory->parts[i].layer->facts;

        for (size_t device = 0; device < facts->device_count; device++) {
            const char *one = facts->devices[device];
            const char *last = strrchr(one, '/');

            if (last == NULL ? size == 0 : (size_t)(last - one) == size && memcmp(one, path, size) == 0) {
                last = last == NULL ? one : last + 1;
                add_name(names, last, strlen(last));
            }
        }
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(struct names *names)
{
    size_t kept = 0;

    if (names->count > 1) {
        qsort(names->list, names->count, sizeof *names->list, compare_names);
    }
    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && strcmp(names->list[kept - 1], names->list[i]) == 0) {
            free(names->list[i]);
        } else {
            names->list[kept++] = names->list[i];
        }
    }
    names->count = kept;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->list[i]);
    }
    free(names->list);
    *names = (struct names){0};
}

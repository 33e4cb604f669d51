/* From an object in a tree to what an archive says of it: owners as the container has them, attributes, what the sidecar
 * keeps. metadata.c is the other direction. */
#include "clone.h"
#include "union.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CAPABILITY_2_SIZE = 20, CAPABILITY_3_SIZE = 24, CAPABILITY_2 = 2, CAPABILITY_3 = 3 };

static int by_name(const void *a, const void *b)
{
    const struct xattr *left = a, *right = b;

    return strcmp(left->name, right->name);
}

/* Version 3 names the user namespace in which a file capability holds; in an archive it is the reader's.
 * linux/capability.h "vfs_ns_cap_data"; since 4.14. */
ssize_t portable_capability(char *value, ssize_t size)
{
    if (size == CAPABILITY_3_SIZE && value[3] == CAPABILITY_3) {
        value[3] = CAPABILITY_2;
        return CAPABILITY_2_SIZE;
    }
    return size;
}

/* user.* and security.* are what archives of layers carry; names that are marks are filtered by xattr_put. */
static bool is_taken(const char *name)
{
    return (strncmp(name, "user.", 5) == 0 || strncmp(name, "security.", 9) == 0) && !xattr_is_forbidden(name);
}

/* By `fd`, or by name in a directory, which becomes the working directory: there is no getxattrat before 6.13. */
void read_xattrs(struct xattrs *xattrs, int directory_fd, const char *name, int fd)
{
    static char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX];
    ssize_t listed;

    if (fd < 0 && fchdir(directory_fd) < 0) {
        fail_errno("fchdir", errno);
    }
    listed = fd >= 0 ? flistxattr(fd, names, sizeof names) : llistxattr(name, names, sizeof names);
    for (char *one = names; listed > 0 && one < names + listed; one += strlen(one) + 1) {
        ssize_t size;

        if (!is_taken(one)) {
            continue;
        }
        size = fd >= 0 ? fgetxattr(fd, one, value, sizeof value) : lgetxattr(name, one, value, sizeof value);
        if (size < 0) {
            continue;              /* it went meanwhile, or is not for us to read */
        }
        if (strcmp(one, "security.capability") == 0) {
            size = portable_capability(value, size);
        }
        xattr_put(xattrs, (struct slice){one, strlen(one)}, value, (size_t)size);
    }
}

static void sort_xattrs(struct xattrs *xattrs)
{
    if (xattrs->count > 1) {
        qsort(xattrs->list, xattrs->count, sizeof *xattrs->list, by_name);
    }
}

bool same_xattrs(struct xattrs *a, struct xattrs *b)
{
    if (a->count != b->count) {
        return false;
    }
    sort_xattrs(a);
    sort_xattrs(b);
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->list[i].name, b->list[i].name) != 0 || a->list[i].size != b->list[i].size ||
            memcmp(a->list[i].value, b->list[i].value, a->list[i].size) != 0) {
            return false;
        }
    }
    return true;
}

/* The layer of an image that has the object, at or under the one that shows it, as the same kind of object: its sidecar
 * speaks of it. `found`: what its tree has there. */
static const struct layer *origin(const struct object *object, struct stat *found, struct fact *fact)
{
    const struct merged *both[] = {object->top, object->below};

    for (int which = 0; which < 2; which++) {
        for (size_t i = which == 0 ? object->number : 0; i < both[which]->count; i++) {
            const struct part *part = &both[which]->parts[i];
            enum seen seen = part_look(part, object->name, found);

            if (seen == HIDDEN || (seen == PRESENT && (found->st_mode & S_IFMT) != (object->found->st_mode & S_IFMT))) {
                return NULL;
            }
            if (seen == ABSENT || !part->layer->has_facts) {
                continue;
            }
            *fact = (struct fact){.text = ""};
            if (!facts_find(&part->layer->facts, object->path, fact) || !fact->implied) {
                return part->layer;
            }
        }
    }
    return NULL;
}

/* What a file of the image keeps when it is copied up: that is all that a single-id map, where chown only seems to work,
 * can know of its owner. */
static void apply_facts(struct entry *entry, const struct object *object)
{
    const struct stat *now = object->found;
    struct stat old;
    struct fact fact;

    if (origin(object, &old, &fact) == NULL) {
        return;
    }
    if (options.flat) {
        entry->uid = entry->gid = 0;
    }
    if (fact.has_owner && old.st_uid == now->st_uid && old.st_gid == now->st_gid) {
        entry->uid = fact.uid;
        entry->gid = fact.gid;
    }
    if (fact.has_mode && (old.st_mode & 07777) == (now->st_mode & 07777)) {
        entry->mode = fact.mode;
    }
    /* Writing to a file takes its capabilities away. */
    if (S_ISDIR(now->st_mode) || (old.st_size == now->st_size && old.st_mtim.tv_sec == now->st_mtim.tv_sec &&
                                  old.st_mtim.tv_nsec == now->st_mtim.tv_nsec)) {
        facts_xattrs(&fact, &entry->xattrs);
    }
}

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return '5';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFIFO:
        return '6';
    default:
        return '0';
    }
}

static void read_target(struct entry *entry, int directory_fd, const char *name)
{
    ssize_t size = readlinkat(directory_fd, name, entry->link, PATH_LIMIT);

    if (size < 0) {
        fail_errno("readlinkat", errno);
    }
    entry->link[size] = 0;
}

/* What the sidecars say of a device that is a record only. */
static void describe_device(struct entry *entry, const struct object *object)
{
    const struct merged *both[] = {object->top, object->below};
    struct fact device;

    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < both[which]->count; i++) {
            if (facts_find(&both[which]->parts[i].layer->facts, object->path, &device) && device.device != 0) {
                entry->uid = device.uid;
                entry->gid = device.gid;
                return;
            }
        }
    }
}

void describe(struct entry *entry, const struct object *object)
{
    const struct part *part = &object->top->parts[object->number];
    const struct stat *found = object->found;

    xattrs_free(&entry->xattrs);
    entry->type = type_of(found->st_mode);
    strcpy(entry->path, object->path);
    entry->link[0] = 0;
    entry->mode = found->st_mode & 07777;
    entry->uid = clone_mapped(false, found->st_uid);
    entry->gid = clone_mapped(true, found->st_gid);
    entry->size = S_ISREG(found->st_mode) ? (uint64_t)found->st_size : 0;
    entry->mtime = found->st_mtim;
    entry->major = entry->minor = 0;
    if (S_ISCHR(found->st_mode) || S_ISBLK(found->st_mode)) {
        entry->major = major(found->st_rdev);
        entry->minor = minor(found->st_rdev);
    }
    if (found->st_ino == 0) {
        describe_device(entry, object);
        return;
    }
    if (entry->type == '2') {
        read_target(entry, part->fd, object->name);
    }
    read_xattrs(&entry->xattrs, part->fd, object->name, object->fd);
    apply_facts(entry, object);
    sort_xattrs(&entry->xattrs);
}

/* Owners, modes, extended attributes and times. Those of directories are set last, children before parents: while the
 * tree grows every directory is the user's and 0700, so that no mode, set-group-id bit or default ACL gets in the way. */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { EXTENTS = 340, NOBODY = 65534 };

static struct extent {
    unsigned long long first, count;
} extents[2][EXTENTS];
static size_t extent_counts[2];
static uid_t own_uid;
static gid_t own_gid;

static void read_map(int group, const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long inside, outside, count;

    if (file == NULL) {
        /* No /proc: take the ids as they are, chown says what it does not like. */
        extents[group][0] = (struct extent){0, UINT32_MAX};
        extent_counts[group] = 1;
        return;
    }
    while (extent_counts[group] < EXTENTS && fscanf(file, "%llu %llu %llu", &inside, &outside, &count) == 3) {
        extents[group][extent_counts[group]++] = (struct extent){inside, count};
    }
    fclose(file);
}

void metadata_open(void)
{
    own_uid = geteuid();
    own_gid = getegid();
    if (!options.flat) {
        read_map(0, "/proc/self/uid_map");
        read_map(1, "/proc/self/gid_map");
    }
}

bool id_is_mapped(bool group, uint64_t id)
{
    for (size_t i = 0; i < extent_counts[group]; i++) {
        if (id >= extents[group][i].first && id - extents[group][i].first < extents[group][i].count) {
            return id < UINT32_MAX;
        }
    }
    return false;
}

bool id_is_stand_in(bool group, uint64_t id)
{
    return id == (id_is_mapped(group, NOBODY) ? NOBODY : group ? own_gid : own_uid);
}

/* Ids outside of the map become nobody's; the sidecar keeps the real ones. */
static void clamp(const struct node *parent, const char *name, uint64_t *uid, uint64_t *gid)
{
    bool uid_mapped = id_is_mapped(false, *uid), gid_mapped = id_is_mapped(true, *gid);

    if (uid_mapped && gid_mapped) {
        return;
    }
    report.clamped++;
    sidecar_add(parent, name, "uid=%llu gid=%llu", (unsigned long long)*uid, (unsigned long long)*gid);
    if (!uid_mapped) {
        *uid = id_is_mapped(false, NOBODY) ? NOBODY : own_uid;
    }
    if (!gid_mapped) {
        *gid = id_is_mapped(true, NOBODY) ? NOBODY : own_gid;
    }
}

/* What a file of a tree in use gets for an owner; false: it keeps the one it was made with. */
static bool owner_alive(uint64_t *uid, uint64_t *gid)
{
    uint32_t owner = (uint32_t)*uid, group = (uint32_t)*gid;

    if (options.owner == OWNER_SELF) {
        return false;
    }
    if (options.owner == OWNER_GIVEN) {
        *uid = options.uid;
        *gid = options.gid;
        return true;
    }
    if (*uid > UINT32_MAX || *gid > UINT32_MAX || !clone_map(false, &owner) || !clone_map(true, &group)) {
        refuse("owner %llu:%llu does not exist in the container", (unsigned long long)*uid, (unsigned long long)*gid);
    }
    *uid = owner;
    *gid = group;
    return true;
}

/* Names in a tree in use may be exchanged for links, which fchmodat(2) would follow out of it. */
static void change_mode(int fd, int directory_fd, const char *name, mode_t mode)
{
    char path[40];
    struct stat found;
    int place = -1;

    if (fd >= 0) {
        if (fchmod(fd, mode) < 0) {
            fail_errno("fchmod", errno);
        }
        return;
    }
    place = openat(directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0 || fstat(place, &found) < 0) {
        fail_errno("openat", errno);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", place);
    if (!S_ISLNK(found.st_mode) && chmod(path, mode) < 0) {
        fail_errno("chmod", errno);
    }
    close(place);
}

static void set_xattrs(int fd, const struct node *parent, const char *name, const struct xattrs *xattrs)
{
    for (size_t i = 0; i < xattrs->count; i++) {
        const struct xattr *one = &xattrs->list[i];
        int result;

        if (fd >= 0) {
            result = fsetxattr(fd, one->name, one->value, one->size, 0);
        } else {
            /* There is no setxattrat before 6.13: the parent becomes the working directory instead. */
            result = fchdir(node_fd((struct node *)parent));
            if (result == 0) {
                result = lsetxattr(name, one->name, one->value, one->size, 0);
            }
        }
        if (result < 0) {
            if (errno == ENOSPC || errno == EDQUOT) {
                fail_errno("setxattr", errno);
            }
            /* EPERM (namespace, symbolic link), EOPNOTSUPP (file system), E2BIG, EINVAL: kept beside. */
            report.skipped_xattrs++;
            sidecar_add_xattr(parent, name, one);
        }
    }
}

static void note_flat(const struct node *parent, const char *name, mode_t mode, mode_t real, uint64_t uid, uint64_t gid)
{
    if (mode != real || uid != 0 || gid != 0) {
        sidecar_add(parent, name, "uid=%llu gid=%llu mode=%o", (unsigned long long)uid, (unsigned long long)gid,
                    (unsigned)mode);
    }
}

static void change_owner(int fd, int directory_fd, const char *name, uint64_t uid, uint64_t gid)
{
    int result = 0;

    if (uid != own_uid || gid != own_gid) {
        result = fd >= 0 ? fchown(fd, (uid_t)uid, (gid_t)gid)
                         : fchownat(directory_fd, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW);
    }
    if (result < 0) {
        fail_errno("fchown", errno);
    }
}

/* `fd` is the open file, or -1 for what cannot be opened. */
void apply_file(int fd, const struct place *place, const struct entry *entry, bool regular)
{
    struct timespec times[2] = {entry->mtime, entry->mtime};
    uint64_t uid = entry->uid, gid = entry->gid;
    bool is_link = entry->type == '2';

    if (options.alive) {
        if (owner_alive(&uid, &gid)) {
            change_owner(fd, node_fd(place->parent), place->name, uid, gid);
        }
    } else if (options.flat) {
        mode_t real = entry->mode | (regular ? 0400 : 0);

        note_flat(place->parent, place->name, is_link ? 0777 : entry->mode, is_link ? 0777 : real, uid, gid);
    } else {
        clamp(place->parent, place->name, &uid, &gid);
        change_owner(fd, node_fd(place->parent), place->name, uid, gid);
    }
    /* chown(2) clears set-id bits, and so does writing: the mode comes after both. */
    if ((entry->mode & 07000) != 0 && !is_link) {
        change_mode(fd, node_fd(place->parent), place->name, entry->mode | (regular && options.flat ? 0400 : 0));
    }
    set_xattrs(fd, place->parent, place->name, &entry->xattrs);
    if ((fd >= 0 ? futimens(fd, times)
                 : utimensat(node_fd(place->parent), place->name, times, AT_SYMLINK_NOFOLLOW)) < 0) {
        fail_errno("utimensat", errno);
    }
}

static void apply_directory(struct node *node)
{
    int fd = node_fd(node);
    struct timespec times[2] = {node->mtime, node->mtime};
    mode_t mode = node->mode;
    uint64_t uid, gid;

    node_owner(node, &uid, &gid);
    if (!node->listed && node->parent != NO_NODE) {
        report.implied++;
        sidecar_add(node, "", "implied");
    }
    if (options.alive) {
        /* One that was there may have any owner. */
        if (owner_alive(&uid, &gid) && fchown(fd, (uid_t)uid, (gid_t)gid) < 0) {
            fail_errno("fchown", errno);
        }
    } else if (options.flat) {
        mode |= 0700;
        note_flat(node, "", node->mode, mode, uid, gid);
    } else {
        clamp(node, "", &uid, &gid);
        if ((uid != own_uid || gid != own_gid) && fchown(fd, (uid_t)uid, (gid_t)gid) < 0) {
            fail_errno("fchown", errno);
        }
    }
    if (fchmod(fd, mode) < 0) {
        fail_errno("fchmod", errno);
    }
    set_xattrs(fd, node, "", node_xattrs(node));
    whiteout_mark_directory(node);
    /* What the archive only implies is made now. */
    if ((node->listed || !options.alive) && futimens(fd, times) < 0) {
        fail_errno("utimensat", errno);
    }
}

void apply_directories(void)
{
    static char path[PATH_LIMIT + 300];

    report_entry = path;
    node_settle(NULL);
    for (size_t i = node_count(); i-- > 0;) {
        struct node *node = node_at(i);

        if (node != NULL && (node->listed || !node->existed)) {
            node_path(node, "", path);
            apply_directory(node);
        }
    }
}

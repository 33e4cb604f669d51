/* The tree of model.c against the one on disk, name by name. */
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    return S_ISREG(mode)    ? "a file"
           : S_ISDIR(mode)  ? "a directory"
           : S_ISLNK(mode)  ? "a symbolic link"
           : S_ISFIFO(mode) ? "a fifo"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static void compare_content(struct node *node, const struct member *member, const struct stat *found, int dir_fd)
{
    bool same = member->content == SAME;

    if ((uint64_t)found->st_size != member->size) {
        finding(node_parent(node), node->name, "has %lld bytes, not %llu", (long long)found->st_size,
                (unsigned long long)member->size);
        return;
    }
    if (member->content == HASHED) {
        int fd = openat(dir_fd, node->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        same = fd >= 0 && content_is(fd, member);
        if (fd >= 0) {
            close(fd);
        }
    }
    if (!same) {
        finding(node_parent(node), node->name, "has other content");
    }
}

static void compare_target(struct node *node, const struct member *member, int dir_fd)
{
    char target[PATH_LIMIT + 1];
    ssize_t size = readlinkat(dir_fd, node->name, target, PATH_LIMIT);

    target[size < 0 ? 0 : size] = 0;
    if (strcmp(target, member->target) != 0) {
        finding(node_parent(node), node->name, "leads to %s, not to %s", target, member->target);
    }
}

static mode_t type_of(const struct member *member)
{
    switch (member->type) {
    case '2':
        return S_IFLNK;
    case '3':
        return S_IFCHR;
    case '4':
        return S_IFBLK;
    case '6':
        return S_IFIFO;
    default:
        return S_IFREG;
    }
}

/* The same member under all its names, and under no other. */
static void compare_links(struct node *node, struct member *member, const struct stat *found)
{
    if (member->links != found->st_nlink) {
        finding(node_parent(node), node->name, "has %llu names on disk, not %zu", (unsigned long long)found->st_nlink,
                member->links);
    } else if (member->inode != 0 && member->inode != found->st_ino) {
        finding(node_parent(node), node->name, "is not the same file as its other names");
    }
    member->inode = found->st_ino;
}

static void compare_member(struct node *node, const struct stat *found, int dir_fd)
{
    struct member *member = node_member(node);
    mode_t type = type_of(member);
    mode_t mode = member->mode | (options.flat && type == S_IFREG ? 0400 : 0);
    struct wanted wanted = {
        .parent = node_parent(node), .name = node->name, .record = member->home == node, .is_link = type == S_IFLNK,
        .mode = type == S_IFLNK ? 0777 : mode, .listed_mode = type == S_IFLNK ? 0777 : member->mode, .uid = member->uid,
        .gid = member->gid, .mtime = member->mtime, .xattrs = &member->xattrs,
    };

    if ((found->st_mode & S_IFMT) != type) {
        finding(node_parent(node), node->name, "is %s, in its archive %s", kind_of(found->st_mode), kind_of(type));
        return;
    }
    if ((type == S_IFCHR || type == S_IFBLK) &&
        found->st_rdev != makedev((unsigned)member->major, (unsigned)member->minor)) {
        finding(node_parent(node), node->name, "is another device than in its archive");
    }
    if (type == S_IFREG) {
        compare_content(node, member, found, dir_fd);
    } else if (type == S_IFLNK) {
        compare_target(node, member, dir_fd);
    }
    compare_links(node, member, found);
    compare_metadata(&wanted, found, -1);
}

static void compare_name(struct node *directory, int fd, const char *name)
{
    struct node *node = node_find(directory, name, strlen(name));
    struct stat found;
    bool hides;

    if (fstatat(fd, name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
        finding(directory, name, "cannot be read: %s", strerror(errno));
        return;
    }
    hides = whiteout_is(fd, name, &found);
    if (node == NULL) {
        finding(directory, name, hides ? "hides what is below, its archive does not" : "is not in its archive");
        return;
    }
    node->seen = SEEN;
    if (hides || (node->is_member && node->member->type == WHITEOUT)) {
        if (!hides) {
            finding(directory, name, "does not hide what is below, as its archive wants");
        } else if (!node->is_member || node->member->type != WHITEOUT) {
            finding(directory, name, "hides what is below, its archive does not");
            node->seen = WRONG;
        } else if (S_ISREG(found.st_mode)) {
            directory->has_marked_whiteouts = true;
            report.marked_whiteouts++;
        }
    } else if (node->is_member) {
        compare_member(node, &found, fd);
    } else if (!S_ISDIR(found.st_mode)) {
        finding(directory, name, "is %s, in its archive a directory", kind_of(found.st_mode));
        node->seen = WRONG;
    }
}

/* "y": nothing of what is below is seen; "x": it has whiteouts that are attributes. */
static void compare_opaque(const struct node *node, int fd)
{
    char mark = 0;
    ssize_t size = fgetxattr(fd, "user.overlay.opaque", &mark, 1);
    bool opaque = size == 1 && mark == 'y';

    if (node->opaque != opaque) {
        finding(node, "", opaque ? "hides what is below, its archive does not"
                                 : "does not hide what is below, as its archive wants");
    } else if (!opaque && (size == -1 ? node->has_marked_whiteouts
                                      : size != 1 || mark != 'x' || !node->has_whiteouts)) {
        finding(node, "", "is not marked for the whiteouts that it has");
    }
}

static void compare_directory(struct node *node)
{
    struct wanted wanted = {
        .parent = node, .name = "", .record = true, .mode = node->mode | (options.flat ? 0700 : 0),
        .listed_mode = node->mode, .mtime = node->mtime, .xattrs = node_xattrs(node),
    };
    int fd = node_try_fd(node);
    DIR *directory = fd < 0 ? NULL : fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    struct dirent *one;
    struct stat found;

    node_owner(node, &wanted.uid, &wanted.gid);
    if (directory == NULL || fstat(fd, &found) < 0 || fchdir(fd) < 0) {
        finding(node, "", "cannot be read: %s", strerror(errno));
        node->seen = WRONG;
        if (directory != NULL) {
            closedir(directory);
        }
        return;
    }
    rewinddir(directory);
    while ((one = readdir(directory)) != NULL) {
        if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0) {
            compare_name(node, fd, one->d_name);
        }
    }
    closedir(directory);
    if (!node->listed && node->parent != NO_NODE) {
        sidecar_add(node, "", "implied");
    }
    compare_metadata(&wanted, &found, fd);
    compare_opaque(node, fd);
}

static void compare_missing(const struct node *node)
{
    const struct member *member = node_member(node);

    if (member != NULL && (member->type == '3' || member->type == '4')) {
        /* A device that was not made, as it wants privilege. */
        sidecar_add(node_parent(node), node->name, "device=%c:%llu:%llu mode=%o uid=%llu gid=%llu mtime=%lld.%09ld",
                    member->type == '3' ? 'c' : 'b', (unsigned long long)member->major,
                    (unsigned long long)member->minor, (unsigned)member->mode, (unsigned long long)member->uid,
                    (unsigned long long)member->gid, (long long)member->mtime.tv_sec, member->mtime.tv_nsec);
        return;
    }
    finding(node_parent(node), node->name, "is missing");
}

void compare_with_disk(void)
{
    static char path[PATH_LIMIT + 300];

    report_entry = path;
    node_root(-1)->seen = SEEN;
    /* A directory comes before what is in it: node_add. */
    for (size_t i = 0; i < node_count(); i++) {
        struct node *node = node_at(i);

        if (node == NULL) {
            continue;
        }
        if (node->seen == UNSEEN && node_parent(node)->seen == SEEN) {
            compare_missing(node);
        } else if (node->seen == SEEN && !node->is_member) {
            node_path(node, "", path);
            compare_directory(node);
        }
    }
}

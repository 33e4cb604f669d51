/* Whiteouts on disk: a character device 0:0, or, where that is refused, an empty file with an attribute (since 6.7).
 *
 * Source: overlayfs.rst "whiteouts and opaque directories". The attribute counts in directories marked "x" only. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char ATTRIBUTE[] = "user.overlay.whiteout";

static bool has_attribute(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool found = fd >= 0 && fgetxattr(fd, ATTRIBUTE, NULL, 0) >= 0;

    if (fd >= 0) {
        close(fd);
    }
    return found;
}

bool whiteout_is(int dir_fd, const char *name, const struct stat *found)
{
    if (S_ISCHR(found->st_mode)) {
        return found->st_rdev == 0;
    }
    return S_ISREG(found->st_mode) && found->st_size == 0 && has_attribute(dir_fd, name);
}

/* False: something has the name. */
bool whiteout_make(struct node *parent, const char *name)
{
    int fd;

    /* Allowed without privilege for 0:0 since 5.8 (a3c751a50fe6), but on overlay itself: ovl_mknod(). */
    if (mknodat(node_fd(parent), name, S_IFCHR, 0) == 0) {
        parent->has_whiteouts = true;
        return true;
    }
    if (errno != EPERM) {
        if (errno != EEXIST) {
            fail_errno("mknodat", errno);
        }
        return false;
    }
    fd = openat(node_fd(parent), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail_errno("openat", errno);
    }
    if (fsetxattr(fd, ATTRIBUTE, "", 0, 0) < 0) {
        fail_errno("setxattr", errno);
    }
    close(fd);
    parent->has_whiteouts = parent->has_marked_whiteouts = true;
    report.marked_whiteouts++;
    return true;
}

/* In an opaque directory a whiteout hides nothing, but overlay would list it: where nothing is merged it looks for none. */
static void remove_whiteouts(int dir_fd)
{
    DIR *directory = fdopendir(fcntl(dir_fd, F_DUPFD_CLOEXEC, 0));
    struct dirent *one;
    struct stat found;

    if (directory == NULL) {
        fail_errno("fdopendir", errno);
    }
    rewinddir(directory);
    while ((one = readdir(directory)) != NULL) {
        if (fstatat(dir_fd, one->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
            whiteout_is(dir_fd, one->d_name, &found) && unlinkat(dir_fd, one->d_name, 0) < 0) {
            fail_errno("unlinkat", errno);
        }
    }
    closedir(directory);
}

void whiteout_mark_directory(struct node *node)
{
    const char *mark = node->opaque ? "y" : node->has_marked_whiteouts ? "x" : NULL;

    if (mark == NULL) {
        return;
    }
    if (node->opaque) {
        report.opaques++;
        if (node->has_whiteouts) {
            remove_whiteouts(node_fd(node));
        }
    }
    if (fsetxattr(node_fd(node), "user.overlay.opaque", mark, 1, 0) < 0) {
        fail_errno("setxattr", errno);
    }
}

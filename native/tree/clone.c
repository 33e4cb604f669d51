/* Data and metadata of one object, from one place to another. */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { EXTENTS = 340 };            /* as many as a uid_map takes: user_namespaces(7) */

static struct {
    bool is_group;
    uint64_t from, to, count;
} extents[2 * EXTENTS];
static size_t extent_count;

void clone_map_add(const char *text)
{
    char kind;
    unsigned long long from, to, count;

    if (sscanf(text, "%c:%llu:%llu:%llu", &kind, &from, &to, &count) != 4 || strchr("ugb", kind) == NULL ||
        extent_count + 2 > 2 * EXTENTS) {
        usage("--map wants u|g|b:FROM:TO:COUNT");
    }
    for (int group = 0; group < 2; group++) {
        if (kind == 'b' || (kind == 'g') == group) {
            extents[extent_count].is_group = group;
            extents[extent_count].from = from;
            extents[extent_count].to = to;
            extents[extent_count++].count = count;
        }
    }
}

bool clone_map(bool is_group, uint32_t *id)
{
    bool any = false;

    for (size_t i = 0; i < extent_count; i++) {
        if (extents[i].is_group != is_group) {
            continue;
        }
        any = true;
        if (*id >= extents[i].from && *id - extents[i].from < extents[i].count) {
            *id = (uint32_t)(extents[i].to + (*id - extents[i].from));
            return true;
        }
    }
    return !any;
}

uint32_t clone_mapped(bool is_group, uint32_t id)
{
    if (clone_map(is_group, &id)) {
        return id;
    }
    report.clamped++;
    return 65534;
}

static void copy_range(int from, int to, off_t begin, off_t end)
{
    static char buffer[1 << 18];
    off_t in = begin, out = begin;

    while (in < end) {
        ssize_t done = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);

        if (done > 0) {
            continue;
        }
        if (done < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
            fail_errno("copy_file_range", errno);
        }
        /* Another file system, or one that cannot (copy_file_range(2)): through memory. */
        done = pread(from, buffer, sizeof buffer < (size_t)(end - in) ? sizeof buffer : (size_t)(end - in), in);
        if (done < 0) {
            fail_errno("read", errno);
        }
        if (done == 0) {
            return;                /* it shrank meanwhile */
        }
        for (ssize_t at = 0; at < done;) {
            ssize_t written = pwrite(to, buffer + at, (size_t)(done - at), out + at);

            if (written < 0) {
                fail_errno("write", errno);
            }
            at += written;
        }
        in += done;
        out += done;
    }
}

void clone_data(int from, int to, uint64_t size)
{
    off_t data = 0;

    if (size == 0 || ioctl(to, FICLONE, from) == 0) {
        return;
    }
    while ((data = lseek(from, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(from, data, SEEK_HOLE);

        if (hole < 0) {
            fail_errno("lseek", errno);
        }
        copy_range(from, to, data, hole);
        data = hole;
    }
    if (errno != ENXIO) {
        fail_errno("lseek", errno);
    }
    if (ftruncate(to, (off_t)size) < 0) {
        fail_errno("ftruncate", errno);
    }
}

static ssize_t list_names(int fd, const char *name, char *names, size_t size)
{
    if (name == NULL) {
        return flistxattr(fd, names, size);
    }
    return fchdir(fd) < 0 ? -1 : llistxattr(name, names, size);
}

static void clone_xattrs(int from, int to, const char *from_name, const char *to_name, bool marks)
{
    static char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX];
    ssize_t listed = list_names(from, from_name, names, sizeof names);

    for (char *one = names; listed > 0 && one < names + listed; one += strlen(one) + 1) {
        ssize_t size;
        int result = -1;

        if (!marks && strncmp(one, "user.overlay.", 13) == 0) {
            continue;
        }
        if (from_name == NULL) {
            size = fgetxattr(from, one, value, sizeof value);
        } else {
            size = fchdir(from) < 0 ? -1 : lgetxattr(from_name, one, value, sizeof value);
        }
        if (size >= 0) {
            if (to_name == NULL) {
                result = fsetxattr(to, one, value, (size_t)size, 0);
            } else {
                result = fchdir(to) < 0 ? -1 : lsetxattr(to_name, one, value, (size_t)size, 0);
            }
        }
        if (result < 0) {
            if (errno == ENOSPC || errno == EDQUOT) {
                fail_errno("setxattr", errno);
            }
            report.skipped_xattrs++;
        }
    }
}

void clone_metadata(int from, int to, const char *from_name, const char *to_name, const struct stat *found, bool marks)
{
    struct timespec times[2] = {found->st_atim, found->st_mtim};
    uid_t uid = clone_mapped(false, found->st_uid);
    gid_t gid = clone_mapped(true, found->st_gid);
    const char *name = to_name == NULL ? "" : to_name;

    /* chown(2) clears set-id bits and capabilities: mode and xattrs come after. A single-id map knows one id only. */
    if (fchownat(to, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) {
        if (errno != EPERM && errno != EINVAL) {
            fail_errno("fchownat", errno);
        }
        report.clamped++;
    }
    if (!S_ISLNK(found->st_mode)) {
        mode_t mode = found->st_mode & 07777;

        if ((to_name == NULL ? fchmod(to, mode) : fchmodat(to, to_name, mode, 0)) < 0) {
            fail_errno("fchmod", errno);
        }
    }
    clone_xattrs(from, to, from_name, to_name, marks);
    if ((to_name == NULL ? futimens(to, times) : utimensat(to, to_name, times, AT_SYMLINK_NOFOLLOW)) < 0) {
        fail_errno("utimensat", errno);
    }
}

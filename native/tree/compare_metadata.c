/* Owners, modes, times and attributes of the archive against those on disk.
 *
 * What unpacking could not keep on disk (metadata.c) is recorded for the sidecar; so what is missing on disk without being
 * in the layer's sidecar shows as a difference of the two sidecars. */
#include "clone.h"
#include "model.h"

#include <linux/limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Whether the owner on disk is the archive's; with `stand_in` also what took its place. */
static bool owner_fits(const struct wanted *wanted, const struct stat *found, bool stand_in)
{
    bool fits = true;

    for (int group = 0; group < 2; group++) {
        uint64_t id = group ? wanted->gid : wanted->uid;
        uint32_t on_disk = group ? found->st_gid : found->st_uid;
        bool same = id_is_mapped(group, id) && clone_mapped(group, (uint32_t)id) == on_disk;

        if (!same && stand_in) {
            same = on_disk == clone_mapped(group, 65534) || id_is_stand_in(group, on_disk);
        }
        fits = fits && same;
    }
    return fits;
}

static void compare_owner(const struct wanted *wanted, const struct stat *found)
{
    if (options.flat) {
        if (found->st_uid != geteuid() || found->st_gid != getegid()) {
            finding(wanted->parent, wanted->name, "has owner %u:%u, in this form it is 0:0", found->st_uid,
                    found->st_gid);
        }
        if (wanted->record && (wanted->mode != wanted->listed_mode || wanted->uid != 0 || wanted->gid != 0)) {
            sidecar_add(wanted->parent, wanted->name, "uid=%llu gid=%llu mode=%o", (unsigned long long)wanted->uid,
                        (unsigned long long)wanted->gid, (unsigned)wanted->listed_mode);
        }
        return;
    }
    if (owner_fits(wanted, found, false)) {
        return;
    }
    if (!owner_fits(wanted, found, true)) {
        finding(wanted->parent, wanted->name, "has owner %u:%u, not %llu:%llu", found->st_uid, found->st_gid,
                (unsigned long long)wanted->uid, (unsigned long long)wanted->gid);
    } else if (wanted->record) {
        sidecar_add(wanted->parent, wanted->name, "uid=%llu gid=%llu", (unsigned long long)wanted->uid,
                    (unsigned long long)wanted->gid);
    }
}

static const struct xattr *find_xattr(const struct xattrs *xattrs, const char *name)
{
    for (size_t i = 0; i < xattrs->count; i++) {
        if (strcmp(xattrs->list[i].name, name) == 0) {
            return &xattrs->list[i];
        }
    }
    return NULL;
}

/* Whether an attribute on disk could come from an archive, or would change what overlay shows. */
static bool is_judged(const char *name)
{
    if (strncmp(name, "user.overlay.", 13) == 0) {
        return strcmp(name, "user.overlay.opaque") != 0 && strcmp(name, "user.overlay.whiteout") != 0;
    }
    return (strncmp(name, "user.", 5) == 0 || strncmp(name, "security.", 9) == 0 ||
            strncmp(name, "system.posix_acl_", 17) == 0) && !xattr_is_forbidden(name);
}

static ssize_t read_xattr(int fd, const char *name, const char *attribute, char *value)
{
    ssize_t size = fd >= 0 ? fgetxattr(fd, attribute, value, XATTR_SIZE_MAX)
                           : lgetxattr(name, attribute, value, XATTR_SIZE_MAX);

    return size >= 0 && strcmp(attribute, "security.capability") == 0 ? portable_capability(value, size) : size;
}

/* By `fd`, or by name in the working directory: there is no getxattrat before 6.13. */
static void compare_xattrs(const struct wanted *wanted, int fd)
{
    static char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX], given[XATTR_SIZE_MAX];
    ssize_t listed = fd >= 0 ? flistxattr(fd, names, sizeof names) : llistxattr(wanted->name, names, sizeof names);

    for (size_t i = 0; i < wanted->xattrs->count; i++) {
        const struct xattr *one = &wanted->xattrs->list[i];
        ssize_t size = read_xattr(fd, wanted->name, one->name, value);
        ssize_t wanted_size = (ssize_t)one->size;

        if (size < 0) {
            if (wanted->record) {
                sidecar_add_xattr(wanted->parent, fd >= 0 ? "" : wanted->name, one);
            }
            continue;
        }
        memcpy(given, one->value, one->size < sizeof given ? one->size : sizeof given);
        if (strcmp(one->name, "security.capability") == 0) {
            wanted_size = portable_capability(given, wanted_size);
        }
        if (size != wanted_size || memcmp(value, given, (size_t)size) != 0) {
            finding(wanted->parent, wanted->name, "has another value of the attribute %s", one->name);
        }
    }
    for (char *one = names; listed > 0 && one < names + listed; one += strlen(one) + 1) {
        if (is_judged(one) && find_xattr(wanted->xattrs, one) == NULL) {
            finding(wanted->parent, wanted->name, "has the attribute %s, which its archive has not", one);
        }
    }
}

void compare_metadata(const struct wanted *wanted, const struct stat *found, int fd)
{
    /* An access list shows its mask as the mode of the group: acl(5). */
    mode_t judged = find_xattr(wanted->xattrs, "system.posix_acl_access") != NULL ? 07707 : 07777;

    compare_owner(wanted, found);
    if (!wanted->is_link && ((found->st_mode ^ wanted->mode) & judged) != 0) {
        finding(wanted->parent, wanted->name, "has mode %04o, not %04o", found->st_mode & 07777, wanted->mode);
    }
    /* Beyond what ext4 can hold the kernel has put the nearest time: since 5.4, timestamp_truncate(). */
    if (wanted->mtime.tv_sec >= INT32_MIN && wanted->mtime.tv_sec < (INT64_C(1) << 34) &&
        (found->st_mtim.tv_sec != wanted->mtime.tv_sec || found->st_mtim.tv_nsec != wanted->mtime.tv_nsec)) {
        finding(wanted->parent, wanted->name, "was modified at %lld.%09ld, not at %lld.%09ld",
                (long long)found->st_mtim.tv_sec, found->st_mtim.tv_nsec, (long long)wanted->mtime.tv_sec,
                wanted->mtime.tv_nsec);
    }
    compare_xattrs(wanted, fd);
}

/* Removes trees: rm -rf that follows no link and crosses no mount, whatever the modes of the directories are.
 *
 * Another process may remove the same tree at the same time: so several of ours do, each a part of it, and then one goes
 * through what is left. Depth is bounded by moving what is deep to the top. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* SHARED: how deep all workers look: full/tree/usr/share/doc below a layer is the first that is one worker's whole. */
enum { DEPTH = 100, PASSES = 16, SHARED = 5 };

struct removal {
    int top_fd;                    /* where deep directories are moved to; not ours to close */
    unsigned moved;                /* how many were */
    unsigned char *taken;          /* NULL: all is ours; else shared with others, and what fails is not the last word */
    int error;                     /* the first that was not ENOENT */
    char failed[300];
};

static int note(struct removal *removal, const char *name, int error)
{
    if (removal->error == 0) {
        removal->error = error;
        snprintf(removal->failed, sizeof removal->failed, "%s", name);
    }
    return error;
}

static uint64_t mount_id(int fd)
{
    struct statx found;

    /* statx(2): STATX_MNT_ID since 5.8; st_dev alone does not see a bind mount of the same file system. */
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &found) < 0 || !(found.stx_mask & STATX_MNT_ID)) {
        return 0;
    }
    return found.stx_mnt_id;
}

/* Makes a directory ours to read and write. By an O_PATH descriptor: chmod by name would follow a link put there now. */
static void unlock_directory(int parent_fd, const char *name)
{
    char path[40];
    int fd = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        (void)chmod(path, 0700);   /* a failure shows at the retry */
        close(fd);
    }
}

static int open_directory(int parent_fd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent_fd, name, flags);

    if (fd < 0 && errno == EACCES) {
        unlock_directory(parent_fd, name);
        fd = openat(parent_fd, name, flags);
    }
    return fd;
}

static int unlink_name(int parent_fd, const char *name, int flags)
{
    if (unlinkat(parent_fd, name, flags) == 0) {
        report.removed++;
        return 0;
    }
    if (errno == EACCES && fchmod(parent_fd, 0700) == 0 && unlinkat(parent_fd, name, flags) == 0) {
        report.removed++;
        return 0;
    }
    return errno == ENOENT ? 0 : errno;
}

static void remove_directory(struct removal *removal, int parent_fd, const char *name, int depth);

static void remove_name(struct removal *removal, int parent_fd, const char *name, unsigned char type, int depth)
{
    int error = EISDIR;

    if (type != DT_DIR) {
        error = unlink_name(parent_fd, name, 0);
    }
    if (error == EISDIR) {
        remove_directory(removal, parent_fd, name, depth);
    } else if (error != 0) {
        note(removal, name, error);
    }
}

static bool is_shared(const struct removal *removal, int depth)
{
    return removal->taken != NULL && depth < SHARED;
}

/* Takes the directory of this inode number, if nobody has. Two of one hash: the second is left to the last pass. */
static bool take(const struct removal *removal, uint64_t number)
{
    uint64_t place = (number * 0x9e3779b97f4a7c15u >> 32) % REMOVE_PLACES;

    return __atomic_exchange_n(&removal->taken[place], 1, __ATOMIC_RELAXED) == 0;
}

/* Whether a name of a shared directory is for this worker: files go with their directory. */
static bool is_for_us(const struct removal *removal, const struct dirent *entry, bool takes_files, int depth)
{
    if (entry->d_type != DT_DIR) {
        return takes_files;
    }
    return is_shared(removal, depth + 1) || take(removal, entry->d_ino);
}

/* One pass over a directory's names; false if it found none. */
static bool empty(struct removal *removal, int fd, int depth)
{
    struct stat status = {0};
    bool shared = is_shared(removal, depth);
    bool takes_files = !shared || (fstat(fd, &status) == 0 && take(removal, status.st_ino));
    bool found = false;
    struct dirent *one;

    /* inode(7): a directory's links are its own two and one for each below it; 1 where the file system does not count. */
    if (shared && !takes_files && status.st_nlink == 2) {
        return false;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);

    if (directory == NULL) {
        note(removal, "", errno);
        if (copy >= 0) {
            close(copy);
        }
        return false;
    }
    rewinddir(directory);
    while ((one = readdir(directory)) != NULL) {
        if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0 &&
            (!shared || is_for_us(removal, one, takes_files, depth))) {
            found = true;
            remove_name(removal, fd, one->d_name, one->d_type, depth + 1);
        }
    }
    closedir(directory);
    return found;
}

static bool move_up(struct removal *removal, int parent_fd, const char *name)
{
    char moved[64];

    snprintf(moved, sizeof moved, ".pyrun-remove-%d-%u", (int)getpid(), removal->moved);
    if (renameat2(parent_fd, name, removal->top_fd, moved, RENAME_NOREPLACE) == 0) {
        removal->moved++;
        return true;
    }
    if (errno == EACCES) {
        unlock_directory(parent_fd, name);
        if (renameat2(parent_fd, name, removal->top_fd, moved, RENAME_NOREPLACE) == 0) {
            removal->moved++;
            return true;
        }
    }
    return false;
}

static void remove_directory(struct removal *removal, int parent_fd, const char *name, int depth)
{
    int error = 0;
    int fd;

    if (depth > DEPTH && move_up(removal, parent_fd, name)) {
        return;
    }
    fd = open_directory(parent_fd, name);
    if (fd < 0) {
        if (errno == ENOTDIR || errno == ELOOP) {
            error = unlink_name(parent_fd, name, 0);
        } else if (errno != ENOENT) {
            error = errno;
        }
        if (error != 0) {
            note(removal, name, error);
        }
        return;
    }
    if (mount_id(fd) != mount_id(parent_fd)) {
        note(removal, name, EBUSY);
        close(fd);
        return;
    }
    if (is_shared(removal, depth)) {
        if (empty(removal, fd, depth)) {
            (void)unlink_name(parent_fd, name, AT_REMOVEDIR);   /* where the others have left nothing in it */
        }
        close(fd);
        return;
    }
    for (int pass = 0; pass < PASSES; pass++) {
        bool found = empty(removal, fd, depth);

        error = unlink_name(parent_fd, name, AT_REMOVEDIR);
        if (error != ENOTEMPTY && error != EEXIST) {
            break;
        }
        if (!found || removal->error != 0) {
            break;
        }
    }
    close(fd);
    if (error != 0) {
        note(removal, name, error);
    }
}

static void remove_all(struct removal *removal, int dir_fd, const char *name)
{
    char moved[64];

    removal->top_fd = dir_fd;
    remove_name(removal, dir_fd, name, DT_UNKNOWN, 0);
    removal->taken = NULL;         /* what we have moved is ours alone */
    for (unsigned i = 0; i < removal->moved; i++) {
        snprintf(moved, sizeof moved, ".pyrun-remove-%d-%u", (int)getpid(), i);
        remove_name(removal, dir_fd, moved, DT_DIR, 0);
    }
}

void remove_at(int dir_fd, const char *name)
{
    struct removal removal = {0};

    remove_all(&removal, dir_fd, name);
    if (removal.error != 0) {
        fail_errno("unlinkat", removal.error);
    }
}

int remove_path(const char *path, unsigned char *taken)
{
    static char failed[2 * PATH_LIMIT];
    struct removal removal = {.taken = taken};
    char *copy = must_alloc(strlen(path) + 3);
    char *end, *slash;
    int fd;

    strcpy(copy, path);
    for (end = copy + strlen(copy); end > copy + 1 && end[-1] == '/'; end--) {
        end[-1] = 0;
    }
    slash = strrchr(copy, '/');
    const char *last = slash == NULL ? copy : slash + 1;

    if (last[0] == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) {
        usage("remove: refusing to remove / . or ..");
    }
    if (slash != NULL) {
        *slash = 0;
    }
    fd = open(slash == NULL ? "." : slash == copy ? "/" : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        free(copy);
        return errno == ENOENT ? 0 : errno;
    }
    remove_all(&removal, fd, last);
    if (removal.error != 0 && taken == NULL && report_entry[0] == 0) {
        snprintf(failed, sizeof failed, strcmp(removal.failed, last) == 0 ? "%s" : "%s: %s", path, removal.failed);
        report_entry = failed;
    }
    close(fd);
    free(copy);
    return removal.error;
}

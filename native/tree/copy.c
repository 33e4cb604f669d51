/* The verb `copy`: a tree with everything it has: owners (shifted by --map), modes, times, xattrs, hard links, holes.
 *
 * What is in the destination is merged with: directories stay, everything else is replaced. With --overlay the source is
 * a layer: its whiteouts remove, its opaque directories replace, and its marks are not copied. */
#include "clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool as_layer;
static int top_fd;
static char path[PATH_LIMIT + 1];  /* of the object at work, from the top; also for the report */

/* Links the object to its first copy, if there is one. */
static bool link_to_first(const struct stat *found, int to, const char *name)
{
    const char *first = first_link(found, path);

    if (first != NULL && linkat(top_fd, first, to, name, 0) < 0) {
        fail_errno("linkat", errno);
    }
    return first != NULL;
}

static void copy_file(int from, int to, const char *name, const struct stat *found)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int out;

    if (in < 0) {
        fail_errno("openat", errno);
    }
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0) {
        fail_errno("openat", errno);
    }
    clone_data(in, out, (uint64_t)found->st_size);
    report.bytes += (uint64_t)found->st_size;
    clone_metadata(in, out, NULL, NULL, found, !as_layer);
    close(in);
    close(out);
}

static bool copy_special(int from, int to, const char *name, const struct stat *found)
{
    if (S_ISLNK(found->st_mode)) {
        char target[PATH_LIMIT + 1];
        ssize_t size = readlinkat(from, name, target, PATH_LIMIT);

        if (size < 0) {
            fail_errno("readlinkat", errno);
        }
        target[size] = 0;
        if (symlinkat(target, to, name) < 0) {
            fail_errno("symlinkat", errno);
        }
    } else if (S_ISSOCK(found->st_mode)) {
        report.skipped++;          /* a socket without its process is nothing */
        return false;
    } else if (mknodat(to, name, found->st_mode, found->st_rdev) < 0) {
        if (errno != EPERM) {
            fail_errno("mknodat", errno);
        }
        report.skipped_devices++;
        return false;
    }
    clone_metadata(from, to, name, name, found, !as_layer);
    return true;
}

static int open_directory(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        fail_errno("openat", errno);
    }
    return fd;
}

static void copy_tree(int from, int to, const struct stat *found);

static void copy_directory(int from, int to, const char *name, const struct stat *found)
{
    int in = open_directory(from, name);
    int out;
    char mark;

    if (as_layer && fgetxattr(in, "user.overlay.opaque", &mark, 1) == 1 && mark == 'y') {
        remove_at(to, name);
    }
    if (mkdirat(to, name, 0700) < 0 && errno != EEXIST) {
        fail_errno("mkdirat", errno);
    }
    out = open_directory(to, name);
    copy_tree(in, out, found);
    close(in);
    close(out);
}

static void copy_object(int from, int to, const char *name)
{
    struct stat found, old;

    if (fstatat(from, name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) {
            return;
        }
        fail_errno("fstatat", errno);
    }
    report.entries++;
    bool is_whiteout = as_layer && whiteout_is(from, name, &found);
    bool is_taken = fstatat(to, name, &old, AT_SYMLINK_NOFOLLOW) == 0;

    if (is_taken && !(S_ISDIR(old.st_mode) && S_ISDIR(found.st_mode))) {
        remove_at(to, name);
    }
    if (is_whiteout) {
        return;
    }
    if (S_ISDIR(found.st_mode)) {
        copy_directory(from, to, name, &found);
    } else if (found.st_nlink > 1 && link_to_first(&found, to, name)) {
        return;
    } else if (S_ISREG(found.st_mode)) {
        copy_file(from, to, name, &found);
    } else {
        (void)copy_special(from, to, name, &found);
    }
}

static void copy_tree(int from, int to, const struct stat *found)
{
    size_t size = strlen(path);
    DIR *directory = fdopendir(fcntl(from, F_DUPFD_CLOEXEC, 0));
    struct dirent *one;

    if (directory == NULL) {
        fail_errno("fdopendir", errno);
    }
    while ((one = readdir(directory)) != NULL) {
        size_t name_size = strlen(one->d_name);

        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0) {
            continue;
        }
        if (size + 1 + name_size > PATH_LIMIT) {
            fail_errno("openat", ENAMETOOLONG);
        }
        path[size] = '/';
        memcpy(path + size + (size > 0), one->d_name, name_size + 1);
        copy_object(from, to, one->d_name);
        path[size] = 0;
    }
    closedir(directory);
    clone_metadata(from, to, NULL, NULL, found, !as_layer);
}

static bool is_empty(int fd)
{
    DIR *directory = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    struct dirent *one;
    bool empty = true;

    if (directory == NULL) {
        fail_errno("fdopendir", errno);
    }
    while (empty && (one = readdir(directory)) != NULL) {
        empty = strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0;
    }
    rewinddir(directory);
    closedir(directory);
    return empty;
}

int verb_copy(int argc, char **argv)
{
    int from = -1, to = -1;
    bool only_empty = false;
    struct stat found;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--no-clobber") == 0) {
            only_empty = true;
        } else if (strcmp(argv[i], "--overlay") == 0) {
            as_layer = true;
        } else if (i + 1 == argc) {
            usage("copy --from-fd N --to-fd N [--report-fd N] [--map u|g|b:FROM:TO:COUNT]… [--no-clobber] [--overlay]");
        } else if (strcmp(argv[i], "--from-fd") == 0) {
            from = (int)option_number(argv[++i]);
        } else if (strcmp(argv[i], "--to-fd") == 0) {
            to = (int)option_number(argv[++i]);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[++i]);
        } else if (strcmp(argv[i], "--map") == 0) {
            clone_map_add(argv[++i]);
        } else {
            usage("copy: unknown option");
        }
    }
    /* The caller may only have been able to name them (O_PATH): a directory of another owner is ours to open here. */
    from = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0 || fstat(from, &found) < 0) {
        usage("copy: --from-fd and --to-fd are directories");
    }
    report_entry = path;
    top_fd = to;
    umask(0);
    if (only_empty && !is_empty(to)) {
        report.skipped = 1;
    } else {
        copy_tree(from, to, &found);
    }
    report_finish();
    return 0;
}

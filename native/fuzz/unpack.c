/* The harness of scripts/fuzz: one archive from standard input, as `pyrun-tree unpack` reads it, and then a look around.
 *
 *   fuzz-unpack DIRECTORY full|flat
 *
 * DIRECTORY/dest is emptied first, so that a fuzzer can run it again and again. An archive may be taken or refused; what
 * it may not do is to crash the reader (the sanitizers tell), or to touch anything but dest: then this aborts.
 * The verb ends by _exit(2) wherever it refuses, so the look is taken in front of that (ld --wrap). */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char unharmed[] = "unharmed";
static int top_fd = -1;

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

static void escaped(const char *what)
{
    dprintf(STDERR_FILENO, "fuzz-unpack: outside of the destination: %s\n", what);
    abort();
}

/* True if the directory holds exactly these two names; "" for one that may be missing. */
static bool holds_only(int fd, const char *one, const char *other)
{
    DIR *stream = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *item;
    bool only = stream != NULL;

    while (only && (item = readdir(stream)) != NULL) {
        const char *name = item->d_name;

        only = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, one) == 0 || strcmp(name, other) == 0;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return only;
}

static void look_around(void)
{
    char content[sizeof unharmed] = "";
    struct stat found;
    int outside = openat(top_fd, "outside", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int file = openat(outside, "file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (!holds_only(top_fd, "outside", "dest")) {
        escaped("a name beside it");
    }
    if (outside < 0 || fstat(outside, &found) < 0 || (found.st_mode & 07777) != 0750 ||
        !holds_only(outside, "file", "")) {
        escaped("the directory `outside`");
    }
    if (file < 0 || fstat(file, &found) < 0 || (found.st_mode & 07777) != 0640 || found.st_nlink != 1 ||
        found.st_mtime != 1 || read(file, content, sizeof content) != sizeof unharmed - 1 ||
        strcmp(content, unharmed) != 0) {
        escaped("the file `outside/file`");
    }
    close(file);
    close(outside);
}

_Noreturn void __wrap__exit(int status)
{
    if (top_fd >= 0) {
        look_around();
    }
    __real__exit(status);
}

static void prepare(const char *directory)
{
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    char *dest;
    int file;

    (void)umask(0);
    top_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top_fd < 0 || asprintf(&dest, "%s/dest", directory) < 0) {
        fail_errno("open", ENOENT);
    }
    if (faccessat(top_fd, "dest", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        verb_remove(1, &dest);
    }
    free(dest);
    if (mkdirat(top_fd, "dest", 0700) < 0) {
        fail_errno("mkdir", errno);
    }
    if (mkdirat(top_fd, "outside", 0750) < 0) {
        return;                    /* it is there from an earlier run */
    }
    file = openat(top_fd, "outside/file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (file < 0 || write(file, unharmed, sizeof unharmed - 1) < 0 || futimens(file, times) < 0) {
        fail_errno("open", errno);
    }
    close(file);
}

int main(int argc, char **argv)
{
    char dest_fd[16], null_fd[16];

    if (argc != 3) {
        usage("fuzz-unpack DIRECTORY full|flat");
    }
    prepare(argv[1]);
    snprintf(dest_fd, sizeof dest_fd, "%d", openat(top_fd, "dest", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    snprintf(null_fd, sizeof null_fd, "%d", open("/dev/null", O_WRONLY | O_CLOEXEC));
    const char *words[] = {"--dest-fd", dest_fd, "--form", argv[2], "--sidecar-fd", null_fd, "--report-fd", null_fd,
                           "--max-bytes", "16777216", "--max-entries", "2000"};
    verb_unpack((int)(sizeof words / sizeof words[0]), (char **)words);
    look_around();
    return 0;
}

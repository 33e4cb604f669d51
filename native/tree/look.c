/* The verb `look`: what is at a path inside a root, as docker's `cp` asks before it copies. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "directory";
    case S_IFREG:
        return "file";
    case S_IFLNK:
        return "link";
    default:
        return "other";
    }
}

static bool stat_place(const struct place *place, struct stat *found)
{
    if (place->parent == NULL) {
        return false;
    }
    if (fstatat(node_fd(place->parent), place->name[0] == 0 ? "." : place->name, found, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno != ENOENT && errno != ENAMETOOLONG) {
        fail_errno("fstatat", errno);
    }
    return false;
}

static void report_place(const char *key, const struct place *place)
{
    char path[PATH_LIMIT + 300] = "";

    if (place->parent != NULL) {
        path[0] = '/';
        node_path(place->parent, place->name, path + 1);
    }
    report_text(key, path);
}

/* Reports `kind` ("" where nothing is), `mode`, `size`, and `path`: the same place, without links on the way ("" where a
 * directory on the way lacks). For a link also `target`: where it leads in the end. */
int verb_look(int argc, char **argv)
{
    struct place place;
    struct stat found = {0};
    int root_fd = -1;
    const char *path = NULL;
    bool exists, follows = false;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--follow") == 0) {
            follows = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--root-fd") == 0) {
            root_fd = (int)option_number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--path") == 0) {
            path = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--userns-fd") == 0) {
            enter_user_namespace((int)option_number(argv[++i]));
        } else if (i + 1 < argc && strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[++i]);
        } else {
            usage("look --root-fd N --path PATH [--follow] [--report-fd N]");
        }
    }
    if (root_fd < 0 || path == NULL) {
        usage("look: --root-fd and --path are needed");
    }
    place = resolve_in_root(root_fd, path);
    if (follows) {
        place = resolve_link(place);
    }
    exists = stat_place(&place, &found);
    report_text("kind", exists ? kind_of(found.st_mode) : "");
    report_place("path", &place);
    report_number("mode", found.st_mode & 07777);
    report_number("size", (uint64_t)found.st_size);
    if (exists && S_ISLNK(found.st_mode)) {
        place = resolve_link(place);
        report_place("target", &place);
    }
    report_finish();
    return 0;
}

/* The verb `unpack`: a tar stream on standard input becomes one layer directory, in overlay's on-disk form; with --into it
 * goes into a tree that is in use, as `cp` wants it.
 *
 * Sources: OCI image-spec 1.1 layer.md "Whiteouts"; overlayfs.rst "whiteouts and opaque directories". */
#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NODE_BYTES = 80 << 20 };    /* a million directories, and more than any image has; pulls go side by side */

struct options options = {.dest_fd = -1, .sidecar_fd = -1, .max_bytes = INT64_MAX, .max_entries = 2000000};

void charge(uint64_t entries, uint64_t bytes)
{
    report.entries += entries;
    if (report.entries > options.max_entries) {
        exceed("more than %" PRIu64 " entries", options.max_entries);
    }
    if (bytes > options.max_bytes || report.bytes > options.max_bytes - bytes) {
        exceed("files of more than %" PRIu64 " bytes together", options.max_bytes);
    }
    report.bytes += bytes;
}

/* True if `name` is on disk; clears what is no directory. `was_removed`: it was a whiteout of this layer. */
static bool has_directory(struct node *parent, const char *name, bool *was_removed)
{
    struct stat found;

    *was_removed = false;
    if (fstatat(node_fd(parent), name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) {
            fail_errno("fstatat", errno);
        }
        return false;
    }
    if (S_ISDIR(found.st_mode)) {
        return true;
    }
    if (options.alive) {
        refuse("cannot overwrite non-directory with directory");
    }
    *was_removed = whiteout_is(node_fd(parent), name, &found);
    clear_name(parent, name, &found);
    return false;
}

/* The node of a directory that is there or is made now. */
static struct node *directory(const struct place *place)
{
    struct node *node;
    bool was_removed;
    size_t size = strlen(place->name);

    if (size == 0) {
        return place->parent;
    }
    node = node_find(place->parent, place->name, size);
    if (node != NULL) {
        return node;
    }
    if (has_directory(place->parent, place->name, &was_removed)) {
        node = node_add(place->parent, place->name, size);
        node->existed = true;
        return node;
    }
    sidecar_forget(place->parent, place->name);
    node = ensure_directory(place->parent, place->name, size);
    node->opaque = was_removed;
    return node;
}

static void extract_directory(struct entry *entry)
{
    char path[PATH_LIMIT + 1];
    struct place place;
    struct node *node;

    strcpy(path, entry->path);
    path_normalise(path, "name");
    place = resolve(path, true);
    node = directory(&place);
    node_list(node, entry);
    input_skip((entry->size + BLOCK - 1) / BLOCK * BLOCK);
}

static void make_whiteout(const struct place *place)
{
    struct node *node;
    struct stat found;

    report.whiteouts++;
    node = node_find(place->parent, place->name, strlen(place->name));
    if (node != NULL) {
        /* layer.md: a whiteout hides what is below, not what its own layer has. */
        node->opaque = true;
        return;
    }
    if (!whiteout_make(place->parent, place->name)) {
        if (fstatat(node_fd(place->parent), place->name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
            fail_errno("fstatat", errno);
        }
        if (S_ISDIR(found.st_mode)) {
            refuse("whiteout of a directory that was there before the layer");
        }
    }
}

/* True if the member was a mark of the layer format and no file. */
static bool extract_mark(const struct entry *entry)
{
    char path[PATH_LIMIT + 1];
    char *last;
    struct place place;

    strcpy(path, entry->path);
    path_normalise(path, "name");
    last = strrchr(path, '/');
    last = last == NULL ? path : last + 1;
    if (strncmp(last, ".wh.", 4) != 0) {
        return false;
    }
    if (strcmp(last, ".wh..wh..opq") == 0) {
        place = resolve(path, true);
        place.parent->opaque = true;
    } else if (strncmp(last, ".wh..wh.", 8) != 0) {
        const char *victim = last + 4;

        if (victim[0] == 0 || strcmp(victim, ".") == 0 || strcmp(victim, "..") == 0) {
            refuse("whiteout of \"%s\"", victim);
        }
        place = resolve(path, true);
        memmove(place.name, place.name + 4, strlen(place.name + 4) + 1);
        make_whiteout(&place);
    }
    input_skip((entry->size + BLOCK - 1) / BLOCK * BLOCK);
    return true;
}

static void open_destination(void)
{
    struct stat found;

    if (fstat(options.dest_fd, &found) < 0 || !S_ISDIR(found.st_mode)) {
        usage("--dest-fd is no directory");
    }
    if (options.alive) {
        node_root(options.dest_fd)->existed = true;
        return;
    }
    /* A default ACL on the store would change the mode of every file below. */
    if (fremovexattr(options.dest_fd, "system.posix_acl_default") < 0 && errno != ENODATA && errno != EOPNOTSUPP &&
        errno != EPERM) {
        fail_errno("removexattr", errno);
    }
    if (fchmod(options.dest_fd, 0700) < 0) {
        fail_errno("fchmod", errno);
    }
    node_root(options.dest_fd);
}

/* The archive's names begin in a directory of the tree, not in its root. */
static void put_under(char *path, const char *what)
{
    size_t size = strlen(options.into);

    path_normalise(path, what);
    if (size == 0) {
        return;
    }
    if (size + 1 + strlen(path) > PATH_LIMIT) {
        exceed("path is longer than %d bytes", PATH_LIMIT);
    }
    if (path[0] == 0) {
        memcpy(path, options.into, size + 1);
        return;
    }
    memmove(path + size + 1, path, strlen(path) + 1);
    memcpy(path, options.into, size);
    path[size] = '/';
}

/* True for the directory itself that the archive goes into: it stays as it is. */
static bool move_names(struct entry *entry)
{
    size_t before;

    put_under(entry->path, "name");
    before = strlen(entry->path);
    if (entry->type == '1') {
        put_under(entry->link, "target of the hard link");
    }
    if (entry->type != '5' || before > strlen(options.into)) {
        return false;
    }
    input_skip((entry->size + BLOCK - 1) / BLOCK * BLOCK);
    return true;
}

void unpack(void)
{
    static struct entry entry;

    umask(0);
    metadata_open();
    open_destination();
    input_open(STDIN_FILENO, options.max_bytes);
    while (header_next(&entry)) {
        charge(1, entry.sparse.present && entry.sparse.real_size > entry.size ? entry.sparse.real_size : entry.size);
        if (options.alive ? move_names(&entry) : extract_mark(&entry)) {
            continue;
        }
        if (entry.type == '5') {
            extract_directory(&entry);
        } else {
            extract(&entry);
        }
    }
    apply_directories();
    sidecar_write(options.sidecar_fd);
    report_finish();
}

static void set_owner(const char *text)
{
    char *end;

    options.owner = OWNER_SELF;
    if (strcmp(text, "self") != 0) {
        options.owner = OWNER_GIVEN;
        options.uid = strtoull(text, &end, 10);
        options.gid = *end == ':' ? strtoull(end + 1, NULL, 10) : options.uid;
    }
}

static void set_into(const char *text)
{
    static char clean[PATH_LIMIT + 1];

    if (strlen(text) > PATH_LIMIT) {
        exceed("path is longer than %d bytes", PATH_LIMIT);
    }
    options.into = strcpy(clean, text);
    options.alive = true;
    options.max_entries = INT64_MAX;
    path_normalise(clean, "path");
}

int verb_unpack(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--dest-fd") == 0) {
            options.dest_fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--sidecar-fd") == 0) {
            options.sidecar_fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--max-bytes") == 0) {
            options.max_bytes = option_number(value);
        } else if (strcmp(argv[i], "--max-entries") == 0) {
            options.max_entries = option_number(value);
        } else if (strcmp(argv[i], "--into") == 0) {
            set_into(value);
        } else if (strcmp(argv[i], "--userns-fd") == 0) {
            enter_user_namespace((int)option_number(value));
        } else if (strcmp(argv[i], "--owner") == 0) {
            set_owner(value);
        } else if (strcmp(argv[i], "--map") == 0) {
            clone_map_add(value);
        } else if (strcmp(argv[i], "--form") == 0 && (strcmp(value, "full") == 0 || strcmp(value, "flat") == 0)) {
            options.flat = value[1] == 'l';
        } else {
            usage("unpack --dest-fd N [--form full|flat] [--sidecar-fd N] [--report-fd N] [--max-bytes N] "
                  "[--max-entries N] [--into PATH] [--owner self|UID:GID] [--map u|g|b:FROM:TO:COUNT]…");
        }
        i++;
    }
    if (options.dest_fd < 0) {
        usage("unpack: --dest-fd is missing");
    }
    node_bytes_limit = options.alive ? SIZE_MAX : NODE_BYTES;
    unpack();
    return 0;
}

/* The verbs that write archives or lists of trees:
 *   pack     an object below an open root, under a name of the caller's choice
 *   export   all of a container: its upper directory over its layers, or its own tree
 *   changes  what makes it differ from its layers: a layer, or a list of lines KIND PATH NUL
 * They go to standard output. walk.c finds, describe.c says what it is, writer.c writes. */
#include "clone.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct entry entry;

/* Opens a regular file, and nothing that a container may have put in its place: to open a device may do things. */
static int open_file(int directory_fd, const char *name, struct stat *found)
{
    char path[40];
    int place = openat(directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;

    if (place < 0 || fstat(place, found) < 0) {
        return -1;
    }
    if (S_ISREG(found->st_mode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", place);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    close(place);
    return fd;
}

static void put_object(const struct level *in, const char *name, const char *path, size_t number, const struct stat *found)
{
    struct stat now = *found;
    struct object object = {.top = &in->top, .below = &in->below, .number = number, .name = name, .path = path,
                            .found = &now, .fd = -1};
    const char *first;

    if (S_ISSOCK(now.st_mode)) {
        report.skipped++;          /* a socket without its process is nothing; tar has no form for it */
        return;
    }
    if (!S_ISDIR(now.st_mode) && now.st_nlink > 1 && (first = first_link(&now, path)) != NULL) {
        describe(&entry, &object);
        entry.type = '1';
        entry.size = 0;
        strcpy(entry.link, first);
        xattrs_free(&entry.xattrs);
        writer_put(&entry);
        return;
    }
    if (S_ISREG(now.st_mode)) {
        object.fd = open_file(in->top.parts[number].fd, name, &now);
        if (object.fd < 0) {
            if (errno == ENOENT || !S_ISREG(now.st_mode)) {
                return;            /* it is something else by now */
            }
            fail_errno("open", errno);
        }
    }
    describe(&entry, &object);
    writer_put(&entry);
    if (object.fd >= 0) {
        writer_data(object.fd, entry.size);
        close(object.fd);
    }
}

static void put_whiteout(const char *path, const char *directory, const char *name)
{
    const char *last = strrchr(path, '/');
    int parent = directory != NULL ? (int)strlen(directory) : last == NULL ? 0 : (int)(last - path);

    xattrs_free(&entry.xattrs);
    entry = (struct entry){.type = '0', .mode = 0644};
    if (snprintf(entry.path, sizeof entry.path, "%.*s%s.wh.%s", parent, path, parent > 0 ? "/" : "", name) >=
        (int)sizeof entry.path) {
        fail_errno("openat", ENAMETOOLONG);
    }
    writer_put(&entry);
}

static void put_change(enum change change, const struct level *in, const char *name, const char *path, size_t number,
                       const struct stat *found)
{
    if (strncmp(name, ".wh.", 4) == 0 && walk_options.is_layer) {
        refuse("a layer cannot hold a name that begins with .wh.");
    }
    if (change == DELETED) {
        put_whiteout(path, NULL, name);
    } else if (change == REPLACED) {
        put_whiteout(path, path, ".wh..opq");
    } else {
        put_object(in, name, path, number, found);
    }
}

static void list_change(enum change change, const struct level *in, const char *name, const char *path, size_t number,
                        const struct stat *found)
{
    static const char kinds[] = {[ADDED] = 'A', [CHANGED] = 'C', [DELETED] = 'D'};

    (void)in, (void)name, (void)number, (void)found;
    printf("%c /%s", kinds[change], path);
    putchar(0);
}

static void add_ignored(char *path)
{
    size_t size = (walk_options.ignored_count + 1) * sizeof *walk_options.ignored;

    walk_options.ignored = must_grow(walk_options.ignored, size);
    walk_options.ignored[walk_options.ignored_count++] = path;
}

static void set_copied(const char *text)
{
    if (!number_time((struct slice){text, strlen(text)}, &walk_options.copied)) {
        usage("--copied wants SECONDS.NANOSECONDS");
    }
    walk_options.is_whole = true;
}

/* What `export` and `changes` are told: --upper TREE, --fuse TREE or --tree TREE, then --layer TREE SIDECAR, highest first.
 * Under an upper directory the layers are part of what is walked when all of it is wanted. */
static void parse(int argc, char **argv, struct level *root, bool all, bool *list)
{
    bool is_tree = false;

    for (int i = 0; i < argc; i++) {
        const char *option = argv[i];

        if (strcmp(option, "--list") == 0) {
            *list = true;
        } else if (strcmp(option, "--flat") == 0) {
            options.flat = true;
        } else if (i + 1 == argc) {
            usage("export, changes: an option lacks its value");
        } else if (strcmp(option, "--report-fd") == 0) {
            report.fd = (int)option_number(argv[++i]);
        } else if (strcmp(option, "--map") == 0) {
            clone_map_add(argv[++i]);
        } else if (strcmp(option, "--ignore") == 0) {
            add_ignored(argv[++i]);
        } else if (strcmp(option, "--copied") == 0) {
            set_copied(argv[++i]);
        } else if (strcmp(option, "--upper") == 0 || strcmp(option, "--fuse") == 0) {
            merged_add_tree(&root->top, argv[++i], "", option[2] == 'f' ? FUSE_MARKS : KERNEL_MARKS);
        } else if (strcmp(option, "--tree") == 0) {
            merged_add_tree(&root->top, argv[++i], "", NO_MARKS);
            is_tree = true;
        } else if (strcmp(option, "--layer") == 0 && i + 2 < argc) {
            merged_add_tree(all && !is_tree ? &root->top : &root->below, argv[i + 1], argv[i + 2], KERNEL_MARKS);
            i += 2;
        } else {
            usage("export, changes: unknown option");
        }
    }
    if (root->top.count == 0) {
        usage("export, changes: what is missing: --upper, --fuse or --tree");
    }
}

int verb_export(int argc, char **argv)
{
    static struct level root = {.told = true};
    bool list = false;

    parse(argc, argv, &root, true, &list);
    writer_open(STDOUT_FILENO);
    walk_all(&root, put_change);
    writer_close();
    report_finish();
    return 0;
}

int verb_changes(int argc, char **argv)
{
    static struct level root = {.told = true};
    bool list = false;

    parse(argc, argv, &root, false, &list);
    walk_options.is_layer = !list;
    if (list) {
        walk_changes(&root, list_change);
        if (fflush(stdout) != 0) {
            fail_errno("write", errno);
        }
    } else {
        writer_open(STDOUT_FILENO);
        walk_changes(&root, put_change);
        if (report.entries > 0) {
            writer_close();
        }
    }
    report_finish();
    return 0;
}

/* --root-fd N --path PATH --name NAME: the object at PATH, links in the root followed on the way to it, becomes NAME. */
int verb_pack(int argc, char **argv)
{
    static const struct layer plain = {.marks = NO_MARKS};
    static struct level in = {.told = true};
    struct place place;
    int root_fd = -1;
    char *path = NULL, *name = NULL;

    for (int i = 0; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--root-fd") == 0) {
            root_fd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--path") == 0) {
            path = argv[i + 1];
        } else if (strcmp(argv[i], "--name") == 0) {
            name = argv[i + 1];
        } else if (strcmp(argv[i], "--userns-fd") == 0) {
            enter_user_namespace((int)option_number(argv[i + 1]));
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--map") == 0) {
            clone_map_add(argv[i + 1]);
        } else {
            usage("pack --root-fd N --path PATH --name NAME [--report-fd N] [--map u|g|b:FROM:TO:COUNT]…");
        }
    }
    if (root_fd < 0 || path == NULL || name == NULL) {
        usage("pack: --root-fd, --path and --name are needed");
    }
    place = resolve_in_root(root_fd, path);
    if (place.parent == NULL) {
        report_entry = path;
        fail_errno("openat", ENOENT);
    }
    merged_add(&in.top, node_fd(place.parent), &plain);
    writer_open(STDOUT_FILENO);
    walk_one(&in, place.name[0] == 0 ? "." : place.name, name, put_change);
    if (report.entries + report.skipped == 0) {
        report_entry = path;
        fail_errno("openat", ENOENT);
    }
    writer_close();
    report_finish();
    return 0;
}

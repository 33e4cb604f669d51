/* From a member's name to a directory and a last name, inside the root whatever links the archive made.
 *
 * The rule is openat2(2)'s RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, made stricter for layers: ".." in a member's name is
 * refused, and so is a link whose ".." would leave the root. It is walked name by name with O_NOFOLLOW instead, because
 * that needs no kernel 5.6, and no system call for directories that this process made. A container that exchanges names
 * and links meanwhile gains nothing: no name of more than one component ever goes to the kernel (CVE-2018-15664). */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_LIMIT = 40 };         /* as the kernel: path_resolution(7) */

void path_normalise(char *path, const char *what)
{
    char *out = path;
    const char *in = path;

    while (*in != 0) {
        size_t size = strcspn(in, "/");

        if (size == 2 && in[0] == '.' && in[1] == '.') {
            refuse("%s has a \"..\" component", what);
        }
        if (size > 255) {
            refuse("%s has a component of more than 255 bytes", what);
        }
        if (size > 0 && !(size == 1 && in[0] == '.')) {
            if (out != path) {
                *out++ = '/';
            }
            memmove(out, in, size);
            out += size;
        }
        in += size;
        in += strspn(in, "/");
    }
    *out = 0;
}

struct node *ensure_directory(struct node *parent, const char *name, size_t size)
{
    struct node *node;

    node = node_add(parent, name, size);
    if (mkdirat(node_fd(parent), node->name, 0700) < 0) {
        fail_errno("mkdirat", errno);
    }
    return node;
}

/* What a walk has still to go through: the rest of the name, or of a link's target and then the rest. */
struct walk {
    char todo[2 * PATH_LIMIT + 2];
    const char *next;
    int links;
    size_t own;                    /* bytes at the end of `todo` that are the member's own, not a link's target */
};

static void follow(struct walk *walk, struct node **at, const char *name)
{
    char target[2 * PATH_LIMIT + 2];
    ssize_t size = readlinkat(node_fd(*at), name, target, PATH_LIMIT);
    size_t rest = strlen(walk->next);

    if (size <= 0) {
        fail_errno("readlinkat", size < 0 ? errno : EINVAL);
    }
    if (++walk->links > LINKS_LIMIT) {
        if (options.alive) {
            fail_errno("openat", ELOOP);
        }
        refuse("more than %d links on the way", LINKS_LIMIT);
    }
    if ((size_t)size + 1 + rest > PATH_LIMIT) {
        exceed("path is longer than %d bytes", PATH_LIMIT);
    }
    target[size] = '/';
    memcpy(target + size + 1, walk->next, rest + 1);
    memcpy(walk->todo, target, (size_t)size + rest + 2);
    walk->next = walk->todo;
    walk->own = rest < walk->own ? rest : walk->own;
    if (target[0] == '/') {
        *at = node_root(-1);
    }
}

/* One name on disk that no node stands for. */
static struct node *discover(struct walk *walk, struct node *at, const char *name, bool create)
{
    struct stat found;
    struct node *node;

    if (fstatat(node_fd(at), name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) {
            fail_errno("fstatat", errno);
        }
        if (!create) {
            return NULL;
        }
        if (strlen(name) + strlen(walk->next) > walk->own) {
            refuse("leads through a link out of the layer, or to a directory it does not have");
        }
        charge(1, 0);
        return ensure_directory(at, name, strlen(name));
    }
    if (S_ISLNK(found.st_mode)) {
        follow(walk, &at, name);
        return at;
    }
    if (create && !options.alive && whiteout_is(node_fd(at), name, &found)) {
        /* The layer removed the name and now fills it anew: nothing below may show through. */
        if (unlinkat(node_fd(at), name, 0) < 0) {
            fail_errno("unlinkat", errno);
        }
        node = ensure_directory(at, name, strlen(name));
        node->opaque = true;
        return node;
    }
    if (!S_ISDIR(found.st_mode)) {
        if (options.alive && !create) {
            return NULL;
        }
        refuse("leads through %s, which is no directory", name);
    }
    node = node_add(at, name, strlen(name));
    node->existed = true;
    return node;
}

bool path_next(const char **rest, char *name)
{
    size_t size;

    *rest += strspn(*rest, "/");
    size = strcspn(*rest, "/");
    if (size > 255) {
        refuse("leads through a link with a name of more than 255 bytes");
    }
    memcpy(name, *rest, size);
    name[size] = 0;
    *rest += size;
    return size > 0;
}

/* Walks to the last name. "." and ".." at the end leave no name: the place is the directory itself. */
static struct place to_last(struct walk *walk, struct node *at, bool create)
{
    struct place place = {.parent = at};
    char name[256];

    while (place.parent != NULL && path_next(&walk->next, name)) {
        struct node *known;

        if (strcmp(name, ".") == 0) {
            continue;
        }
        if (strcmp(name, "..") == 0) {
            if (node_parent(place.parent) != NULL) {
                place.parent = node_parent(place.parent);
            } else if (!options.alive) {
                refuse("leads through a link out of the layer");
            }
            continue;
        }
        if (walk->next[strspn(walk->next, "/")] == 0) {
            strcpy(place.name, name);
            if (!options.alive) {
                node_check_path(place.parent, strlen(name));
            }
            break;
        }
        if (walk->links == 0 && !options.alive && strncmp(name, ".wh.", 4) == 0) {
            refuse("has a whiteout as a directory");
        }
        known = node_find(place.parent, name, strlen(name));
        place.parent = known != NULL ? known : discover(walk, place.parent, name, create);
    }
    return place;
}

/* Resolves a normalised path. Without `create`, parent is NULL when a directory on the way does not exist. */
struct place resolve(const char *path, bool create)
{
    struct walk walk = {.own = SIZE_MAX};

    strcpy(walk.todo, path);
    walk.next = walk.todo;
    return to_last(&walk, node_root(-1), create);
}

/* Where a place leads that may be a link: to the end of all links, which need not exist. */
struct place resolve_link(struct place place)
{
    struct walk walk = {.next = walk.todo};
    struct stat found;

    while (place.parent != NULL && place.name[0] != 0 &&
           fstatat(node_fd(place.parent), place.name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(found.st_mode)) {
        walk.todo[0] = 0;
        walk.next = walk.todo;
        follow(&walk, &place.parent, place.name);
        place = to_last(&walk, place.parent, false);
    }
    return place;
}

struct place resolve_in_root(int root_fd, const char *path)
{
    static char clean[PATH_LIMIT + 1];

    if (strlen(path) > PATH_LIMIT) {
        report_entry = path;
        fail_errno("openat", ENAMETOOLONG);
    }
    strcpy(clean, path);
    report_entry = clean;
    options.alive = true;
    node_root(root_fd);
    path_normalise(clean, "path");
    return resolve(clean, false);
}

/* From a member's name to a directory and a last name, inside the root whatever links the archive made.
 *
 * The rule is openat2(2)'s RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, made stricter: ".." in a member's name is refused,
 * and so is a link whose ".." would leave the root. It is walked name by name with O_NOFOLLOW instead, because that
 * needs no kernel 5.6, and no system call for directories that this process made. */
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
    if (S_ISCHR(found.st_mode) && found.st_rdev == 0 && create) {
        /* The layer removed the name and now fills it anew: nothing below may show through. */
        if (unlinkat(node_fd(at), name, 0) < 0) {
            fail_errno("unlinkat", errno);
        }
        node = ensure_directory(at, name, strlen(name));
        node->opaque = true;
        return node;
    }
    if (!S_ISDIR(found.st_mode)) {
        refuse("leads through %s, which is no directory", name);
    }
    node = node_add(at, name, strlen(name));
    node->existed = true;
    return node;
}

static bool next_name(struct walk *walk, char *name)
{
    size_t size;

    walk->next += strspn(walk->next, "/");
    size = strcspn(walk->next, "/");
    if (size > 255) {
        refuse("leads through a link with a name of more than 255 bytes");
    }
    memcpy(name, walk->next, size);
    name[size] = 0;
    walk->next += size;
    return size > 0;
}

/* Resolves a normalised path. Without `create`, parent is NULL when a directory on the way does not exist. */
struct place resolve(const char *path, bool create)
{
    struct walk walk = {.own = SIZE_MAX};
    struct place place = {.parent = node_root(-1)};
    const char *slash = strrchr(path, '/');
    const char *last = slash == NULL ? path : slash + 1;
    char name[256];

    memcpy(place.name, last, strlen(last) + 1);
    if (slash == NULL) {
        return place;
    }
    memcpy(walk.todo, path, (size_t)(slash - path));
    walk.todo[slash - path] = 0;
    walk.next = walk.todo;
    while (place.parent != NULL && next_name(&walk, name)) {
        struct node *known;

        if (strcmp(name, ".") == 0) {
            continue;
        }
        if (strcmp(name, "..") == 0) {
            if (place.parent->parent == NULL) {
                refuse("leads through a link out of the layer");
            }
            place.parent = place.parent->parent;
            continue;
        }
        if (walk.links == 0 && strncmp(name, ".wh.", 4) == 0) {
            refuse("has a whiteout as a directory");
        }
        known = node_find(place.parent, name, strlen(name));
        place.parent = known != NULL ? known : discover(&walk, place.parent, name, create);
    }
    return place;
}

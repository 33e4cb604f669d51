/* From a member's name to a place in the tree of model.c: the rule of resolve.c, in memory. */
#include "model.h"

#include <string.h>

enum { LINKS_LIMIT = 40 };

struct walk {
    char todo[2 * PATH_LIMIT + 2];
    const char *next;
    int links;
};

static struct node *follow(struct walk *walk, struct node *at, const char *target)
{
    char rest[2 * PATH_LIMIT + 2];
    size_t size = strlen(target);

    strcpy(rest, walk->next);
    if (++walk->links > LINKS_LIMIT || size + 1 + strlen(rest) > PATH_LIMIT) {
        refuse("leads through too many links");
    }
    memcpy(walk->todo, target, size);
    walk->todo[size] = '/';
    strcpy(walk->todo + size + 1, rest);
    walk->next = walk->todo;
    return target[0] == '/' ? node_root(-1) : at;
}

/* One name on the way; NULL: it is not there, and nothing is to be made. */
static struct node *step(struct walk *walk, struct node *at, const char *name, bool create)
{
    struct node *node = node_find(at, name, strlen(name));

    if (node != NULL && node->is_member && node->member->type == '2') {
        return follow(walk, at, node->member->target);
    }
    if (node != NULL && node->is_member && node->member->type == WHITEOUT && create) {
        model_forget(node);
        node->opaque = true;
        return node;
    }
    if (node != NULL && node->is_member) {
        refuse("leads through %s, which is no directory", name);
    }
    return node != NULL || !create ? node : node_add(at, name, strlen(name));
}

struct place model_place(const char *path, bool create)
{
    static struct walk walk;
    struct place place = {.parent = node_root(-1)};
    char name[256];

    strcpy(walk.todo, path);
    walk.next = walk.todo;
    walk.links = 0;
    while (place.parent != NULL && path_next(&walk.next, name)) {
        if (strcmp(name, ".") == 0) {
            continue;
        }
        if (strcmp(name, "..") == 0) {
            if (node_parent(place.parent) == NULL) {
                refuse("leads through a link out of the layer");
            }
            place.parent = node_parent(place.parent);
            continue;
        }
        if (walk.next[strspn(walk.next, "/")] == 0) {
            strcpy(place.name, name);
            break;
        }
        place.parent = step(&walk, place.parent, name, create);
    }
    return place;
}

/* Members of a layer's archive become the tree that unpack.c makes of them, in memory: the last of a name wins, links are
 * followed as they were at that moment, and a whiteout is a name of its own. resolve.c and entry.c say why, step by step.
 *
 * The archive was accepted once (its diff_id is verified beside this): what is refused here is damage on the way. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void model_forget(struct node *node)
{
    struct member *member = node_member(node);

    if (member->home == node) {
        member->home = NULL;
    }
    if (--member->links == 0) {
        xattrs_free(&member->xattrs);
        free(member->target);
        free(member);
    }
    node->is_member = false;
    node->extra = NULL;
}

/* Frees a name; what is below it goes at the end. */
static void drop(struct node *node)
{
    if (node->is_member) {
        model_forget(node);
    }
    node_drop(node);
}

static void give(struct node *node, struct member *member)
{
    node->is_member = true;
    node->member = member;
}

static struct node *named(struct node *parent, const char *name)
{
    return node_find(parent, name, strlen(name));
}

static struct member *put(const struct place *place, char type)
{
    struct node *node = named(place->parent, place->name);
    struct member *member = must_alloc(sizeof *member);

    if (node != NULL) {
        drop(node);
    }
    node = node_add(place->parent, place->name, strlen(place->name));
    member->type = type;
    member->links = 1;
    member->home = node;
    give(node, member);
    return member;
}

static void read_directory(const struct entry *entry, const struct place *place)
{
    struct node *node = place->name[0] == 0 ? place->parent : named(place->parent, place->name);

    if (node != NULL && node->is_member) {
        bool was_removed = node->member->type == WHITEOUT;

        drop(node);
        node = node_add(place->parent, place->name, strlen(place->name));
        node->opaque = was_removed;
    }
    if (node == NULL) {
        node = node_add(place->parent, place->name, strlen(place->name));
    }
    node_list(node, entry);
    input_skip((entry->size + BLOCK - 1) / BLOCK * BLOCK);
}

/* The file on disk; -1 if there is none, or none that can be read. */
static int open_file(const struct place *place)
{
    int parent_fd = node_try_fd(place->parent);
    struct stat found;
    int fd = parent_fd < 0 ? -1 : openat(parent_fd, place->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0 && (fstat(fd, &found) < 0 || !S_ISREG(found.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void read_link(const struct entry *entry, const struct place *place)
{
    char path[PATH_LIMIT + 1];
    struct place target;
    struct node *source, *node = named(place->parent, place->name);

    strcpy(path, entry->link);
    path_normalise(path, "target of the hard link");
    target = model_place(path, false);
    source = path[0] == 0 || target.parent == NULL ? NULL : named(target.parent, target.name);
    if (source == NULL || !source->is_member || source->member->type == WHITEOUT) {
        refuse("hard link to %s, which this layer does not have", entry->link);
    }
    if (node != NULL && node_member(node) == source->member) {
        return;
    }
    source->member->links++;       /* before the name is freed: what it had may be above */
    struct member *member = source->member;

    if (node != NULL) {
        drop(node);
    }
    give(node_add(place->parent, place->name, strlen(place->name)), member);
}

static void read_member(const struct entry *entry, const struct place *place)
{
    bool regular = entry->type == '0';
    struct member *member = put(place, entry->type);
    int fd;

    member->mode = entry->mode;
    member->uid = entry->uid;
    member->gid = entry->gid;
    member->mtime = entry->mtime;
    member->major = entry->major;
    member->minor = entry->minor;
    xattrs_copy(&member->xattrs, &entry->xattrs);
    if (entry->type == '2') {
        member->target = strcpy(must_alloc(strlen(entry->link) + 1), entry->link);
    }
    if (!regular) {
        return;
    }
    member->size = entry->sparse.present ? entry->sparse.real_size : entry->size;
    fd = open_file(place);
    content_compare(fd, entry, member);
    if (fd >= 0) {
        close(fd);
    }
}

static void hide(struct place *place)
{
    struct node *node;

    memmove(place->name, place->name + 4, strlen(place->name + 4) + 1);
    node = named(place->parent, place->name);
    place->parent->has_whiteouts = true;
    if (node == NULL) {
        (void)put(place, WHITEOUT);
    } else if (!node->is_member) {
        node->opaque = true;
    }
}

/* True if the member was a mark of the layer format and no file: image-spec 1.1 layer.md "Whiteouts". */
static bool read_mark(const struct entry *entry, const char *path)
{
    const char *last = strrchr(path, '/');
    struct place place;

    last = last == NULL ? path : last + 1;
    if (strncmp(last, ".wh.", 4) != 0) {
        return false;
    }
    if (strcmp(last, ".wh..wh..opq") == 0) {
        model_place(path, true).parent->opaque = true;
    } else if (strncmp(last, ".wh..wh.", 8) != 0) {
        place = model_place(path, true);
        hide(&place);
    }
    input_skip((entry->size + BLOCK - 1) / BLOCK * BLOCK);
    return true;
}

void model_read(const struct entry *entry)
{
    char path[PATH_LIMIT + 1];
    struct place place;

    strcpy(path, entry->path);
    path_normalise(path, "name");
    if (read_mark(entry, path)) {
        return;
    }
    place = model_place(path, true);
    if (entry->type == '5') {
        read_directory(entry, &place);
    } else if (place.name[0] == 0) {
        refuse("the root can only be a directory");
    } else if (entry->type == '1') {
        read_link(entry, &place);
    } else {
        read_member(entry, &place);
    }
}

/* In an opaque directory a whiteout hides nothing, and is not kept (whiteout.c). */
void model_finish(void)
{
    node_settle(model_forget);
    for (size_t i = node_count(); i-- > 0;) {
        struct node *node = node_at(i);

        if (node != NULL && node->is_member && node->member->type == WHITEOUT && node_parent(node)->opaque) {
            drop(node);
        }
    }
}

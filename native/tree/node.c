/* The directories of the tree, in memory: the unpacker is their only writer, so most names are resolved without a
 * system call. A bounded number of them is open at a time. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPEN_NODES = 192 };

static struct node **buckets;
static size_t bucket_count, live_count;
static struct node **order;
static size_t order_count, order_room;
static struct node *open_nodes[OPEN_NODES];
static size_t open_next;

static size_t hash(const struct node *parent, const char *name, size_t size)
{
    /* FNV-1a over the name, started from the parent's address. Names are hostile, the address (ASLR) they do not know. */
    uint64_t value = 0xcbf29ce484222325u ^ (uintptr_t)parent * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)name[i]) * 0x100000001b3u;
    }
    return (size_t)(value ^ value >> 29);
}

static struct node **bucket(const struct node *parent, const char *name, size_t size)
{
    return &buckets[hash(parent, name, size) & (bucket_count - 1)];
}

static void grow_buckets(void)
{
    free(buckets);
    bucket_count = bucket_count == 0 ? 1024 : bucket_count * 4;
    buckets = must_alloc(bucket_count * sizeof *buckets);
    for (size_t i = 0; i < order_count; i++) {
        struct node *node = order[i];

        if (node != NULL && node->parent != NULL) {
            struct node **place = bucket(node->parent, node->name, node->name_size);

            node->bucket_next = *place;
            *place = node;
        }
    }
}

static struct node *append(struct node *parent, const char *name, size_t size)
{
    struct node *node = must_alloc(sizeof *node + size + 1);

    if (order_count == order_room) {
        order_room = order_room * 2 + 256;
        order = must_grow(order, order_room * sizeof *order);
    }
    memcpy(node->name, name, size);
    node->name_size = size;
    node->parent = parent;
    node->fd = -1;
    node->mode = 0755;
    node->index = order_count;
    order[order_count++] = node;
    return node;
}

struct node *node_root(int fd)
{
    static struct node *root;

    if (root == NULL) {
        grow_buckets();
        root = append(NULL, "", 0);
        root->fd = fd;
    }
    return root;
}

struct node *node_find(struct node *parent, const char *name, size_t size)
{
    for (struct node *node = *bucket(parent, name, size); node != NULL; node = node->bucket_next) {
        if (node->parent == parent && node->name_size == size && memcmp(node->name, name, size) == 0) {
            return node;
        }
    }
    return NULL;
}

struct node *node_add(struct node *parent, const char *name, size_t size)
{
    struct node *node;
    struct node **place;

    /* Links inside the tree can make a path longer than the names in the archive. */
    if (parent->path_size + 1 + size > PATH_LIMIT) {
        exceed("path is longer than %d bytes", PATH_LIMIT);
    }
    if (++live_count > bucket_count) {
        grow_buckets();
    }
    node = append(parent, name, size);
    node->path_size = parent->path_size + 1 + size;
    place = bucket(parent, name, size);
    node->bucket_next = *place;
    *place = node;
    node->next_sibling = parent->first_child;
    if (parent->first_child != NULL) {
        parent->first_child->previous_sibling = node;
    }
    parent->first_child = node;
    return node;
}

void node_list(struct node *node, const struct entry *entry)
{
    node->listed = true;
    node->mode = entry->mode;
    node->uid = entry->uid;
    node->gid = entry->gid;
    node->mtime = entry->mtime;
    xattrs_free(&node->xattrs);
    xattrs_copy(&node->xattrs, &entry->xattrs);
}

static void release(struct node *node)
{
    struct node **place = bucket(node->parent, node->name, node->name_size);

    while (*place != node) {
        place = &(*place)->bucket_next;
    }
    *place = node->bucket_next;
    if (node->previous_sibling != NULL) {
        node->previous_sibling->next_sibling = node->next_sibling;
    } else {
        node->parent->first_child = node->next_sibling;
    }
    if (node->next_sibling != NULL) {
        node->next_sibling->previous_sibling = node->previous_sibling;
    }
    if (node->fd >= 0) {
        for (size_t i = 0; i < OPEN_NODES; i++) {
            if (open_nodes[i] == node) {
                open_nodes[i] = NULL;
            }
        }
        close(node->fd);
    }
    order[node->index] = NULL;
    live_count--;
    xattrs_free(&node->xattrs);
    free(node);
}

void node_drop(struct node *top)
{
    struct node *node = top;

    for (;;) {
        while (node->first_child != NULL) {
            node = node->first_child;
        }
        struct node *parent = node->parent;
        bool last = node == top;

        release(node);
        if (last) {
            return;
        }
        node = parent;
    }
}

static void remember_open(struct node *node)
{
    struct node *old;

    do {
        open_next = (open_next + 1) % OPEN_NODES;
        old = open_nodes[open_next];
    } while (old != NULL && old->pinned);
    if (old != NULL) {
        close(old->fd);
        old->fd = -1;
    }
    open_nodes[open_next] = node;
}

int node_try_fd(struct node *node)
{
    int parent_fd;

    if (node->fd >= 0) {
        return node->fd;
    }
    parent_fd = node_try_fd(node->parent);
    if (parent_fd < 0) {
        return -1;
    }
    node->fd = openat(parent_fd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (node->fd >= 0) {
        remember_open(node);
    }
    return node->fd;
}

int node_fd(struct node *node)
{
    int fd = node_try_fd(node);

    if (fd < 0) {
        fail_errno("openat", errno);
    }
    return fd;
}

size_t node_count(void)
{
    return order_count;
}

struct node *node_at(size_t index)
{
    return order[index];
}

void node_path(const struct node *node, const char *name, char *path)
{
    size_t end = node->path_size;

    /* path_size counts a slash before every name: the leading one is left out. */
    path[end > 0 ? end - 1 : 0] = 0;
    for (const struct node *one = node; one->parent != NULL; one = one->parent) {
        size_t begin = one->path_size - one->name_size - 1;

        memcpy(path + begin, one->name, one->name_size);
        if (begin > 0) {
            path[begin - 1] = '/';
        }
    }
    if (name[0] != 0) {
        size_t size = strlen(path);

        if (size > 0) {
            path[size++] = '/';
        }
        strcpy(path + size, name);
    }
}

/* The objects that the kernel has looked up in a served image, and the open directories behind them.
 *
 * Layers never change, so nothing here grows old; what limits it is memory, which the kernel gives back by FORGET, and the
 * number of open files: a directory has one in each layer that has it, so those used longest ago are closed. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUCKETS = 1 << 14, OPEN_PARTS = 512 };

struct inode *inode_root;
static struct inode *buckets[BUCKETS];
static struct inode *newest, *oldest;
static size_t open_parts;
static char path[PATH_LIMIT + 1];

static struct inode **bucket_of(const struct inode *parent, const char *name)
{
    uint64_t hash = (uintptr_t)parent;

    for (; *name != 0; name++) {
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3;    /* FNV-1a */
    }
    return &buckets[(hash ^ hash >> 32) % BUCKETS];
}

static void unlist(struct inode *inode)
{
    *(inode->newer != NULL ? &inode->newer->older : &newest) = inode->older;
    *(inode->older != NULL ? &inode->older->newer : &oldest) = inode->newer;
    inode->newer = inode->older = NULL;
}

static void list_newest(struct inode *inode)
{
    inode->older = newest;
    inode->newer = NULL;
    *(newest != NULL ? &newest->newer : &oldest) = inode;
    newest = inode;
}

static void close_parts(struct inode *inode)
{
    if (inode != inode_root && inode->parts.count > 0) {
        unlist(inode);
        open_parts -= inode->parts.count;
        merged_close(&inode->parts);
    }
}

void inode_open_root(const struct merged *layers)
{
    inode_root = must_alloc(sizeof *inode_root + 1);
    *inode_root = (struct inode){.lookups = 1, .parts = *layers, .found = {.st_mode = S_IFDIR | 0755, .st_nlink = 2}};
    inode_root->name[0] = 0;
    if (layers->count > 0 && fstat(layers->parts[0].fd, &inode_root->found) < 0) {
        fail_errno("fstat", errno);
    }
}

const char *inode_path(const struct inode *inode)
{
    char *at = path + PATH_LIMIT;

    for (*at = 0; inode->parent != NULL; inode = inode->parent) {
        size_t size = strlen(inode->name), all = size + (*at != 0);

        if ((size_t)(at - path) < all) {
            return "//";           /* no sidecar has a path as long */
        }
        if (*at != 0) {
            at[-1] = '/';
        }
        at -= all;
        memcpy(at, inode->name, size);
    }
    return at;
}

/* All but the newest, which is in use. A directory deep in many layers opens one above the other on its way. */
static void close_unused(void)
{
    while (open_parts > OPEN_PARTS && oldest != newest) {
        close_parts(oldest);
    }
}

const struct merged *inode_parts(struct inode *directory)
{
    if (directory == inode_root) {
        return &directory->parts;
    }
    if (directory->parts.count == 0) {
        merged_enter(&directory->parts, inode_parts(directory->parent), directory->name, directory->number);
        open_parts += directory->parts.count;
    } else {
        unlist(directory);
    }
    if (directory->parts.count > 0) {
        list_newest(directory);
        close_unused();
    }
    return &directory->parts;
}

static int look(struct inode *parent, const char *name, struct stat *found)
{
    static char child[2 * PATH_LIMIT];
    const char *above = inode_path(parent);

    if (strlen(name) > 255) {
        return -1;
    }
    strcpy(child, above);
    strcat(child, *above != 0 ? "/" : "");
    strcat(child, name);
    return merged_look(inode_parts(parent), name, child, found);
}

bool inode_stat(struct inode *parent, const char *name, struct stat *found)
{
    return look(parent, name, found) >= 0;
}

struct inode *inode_look(struct inode *parent, const char *name)
{
    struct inode **bucket = bucket_of(parent, name), *inode;
    struct stat found;
    int number;

    for (inode = *bucket; inode != NULL; inode = inode->next) {
        if (inode->parent == parent && strcmp(inode->name, name) == 0) {
            inode->lookups++;
            return inode;
        }
    }
    number = look(parent, name, &found);
    if (number < 0) {
        return NULL;
    }
    inode = must_alloc(sizeof *inode + strlen(name) + 1);
    *inode = (struct inode){.parent = parent, .next = *bucket, .lookups = 1, .number = (size_t)number, .found = found};
    strcpy(inode->name, name);
    *bucket = inode;
    parent->children++;
    return inode;
}

static void drop(struct inode *inode)
{
    struct inode **place = bucket_of(inode->parent, inode->name);

    while (*place != inode) {
        place = &(*place)->next;
    }
    *place = inode->next;
    close_parts(inode);
    free(inode);
}

void inode_forget(struct inode *inode, uint64_t lookups)
{
    inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
    /* The kernel may forget a directory before what is in it. */
    while (inode != inode_root && inode->lookups == 0 && inode->children == 0) {
        struct inode *parent = inode->parent;

        drop(inode);
        parent->children--;
        inode = parent;
    }
}

void inode_describe(struct inode *inode, struct entry *entry)
{
    static const struct merged nothing;
    bool is_root = inode == inode_root;
    struct object object = {.top = inode_parts(is_root ? inode : inode->parent), .below = &nothing, .fd = -1,
                            .number = inode->number, .name = is_root ? "." : inode->name, .path = inode_path(inode),
                            .found = &inode->found};

    if (object.top->count == 0) {          /* an image without layers */
        *entry = (struct entry){.type = '5', .mode = 0755};
        return;
    }
    describe(entry, &object);
}

int inode_open_file(struct inode *inode)
{
    int fd;

    if (inode->found.st_ino == 0 || !S_ISREG(inode->found.st_mode)) {
        return -ENXIO;
    }
    fd = openat(inode_parts(inode->parent)->parts[inode->number].fd, inode->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

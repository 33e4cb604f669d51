/* The directories of the tree, in memory: the unpacker is their only writer, so most names are resolved without a
 * system call. They lie one after the other in chunks, and are not freed: what is dropped counts against the limit of entries. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20, UNIT = 8, EXTRA_LIMIT = 32 << 20 };

static char **chunks;
static size_t chunk_count, chunk_used = CHUNK;
static uint32_t *places;           /* of each node, in units from the first chunk on */
static size_t place_room, count, live_count;
static uint32_t *buckets;
static size_t bucket_count;
static size_t extra_bytes;
size_t node_bytes_limit = SIZE_MAX;

static struct node *any_at(uint32_t number)
{
    uint32_t place = places[number];

    return (struct node *)(void *)(chunks[place / (CHUNK / UNIT)] + place % (CHUNK / UNIT) * UNIT);
}

static size_t hash(const struct node *parent, const char *name, size_t size)
{
    /* FNV-1a over the name, started from the parent's address. Names are hostile, the address (ASLR) they do not know. */
    uint64_t value = 0xcbf29ce484222325u ^ (uintptr_t)parent * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)name[i]) * 0x100000001b3u;
    }
    return (size_t)(value ^ value >> 29);
}

static uint32_t *bucket(const struct node *parent, const char *name, size_t size)
{
    return &buckets[hash(parent, name, size) & (bucket_count - 1)];
}

static void put_in_bucket(struct node *node)
{
    uint32_t *place = bucket(node_parent(node), node->name, node->name_size);

    node->bucket_next = *place;
    *place = node->number;
}

static void grow_buckets(void)
{
    free(buckets);
    bucket_count = bucket_count == 0 ? 1024 : bucket_count * 2;
    buckets = must_grow(NULL, bucket_count * sizeof *buckets);
    memset(buckets, 0xff, bucket_count * sizeof *buckets);
    for (uint32_t i = 1; i < count; i++) {
        if (!any_at(i)->dropped) {
            put_in_bucket(any_at(i));
        }
    }
}

static struct node *append(const struct node *parent, const char *name, size_t size)
{
    size_t bytes = (offsetof(struct node, name) + size + UNIT) / UNIT * UNIT;
    struct node *node;

    if (chunk_used + bytes > CHUNK) {
        if ((chunk_count + 1) * (size_t)CHUNK > node_bytes_limit) {
            exceed("directories that need more than %zu MiB of memory", node_bytes_limit >> 20);
        }
        chunks = must_grow(chunks, (chunk_count + 1) * sizeof *chunks);
        chunks[chunk_count++] = must_alloc(CHUNK);
        chunk_used = 0;
    }
    if (count == place_room) {
        place_room = place_room * 2 + 256;
        places = must_grow(places, place_room * sizeof *places);
    }
    node = (struct node *)(void *)(chunks[chunk_count - 1] + chunk_used);
    places[count] = (uint32_t)(((chunk_count - 1) * (size_t)CHUNK + chunk_used) / UNIT);
    chunk_used += bytes;
    memcpy(node->name, name, size);
    node->name_size = (uint8_t)size;
    node->parent = parent == NULL ? NO_NODE : parent->number;
    node->bucket_next = NO_NODE;
    node->mode = 0755;
    node->number = (uint32_t)count++;
    return node;
}

struct node *node_root(int fd)
{
    static struct node *root;

    if (root == NULL) {
        grow_buckets();
        root = append(NULL, "", 0);
        node_open_root(fd);
    }
    return root;
}

struct node *node_parent(const struct node *node)
{
    return node->parent == NO_NODE ? NULL : any_at(node->parent);
}

struct node *node_find(struct node *parent, const char *name, size_t size)
{
    for (uint32_t i = *bucket(parent, name, size); i != NO_NODE; i = any_at(i)->bucket_next) {
        struct node *node = any_at(i);

        if (node->parent == parent->number && node->name_size == size && memcmp(node->name, name, size) == 0) {
            return node;
        }
    }
    return NULL;
}

void node_check_path(const struct node *parent, size_t size)
{
    /* Links inside the tree can make a path longer than the names in the archive. path_size counts a slash before it. */
    if (parent->path_size + 1 + size > PATH_LIMIT + 1) {
        exceed("path is longer than %d bytes", PATH_LIMIT);
    }
}

struct node *node_add(struct node *parent, const char *name, size_t size)
{
    struct node *node;

    node_check_path(parent, size);
    if (++live_count > bucket_count) {
        grow_buckets();
    }
    node = append(parent, name, size);
    node->path_size = (uint16_t)(parent->path_size + 1 + size);
    put_in_bucket(node);
    return node;
}

static size_t size_of(const struct extra *extra)
{
    size_t bytes = sizeof *extra;

    for (size_t i = 0; i < extra->xattrs.count; i++) {
        bytes += sizeof extra->xattrs.list[i] + strlen(extra->xattrs.list[i].name) + extra->xattrs.list[i].size;
    }
    return bytes;
}

static void free_extra(struct node *node)
{
    if (node->is_member || node->extra == NULL) {
        return;
    }
    extra_bytes -= size_of(node->extra);
    xattrs_free(&node->extra->xattrs);
    free(node->extra);
    node->extra = NULL;
}

void node_list(struct node *node, const struct entry *entry)
{
    node->listed = true;
    node->mode = (uint16_t)entry->mode;
    node->uid = (uint32_t)entry->uid;
    node->gid = (uint32_t)entry->gid;
    node->mtime = entry->mtime;
    free_extra(node);
    if (entry->xattrs.count == 0 && entry->uid <= UINT32_MAX && entry->gid <= UINT32_MAX) {
        return;
    }
    node->extra = must_alloc(sizeof *node->extra);
    node->extra->uid = entry->uid;
    node->extra->gid = entry->gid;
    xattrs_copy(&node->extra->xattrs, &entry->xattrs);
    extra_bytes += size_of(node->extra);
    if (extra_bytes > EXTRA_LIMIT && node_bytes_limit != SIZE_MAX) {
        exceed("directories with more than %d MiB of extended attributes", EXTRA_LIMIT >> 20);
    }
}

void node_owner(const struct node *node, uint64_t *uid, uint64_t *gid)
{
    bool is_large = !node->is_member && node->extra != NULL;

    *uid = is_large ? node->extra->uid : node->uid;
    *gid = is_large ? node->extra->gid : node->gid;
}

const struct xattrs *node_xattrs(const struct node *node)
{
    static const struct xattrs none;

    return node->is_member || node->extra == NULL ? &none : &node->extra->xattrs;
}

struct member *node_member(const struct node *node)
{
    return node->is_member ? node->member : NULL;
}

void node_drop(struct node *node)
{
    uint32_t *place = bucket(node_parent(node), node->name, node->name_size);

    while (*place != node->number) {
        place = &any_at(*place)->bucket_next;
    }
    *place = node->bucket_next;
    node_close(node);
    free_extra(node);
    node->dropped = true;
    live_count--;
}

void node_settle(void (*forget)(struct node *node))
{
    for (uint32_t i = 1; i < count; i++) {
        struct node *node = any_at(i);

        if (!node->dropped && node_parent(node)->dropped) {
            node_drop(node);
            if (forget != NULL && node->is_member) {
                forget(node);
            }
        }
    }
}

size_t node_count(void)
{
    return count;
}

struct node *node_at(size_t number)
{
    struct node *node = any_at((uint32_t)number);

    return node->dropped ? NULL : node;
}

void node_path(const struct node *node, const char *name, char *path)
{
    size_t end = node->path_size;

    /* path_size counts a slash before every name: the leading one is left out. */
    path[end > 0 ? end - 1 : 0] = 0;
    for (const struct node *one = node; one->parent != NO_NODE; one = node_parent(one)) {
        size_t begin = one->path_size - one->name_size - 1u;

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

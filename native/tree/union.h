/* Directories of several layers seen as one, and what the sidecars say of them: for what reads trees. */
#ifndef PYRUN_TREE_UNION_H
#define PYRUN_TREE_UNION_H

#include "tree.h"

/* facts.c: a sidecar, read. */
struct fact {
    bool implied, has_owner, has_mode;
    char device;                   /* 'c', 'b' or 0 */
    uint64_t uid, gid, major, minor;
    mode_t mode;
    struct timespec mtime;         /* of a device */
    const char *text;              /* for facts_xattrs */
};
struct facts {
    struct {
        const char *path, *text;
    } *list;
    size_t count;
    const char **devices;          /* paths of the devices that are records only */
    size_t device_count;
};
void facts_read(struct facts *facts, const char *path);
bool facts_find(const struct facts *facts, const char *path, struct fact *fact);
void facts_xattrs(const struct fact *fact, struct xattrs *xattrs);      /* adds those that are not there */

/* union.c */
enum marks { NO_MARKS, KERNEL_MARKS, FUSE_MARKS };  /* whose whiteouts and opaque directories mean something */

struct layer {
    enum marks marks;
    bool has_facts;                /* a layer of an image: what its tree cannot hold is in `facts` */
    struct facts facts;
};
struct part {
    int fd;
    const struct layer *layer;
};
struct merged {
    struct part *parts;            /* highest first */
    size_t count;
};
enum seen { ABSENT, HIDDEN, PRESENT };

struct names {
    char **list;                   /* sorted by bytes, each once */
    size_t count, room;
};

void merged_add(struct merged *directory, int fd, const struct layer *layer);
void merged_add_tree(struct merged *to, const char *tree, const char *sidecar, enum marks marks);
void merged_close(struct merged *directory);
bool part_is_opaque(const struct part *part);
enum seen part_look(const struct part *part, const char *name, struct stat *found);
/* The number of the part that shows `name`, or -1. `path` is that of `name`: a device may be known by its record only. */
int merged_look(const struct merged *directory, const char *name, const char *path, struct stat *found);
void merged_enter(struct merged *child, const struct merged *directory, const char *name, size_t from);
void names_of_part(struct names *names, const struct part *part);
void names_of_devices(struct names *names, const struct merged *directory, const char *path);
void names_sort(struct names *names);
void names_free(struct names *names);

/* describe.c: what an archive says of `name`, shown by part `number` of `top`; `below` has facts only.
 * `fd`: an open file of it, or -1. */
struct object {
    const struct merged *top, *below;
    size_t number;
    const char *name, *path;
    const struct stat *found;
    int fd;
};
void describe(struct entry *entry, const struct object *object);
void read_xattrs(struct xattrs *xattrs, int directory_fd, const char *name, int fd);
bool same_xattrs(struct xattrs *a, struct xattrs *b);

#endif

/* The tree that a layer's archive describes, in memory: what `verify` compares with the one on disk.
 *
 * Directories are the nodes of node.c; whatever else has a name has an object, which several names may share. */
#ifndef PYRUN_TREE_MODEL_H
#define PYRUN_TREE_MODEL_H

#include "tree.h"

enum { WHITEOUT = 'w' };           /* the type of a name that only hides what is below */

struct member {
    char type;                     /* as in struct entry, or WHITEOUT */
    size_t links;                  /* names that it has */
    struct node *home;             /* the name it was made under; NULL: that is another's by now */
    mode_t mode;
    uint64_t uid, gid, size, major, minor;
    struct timespec mtime;
    struct xattrs xattrs;
    char *target;                  /* of a symbolic link */
    enum { SAME, DIFFERS, HASHED } content;                /* HASHED: it was not the same under the name it had then */
    uint64_t hash;
    ino_t inode;                   /* on disk, under the first of its names that was met */
};

void model_read(const struct entry *entry);                /* one member, its data consumed */
void model_finish(void);

/* content.c: the data of a member, consumed; `fd` is the file on disk or -1. */
void content_compare(int fd, const struct entry *entry, struct member *member);
bool content_is(int fd, const struct member *member);      /* of a HASHED one */

/* What both kinds, directory and member, are compared by. `record`: the sidecar speaks of it under this name. */
struct wanted {
    const struct node *parent;
    const char *name;              /* in the working directory; "": `parent` itself */
    bool record, is_link;
    mode_t mode, listed_mode;      /* on disk, and as the archive says */
    uint64_t uid, gid;
    struct timespec mtime;
    const struct xattrs *xattrs;
};

/* compare_metadata.c: `fd` is an open directory, or -1. */
void compare_metadata(const struct wanted *wanted, const struct stat *found, int fd);

/* compare.c */
void compare_with_disk(void);

/* model_path.c: resolve.c's rule, in the model. Without `create`, parent is NULL when a directory on the way is missing. */
struct place model_place(const char *path, bool create);
void model_forget(struct node *node);                      /* the member of a name */

/* verify.c: one sentence about one path. */
void finding(const struct node *parent, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* What the walk over a tree finds, and who hears of it. */
#ifndef PYRUN_TREE_WALK_H
#define PYRUN_TREE_WALK_H

#include "union.h"

/* One directory on the way down. */
struct level {
    struct level *up;
    struct merged top;             /* what is walked */
    struct merged below;           /* what it is compared with, or has its facts from */
    const char *name;              /* in the directory above */
    size_t path_size;              /* of the path from the root of the archive to this directory */
    size_t number;                 /* the part of the directory above that shows it */
    struct stat found;
    bool told;                     /* it has been told, or is a root, which has no name */
    bool hides;                    /* what `below` has and `top` has not is gone */
};

struct walk_options {
    bool is_whole;                 /* `top` is a whole tree, without marks, that began as a copy of `below` */
    struct timespec copied;        /* when */
    bool is_layer;                 /* tell of what replaces a directory, not of what that one had */
    char **ignored;                /* paths that are passed over, with what is below them */
    size_t ignored_count;
};
extern struct walk_options walk_options;

enum change { ADDED, CHANGED, DELETED, REPLACED };   /* REPLACED: a directory, told already, shows nothing of `below` */

/* `name` in `in`, as part `number` shows it. DELETED has no part and no stat. */
typedef void (*walk_tell)(enum change change, const struct level *in, const char *name, const char *path, size_t number,
                          const struct stat *found);

void walk_all(struct level *root, walk_tell tell);         /* everything that is in the root */
void walk_one(struct level *in, const char *name, const char *path, walk_tell tell);  /* under another path */
void walk_changes(struct level *root, walk_tell tell);

#endif

/* Between the two parts of the sidecar: sidecar.c gathers and sorts records, sidecar_write.c makes the file of them. */
#ifndef PYRUN_TREE_SIDECAR_H
#define PYRUN_TREE_SIDECAR_H

#include "tree.h"

/* `facts` "": everything at and below the path that is older is void. */
struct record {
    uint64_t sequence;
    char *path, *facts;
};

void records_begin(void);          /* no more will be added */
const struct record *records_next(void);                   /* by path, then in the order they were made; NULL: no more */

#endif

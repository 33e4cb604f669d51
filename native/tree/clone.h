/* Parts of `copy` and `patch`: one object's data and metadata. */
#ifndef PYRUN_TREE_CLONE_H
#define PYRUN_TREE_CLONE_H

#include "tree.h"

void clone_map_add(const char *text);                      /* KIND:FROM:TO:COUNT, kind u, g or b (both) */
void clone_data(int from, int to, uint64_t size);          /* reflink, else extents without the holes */
/* `name` NULL: the descriptors are the objects, else `name` in both directories, which is no directory. */
void clone_metadata(int from, int to, const char *from_name, const char *to_name, const struct stat *found, bool marks);

#endif

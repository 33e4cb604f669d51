/* Parts of `copy` and `patch`: one object's data and metadata. */
#ifndef PYRUN_TREE_CLONE_H
#define PYRUN_TREE_CLONE_H

#include "tree.h"

void clone_map_add(const char *text);                      /* KIND:FROM:TO:COUNT, kind u, g or b (both) */
bool clone_map(bool is_group, uint32_t *id);               /* as the maps say; false: they leave it out */
uint32_t clone_mapped(bool is_group, uint32_t id);         /* 65534 for what they leave out */
void clone_data(int from, int to, uint64_t size);          /* reflink, else extents without the holes */
/* `name` NULL: the descriptors are the objects, else `name` in both directories, which is no directory. */
void clone_metadata(int from, int to, const char *from_name, const char *to_name, const struct stat *found, bool marks);

#endif

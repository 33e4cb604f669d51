/* Hard links: of the names that one object has, the first that was met; the others become links to it. */
#include "tree.h"

#include <string.h>

struct link {
    struct link *next;
    dev_t device;
    ino_t inode;
    char path[];
};

enum { BUCKETS = 4096 };

static struct link *links[BUCKETS];

const char *first_link(const struct stat *found, const char *path)
{
    struct link **bucket = &links[(found->st_ino ^ found->st_dev) % BUCKETS];
    struct link *one;

    for (one = *bucket; one != NULL; one = one->next) {
        if (one->inode == found->st_ino && one->device == found->st_dev) {
            return one->path;
        }
    }
    one = must_alloc(sizeof *one + strlen(path) + 1);
    one->inode = found->st_ino;
    one->device = found->st_dev;
    strcpy(one->path, path);
    one->next = *bucket;
    *bucket = one;
    return NULL;
}

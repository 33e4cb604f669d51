/* An image's files, served through FUSE: what the kernel knows of them by number. */
#ifndef PYRUN_TREE_SERVE_H
#define PYRUN_TREE_SERVE_H

#include "union.h"

#include <linux/fuse.h>

/* An object that the kernel has looked up; its address is FUSE's node id. Nothing of it ever changes. */
struct inode {
    struct inode *parent, *next;   /* NULL: the root; next in its bucket */
    struct inode *newer, *older;   /* directories whose parts are open, by last use */
    uint64_t lookups, children;    /* it is kept while either is not 0 */
    struct merged parts;           /* of a directory, while they are open */
    struct stat found;
    size_t number;                 /* the part of the parent that shows it; its parts are sought from there on */
    char name[];
};

extern struct inode *inode_root;

void inode_open_root(const struct merged *layers);         /* takes them over */
struct inode *inode_look(struct inode *parent, const char *name);       /* NULL: not there; one more lookup */
const struct merged *inode_parts(struct inode *directory);
void inode_describe(struct inode *inode, struct entry *entry);
bool inode_stat(struct inode *parent, const char *name, struct stat *found);
int inode_open_file(struct inode *inode);                  /* a descriptor, or -errno */
void inode_forget(struct inode *inode, uint64_t lookups);
const char *inode_path(const struct inode *inode);         /* until the next call */

/* serve.c: the protocol. */
enum { REPLY_BYTES = 1 << 20 };    /* of a read; the kernel's own limit is fc->max_pages, 256 by default */
extern char reply_data[REPLY_BYTES];
void reply(const struct fuse_in_header *request, int error, const void *data, size_t size);
struct inode *inode_of(uint64_t id);
struct fuse_entry_out known(struct inode *inode);

/* serve_directory.c */
void answer_opendir(const struct fuse_in_header *request);
void answer_readdir(const struct fuse_in_header *request, const struct fuse_read_in *in);
void answer_releasedir(const struct fuse_in_header *request, const struct fuse_release_in *in);

#endif

/* Directories of a served image: their names, listed when they are opened, and the objects that go with them. */
#include "serve.h"

#include <stdlib.h>
#include <string.h>

void answer_opendir(const struct fuse_in_header *request)
{
    struct inode *directory = inode_of(request->nodeid);
    const struct merged *parts = inode_parts(directory);
    struct names *names = must_alloc(sizeof *names);
    struct fuse_open_out out = {.fh = (uintptr_t)names, .open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR};

    *names = (struct names){0};
    for (size_t i = 0; i < parts->count; i++) {
        names_of_part(names, &parts->parts[i]);
    }
    names_of_devices(names, parts, inode_path(directory));
    names_sort(names);
    reply(request, 0, &out, sizeof out);
}

void answer_releasedir(const struct fuse_in_header *request, const struct fuse_release_in *in)
{
    struct names *names = (struct names *)(uintptr_t)in->fh;

    names_free(names);
    free(names);
    reply(request, 0, NULL, 0);
}

/* Puts one name at the end of what is in reply_data; false: it does not fit. */
static bool put_name(size_t *used, size_t room, const char *name, uint64_t next, uint64_t ino, mode_t mode,
                     const struct fuse_entry_out *plus)
{
    size_t before = plus != NULL ? sizeof *plus : 0, name_size = strlen(name);
    size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + name_size);
    struct fuse_dirent *one = (struct fuse_dirent *)(void *)(reply_data + *used + before);

    if (*used + size > room) {
        return false;
    }
    memset(reply_data + *used, 0, size);
    if (plus != NULL) {
        memcpy(reply_data + *used, plus, sizeof *plus);
    }
    *one = (struct fuse_dirent){.ino = ino, .off = next, .namelen = (uint32_t)name_size, .type = mode >> 12};
    memcpy(one->name, name, name_size);
    *used += size;
    return true;
}

static bool put_child(size_t *used, size_t room, struct inode *directory, const char *name, uint64_t next, bool plus)
{
    struct inode *inode;
    struct stat found;
    struct fuse_entry_out out;

    if (!plus) {
        return !inode_stat(directory, name, &found) ||
               put_name(used, room, name, next, found.st_ino != 0 ? found.st_ino : next, found.st_mode, NULL);
    }
    inode = inode_look(directory, name);
    if (inode == NULL) {
        return true;               /* hidden */
    }
    out = known(inode);
    if (!put_name(used, room, name, next, out.attr.ino, out.attr.mode, &out)) {
        inode_forget(inode, 1);
        return false;
    }
    return true;
}

void answer_readdir(const struct fuse_in_header *request, const struct fuse_read_in *in)
{
    struct inode *directory = inode_of(request->nodeid);
    const struct names *names = (const struct names *)(uintptr_t)in->fh;
    size_t used = 0, room = in->size < REPLY_BYTES ? in->size : REPLY_BYTES;
    bool plus = request->opcode == FUSE_READDIRPLUS, fits = true;
    /* Of these two nothing is looked up: node 0. */
    static const struct fuse_entry_out unknown;

    for (uint64_t at = in->offset; fits && at < names->count + 2; at++) {
        if (at < 2) {
            fits = put_name(&used, room, at == 0 ? "." : "..", at + 1, at + 1, S_IFDIR, plus ? &unknown : NULL);
        } else {
            fits = put_child(&used, room, directory, names->list[at - 2], at + 1, plus);
        }
    }
    reply(request, 0, reply_data, used);
}

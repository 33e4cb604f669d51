/* Members other than directories: made under their name, whatever was there before. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Frees a name that is taken; `found` is what has it. Everything below a directory goes too: the last member wins. */
void clear_name(struct node *parent, const char *name, const struct stat *found)
{
    struct node *node;

    sidecar_forget(parent, name);
    if (options.alive && S_ISDIR(found->st_mode)) {
        refuse("cannot overwrite directory with non-directory");
    }
    if (!S_ISDIR(found->st_mode)) {
        if (unlinkat(node_fd(parent), name, 0) < 0) {
            fail_errno("unlinkat", errno);
        }
        return;
    }
    node = node_find(parent, name, strlen(name));
    if (node != NULL) {
        node_drop(node);
    }
    remove_at(node_fd(parent), name);
}

static void make_room(const struct place *place)
{
    struct stat found;

    if (fstatat(node_fd(place->parent), place->name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
        clear_name(place->parent, place->name, &found);
    } else if (errno != ENOENT) {
        fail_errno("fstatat", errno);
    }
}

static void write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, data, size, (off_t)offset);

        if (done < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail_errno("write", errno);
        }
        data += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
}

static void write_data(int fd, uint64_t offset, uint64_t size)
{
    if (size > 0 && size <= INPUT_PEEK) {
        write_all(fd, input_peek((size_t)size), (size_t)size, offset);
        input_consume((size_t)size);
        return;
    }
    while (size > 0) {
        size_t got;
        const uint8_t *data = input_some(size, &got);

        write_all(fd, data, got, offset);
        offset += got;
        size -= got;
    }
}

static void write_sparse(int fd, const struct sparse *sparse)
{
    for (size_t i = 0; i < sparse->count; i++) {
        write_data(fd, sparse->list[i].offset, sparse->list[i].size);
    }
    if (ftruncate(fd, (off_t)sparse->real_size) < 0) {
        if (errno == EFBIG || errno == EINVAL) {
            refuse("impossible size of a sparse file: %llu", (unsigned long long)sparse->real_size);
        }
        fail_errno("ftruncate", errno);
    }
}

static void extract_file(const struct entry *entry, const struct place *place)
{
    /* The umask is 0: the mode is right at once unless the owner changes or it has set-id bits. */
    mode_t mode = entry->mode & 0777;
    int parent_fd = node_fd(place->parent);
    int fd;

    if (options.flat) {
        mode |= 0400;
    }
    while ((fd = openat(parent_fd, place->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)) < 0) {
        if (errno != EEXIST) {
            fail_errno("openat", errno);
        }
        make_room(place);
    }
    if (entry->sparse.present) {
        write_sparse(fd, &entry->sparse);
    } else {
        write_data(fd, 0, entry->size);
    }
    input_skip((BLOCK - entry->size % BLOCK) % BLOCK);
    apply_file(fd, place, entry, true);
    close(fd);
}

static void extract_link(const struct entry *entry, const struct place *place)
{
    char path[PATH_LIMIT + 1];
    struct place target;
    struct stat found, old;

    strcpy(path, entry->link);
    path_normalise(path, "target of the hard link");
    place->parent->pinned = true;
    target = resolve(path, false);
    if (path[0] == 0 || target.parent == NULL ||
        fstatat(node_fd(target.parent), target.name, &found, AT_SYMLINK_NOFOLLOW) < 0) {
        refuse("hard link to %s, which this layer does not have", entry->link);
    }
    if (S_ISDIR(found.st_mode) || whiteout_is(node_fd(target.parent), target.name, &found)) {
        refuse("hard link to %s, which is a directory or a whiteout", entry->link);
    }
    target.parent->pinned = true;
    if (fstatat(node_fd(place->parent), place->name, &old, AT_SYMLINK_NOFOLLOW) == 0) {
        if (old.st_dev == found.st_dev && old.st_ino == found.st_ino) {
            target.parent->pinned = place->parent->pinned = false;
            return;
        }
        if (S_ISDIR(old.st_mode)) {
            for (const struct node *one = target.parent; one != NULL; one = node_parent(one)) {
                if (one == node_find(place->parent, place->name, strlen(place->name))) {
                    refuse("hard link to %s, which it replaces", entry->link);
                }
            }
        }
        clear_name(place->parent, place->name, &old);
    }
    if (linkat(node_fd(target.parent), target.name, node_fd(place->parent), place->name, 0) < 0) {
        fail_errno("linkat", errno);
    }
    target.parent->pinned = place->parent->pinned = false;
}

static void extract_symlink(const struct entry *entry, const struct place *place)
{
    if (entry->link[0] == 0) {
        refuse("symbolic link without a target");
    }
    while (symlinkat(entry->link, node_fd(place->parent), place->name) < 0) {
        if (errno != EEXIST) {
            fail_errno("symlinkat", errno);
        }
        make_room(place);
    }
    apply_file(-1, place, entry, false);
}

static void skip_device(const struct entry *entry, const struct place *place)
{
    report.skipped_devices++;
    sidecar_add(place->parent, place->name, "device=%c:%llu:%llu mode=%o uid=%llu gid=%llu mtime=%lld.%09ld",
                entry->type == '3' ? 'c' : 'b', (unsigned long long)entry->major, (unsigned long long)entry->minor,
                (unsigned)entry->mode, (unsigned long long)entry->uid, (unsigned long long)entry->gid,
                (long long)entry->mtime.tv_sec, entry->mtime.tv_nsec);
}

static void extract_node(const struct entry *entry, const struct place *place)
{
    mode_t type = entry->type == '3' ? S_IFCHR : entry->type == '4' ? S_IFBLK : S_IFIFO;
    bool is_device = type != S_IFIFO;

    if (entry->major > 0xfff || entry->minor > 0xfffff) {
        refuse("impossible device number");
    }
    if (type == S_IFCHR && entry->major == 0 && entry->minor == 0) {
        /* overlayfs.rst "whiteouts and opaque directories": overlay would take it for a whiteout. */
        refuse("character device 0:0, which overlay takes for a whiteout");
    }
    make_room(place);
    if (is_device && options.flat) {
        skip_device(entry, place);
        return;
    }
    if (mknodat(node_fd(place->parent), place->name, type | (entry->mode & 0777),
                makedev((unsigned)entry->major, (unsigned)entry->minor)) < 0) {
        /* mknod(2): devices want CAP_MKNOD in the initial user namespace. */
        if (is_device && errno == EPERM) {
            skip_device(entry, place);
            return;
        }
        fail_errno("mknodat", errno);
    }
    apply_file(-1, place, entry, false);
}

/* Any member but a directory or a whiteout. */
void extract(const struct entry *entry)
{
    char path[PATH_LIMIT + 1];
    struct place place;

    strcpy(path, entry->path);
    path_normalise(path, "name");
    if (path[0] == 0) {
        refuse("the root can only be a directory");
    }
    place = resolve(path, true);
    if (report.skipped_devices > 0) {
        /* A device that was not made left only its record; the new member takes its place. */
        sidecar_forget(place.parent, place.name);
    }
    switch (entry->type) {
    case '1':
        extract_link(entry, &place);
        break;
    case '2':
        extract_symlink(entry, &place);
        break;
    case '3':
    case '4':
    case '6':
        extract_node(entry, &place);
        break;
    default:
        extract_file(entry, &place);
    }
}

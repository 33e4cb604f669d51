/* The verb `serve`: an image's layers as one read-only file system, through FUSE, for everything that the user runs.
 *
 *   serve --device-fd N [--flat] [--report-fd N] [--layer TREE SIDECAR]…       highest first
 *
 * The descriptor is /dev/fuse, mounted by fusermount3 in the namespace of the caller, so the mount is seen there; we are in
 * the engine namespace, where files of subordinate owners are ours to read. Owners and modes are shown as the image has
 * them, and nothing is refused by them: the kernel lets in only who mounted it, and asks us, as "default_permissions" is not
 * set. It ends when it is unmounted. Sources: linux/fuse.h (protocol 7.31 and later), fs/fuse/{dir,readdir}.c. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    REQUEST_BYTES = 128 << 10,
    FOREVER = 86400,               /* seconds that the kernel may believe us: nothing changes */
    SPARE_FILES = 1024,            /* for the directories of layers: inode.c */
};

static int device_fd = -1;
static uint64_t open_files, most_files;
static struct entry entry;
char reply_data[REPLY_BYTES];

void reply(const struct fuse_in_header *request, int error, const void *data, size_t size)
{
    struct fuse_out_header header = {.len = (uint32_t)(sizeof header + size), .error = -error, .unique = request->unique};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)(uintptr_t)data, size}};

    /* ENOENT: whoever asked has been killed meanwhile. */
    (void)!writev(device_fd, parts, size > 0 ? 2 : 1);
}

struct inode *inode_of(uint64_t id)
{
    return id == FUSE_ROOT_ID ? inode_root : (struct inode *)(uintptr_t)id;
}

static mode_t type_bits(const struct inode *inode)
{
    return inode->found.st_mode & S_IFMT;
}

static struct fuse_attr attributes(struct inode *inode)
{
    inode_describe(inode, &entry);
    return (struct fuse_attr){
        .ino = inode->found.st_ino != 0 ? inode->found.st_ino : (uintptr_t)inode,
        .size = S_ISLNK(inode->found.st_mode) ? strlen(entry.link) : entry.size,
        .blocks = (uint64_t)inode->found.st_blocks,
        .atime = (uint64_t)entry.mtime.tv_sec, .mtime = (uint64_t)entry.mtime.tv_sec,
        .ctime = (uint64_t)entry.mtime.tv_sec, .atimensec = (uint32_t)entry.mtime.tv_nsec,
        .mtimensec = (uint32_t)entry.mtime.tv_nsec, .ctimensec = (uint32_t)entry.mtime.tv_nsec,
        .mode = type_bits(inode) | entry.mode, .nlink = (uint32_t)inode->found.st_nlink,
        .uid = (uint32_t)entry.uid, .gid = (uint32_t)entry.gid,
        .rdev = (uint32_t)makedev((unsigned)entry.major, (unsigned)entry.minor), .blksize = 4096};
}

struct fuse_entry_out known(struct inode *inode)
{
    return (struct fuse_entry_out){.nodeid = (uintptr_t)inode, .entry_valid = FOREVER, .attr_valid = FOREVER,
                                   .attr = attributes(inode)};
}

static void answer_init(const struct fuse_in_header *request, const struct fuse_init_in *in)
{
    const uint32_t wanted = FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS |
                            FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS;
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
                                .max_readahead = in->max_readahead, .flags = in->flags & wanted, .max_background = 16,
                                .congestion_threshold = 12, .max_write = 4096, .time_gran = 1,
                                .max_pages = REPLY_BYTES / 4096};

    reply(request, 0, &out, sizeof out);
}

static void answer_lookup(const struct fuse_in_header *request, const char *name)
{
    struct inode *inode = inode_look(inode_of(request->nodeid), name);
    /* Node 0: it is not there, and the kernel need not ask again. */
    struct fuse_entry_out out = {.entry_valid = FOREVER};

    if (inode != NULL) {
        out = known(inode);
    }
    reply(request, 0, &out, sizeof out);
}

static void answer_getattr(const struct fuse_in_header *request)
{
    struct fuse_attr_out out = {.attr_valid = FOREVER, .attr = attributes(inode_of(request->nodeid))};

    reply(request, 0, &out, sizeof out);
}

static void answer_readlink(const struct fuse_in_header *request)
{
    inode_describe(inode_of(request->nodeid), &entry);
    reply(request, 0, entry.link, strlen(entry.link));
}

static void answer_open(const struct fuse_in_header *request)
{
    /* Without a descriptor left for a directory all of the mount would end. */
    int fd = open_files < most_files ? inode_open_file(inode_of(request->nodeid)) : -EMFILE;
    struct fuse_open_out out = {.fh = (uint64_t)fd, .open_flags = FOPEN_KEEP_CACHE};

    open_files += fd >= 0;
    reply(request, fd < 0 ? -fd : 0, &out, fd < 0 ? 0 : sizeof out);
}

static void answer_read(const struct fuse_in_header *request, const struct fuse_read_in *in)
{
    size_t size = in->size < REPLY_BYTES ? in->size : REPLY_BYTES;
    size_t done = 0;
    ssize_t got = 1;

    /* All of it: the kernel takes what lacks for the end of the file, and keeps that. */
    while (done < size && got != 0) {
        got = pread((int)in->fh, reply_data + done, size - done, (off_t)(in->offset + done));
        if (got < 0 && errno != EINTR) {
            reply(request, errno, NULL, 0);
            return;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    reply(request, 0, reply_data, done);
}

static void answer_lseek(const struct fuse_in_header *request, const struct fuse_lseek_in *in)
{
    off_t at = lseek((int)in->fh, (off_t)in->offset, (int)in->whence);
    struct fuse_lseek_out out = {.offset = (uint64_t)at};

    reply(request, at < 0 ? errno : 0, &out, at < 0 ? 0 : sizeof out);
}

static void answer_statfs(const struct fuse_in_header *request)
{
    struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = 255}};
    struct statvfs found;

    if (inode_root->parts.count > 0 && fstatvfs(inode_root->parts.parts[0].fd, &found) == 0) {
        out.st.blocks = found.f_blocks * (found.f_frsize / 512) / 8;
        out.st.files = found.f_files;
    }
    reply(request, 0, &out, sizeof out);
}

/* Both tell how much there is when they are asked with size 0: getxattr(2), listxattr(2). */
static void give_xattr(const struct fuse_in_header *request, const struct fuse_getxattr_in *in, const char *data,
                       size_t size)
{
    struct fuse_getxattr_out out = {.size = (uint32_t)size};

    if (in->size == 0) {
        reply(request, 0, &out, sizeof out);
    } else {
        reply(request, in->size < size ? ERANGE : 0, data, in->size < size ? 0 : size);
    }
}

static void answer_xattrs(const struct fuse_in_header *request, const struct fuse_getxattr_in *in)
{
    const char *wanted = (const char *)(in + 1);
    size_t used = 0;

    inode_describe(inode_of(request->nodeid), &entry);
    for (size_t i = 0; i < entry.xattrs.count; i++) {
        const struct xattr *one = &entry.xattrs.list[i];
        size_t size = strlen(one->name) + 1;

        if (request->opcode == FUSE_GETXATTR && strcmp(one->name, wanted) == 0) {
            give_xattr(request, in, one->value, one->size);
            return;
        }
        if (request->opcode == FUSE_LISTXATTR && used + size <= sizeof reply_data) {
            memcpy(reply_data + used, one->name, size);
            used += size;
        }
    }
    if (request->opcode == FUSE_GETXATTR) {
        reply(request, ENODATA, NULL, 0);
    } else {
        give_xattr(request, in, reply_data, used);
    }
}

static void forget_many(const struct fuse_batch_forget_in *in)
{
    const struct fuse_forget_one *list = (const struct fuse_forget_one *)(in + 1);

    for (uint32_t i = 0; i < in->count; i++) {
        inode_forget(inode_of(list[i].nodeid), list[i].nlookup);
    }
}

static void answer(const struct fuse_in_header *request)
{
    const void *in = request + 1;

    switch (request->opcode) {
    case FUSE_INIT:
        answer_init(request, in);
        break;
    case FUSE_LOOKUP:
        answer_lookup(request, in);
        break;
    case FUSE_FORGET:
        inode_forget(inode_of(request->nodeid), ((const struct fuse_forget_in *)in)->nlookup);
        break;
    case FUSE_BATCH_FORGET:
        forget_many(in);
        break;
    case FUSE_INTERRUPT:           /* no answer takes long */
        break;
    case FUSE_GETATTR:
        answer_getattr(request);
        break;
    case FUSE_READLINK:
        answer_readlink(request);
        break;
    case FUSE_OPEN:
        answer_open(request);
        break;
    case FUSE_READ:
        answer_read(request, in);
        break;
    case FUSE_LSEEK:
        answer_lseek(request, in);
        break;
    case FUSE_RELEASE:
        close((int)((const struct fuse_release_in *)in)->fh);
        open_files--;
        reply(request, 0, NULL, 0);
        break;
    case FUSE_OPENDIR:
        answer_opendir(request);
        break;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        answer_readdir(request, in);
        break;
    case FUSE_RELEASEDIR:
        answer_releasedir(request, in);
        break;
    case FUSE_STATFS:
        answer_statfs(request);
        break;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
        answer_xattrs(request, in);
        break;
    case FUSE_DESTROY:
        reply(request, 0, NULL, 0);
        break;
    default:                       /* the kernel does not ask again: it is read-only, and may do the rest by itself */
        reply(request, ENOSYS, NULL, 0);
    }
}

/* Whoever started us goes on: its terminal's signals are not for us, and nobody waits for the end of its output. */
static void leave_caller(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid();
    (void)!chdir("/");
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        dup2(null, fd);
    }
    close(report.fd);
    report.fd = -1;
}

int verb_serve(int argc, char **argv)
{
    static _Alignas(8) char request[REQUEST_BYTES];
    struct merged layers = {0};
    struct rlimit files;
    ssize_t size;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--flat") == 0) {
            options.flat = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--device-fd") == 0) {
            device_fd = (int)option_number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[++i]);
        } else if (i + 2 < argc && strcmp(argv[i], "--layer") == 0) {
            merged_add_tree(&layers, argv[i + 1], argv[i + 2], KERNEL_MARKS);
            i += 2;
        } else {
            usage("serve --device-fd N [--flat] [--report-fd N] [--layer TREE SIDECAR]…");
        }
    }
    inode_open_root(&layers);
    most_files = getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < 2 * SPARE_FILES ? SPARE_FILES / 2
                                                                                        : files.rlim_cur - SPARE_FILES;
    report_number("serving", 1);
    report_finish();
    leave_caller();
    while ((size = read(device_fd, request, sizeof request)) >= 0 || errno == EINTR || errno == ENOENT || errno == EAGAIN) {
        if (size >= (ssize_t)sizeof(struct fuse_in_header)) {
            answer((const struct fuse_in_header *)(const void *)request);
        }
    }
    return errno == ENODEV ? 0 : 1;        /* ENODEV: unmounted */
}

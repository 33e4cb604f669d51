/* pyrun-tree: unpacks layers, copies and removes trees of files. Shared types and the calls between its parts.
 *
 * It knows tar, files and overlay's on-disk marks; it must not know images, stores or containers.
 * It is a process of its own: an error is reported and ends it (report.c), so calls return only when they did their work. */
#ifndef PYRUN_TREE_H
#define PYRUN_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum {
    PATH_LIMIT = 4096,             /* bytes of a member's name, design: as PATH_MAX */
    PAX_LIMIT = 1 << 20,           /* bytes of one pax header, and of one GNU long name */
    PAX_GLOBAL_LIMIT = 4 << 20,    /* bytes of all global pax headers together: they are kept */
    SPARSE_LIMIT = 1 << 20,        /* segments of one sparse file */
    BLOCK = 512,
};

/* report.c: counters and the one way out. Keys and values are NUL-terminated, one after the other. */
struct report {
    int fd;                        /* -1: none, errors go to stderr */
    uint64_t entries, bytes, implied, skipped_devices, skipped_xattrs, dropped_xattrs, clamped, whiteouts, opaques;
    uint64_t marked_whiteouts, removed, skipped;
};
extern struct report report;
extern const char *report_entry;   /* the member or path at work, for the error record */

_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void exceed(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_errno(const char *syscall, int error);
_Noreturn void usage(const char *what);
void report_finish(void);
void report_text(const char *key, const char *value);
void report_number(const char *key, uint64_t value);
void *must_alloc(size_t size);
void *must_grow(void *old, size_t size);

/* input.c: the archive's bytes, in large reads. */
void input_open(int fd, uint64_t limit);
const uint8_t *input_block(void);                          /* the next 512 bytes, or NULL at the end of the stream */
const uint8_t *input_peek(size_t size);                    /* size ≤ INPUT_PEEK bytes in one piece, not consumed */
const uint8_t *input_some(uint64_t wanted, size_t *got);   /* 1 … wanted bytes, consumed */
void input_consume(size_t size);
void input_skip(uint64_t size);
void input_drain(void);
enum { INPUT_PEEK = 256 << 10 };

struct slice {
    const char *data;              /* NULL: absent */
    size_t size;
};

struct xattr {
    char *name;                    /* NUL-terminated */
    const char *value;
    size_t size;
};

struct xattrs {
    struct xattr *list;
    size_t count, room;
};

struct segment {
    uint64_t offset, size;
};

struct sparse {
    bool present;
    uint64_t real_size;
    struct segment *list;
    size_t count, room;
};

/* One member of the archive, as its header and the extended headers before it say together. */
struct entry {
    char type;                     /* '0' '1' … '6', 'S' has become '0' with sparse.present */
    char path[PATH_LIMIT + 1];
    char link[PATH_LIMIT + 1];
    mode_t mode;
    uint64_t uid, gid;
    uint64_t size;                 /* bytes of data that follow in the stream */
    struct timespec mtime;
    uint64_t major, minor;
    struct xattrs xattrs;          /* names already filtered: xattr_is_ours() */
    struct sparse sparse;
};

/* writer.c: the archive that goes out. */
void writer_open(int fd);
void writer_put(const struct entry *entry);
void writer_data(int fd, uint64_t size);                   /* of the member just put */
void writer_close(void);

/* number.c */
bool number_field(const uint8_t *field, size_t size, int64_t *value);    /* octal or base-256 */
bool number_decimal(struct slice text, uint64_t *value);
bool number_time(struct slice text, struct timespec *value);

/* header.c: next member, false at the end of the archive. */
bool header_next(struct entry *entry);

/* pax.c */
struct pax {
    struct slice path, link, sparse_name, sparse_map;
    bool has_size, has_uid, has_gid, has_mtime, has_sparse_size, has_sparse_major;
    uint64_t size, uid, gid, sparse_size, sparse_major, sparse_minor;
    struct timespec mtime;
    struct xattrs xattrs;
    struct sparse sparse;          /* GNU.sparse 0.0: offset and numbytes records */
    bool sparse_half;              /* an offset waits for its numbytes */
};
void pax_read(struct pax *pax, uint64_t size, bool global);
void pax_begin(struct pax *pax);   /* starts from the global headers seen so far */
void pax_number(struct slice value, uint64_t *number, bool *present);

/* xattr.c */
bool xattr_is_forbidden(const char *name);
void xattr_put(struct xattrs *xattrs, struct slice name, const char *value, size_t size);
void xattr_put_libarchive(struct xattrs *xattrs, struct slice name, struct slice value);
void xattrs_copy(struct xattrs *to, const struct xattrs *from);
void xattrs_free(struct xattrs *xattrs);

/* sparse.c */
void sparse_add(struct sparse *sparse, uint64_t offset, uint64_t size);
void sparse_old_gnu(struct entry *entry, const uint8_t *header);
void sparse_pax(struct entry *entry, const struct pax *pax);
void sparse_check(const struct entry *entry);

/* node.c: the directories of the tree, known without asking the file system. A million of them are held: fields are as
 * small as their values, other nodes are named by their number, and what few have is in `extra`. */
struct node {
    struct timespec mtime;
    union {
        struct extra *extra;       /* of a directory; NULL: none of it */
        struct member *member;     /* verify: what has the name, if it is no directory (model.h) */
    };
    uint32_t number;               /* in creation order; a parent's is smaller than its children's */
    uint32_t parent, bucket_next;  /* numbers; of the root, and at the end of a chain: NO_NODE */
    uint32_t uid, gid;             /* unless `extra` has them */
    uint16_t path_size;            /* bytes of the path from the root */
    uint16_t mode;
    uint16_t slot;                 /* among the open directories; 0: not open */
    bool existed : 1;              /* was there before us: its metadata is not ours unless listed */
    bool listed : 1;               /* the archive has a member for it; else implied */
    bool opaque : 1, has_whiteouts : 1, has_marked_whiteouts : 1, pinned : 1;
    bool is_member : 1, dropped : 1;
    uint8_t seen;                  /* verify: on disk */
    uint8_t name_size;
    char name[];
};
enum { UNSEEN, SEEN, WRONG };
#define NO_NODE UINT32_MAX

struct extra {
    struct xattrs xattrs;
    uint64_t uid, gid;
};
struct node *node_root(int fd);
struct node *node_parent(const struct node *node);         /* NULL: it is the root */
struct node *node_find(struct node *parent, const char *name, size_t size);
struct node *node_add(struct node *parent, const char *name, size_t size);
void node_check_path(const struct node *parent, size_t size);   /* of a name in it */
/* A directory that the archive lists: its metadata, to be set at the end. */
void node_list(struct node *node, const struct entry *entry);
void node_owner(const struct node *node, uint64_t *uid, uint64_t *gid);
const struct xattrs *node_xattrs(const struct node *node);
struct member *node_member(const struct node *node);       /* NULL: it is a directory */
/* With everything below it, which nobody finds any more; node_settle lets go of that. */
void node_drop(struct node *node);
void node_settle(void (*forget)(struct node *node));       /* `forget` may be NULL */
/* node_open.c */
void node_open_root(int fd);
void node_close(struct node *node);
int node_fd(struct node *node);
int node_try_fd(struct node *node);                        /* -1 and errno: it cannot be opened */
/* node.c */
size_t node_count(void);
struct node *node_at(size_t number);                       /* NULL: dropped */
void node_path(const struct node *node, const char *name, char *path);   /* path[PATH_LIMIT + 300] */
extern size_t node_bytes_limit;                            /* of memory for all nodes */

/* resolve.c */
struct place {
    struct node *parent;
    char name[256];                /* "": the directory `parent` itself */
};
void path_normalise(char *path, const char *what);         /* in place; refuses ".." */
bool path_next(const char **rest, char *name);             /* name[256]; false at the end */
struct place resolve(const char *path, bool create);
struct place resolve_link(struct place place);
struct place resolve_in_root(int root_fd, const char *path);            /* in a container's root; parent NULL: not there */

/* unpack.c, entry.c, metadata.c */
struct options {
    int dest_fd, sidecar_fd;
    bool flat;
    bool alive;                    /* a container's root or a user's directory: nothing in it is a mark, and no directory
                                    * gives way to a file, nor a file to a directory */
    const char *into;              /* alive: the directory below dest_fd that the archive's names begin in */
    enum { OWNER_MAPPED, OWNER_GIVEN, OWNER_SELF } owner;
    uint64_t uid, gid;             /* OWNER_GIVEN */
    uint64_t max_bytes, max_entries;
};
extern struct options options;
void unpack(void);
void charge(uint64_t entries, uint64_t bytes);
struct node *ensure_directory(struct node *parent, const char *name, size_t size);
void clear_name(struct node *parent, const char *name, const struct stat *found);
void extract(const struct entry *entry);

void metadata_open(void);
void apply_file(int fd, const struct place *place, const struct entry *entry, bool regular);
void apply_directories(void);
bool id_is_mapped(bool group, uint64_t id);
bool id_is_stand_in(bool group, uint64_t id);              /* what an id outside of the map becomes */

/* whiteout.c */
bool whiteout_is(int dir_fd, const char *name, const struct stat *found);
bool whiteout_make(struct node *parent, const char *name);
void whiteout_mark_directory(struct node *node);           /* also as opaque */

/* sidecar.c: what the file system could not hold. */
int compare_paths(const char *a, const char *b);           /* a directory before what is in it */
void sidecar_add(const struct node *parent, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sidecar_add_xattr(const struct node *parent, const char *name, const struct xattr *xattr);
void sidecar_forget(const struct node *parent, const char *name);       /* and everything below */
void sidecar_write(int fd);

/* describe.c: a file capability as an archive has it; returns its size. */
ssize_t portable_capability(char *value, ssize_t size);

/* links.c: the path under which the object, of several links, was met first; NULL: this is the first, and remembered. */
const char *first_link(const struct stat *found, const char *path);

/* remove.c */
void remove_at(int dir_fd, const char *name);
enum { REMOVE_PLACES = 1 << 20 };
/* Removes what nobody has `taken` of a tree (REMOVE_PLACES bytes that several processes share, zero at first); NULL: all
 * that is there, and the first that stays is the report's entry. Returns errno. */
int remove_path(const char *path, unsigned char *taken);

/* view.c */
void enter_user_namespace(int fd);

/* verbs */
int verb_unpack(int argc, char **argv);
int verb_remove(int argc, char **argv);
int verb_copy(int argc, char **argv);
int verb_patch(int argc, char **argv);
int verb_own(int argc, char **argv);
int verb_difference(int argc, char **argv);
int verb_serve(int argc, char **argv);
int verb_usage(int argc, char **argv);
int verb_pack(int argc, char **argv);
int verb_export(int argc, char **argv);
int verb_changes(int argc, char **argv);
int verb_look(int argc, char **argv);
int verb_view(int argc, char **argv);
int verb_sync(int argc, char **argv);
int verb_verify(int argc, char **argv);
uint64_t option_number(const char *text);

#endif

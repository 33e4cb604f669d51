/* Tar headers: ustar, v7, GNU and star, with the extended headers that precede a member.
 *
 * Sources: POSIX pax(1) "ustar Interchange Format" and "pax Header Block"; GNU tar manual "Basic Tar Format". */
#include "tree.h"

#include <string.h>

enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHECKSUM = 148, TYPE = 156, LINK = 157,
       MAGIC = 257, MAJOR = 329, MINOR = 337, PREFIX = 345, STAR_TRAILER = 508 };

static struct pax pax;
static char long_path[PATH_LIMIT + 1], long_link[PATH_LIMIT + 1];
static bool has_long_path, has_long_link;

static bool is_zero(const uint8_t *block)
{
    static const uint8_t zero[BLOCK];

    return memcmp(block, zero, BLOCK) == 0;
}

static void verify_checksum(const uint8_t *block, const char *previous)
{
    int64_t stored;
    int64_t unsigned_sum = 0, signed_sum = 0;

    for (int i = 0; i < BLOCK; i++) {
        uint8_t byte = i >= CHECKSUM && i < CHECKSUM + 8 ? ' ' : block[i];

        unsigned_sum += byte;
        signed_sum += (int8_t)byte;
    }
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return;                        /* no mutation would get past it: scripts/fuzz */
#endif
    /* Historic tars summed signed chars: POSIX leaves it open, every reader takes both. */
    if (!number_field(block + CHECKSUM, 8, &stored) || (stored != unsigned_sum && stored != signed_sum)) {
        refuse("bad header checksum, after member \"%s\"", previous);
    }
}

static uint64_t field(const uint8_t *block, int offset, size_t size, const char *what)
{
    int64_t value;

    if (!number_field(block + offset, size, &value) || value < 0) {
        refuse("impossible %s in the header", what);
    }
    return (uint64_t)value;
}

static void set_path(char *path, const char *text, size_t size, const char *what)
{
    if (size > PATH_LIMIT) {
        exceed("%s is longer than %d bytes", what, PATH_LIMIT);
    }
    if (memchr(text, 0, size) != NULL) {
        refuse("%s holds a NUL byte", what);
    }
    memcpy(path, text, size);
    path[size] = 0;
}

static void header_path(char *path, const uint8_t *block)
{
    size_t name_size = strnlen((const char *)block + NAME, 100);
    size_t prefix_size = 0;

    /* Only POSIX magic ("ustar" NUL) has a prefix; GNU's ("ustar  ") keeps times there, star's is 131 bytes long. */
    if (memcmp(block + MAGIC, "ustar", 6) == 0) {
        prefix_size = strnlen((const char *)block + PREFIX, memcmp(block + STAR_TRAILER, "tar", 4) == 0 ? 131 : 155);
    }
    if (prefix_size > 0) {
        memcpy(path, block + PREFIX, prefix_size);
        path[prefix_size++] = '/';
    }
    memcpy(path + prefix_size, block + NAME, name_size);
    path[prefix_size + name_size] = 0;
}

static void read_long(char *path, bool *has, uint64_t size, const char *what)
{
    const uint8_t *data;
    size_t padded = (size_t)((size + BLOCK - 1) / BLOCK * BLOCK);

    if (size > PATH_LIMIT + 1) {
        exceed("%s is longer than %d bytes", what, PATH_LIMIT);
    }
    data = input_peek(padded);
    set_path(path, (const char *)data, strnlen((const char *)data, (size_t)size), what);
    input_consume(padded);
    *has = true;
}

static void set_names(struct entry *entry, const uint8_t *block)
{
    header_path(entry->path, block);
    report_entry = entry->path;
    if (has_long_path) {
        memcpy(entry->path, long_path, strlen(long_path) + 1);
    }
    if (pax.path.data != NULL) {
        set_path(entry->path, pax.path.data, pax.path.size, "name");
    }
    if (pax.sparse_name.data != NULL) {
        set_path(entry->path, pax.sparse_name.data, pax.sparse_name.size, "name");
    }
    set_path(entry->link, (const char *)block + LINK, strnlen((const char *)block + LINK, 100), "link name");
    if (has_long_link) {
        memcpy(entry->link, long_link, strlen(long_link) + 1);
    }
    if (pax.link.data != NULL) {
        set_path(entry->link, pax.link.data, pax.link.size, "link name");
    }
    has_long_path = has_long_link = false;
    if (entry->path[0] == 0) {
        refuse("member has no name");
    }
}

static void set_numbers(struct entry *entry, const uint8_t *block)
{
    int64_t mtime;

    entry->mode = (mode_t)(field(block, MODE, 8, "mode") & 07777);
    entry->uid = pax.has_uid ? pax.uid : field(block, UID, 8, "owner");
    entry->gid = pax.has_gid ? pax.gid : field(block, GID, 8, "group");
    entry->size = pax.has_size ? pax.size : field(block, SIZE, 12, "size");
    if (entry->size > INT64_MAX - BLOCK) {
        refuse("impossible size");
    }
    if (pax.has_mtime) {
        entry->mtime = pax.mtime;
    } else if (number_field(block + MTIME, 12, &mtime)) {
        entry->mtime = (struct timespec){.tv_sec = mtime};
    } else {
        refuse("impossible time in the header");
    }
    entry->major = entry->minor = 0;
    if (entry->type == '3' || entry->type == '4') {
        entry->major = field(block, MAJOR, 8, "device number");
        entry->minor = field(block, MINOR, 8, "device number");
    }
}

static void set_type(struct entry *entry, const uint8_t *block)
{
    size_t size = strlen(entry->path);
    char type = (char)block[TYPE];

    if (type == 0 || type == '7') {
        type = '0';
    }
    if (type == '0' && size > 0 && entry->path[size - 1] == '/') {
        /* v7 had no type for directories: the name tells. */
        type = '5';
    }
    if (type == 'D') {
        type = '5';
    } else if (type >= '1' && type <= '6') {
        /* These have no data, whatever the size field says: as GNU tar and Go's archive/tar read it. */
        entry->size = 0;
    } else if (type != '0' && type != 'S') {
        refuse("unknown member type 0x%02x", (unsigned char)type);
    }
    entry->type = type;
}

/* A header that describes the next member, or nothing; true if it was one and is consumed. */
static bool extended(const uint8_t *block, bool *pending)
{
    char type = (char)block[TYPE];
    static char name[PATH_LIMIT + 1];
    uint64_t size;

    if (strchr("xXgLKV", type) == NULL || type == 0) {
        return false;
    }
    header_path(name, block);
    report_entry = name;
    size = field(block, SIZE, 12, "size");
    switch (type) {
    case 'x':
    case 'X':
        pax_begin(&pax);
        pax_read(&pax, size, false);
        *pending = true;
        break;
    case 'g':
        pax_read(NULL, size, true);
        if (!*pending) {
            pax_begin(&pax);
        }
        break;
    case 'L':
        read_long(long_path, &has_long_path, size, "name");
        *pending = true;
        break;
    case 'K':
        read_long(long_link, &has_long_link, size, "link name");
        *pending = true;
        break;
    default:
        input_skip((size + BLOCK - 1) / BLOCK * BLOCK);
    }
    return true;
}

bool header_next(struct entry *entry)
{
    bool pending = false;
    uint8_t header[BLOCK];

    pax_begin(&pax);
    report_entry = "";
    for (;;) {
        const uint8_t *block = input_block();

        if (block == NULL || is_zero(block)) {
            if (pending) {
                refuse("archive ends after an extended header");
            }
            if (block != NULL) {
                block = input_block();
                if (block != NULL && !is_zero(block)) {
                    refuse("archive has a lone block of zeros");
                }
                input_drain();
            }
            return false;
        }
        verify_checksum(block, entry->path);
        memcpy(header, block, BLOCK);
        if (!extended(header, &pending)) {
            break;
        }
    }
    set_names(entry, header);
    entry->type = (char)header[TYPE];
    set_numbers(entry, header);
    set_type(entry, header);
    entry->xattrs = pax.xattrs;
    entry->sparse.present = false;
    entry->sparse.count = 0;
    if (entry->type == 'S') {
        entry->type = '0';
        sparse_old_gnu(entry, header);
    } else if (entry->type == '0') {
        sparse_pax(entry, &pax);
    }
    sparse_check(entry);
    return true;
}

/* File data in an archive and on disk, compared as it streams by. */
#include "model.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 << 10 };

static uint8_t disk[PIECE];

/* FNV-1a: it is to tell damage, not forgery; whoever can write there can write anything. */
static uint64_t hashed(uint64_t hash, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ data[i]) * 0x100000001b3u;
    }
    return hash;
}

static const uint64_t HASH_BEGIN = 0xcbf29ce484222325u;

static size_t read_at(int fd, size_t size, uint64_t offset)
{
    size_t got = 0;

    while (got < size) {
        ssize_t piece = pread(fd, disk + got, size - got, (off_t)(offset + got));

        if (piece < 0 && errno == EINTR) {
            continue;
        }
        if (piece <= 0) {
            break;                 /* its end, or a bad sector: not what the archive has */
        }
        got += (size_t)piece;
    }
    return got;
}

static bool is_same(int fd, uint64_t offset, const uint8_t *data, size_t size)
{
    return read_at(fd, size, offset) == size && memcmp(disk, data, size) == 0;
}

static uint64_t hash_of(int fd, uint64_t size)
{
    uint64_t hash = HASH_BEGIN;

    for (uint64_t at = 0; at < size;) {
        size_t got = read_at(fd, size - at < PIECE ? (size_t)(size - at) : PIECE, at);

        if (got == 0) {
            break;
        }
        hash = hashed(hash, disk, got);
        at += got;
    }
    return hash;
}

bool content_is(int fd, const struct member *member)
{
    return hash_of(fd, member->size) == member->hash;
}

static void compare_plain(int fd, uint64_t size, struct member *member)
{
    member->content = fd >= 0 ? SAME : HASHED;
    member->hash = HASH_BEGIN;
    for (uint64_t at = 0; at < size;) {
        size_t got;
        const uint8_t *data = input_some(size - at < PIECE ? size - at : PIECE, &got);

        if (member->content == SAME && !is_same(fd, at, data, got)) {
            member->content = HASHED;
            member->hash = hash_of(fd, at);
        }
        if (member->content == HASHED) {
            member->hash = hashed(member->hash, data, got);
        }
        at += got;
    }
}

/* Nothing but zeros from `begin` to `end`; holes are not read. */
static bool is_hole(int fd, uint64_t begin, uint64_t end)
{
    while (begin < end) {
        off_t data = lseek(fd, (off_t)begin, SEEK_DATA);
        size_t got;

        if (data < 0 || (uint64_t)data >= end) {
            return data >= 0 || errno == ENXIO;
        }
        begin = (uint64_t)data;
        got = read_at(fd, end - begin < PIECE ? (size_t)(end - begin) : PIECE, begin);
        for (size_t i = 0; i < got; i++) {
            if (disk[i] != 0) {
                return false;
            }
        }
        if (got == 0) {
            return false;
        }
        begin += got;
    }
    return true;
}

static void compare_sparse(int fd, const struct sparse *sparse, struct member *member)
{
    uint64_t end = 0;

    member->content = fd >= 0 ? SAME : DIFFERS;
    for (size_t i = 0; i < sparse->count; i++) {
        uint64_t at = sparse->list[i].offset, rest = sparse->list[i].size;

        if (member->content == SAME && at > end && !is_hole(fd, end, at)) {
            member->content = DIFFERS;
        }
        while (rest > 0) {
            size_t got;
            const uint8_t *data = input_some(rest < PIECE ? rest : PIECE, &got);

            if (member->content == SAME && !is_same(fd, at, data, got)) {
                member->content = DIFFERS;
            }
            at += got;
            rest -= got;
        }
        end = at > end ? at : end;
    }
    if (member->content == SAME && end < sparse->real_size && !is_hole(fd, end, sparse->real_size)) {
        member->content = DIFFERS;
    }
}

void content_compare(int fd, const struct entry *entry, struct member *member)
{
    if (entry->sparse.present) {
        compare_sparse(fd, &entry->sparse, member);
    } else {
        compare_plain(fd, entry->size, member);
    }
    input_skip((BLOCK - entry->size % BLOCK) % BLOCK);
}

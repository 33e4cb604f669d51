/* Pax extended headers: records "LENGTH KEY=VALUE\n" (POSIX pax(1), "pax Extended Header"). */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

static struct pax global;
static size_t global_bytes;
static struct kept {               /* the data of global headers: slices point into them */
    struct kept *next;
    char data[];
} *kept;

void pax_begin(struct pax *pax)
{
    struct segment *list = pax->sparse.list;
    size_t room = pax->sparse.room;

    xattrs_free(&pax->xattrs);
    *pax = global;
    pax->xattrs = (struct xattrs){0};
    xattrs_copy(&pax->xattrs, &global.xattrs);
    pax->sparse = (struct sparse){.list = list, .room = room};
    pax->sparse_half = false;
}

void pax_number(struct slice value, uint64_t *number, bool *present)
{
    /* An empty value takes the record back: pax(1). */
    *present = value.size > 0;
    if (*present && !number_decimal(value, number)) {
        refuse("impossible number in a pax header: %.*s", (int)(value.size < 64 ? value.size : 64), value.data);
    }
}

static bool key_is(struct slice key, const char *name)
{
    return key.size == strlen(name) && memcmp(key.data, name, key.size) == 0;
}

static bool key_begins(struct slice key, const char *prefix, struct slice *rest)
{
    size_t size = strlen(prefix);

    if (key.size <= size || memcmp(key.data, prefix, size) != 0) {
        return false;
    }
    *rest = (struct slice){key.data + size, key.size - size};
    return true;
}

static void set_text(struct slice *text, struct slice value)
{
    *text = value.size > 0 ? value : (struct slice){0};
}

static void sparse_record(struct pax *pax, struct slice key, struct slice value)
{
    uint64_t number;
    bool present;

    if (key_is(key, "map")) {
        set_text(&pax->sparse_map, value);
    } else if (key_is(key, "name")) {
        set_text(&pax->sparse_name, value);
    } else if (key_is(key, "size") || key_is(key, "realsize")) {
        pax_number(value, &pax->sparse_size, &pax->has_sparse_size);
    } else if (key_is(key, "major")) {
        pax_number(value, &pax->sparse_major, &pax->has_sparse_major);
    } else if (key_is(key, "minor")) {
        pax_number(value, &pax->sparse_minor, &present);
    } else if (key_is(key, "offset") || key_is(key, "numbytes")) {
        bool is_offset = key_is(key, "offset");

        pax_number(value, &number, &present);
        if (!present || is_offset == pax->sparse_half) {
            refuse("sparse map has offsets and sizes out of order");
        }
        if (is_offset) {
            sparse_add(&pax->sparse, number, 0);
        } else {
            pax->sparse.list[pax->sparse.count - 1].size = number;
        }
        pax->sparse_half = is_offset;
    }
}

static void record(struct pax *pax, struct slice key, struct slice value)
{
    struct slice rest;

    if (key_is(key, "path")) {
        set_text(&pax->path, value);
    } else if (key_is(key, "linkpath")) {
        set_text(&pax->link, value);
    } else if (key_is(key, "size")) {
        pax_number(value, &pax->size, &pax->has_size);
    } else if (key_is(key, "uid")) {
        pax_number(value, &pax->uid, &pax->has_uid);
    } else if (key_is(key, "gid")) {
        pax_number(value, &pax->gid, &pax->has_gid);
    } else if (key_is(key, "mtime")) {
        pax->has_mtime = value.size > 0;
        if (pax->has_mtime && !number_time(value, &pax->mtime)) {
            refuse("impossible time in a pax header");
        }
    } else if (key_begins(key, "SCHILY.xattr.", &rest)) {
        xattr_put(&pax->xattrs, rest, value.data, value.size);
    } else if (key_begins(key, "LIBARCHIVE.xattr.", &rest)) {
        xattr_put_libarchive(&pax->xattrs, rest, value);
    } else if (key_begins(key, "GNU.sparse.", &rest)) {
        sparse_record(pax, rest, value);
    }
}

static size_t record_size(const char *text, size_t available, size_t *digits)
{
    size_t size = 0;

    for (*digits = 0; *digits < available && text[*digits] >= '0' && text[*digits] <= '9'; ++*digits) {
        size = size * 10 + (size_t)(text[*digits] - '0');
        if (size > available) {
            break;
        }
    }
    if (*digits == 0 || size > available || size < *digits + 3 || text[*digits] != ' ' || text[size - 1] != '\n') {
        refuse("pax header has a record whose length is wrong");
    }
    return size;
}

static void parse(struct pax *pax, const char *text, size_t size)
{
    size_t digits;

    while (size > 0) {
        size_t whole = record_size(text, size, &digits);
        struct slice key = {text + digits + 1, 0}, value;
        const char *equals = memchr(key.data, '=', whole - digits - 2);

        if (equals == NULL || equals == key.data) {
            refuse("pax header has a record without a key");
        }
        key.size = (size_t)(equals - key.data);
        value = (struct slice){equals + 1, (size_t)(text + whole - 1 - (equals + 1))};
        record(pax, key, value);
        text += whole;
        size -= whole;
    }
}

/* Reads the header's data; slices of a local header live until the next one, those of a global header for ever. */
void pax_read(struct pax *pax, uint64_t size, bool is_global)
{
    static char *local;
    char *data;
    size_t done = 0;

    if (size > PAX_LIMIT) {
        exceed("pax header of %llu bytes, more than %d", (unsigned long long)size, PAX_LIMIT);
    }
    if (is_global) {
        global_bytes += (size_t)size;
        if (global_bytes > PAX_GLOBAL_LIMIT) {
            exceed("global pax headers of more than %d bytes", PAX_GLOBAL_LIMIT);
        }
        struct kept *one = must_alloc(sizeof *one + (size_t)size);

        one->next = kept;
        kept = one;
        data = one->data;
    } else {
        if (local == NULL) {
            local = must_alloc(PAX_LIMIT);
        }
        data = local;
    }
    while (done < size) {
        size_t got;
        const uint8_t *piece = input_some(size - done, &got);

        memcpy(data + done, piece, got);
        done += got;
    }
    input_skip((BLOCK - size % BLOCK) % BLOCK);
    parse(is_global ? &global : pax, data, (size_t)size);
}

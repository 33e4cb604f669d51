/* Maps of sparse files: GNU's old form and pax forms 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files"). */
#include "tree.h"

#include <string.h>

void sparse_add(struct sparse *sparse, uint64_t offset, uint64_t size)
{
    if (sparse->count == SPARSE_LIMIT) {
        exceed("sparse file of more than %d segments", SPARSE_LIMIT);
    }
    if (sparse->count == sparse->room) {
        sparse->room = sparse->room * 2 + 64;
        sparse->list = must_grow(sparse->list, sparse->room * sizeof *sparse->list);
    }
    sparse->list[sparse->count++] = (struct segment){offset, size};
}

static bool old_segments(struct entry *entry, const uint8_t *fields, int count)
{
    for (int i = 0; i < count; i++, fields += 24) {
        int64_t offset, size;

        if (fields[0] == 0) {
            return false;
        }
        if (!number_field(fields, 12, &offset) || !number_field(fields + 12, 12, &size) || offset < 0 || size < 0) {
            refuse("impossible number in a sparse map");
        }
        sparse_add(&entry->sparse, (uint64_t)offset, (uint64_t)size);
    }
    return true;
}

void sparse_old_gnu(struct entry *entry, const uint8_t *header)
{
    int64_t real;
    bool more = header[482] != 0;

    entry->sparse.present = true;
    entry->sparse.count = 0;
    if (!number_field(header + 483, 12, &real) || real < 0) {
        refuse("impossible size of a sparse file");
    }
    entry->sparse.real_size = (uint64_t)real;
    (void)old_segments(entry, header + 386, 4);
    while (more) {
        const uint8_t *block = input_block();

        if (block == NULL) {
            refuse("archive is truncated");
        }
        (void)old_segments(entry, block, 21);
        more = block[504] != 0;
    }
}

static void map_in_text(struct entry *entry, struct slice text)
{
    const char *end = text.data + text.size;
    uint64_t numbers[2] = {0, 0};
    int have = 0;

    for (const char *begin = text.data; begin < end;) {
        const char *comma = memchr(begin, ',', (size_t)(end - begin));
        const char *stop = comma == NULL ? end : comma;

        if (!number_decimal((struct slice){begin, (size_t)(stop - begin)}, &numbers[have++])) {
            refuse("impossible number in a sparse map");
        }
        if (have == 2) {
            sparse_add(&entry->sparse, numbers[0], numbers[1]);
            have = 0;
        }
        begin = stop + 1;
    }
    if (have != 0) {
        refuse("sparse map has an odd number of values");
    }
}

/* Form 1.0: decimal numbers, one a line, in front of the data; charges what it reads to the member's size. */
static uint64_t map_line(struct entry *entry, const uint8_t **block, size_t *at)
{
    char digits[24];
    size_t size = 0;
    uint64_t number;

    for (;;) {
        if (*block == NULL || *at == BLOCK) {
            if (entry->size < BLOCK || (*block = input_block()) == NULL) {
                refuse("sparse map is truncated");
            }
            entry->size -= BLOCK;
            *at = 0;
        }
        char byte = (char)(*block)[(*at)++];

        if (byte == '\n') {
            break;
        }
        if (size == sizeof digits) {
            refuse("impossible number in a sparse map");
        }
        digits[size++] = byte;
    }
    if (!number_decimal((struct slice){digits, size}, &number)) {
        refuse("impossible number in a sparse map");
    }
    return number;
}

static void map_in_data(struct entry *entry)
{
    const uint8_t *block = NULL;
    size_t at = 0;
    uint64_t count = map_line(entry, &block, &at);

    for (uint64_t i = 0; i < count; i++) {
        uint64_t offset = map_line(entry, &block, &at);

        sparse_add(&entry->sparse, offset, map_line(entry, &block, &at));
    }
}

void sparse_pax(struct entry *entry, const struct pax *pax)
{
    bool in_data = pax->has_sparse_major && pax->sparse_major == 1 && pax->sparse_minor == 0;

    if (pax->has_sparse_major && !in_data && pax->sparse_major != 0) {
        refuse("unknown form %llu.%llu of sparse file", (unsigned long long)pax->sparse_major,
               (unsigned long long)pax->sparse_minor);
    }
    if (!in_data && pax->sparse_map.data == NULL && pax->sparse.count == 0) {
        return;
    }
    if (!pax->has_sparse_size || pax->sparse_half) {
        refuse("sparse map is incomplete");
    }
    entry->sparse.present = true;
    entry->sparse.real_size = pax->sparse_size;
    if (in_data) {
        map_in_data(entry);
    } else if (pax->sparse_map.data != NULL) {
        map_in_text(entry, pax->sparse_map);
    } else {
        for (size_t i = 0; i < pax->sparse.count; i++) {
            sparse_add(&entry->sparse, pax->sparse.list[i].offset, pax->sparse.list[i].size);
        }
    }
}

/* Segments ascend, do not overlap, end inside the file and are all there. */
void sparse_check(const struct entry *entry)
{
    uint64_t end = 0, data = 0;

    if (!entry->sparse.present) {
        return;
    }
    if (entry->sparse.real_size > INT64_MAX) {
        refuse("impossible size of a sparse file");
    }
    for (size_t i = 0; i < entry->sparse.count; i++) {
        struct segment one = entry->sparse.list[i];

        if (one.offset < end || one.offset > entry->sparse.real_size ||
            one.size > entry->sparse.real_size - one.offset) {
            refuse("sparse map has a segment outside of the file or out of order");
        }
        end = one.offset + one.size;
        data += one.size;
    }
    if (data != entry->size) {
        refuse("sparse map is of %llu bytes, the member of %llu", (unsigned long long)data,
               (unsigned long long)entry->size);
    }
}

/* A layer's sidecar, read back. Its format is in sidecar.c, which writes it; pyrun/layers/sidecar.py is the other reader. */
#include "union.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char header[] = "pyrun-layer 1\n";

static _Noreturn void corrupt(const char *path)
{
    report_entry = path;
    refuse("sidecar is not in its format");
}

static const char *content(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    const char *data;

    if (fd < 0 || fstat(fd, &found) < 0) {
        report_entry = path;
        fail_errno("open", errno);
    }
    *size = (size_t)found.st_size;
    if (*size <= sizeof header - 1) {
        close(fd);
        return NULL;               /* no record in it */
    }
    data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED) {
        report_entry = path;
        fail_errno("mmap", errno);
    }
    return data;
}

void facts_read(struct facts *facts, const char *path)
{
    size_t size, room = 0;
    const char *data = content(path, &size);

    *facts = (struct facts){0};
    if (data == NULL) {
        return;
    }
    if (memcmp(data, header, sizeof header - 1) != 0 || data[size - 1] != 0) {
        corrupt(path);
    }
    for (size_t at = sizeof header - 1; at < size;) {
        const char *name = data + at, *text = name + strlen(name) + 1;

        if (text >= data + size) {
            corrupt(path);
        }
        if (facts->count == room) {
            room = room * 2 + 64;
            facts->list = must_grow(facts->list, room * sizeof *facts->list);
        }
        facts->list[facts->count].path = name;
        facts->list[facts->count++].text = text;
        if (strstr(text, "device=") != NULL) {
            facts->devices = must_grow(facts->devices, (facts->device_count + 1) * sizeof *facts->devices);
            facts->devices[facts->device_count++] = name;
        }
        at = (size_t)(text - data) + strlen(text) + 1;
    }
}

static bool word_is(const char *word, const char *key, const char **value)
{
    size_t size = strlen(key);

    *value = word + size;
    return strncmp(word, key, size) == 0;
}

static void parse(struct fact *fact, const char *text)
{
    *fact = (struct fact){.text = text};
    for (const char *word = text; *word != 0; word += strcspn(word, " "), word += *word == ' ') {
        const char *value;
        char *end;

        if (word_is(word, "implied", &value)) {
            fact->implied = true;
        } else if (word_is(word, "uid=", &value)) {
            fact->has_owner = true;
            fact->uid = strtoull(value, NULL, 10);
        } else if (word_is(word, "gid=", &value)) {
            fact->gid = strtoull(value, NULL, 10);
        } else if (word_is(word, "mode=", &value)) {
            fact->has_mode = true;
            fact->mode = (mode_t)strtoul(value, NULL, 8) & 07777;
        } else if (word_is(word, "device=", &value)) {
            fact->device = value[0];
            fact->major = strtoull(value[0] != 0 && value[1] != 0 ? value + 2 : "", &end, 10);
            fact->minor = *end == ':' ? strtoull(end + 1, NULL, 10) : 0;
        } else if (word_is(word, "mtime=", &value)) {
            fact->mtime.tv_sec = strtoll(value, &end, 10);
            fact->mtime.tv_nsec = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
        }
    }
}

bool facts_find(const struct facts *facts, const char *path, struct fact *fact)
{
    size_t low = 0, high = facts->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_paths(facts->list[middle].path, path);

        if (order == 0) {
            parse(fact, facts->list[middle].text);
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static size_t hex(const char *text, size_t size, char *out)
{
    for (size_t i = 0; i + 1 < size; i += 2) {
        char pair[3] = {text[i], text[i + 1], 0};

        out[i / 2] = (char)strtoul(pair, NULL, 16);
    }
    return size / 2;
}

void facts_xattrs(const struct fact *fact, struct xattrs *xattrs)
{
    const char *word = fact->text;

    while ((word = strstr(word, "xattr=")) != NULL) {
        const char *name = word + 6, *value = name + strcspn(name, ":");
        size_t name_size = (size_t)(value - name), value_size = strcspn(value, " ");
        char *decoded = must_alloc(name_size + value_size + 2);
        size_t size = hex(name, name_size, decoded), data = size + 1;
        bool known = false;

        for (size_t i = 0; i < xattrs->count; i++) {
            known = known || strncmp(xattrs->list[i].name, decoded, size + 1) == 0;
        }
        if (!known) {
            size_t bytes = hex(value + 1, value_size > 0 ? value_size - 1 : 0, decoded + data);

            xattr_put(xattrs, (struct slice){decoded, size}, decoded + data, bytes);
        }
        free(decoded);
        word = value;
    }
}

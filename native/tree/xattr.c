/* Extended attributes of members: which are taken, and how they are kept until they are set. */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

enum { XATTRS_LIMIT = 1024, NAME_LIMIT = 255 };

bool xattr_is_forbidden(const char *name)
{
    /* Marks that overlay ("userxattr": user.overlay.*), fuse-overlayfs, podman or pyrun obey: an archive that could set
     * them would read files of other layers or of the host (overlayfs.rst "metacopy": "do not use … untrusted").
     * Labels of the build machine's security modules mean nothing here; umoci drops security.selinux too. */
    static const char *const prefixes[] = {
        "user.overlay.", "trusted.", "user.pyrun.", "user.fuseoverlayfs.", "user.containers.",
        "security.selinux", "security.ima", "security.evm", "security.SMACK64", "security.apparmor",
    };

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void forget(struct xattrs *xattrs, const char *name)
{
    for (size_t i = 0; i < xattrs->count; i++) {
        if (strcmp(xattrs->list[i].name, name) == 0) {
            free(xattrs->list[i].name);
            xattrs->list[i] = xattrs->list[--xattrs->count];
            return;
        }
    }
}

void xattr_put(struct xattrs *xattrs, struct slice name, const char *value, size_t size)
{
    char *memory;

    if (name.size > NAME_LIMIT || memchr(name.data, 0, name.size) != NULL) {
        refuse("impossible name of an extended attribute");
    }
    memory = must_alloc(name.size + 1 + size);
    memcpy(memory, name.data, name.size);
    memory[name.size] = 0;
    if (size > 0) {
        memcpy(memory + name.size + 1, value, size);
    }
    if (xattr_is_forbidden(memory)) {
        report.dropped_xattrs++;
        free(memory);
        return;
    }
    forget(xattrs, memory);
    if (xattrs->count == XATTRS_LIMIT) {
        exceed("more than %d extended attributes", XATTRS_LIMIT);
    }
    if (xattrs->count == xattrs->room) {
        xattrs->room = xattrs->room * 2 + 4;
        xattrs->list = must_grow(xattrs->list, xattrs->room * sizeof *xattrs->list);
    }
    xattrs->list[xattrs->count++] = (struct xattr){memory, memory + name.size + 1, size};
}

void xattrs_copy(struct xattrs *to, const struct xattrs *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct xattr *one = &from->list[i];

        xattr_put(to, (struct slice){one->name, strlen(one->name)}, one->value, one->size);
    }
}

void xattrs_free(struct xattrs *xattrs)
{
    for (size_t i = 0; i < xattrs->count; i++) {
        free(xattrs->list[i].name);
    }
    free(xattrs->list);
    *xattrs = (struct xattrs){0};
}

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static int base64(char digit)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = digit == 0 ? NULL : strchr(alphabet, digit);

    return found == NULL ? -1 : (int)(found - alphabet);
}

static size_t base64_decode(struct slice text, char *out)
{
    uint32_t bits = 0;
    int have = 0;
    size_t size = 0;

    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        int value = base64(text.data[i]);

        if (value < 0) {
            refuse("extended attribute is not valid base64");
        }
        bits = (bits << 6 | (uint32_t)value) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[size++] = (char)(bits >> have & 0xff);
        }
    }
    return size;
}

/* libarchive writes the name URL-encoded and the value in base64 (libarchive tar(5), "LIBARCHIVE.xattr"). */
void xattr_put_libarchive(struct xattrs *xattrs, struct slice name, struct slice value)
{
    char decoded[NAME_LIMIT + 1];
    size_t size = 0;
    char *data = must_alloc(value.size + 1);

    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];

        if (byte == '%' && i + 2 < name.size && hex(name.data[i + 1]) >= 0 && hex(name.data[i + 2]) >= 0) {
            byte = (char)(hex(name.data[i + 1]) << 4 | hex(name.data[i + 2]));
            i += 2;
        }
        if (size == NAME_LIMIT) {
            refuse("impossible name of an extended attribute");
        }
        decoded[size++] = byte;
    }
    xattr_put(xattrs, (struct slice){decoded, size}, data, base64_decode(value, data));
    free(data);
}

/* The report: counters while all goes well, one error record when it does not.
 *
 * Format: key NUL value NUL, in any order; pyrun/layers/report.py reads it. `error` is one of
 *   unsafe   the archive asks for what no layer may do, or is no valid archive
 *   limit    a limit of the caller is exceeded
 *   full     ENOSPC or EDQUOT
 *   system   another system call failed */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct report report = {.fd = -1};
const char *report_entry = "";

static void put(const char *key, const char *value)
{
    char record[2 * PATH_LIMIT];
    size_t key_size = strlen(key) + 1;
    size_t value_size = strlen(value) + 1;

    if (key_size + value_size > sizeof record) {
        value_size = sizeof record - key_size;
    }
    memcpy(record, key, key_size);
    memcpy(record + key_size, value, value_size - 1);
    record[key_size + value_size - 1] = 0;
    if (write(report.fd, record, key_size + value_size) < 0) {
        /* The reader is gone: the exit status still tells. */
        return;
    }
}

static void put_number(const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    put(key, text);
}

void report_finish(void)
{
    if (report.fd < 0) {
        return;
    }
    put_number("entries", report.entries);
    put_number("bytes", report.bytes);
    put_number("implied", report.implied);
    put_number("skipped_devices", report.skipped_devices);
    put_number("skipped_xattrs", report.skipped_xattrs);
    put_number("dropped_xattrs", report.dropped_xattrs);
    put_number("clamped", report.clamped);
    put_number("whiteouts", report.whiteouts);
    put_number("marked_whiteouts", report.marked_whiteouts);
    put_number("opaques", report.opaques);
    put_number("removed", report.removed);
    put_number("skipped", report.skipped);
}

static _Noreturn void end(const char *kind, const char *reason, const char *syscall, int error)
{
    if (report.fd >= 0) {
        put("error", kind);
        put("entry", report_entry);
        put("reason", reason);
        put("syscall", syscall);
        put_number("errno", (uint64_t)error);
        report_finish();
    } else {
        dprintf(STDERR_FILENO, "pyrun-tree: %s: %s\n", report_entry, reason);
    }
    _exit(1);
}

_Noreturn void refuse(const char *format, ...)
{
    char reason[PATH_LIMIT + 256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    end("unsafe", reason, "", 0);
}

_Noreturn void exceed(const char *format, ...)
{
    char reason[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    end("limit", reason, "", 0);
}

_Noreturn void fail_errno(const char *syscall, int error)
{
    char reason[256];

    snprintf(reason, sizeof reason, "%s: %s", syscall, strerror(error));
    end(error == ENOSPC || error == EDQUOT ? "full" : "system", reason, syscall, error);
}

_Noreturn void usage(const char *what)
{
    dprintf(STDERR_FILENO, "pyrun-tree: %s\n", what);
    _exit(2);
}

void *must_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL) {
        fail_errno("malloc", ENOMEM);
    }
    return memory;
}

void *must_grow(void *old, size_t size)
{
    void *memory = realloc(old, size);

    if (memory == NULL) {
        fail_errno("malloc", ENOMEM);
    }
    return memory;
}

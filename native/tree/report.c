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

void report_text(const char *key, const char *value)
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

void report_number(const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    report_text(key, text);
}

void report_finish(void)
{
    if (report.fd < 0) {
        return;
    }
    report_number("entries", report.entries);
    report_number("bytes", report.bytes);
    report_number("implied", report.implied);
    report_number("skipped_devices", report.skipped_devices);
    report_number("skipped_xattrs", report.skipped_xattrs);
    report_number("dropped_xattrs", report.dropped_xattrs);
    report_number("clamped", report.clamped);
    report_number("whiteouts", report.whiteouts);
    report_number("marked_whiteouts", report.marked_whiteouts);
    report_number("opaques", report.opaques);
    report_number("removed", report.removed);
    report_number("skipped", report.skipped);
}

static _Noreturn void end(const char *kind, const char *reason, const char *syscall, int error)
{
    if (report.fd >= 0) {
        report_text("error", kind);
        report_text("entry", report_entry);
        report_text("reason", reason);
        report_text("syscall", syscall);
        report_number("errno", (uint64_t)error);
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

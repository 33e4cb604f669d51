/* The verb `verify`: a tar stream on standard input is compared with one layer's directory, in any of its forms.
 *
 * What differs goes to standard output, PATH NUL SENTENCE NUL each. What the directory cannot hold is written to the
 * sidecar descriptor, as `unpack` would have: the caller compares it with the layer's. Nothing on disk is changed. */
#include "clone.h"
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FINDINGS_LIMIT = 1000 };    /* a layer that is another one altogether needs no longer list */

static uint64_t findings;

void finding(const struct node *parent, const char *name, const char *format, ...)
{
    char path[PATH_LIMIT + 300];
    char sentence[2 * PATH_LIMIT];
    va_list arguments;

    if (findings++ >= FINDINGS_LIMIT) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    node_path(parent, name, path);
    fwrite(path, strlen(path) + 1, 1, stdout);
    fwrite(sentence, strlen(sentence) + 1, 1, stdout);
}

static void verify(void)
{
    static struct entry entry;

    metadata_open();
    options.dest_fd = openat(options.dest_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (options.dest_fd < 0) {
        usage("verify: --dest-fd is no directory");
    }
    node_root(options.dest_fd);
    input_open(STDIN_FILENO, UINT64_MAX);
    while (header_next(&entry)) {
        report.entries++;
        report.bytes += entry.sparse.present && entry.sparse.real_size > entry.size ? entry.sparse.real_size : entry.size;
        model_read(&entry);
    }
    model_finish();
    compare_with_disk();
    sidecar_write(options.sidecar_fd);
    if (fflush(stdout) != 0) {
        fail_errno("write", errno);
    }
    report_finish();
    report_number("findings", findings);
}

int verb_verify(int argc, char **argv)
{
    for (int i = 0; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--dest-fd") == 0) {
            options.dest_fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--sidecar-fd") == 0) {
            options.sidecar_fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(value);
        } else if (strcmp(argv[i], "--map") == 0) {
            clone_map_add(value);
        } else if (strcmp(argv[i], "--form") == 0 && (strcmp(value, "full") == 0 || strcmp(value, "flat") == 0)) {
            options.flat = value[1] == 'l';
        } else {
            usage("verify --dest-fd N [--form full|flat] [--sidecar-fd N] [--report-fd N] [--map u|g|b:FROM:TO:COUNT]…");
        }
    }
    if (options.dest_fd < 0) {
        usage("verify: --dest-fd is missing");
    }
    verify();
    return 0;
}

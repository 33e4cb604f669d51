/* pyrun-tree VERB …: one helper for everything that must touch trees of files whose owners are not ours.
 *
 * It is run in the engine user namespace. Exit status: 0 done, 1 failed (the report says why), 2 usage. */
#include "tree.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t option_number(const char *text)
{
    uint64_t value;

    if (!number_decimal((struct slice){text, strlen(text)}, &value)) {
        usage("an option wants a number");
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"unpack", verb_unpack}, {"remove", verb_remove}, {"copy", verb_copy}, {"patch", verb_patch},
                 {"pack", verb_pack},     {"export", verb_export}, {"changes", verb_changes}, {"look", verb_look},
                 {"view", verb_view},     {"sync", verb_sync},     {"own", verb_own}, {"usage", verb_usage},
                 {"verify", verb_verify}, {"serve", verb_serve},   {"difference", verb_difference}};
    struct rlimit files;

    /* select(2) is not used here: the soft limit of 1024 protects nothing. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; argc >= 2 && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run(argc - 2, argv + 2);
        }
    }
    usage("usage: pyrun-tree unpack|remove|copy|patch|pack|export|changes|look|view|sync|own|usage|verify|serve|difference …");
}

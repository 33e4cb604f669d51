/* The verb `remove`: what is to be removed, by how many processes (remove.c says how). */
#include "tree.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4 };

/* Removes most of the trees side by side: unlink(2) is the kernel's work, and each directory has a lock of its own. */
static void remove_together(int count, char **paths)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = online > WORKERS ? WORKERS : (unsigned)online;
    pid_t started[WORKERS] = {0};

    if (online < 2) {
        return;
    }
    for (unsigned mine = 1; mine < workers; mine++) {
        started[mine] = fork();
        if (started[mine] == 0) {
            for (int i = 0; i < count; i++) {
                remove_path(paths[i], workers, mine);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < count; i++) {
        remove_path(paths[i], workers, 0);
    }
    /* One that could not be started, or was killed, has left its part to the last pass. */
    for (unsigned mine = 1; mine < workers; mine++) {
        while (started[mine] > 0 && waitpid(started[mine], NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

int verb_remove(int argc, char **argv)
{
    int first_error = 0;
    int first = 0;

    if (argc > 1 && strcmp(argv[0], "--report-fd") == 0) {
        report.fd = (int)option_number(argv[1]);
        first = 2;
    }
    remove_together(argc - first, argv + first);
    for (int i = first; i < argc; i++) {
        int error = remove_path(argv[i], 0, 0);

        if (error != 0 && first_error == 0) {
            first_error = error;
            report_entry = argv[i];
        }
    }
    if (first_error != 0) {
        fail_errno("unlinkat", first_error);
    }
    report_finish();
    return 0;
}

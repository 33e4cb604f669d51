/* The verb `remove`: what is to be removed, by how many processes (remove.c says how). */
#include "tree.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4 };

static void remove_untaken(int count, char **paths, unsigned char *taken)
{
    for (int i = 0; i < count; i++) {
        remove_path(paths[i], taken);
    }
}

/* Removes most of the trees side by side: unlink(2) is the kernel's work, and each directory has a lock of its own. */
static void remove_together(int count, char **paths)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int others = online > WORKERS ? WORKERS - 1 : (int)online - 1;
    pid_t started[WORKERS] = {0};
    unsigned char *taken = MAP_FAILED;

    if (others > 0) {
        taken = mmap(NULL, REMOVE_PLACES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    if (taken == MAP_FAILED) {
        return;
    }
    for (int i = 0; i < others; i++) {
        started[i] = fork();
        if (started[i] == 0) {
            remove_untaken(count, paths, taken);
            _exit(0);
        }
    }
    remove_untaken(count, paths, taken);
    /* One that could not be started has taken nothing; what a killed one took is left to the last pass. */
    for (int i = 0; i < others; i++) {
        while (started[i] > 0 && waitpid(started[i], NULL, 0) < 0 && errno == EINTR) {
        }
    }
    munmap(taken, REMOVE_PLACES);
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
        int error = remove_path(argv[i], NULL);

        if (first_error == 0) {
            first_error = error;
        }
    }
    if (first_error != 0) {
        fail_errno("unlinkat", first_error);
    }
    report_finish();
    return 0;
}

/* The verb `own`: give files and directories, none of what is in them, to an owner; symlinks are not followed. */
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int verb_own(int argc, char **argv)
{
    unsigned uid, gid;
    int length = 0;

    if (argc >= 2 && strcmp(argv[0], "--report-fd") == 0) {
        report.fd = (int)option_number(argv[1]);
        argc -= 2;
        argv += 2;
    }
    if (argc < 2 || sscanf(argv[0], "%u:%u%n", &uid, &gid, &length) != 2 || argv[0][length] != 0) {
        usage("own [--report-fd N] UID:GID PATH…");
    }
    for (int i = 1; i < argc; i++) {
        report_entry = argv[i];
        if (lchown(argv[i], uid, gid) < 0) {
            fail_errno("lchown", errno);
        }
    }
    report_finish();
    return 0;
}

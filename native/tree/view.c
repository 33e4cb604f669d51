/* The verb `view`: a container's root file system as `cp` sees it, as one mount tree that nobody else has: its own root and
 * what the user mounted in it, without /proc, /sys and /dev. The tree is sent as a descriptor over --socket-fd; it lives as
 * long as that does, and what is read and written below it is the container's own.
 *
 * It is run in a mount namespace of its own (CLONE_NEWNS). A running container: --pidfd, whose mounts are cloned out of its
 * namespace; nothing of it is executed (CVE-2019-14271), and who looks up names below the tree cannot come to anything that
 * is not in it. One that does not run: --plan-fd, the steps that make its root.
 * Sources: open_tree(2), move_mount(2), since 5.2; setns(2) of a pidfd, since 5.8. */
#include "tree.h"

#include "../plan/plan.h"
#include "../plan/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOUNTS = 1024 };

/* What a child finds out and we use: descriptors in the table that both share. */
static struct found {
    int root_fd;                   /* a clone of the container's root, without what is mounted in it */
    int place_fd[MOUNTS];          /* where the mounts go in our clone of the root; -1: nowhere */
    int tree_fd[MOUNTS];           /* clones of them; -1: there is none */
} *shared;

static const char *wanted[MOUNTS];
static size_t wanted_count;
static int pidfd = -1;

/* FUSE answers only who is in the user namespace that mounted it, or below: fs/fuse/dir.c fuse_allow_current_process. It
 * has the ids of the engine's (engine/root_choice.py), so we are root in both. */
void enter_user_namespace(int fd)
{
    /* Before and after: credentials that change set the flag anew (proc(5)). A container that shares its processes with
     * the host could look at us. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setns(fd, CLONE_NEWUSER) < 0 || sys_setresgid(0) < 0 ||
        sys_setresuid(0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        fail_errno("setns", errno);
    }
}

static int open_inside(int root_fd, const char *path)
{
    for (int tries = 0; tries < 64; tries++) {
        int fd = sys_openat2(root_fd, path, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

        /* EAGAIN: a rename raced with "..": openat2(2) asks to try again. */
        if (fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
            return fd;             /* the container may have unmounted and removed it */
        }
        if (errno != EAGAIN) {
            break;
        }
    }
    report_entry = path;
    fail_errno("openat2", errno);
}

static bool is_mount(int fd)
{
    struct statx found;

    /* STATX_ATTR_MOUNT_ROOT: since 5.8. */
    return statx(fd, "", AT_EMPTY_PATH, 0, &found) == 0 && (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int clone_tree(int fd, unsigned recursive)
{
    int tree_fd = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);

    if (tree_fd < 0) {
        fail_errno("open_tree", errno);
    }
    return tree_fd;
}

/* Runs `work` in a child that shares our descriptors and may change its namespaces. */
static void in_child(void (*work)(void))
{
    struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
    long pid = sys_clone3(&args);
    int status = 0;

    if (pid < 0) {
        fail_errno("clone3", errno);
    }
    if (pid == 0) {
        work();
        _exit(0);
    }
    while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) {
        _exit(1);                  /* it has said why */
    }
}

static void enter_container(int namespaces)
{
    if (setns(pidfd, namespaces) < 0) {
        fail_errno("setns", errno);
    }
}

static void clone_mounts(void)
{
    int root_fd;

    enter_container(CLONE_NEWNS);
    root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        fail_errno("open", errno);
    }
    for (size_t i = 0; i < wanted_count; i++) {
        int fd = open_inside(root_fd, wanted[i]);

        shared->tree_fd[i] = fd >= 0 && is_mount(fd) ? clone_tree(fd, AT_RECURSIVE) : -1;
        if (fd >= 0) {
            close(fd);
        }
    }
    shared->root_fd = clone_tree(root_fd, 0);
}

static void clone_mounts_of_fuse(void)
{
    enter_user_namespace(pidfd);
    clone_mounts();
}

static void find_places(void)
{
    for (size_t i = 0; i < wanted_count; i++) {
        shared->place_fd[i] = shared->tree_fd[i] < 0 ? -1 : open_inside(shared->root_fd, wanted[i]);
    }
}

static void find_places_of_fuse(void)
{
    enter_user_namespace(pidfd);
    find_places();
}

static void view_running(const char *mount_point, bool is_fuse)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        fail_errno("mmap", errno);
    }
    in_child(is_fuse ? clone_mounts_of_fuse : clone_mounts);
    if (move_mount(shared->root_fd, "", AT_FDCWD, mount_point, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        fail_errno("move_mount", errno);
    }
    in_child(is_fuse ? find_places_of_fuse : find_places);
    for (size_t i = 0; i < wanted_count; i++) {
        /* What the container has made of the place meanwhile is its own affair. */
        if (shared->place_fd[i] >= 0) {
            (void)move_mount(shared->tree_fd[i], "", shared->place_fd[i], "",
                             MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        }
    }
}

static void report_failure(const struct plan_failure *failure)
{
    char syscall[sizeof failure->syscall + 1] = "";

    memcpy(syscall, failure->syscall, sizeof failure->syscall);
    report_number("step", (uint64_t)failure->step);
    report_number("op", (uint64_t)failure->op);
    fail_errno(syscall, failure->error);
}

static void view_stopped(int plan_fd, int socket_fd)
{
    struct plan_run run = {.control_fd = socket_fd, .root_fd = -1, .init_fd = -1, .report_fd = -1, .console_fd = -1};
    struct plan_failure failure;
    struct plan plan;
    struct stat found;
    const void *bytes;

    if (fstat(plan_fd, &found) < 0) {
        fail_errno("fstat", errno);
    }
    bytes = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, plan_fd, 0);
    if (bytes == MAP_FAILED || plan_load(&plan, bytes, (size_t)found.st_size) < 0) {
        usage("view: --plan-fd holds no plan");
    }
    if (plan_execute(&plan, &run, &failure) < 0) {
        report_failure(&failure);
    }
}

static void send_view(int socket_fd, int fd)
{
    char byte = 'V';
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};

    control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0) {
        fail_errno("sendmsg", errno);
    }
}

/* The verb `sync`: a running container's root file system, where that is a program of its own. */
int verb_sync(int argc, char **argv)
{
    int root_fd;

    for (int i = 0; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--pidfd") == 0) {
            pidfd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[i + 1]);
        } else {
            usage("sync --pidfd N [--report-fd N]");
        }
    }
    enter_user_namespace(pidfd);
    enter_container(CLONE_NEWNS);
    root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || syncfs(root_fd) < 0) {
        fail_errno("syncfs", errno);
    }
    report_finish();
    return 0;
}

int verb_view(int argc, char **argv)
{
    int plan_fd = -1, socket_fd = -1, root_fd;
    const char *mount_point = NULL;
    bool is_fuse = false;

    for (int i = 0; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--pidfd") == 0) {
            pidfd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--plan-fd") == 0) {
            plan_fd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--socket-fd") == 0) {
            socket_fd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--report-fd") == 0) {
            report.fd = (int)option_number(argv[i + 1]);
        } else if (strcmp(argv[i], "--at") == 0) {
            mount_point = argv[i + 1];
        } else if (strcmp(argv[i], "--mount") == 0 && wanted_count < MOUNTS) {
            wanted[wanted_count++] = argv[i + 1];
        } else if (strcmp(argv[i], "--root") == 0) {
            is_fuse = strcmp(argv[i + 1], "fuse") == 0;
        } else {
            usage("view --at PATH --socket-fd N (--pidfd N [--root fuse] [--mount PATH]… | --plan-fd N) [--report-fd N]");
        }
    }
    if (mount_point == NULL || socket_fd < 0 || (pidfd < 0) == (plan_fd < 0)) {
        usage("view: --at, --socket-fd and one of --pidfd and --plan-fd are needed");
    }
    report_entry = mount_point;
    /* Nothing of what is mounted here may appear anywhere else. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        fail_errno("mount", errno);
    }
    if (pidfd >= 0) {
        view_running(mount_point, is_fuse);
    } else {
        view_stopped(plan_fd, socket_fd);
    }
    root_fd = open(mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) {
        fail_errno("open", errno);
    }
    send_view(socket_fd, clone_tree(root_fd, AT_RECURSIVE));
    report_finish();
    return 0;
}

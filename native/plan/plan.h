/* The plan: what must happen between clone(2) and execve(2), as data.
 *
 * Python writes a plan (runtime/plan.py), this library executes it in the new process without malloc,
 * locks or anything else that is not async-signal-safe, and reports failure as one fixed record.
 * It knows mounts, ids and files; it knows nothing of images or containers.  See native/README.md. */
#ifndef PYRUN_PLAN_H
#define PYRUN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x4e4c5059u /* "YPLN" */
#define PLAN_VERSION 1u
#define PLAN_NONE 0xffffffffu /* no string */

/* X(number, name): numbers are the wire format; runtime/plan.py names the same ones and a test compares. */
#define PLAN_OPS(X)                                                                                                    \
	X(1, propagation)                                                                                               \
	X(2, overlay)                                                                                                   \
	X(3, root_bind)                                                                                                 \
	X(4, fsmount)                                                                                                   \
	X(5, bind)                                                                                                      \
	X(6, mkdir)                                                                                                     \
	X(7, symlink)                                                                                                   \
	X(8, sysctl)                                                                                                    \
	X(9, mask)                                                                                                      \
	X(10, readonly)                                                                                                 \
	X(11, console)                                                                                                  \
	X(12, pivot)                                                                                                    \
	X(13, root_readonly)                                                                                            \
	X(14, hostname)                                                                                                 \
	X(15, rlimit)                                                                                                   \
	X(16, loopback_up)                                                                                              \
	X(17, sync)                                                                                                     \
	X(18, session)                                                                                                  \
	X(19, umask)                                                                                                    \
	X(20, bounding)                                                                                                 \
	X(21, ids)                                                                                                      \
	X(22, capabilities)                                                                                             \
	X(23, no_new_privs)                                                                                             \
	X(24, seccomp)                                                                                                  \
	X(25, chdir)                                                                                                    \
	X(26, exec)                                                                                                     \
	X(27, keyring)                                                                                            \
	X(28, own_root)                                                                                                 \
	X(29, fuse_overlay)                                                                                             \
	X(30, die_with_parent)                                                                                          \
	X(31, bind_peer)                                                                                                \
	X(32, oom_score)                                                                                                \
	X(33, secret)

enum plan_op {
#define X(number, name) PLAN_##name = number,
	PLAN_OPS(X)
#undef X
};

/* Step flags common to all operations. */
#define PLAN_OR_ELSE 1u /* the next step is the fallback: run it only if this one failed */
#define PLAN_IGNORE_MISSING 2u /* ENOENT, ENOTDIR: nothing to do */
#define PLAN_OPEN_FIRST 4u /* paths of the host are opened by plan_open_first */

struct plan_header {
	uint32_t magic;
	uint32_t version;
	uint32_t step_count;
	uint32_t data_size; /* bytes of string data that follow the steps; ends with NUL */
};

/* One step.  Strings are offsets into the data; lists are NUL-separated strings, their count in `count`. */
struct plan_step {
	uint16_t op;
	uint16_t step_flags;
	uint32_t count;
	uint64_t a, b;
	uint32_t s1, s2, s3, s4;
};
_Static_assert(sizeof(struct plan_header) == 16, "wire format");
_Static_assert(sizeof(struct plan_step) == 40, "wire format");

struct plan {
	const struct plan_step *steps;
	const char *data;
	uint32_t step_count;
	uint32_t data_size;
};

/* What failed, and where: read by runtime/failure.py. */
struct plan_failure {
	int32_t step; /* index, or -1: before the first step */
	int32_t op;
	int32_t error; /* errno */
	char syscall[20];
};
_Static_assert(sizeof(struct plan_failure) == 32, "wire format");

/* The process that executes a plan. -1 = no descriptor. */
struct plan_run {
	int control_fd; /* SEQPACKET socket to the parent: sync points and the console's master go there */
	int root_fd; /* the root file system before pivot_root, opened by overlay or root_bind */
	int init_fd; /* sealed memfd of the init program, or -1 */
	int report_fd; /* CLOEXEC pipe for the failure record; the init program inherits it as descriptor 3 */
	int console_fd; /* the pty's slave, once opened */
	int peer_mounts_fd; /* the mount namespace of another container, for bind_peer; or -1 */
	int announces_exec; /* write PLAN_EXECUTING to report_fd before execve: EOF alone may be a death before it */
	int others_closed; /* plan_close_others has been called */
	const char *syscall; /* the last call, for the report */
};

/* Check a plan of `size` bytes; every offset is validated here so that the executor need not.  0 or -EINVAL. */
int plan_load(struct plan *plan, const void *bytes, size_t size);

/* Before becoming root of a namespace that may not have our id: open what steps with PLAN_OPEN_FIRST need of the host.
 * 0 or -1 with `failure` filled. */
int plan_open_first(const struct plan *plan, struct plan_run *run, struct plan_failure *failure);

/* Execute all steps; a plan that ends with `exec` does not return on success.  0 or -1 with `failure` filled. */
int plan_execute(const struct plan *plan, struct plan_run *run, struct plan_failure *failure);

const char *plan_op_name(int op);

/* What a descriptor that comes over control_fd is: the console's master; the FUSE device of the root file system. */
#define PLAN_SENDS_CONSOLE 'T'
#define PLAN_SENDS_FUSE 'M'

/* The byte that says, on the report pipe, that only execve(2) is left to do. */
#define PLAN_EXECUTING 'E'

/* Close all descriptors above 2 but those that `run` names; 0 or -1. */
int plan_close_others(struct plan_run *run);

/* execve, looking for a name without a slash in the PATH of `environment`.  Returns only on failure, with errno. */
void plan_exec_program(const char *name, char **argv, char **environment);

#endif

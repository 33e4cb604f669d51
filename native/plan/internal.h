/* Shared by the executor's files only. */
#ifndef PYRUN_PLAN_INTERNAL_H
#define PYRUN_PLAN_INTERNAL_H

#include "plan.h"

struct step_context {
	const struct plan *plan;
	const struct plan_step *step;
	struct plan_run *run;
};

/* Name the call before making it, so that a failure can say which one it was. */
#define CALL(context, name) ((context)->run->syscall = (name))

static inline const char *step_string(const struct step_context *c, uint32_t offset)
{
	return offset == PLAN_NONE ? NULL : c->plan->data + offset;
}

static inline uint32_t string_offset(const struct step_context *c, const char *string)
{
	return (uint32_t)(string - c->plan->data);
}

/* The string after `s` in a list. */
const char *next_string(const char *s);

/* Each returns 0, or -1 with errno set. */
int step_propagation(struct step_context *c);
int step_overlay(struct step_context *c);
int step_root_bind(struct step_context *c);
int step_fsmount(struct step_context *c);
int step_bind(struct step_context *c);
int step_mkdir(struct step_context *c);
int step_symlink(struct step_context *c);
int step_sysctl(struct step_context *c);
int step_mask(struct step_context *c);
int step_readonly(struct step_context *c);
int step_console(struct step_context *c);
int step_pivot(struct step_context *c);
int step_root_readonly(struct step_context *c);
int step_hostname(struct step_context *c);
int step_rlimit(struct step_context *c);
int step_loopback_up(struct step_context *c);
int step_sync(struct step_context *c);
int step_session(struct step_context *c);
int step_umask(struct step_context *c);
int step_bounding(struct step_context *c);
int step_ids(struct step_context *c);
int step_capabilities(struct step_context *c);
int step_no_new_privs(struct step_context *c);
int step_seccomp(struct step_context *c);
int step_chdir(struct step_context *c);
int step_exec(struct step_context *c);
int step_keyring(struct step_context *c);
int step_own_root(struct step_context *c);
int step_fuse_overlay(struct step_context *c);
int step_die_with_parent(struct step_context *c);
int step_bind_peer(struct step_context *c);
int step_oom_score(struct step_context *c);
int step_secret(struct step_context *c);

/* plan.c: the record of the step that has just failed; from errno and the last CALL. */
void plan_failed(const struct step_context *c, struct plan_failure *failure);

/* host_paths.c: a path of the host that the step names, or that of its descriptor if it was opened first. */
enum { HOST_PATH_MAX = 288 };
const char *host_path(const struct step_context *c, uint32_t offset, char name[HOST_PATH_MAX]);

/* step_files.c: hand a descriptor to the parent; `kind` says what it is. */
int send_descriptor(struct step_context *c, char kind, int fd);

/* paths.c: every path is resolved inside the container's root, whatever its symlinks say. */
int root_open(struct step_context *c, const char *path, uint64_t flags);
int root_mkdir(struct step_context *c, const char *path, unsigned mode);
int root_parent(struct step_context *c, const char *path, const char **name);
int root_mount_point(struct step_context *c, const char *path, int is_directory);

/* step_mount.c: what the operations on single paths need of it. */
int close_keeping_errno(int fd); /* always -1 */
int move_onto(struct step_context *c, int mount_fd, int target_fd);
int new_mount(struct step_context *c, const char *type, unsigned attributes);
int set_attributes(struct step_context *c, int fd, uint64_t set, uint64_t propagation, int recursive);

#endif

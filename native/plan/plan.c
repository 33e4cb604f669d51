/* Loading and running a plan: the only loop.  The operations are in the step_*.c files. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "syscalls.h"

static int string_ok(const struct plan *plan, uint32_t offset)
{
	return offset == PLAN_NONE || offset < plan->data_size;
}

/* A list of `count` strings must lie inside the data. */
static int list_ok(const struct plan *plan, uint32_t offset, uint32_t count)
{
	size_t at = offset;

	if (offset == PLAN_NONE)
		return 1;
	for (uint32_t i = 0; i < count; i++) {
		if (at >= plan->data_size)
			return 0;
		at += strnlen(plan->data + at, plan->data_size - at) + 1;
	}
	return at <= plan->data_size;
}

/* What the operations use without asking. */
static int strings_missing(const struct plan_step *step)
{
	switch (step->op) {
	case PLAN_overlay:
		return step->s2 == PLAN_NONE || (step->s3 != PLAN_NONE && step->s4 == PLAN_NONE) || step->s1 == PLAN_NONE;
	case PLAN_fuse_overlay:
		return step->s1 == PLAN_NONE || step->s2 == PLAN_NONE || step->s3 == PLAN_NONE;
	case PLAN_fsmount:
	case PLAN_bind:
	case PLAN_bind_peer:
	case PLAN_secret:
	case PLAN_symlink:
	case PLAN_sysctl:
	case PLAN_capabilities:
		return step->s1 == PLAN_NONE || step->s2 == PLAN_NONE;
	case PLAN_root_bind:
	case PLAN_oom_score:
	case PLAN_mkdir:
	case PLAN_mask:
	case PLAN_readonly:
	case PLAN_chdir:
	case PLAN_exec:
	case PLAN_seccomp:
		return step->s1 == PLAN_NONE;
	default:
		return 0;
	}
}

static int step_ok(const struct plan *plan, const struct plan_step *step)
{
	if (!plan_op_name(step->op))
		return 0;
	if (!string_ok(plan, step->s1) || !string_ok(plan, step->s2) || !string_ok(plan, step->s3) ||
	    !string_ok(plan, step->s4))
		return 0;
	if (strings_missing(step))
		return 0;
	switch (step->op) {
	case PLAN_exec: /* s1: argv, count in `count`; s2: environment, count in a */
		return step->count > 0 && step->a < UINT32_MAX &&
		       list_ok(plan, step->s1, step->count) && list_ok(plan, step->s2, (uint32_t)step->a);
	case PLAN_overlay: /* s2: lower directories */
	case PLAN_fsmount: /* s3: key=value list */
		return list_ok(plan, step->op == PLAN_overlay ? step->s2 : step->s3, step->count);
	case PLAN_seccomp: /* s1: filter, `count` instructions of 8 bytes */
		return step->count <= 65535 && step->s1 + 8ull * step->count <= plan->data_size;
	case PLAN_secret: /* s2: a >> 16 bytes */
		return (step->a >> 16) <= plan->data_size && step->s2 + (step->a >> 16) <= plan->data_size;
	case PLAN_ids: /* s1: supplementary groups, decimal */
		return list_ok(plan, step->s1, step->count);
	default:
		return 1;
	}
}

int plan_load(struct plan *plan, const void *bytes, size_t size)
{
	const struct plan_header *header = bytes;

	if (size < sizeof(*header) || header->magic != PLAN_MAGIC || header->version != PLAN_VERSION)
		return -EINVAL;
	if (header->step_count > 100000 || header->data_size == 0)
		return -EINVAL;
	if (size != sizeof(*header) + (size_t)header->step_count * sizeof(struct plan_step) + header->data_size)
		return -EINVAL;
	plan->steps = (const struct plan_step *)(header + 1);
	plan->step_count = header->step_count;
	plan->data = (const char *)(plan->steps + header->step_count);
	plan->data_size = header->data_size;
	if (plan->data[plan->data_size - 1] != '\0')
		return -EINVAL;
	for (uint32_t i = 0; i < plan->step_count; i++)
		if (!step_ok(plan, &plan->steps[i]))
			return -EINVAL;
	return 0;
}

const char *plan_op_name(int op)
{
	switch (op) {
#define X(number, name)                                                                                                \
	case number:                                                                                                   \
		return #name;
		PLAN_OPS(X)
#undef X
	default:
		return NULL;
	}
}

/* What is open now may be the host's: a path through /proc/self/fd/N would reach it from inside, and CLOEXEC is too late
 * for the program's own path (CVE-2024-21626).  So: closed, not marked. */
int plan_close_others(struct plan_run *run)
{
	const int kept[] = { run->control_fd, run->report_fd, run->init_fd, run->console_fd, run->root_fd };
	unsigned from = 3;

	for (;;) {
		unsigned next = ~0u;

		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if (kept[i] >= 0 && (unsigned)kept[i] >= from && (unsigned)kept[i] < next)
				next = (unsigned)kept[i];
		if (next > from && sys_close_range(from, next == ~0u ? next : next - 1, 0) < 0)
			return -1;
		if (next == ~0u) {
			run->others_closed = 1;
			return 0;
		}
		from = next + 1;
	}
}

const char *next_string(const char *s)
{
	return s + strlen(s) + 1;
}

static int execute_step(struct step_context *c)
{
	switch (c->step->op) {
#define X(number, name)                                                                                                \
	case number:                                                                                                   \
		return step_##name(c);
		PLAN_OPS(X)
#undef X
	default:
		errno = ENOSYS;
		return -1;
	}
}

void plan_failed(const struct step_context *c, struct plan_failure *failure)
{
	failure->step = (int32_t)(c->step - c->plan->steps);
	failure->op = c->step->op;
	failure->error = errno;
	memset(failure->syscall, 0, sizeof(failure->syscall));
	strncpy(failure->syscall, c->run->syscall, sizeof(failure->syscall) - 1);
}

int plan_execute(const struct plan *plan, struct plan_run *run, struct plan_failure *failure)
{
	for (uint32_t i = 0; i < plan->step_count; i++) {
		struct step_context context = { .plan = plan, .step = &plan->steps[i], .run = run };
		unsigned flags = plan->steps[i].step_flags;

		run->syscall = "";
		if (execute_step(&context) == 0) {
			if (flags & PLAN_OR_ELSE)
				i++;
			continue;
		}
		if (flags & PLAN_OR_ELSE)
			continue;
		if ((flags & PLAN_IGNORE_MISSING) && (errno == ENOENT || errno == ENOTDIR))
			continue;
		plan_failed(&context, failure);
		return -1;
	}
	return 0;
}

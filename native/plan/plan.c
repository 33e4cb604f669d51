/* Loading and running a plan: the only loop.  The operations are in the step_*.c files. */
#include <errno.h>
#include <string.h>

#include "internal.h"

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

static int step_ok(const struct plan *plan, const struct plan_step *step)
{
	if (!plan_op_name(step->op))
		return 0;
	if (!string_ok(plan, step->s1) || !string_ok(plan, step->s2) || !string_ok(plan, step->s3) ||
	    !string_ok(plan, step->s4))
		return 0;
	switch (step->op) {
	case PLAN_exec: /* s1: argv, count in `count`; s2: environment, count in a */
		return step->count > 0 && step->s1 != PLAN_NONE && step->a < UINT32_MAX &&
		       list_ok(plan, step->s1, step->count) && list_ok(plan, step->s2, (uint32_t)step->a);
	case PLAN_overlay: /* s2: lower directories */
	case PLAN_fsmount: /* s3: key=value list */
		return step->s1 != PLAN_NONE && list_ok(plan, step->op == PLAN_overlay ? step->s2 : step->s3, step->count);
	case PLAN_seccomp: /* s1: filter, `count` instructions of 8 bytes */
		return step->s1 != PLAN_NONE && step->count <= 65535 && step->s1 + 8ull * step->count <= plan->data_size;
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
		failure->step = (int32_t)i;
		failure->op = plan->steps[i].op;
		failure->error = errno;
		memset(failure->syscall, 0, sizeof(failure->syscall));
		strncpy(failure->syscall, run->syscall, sizeof(failure->syscall) - 1);
		return -1;
	}
	return 0;
}

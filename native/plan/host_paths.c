/* Paths of the host, opened while we are still the user.  Root of a namespace in which the user has no id (--userns nomap,
 * auto) may not search his directories: CAP_DAC_OVERRIDE holds for mapped owners only (capabilities(7)).  The name of
 * a descriptor in /proc needs no search but of what is below it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "syscalls.h"

enum { OPENED_MAX = 512 };

/* The string at `offset` is what `fd` is, or the directory that holds it: then `name` is what is behind the slash. */
static struct opened {
	uint32_t offset;
	int fd;
	const char *name;
} opened[OPENED_MAX];
static unsigned opened_count;

static int remember(struct step_context *c, uint32_t offset, const char *path, const char *name)
{
	int fd;

	if (opened_count == OPENED_MAX) {
		errno = E2BIG;
		return -1;
	}
	CALL(c, "open");
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -1;
	opened[opened_count++] = (struct opened){ .offset = offset, .fd = fd, .name = name };
	return 0;
}

/* A mount point by the directory it is in: a descriptor of its own would go on naming what is underneath. */
static int remember_mount_point(struct step_context *c, uint32_t offset)
{
	const char *path = step_string(c, offset), *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	if (!slash || slash == path || (size_t)(slash - path) >= sizeof(parent)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return remember(c, offset, parent, slash);
}

static int remember_list(struct step_context *c, uint32_t offset, uint32_t count)
{
	const char *path = step_string(c, offset);

	for (uint32_t i = 0; i < count; i++, path = next_string(path))
		if (remember(c, string_offset(c, path), path, "") < 0)
			return -1;
	return 0;
}

/* Not later: from inside, our own file belongs to nobody there, and there need be no /proc. */
static int set_oom_score(struct step_context *c)
{
	const char *score = step_string(c, c->step->s1);
	ssize_t wrote;
	int fd;

	CALL(c, "open(oom_score_adj)");
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	CALL(c, "write(oom_score_adj)");
	wrote = write(fd, score, strlen(score));
	close_keeping_errno(fd);
	return wrote == (ssize_t)strlen(score) ? 0 : -1;
}

static int open_of_step(struct step_context *c)
{
	const struct plan_step *step = c->step;

	switch (step->op) {
	case PLAN_overlay:
		if (remember_mount_point(c, step->s1) < 0 || remember_list(c, step->s2, step->count) < 0)
			return -1;
		return step->s3 == PLAN_NONE ? 0 : remember_list(c, step->s3, 1) < 0 ? -1 : remember_list(c, step->s4, 1);
	case PLAN_root_bind:
		return remember_mount_point(c, step->s1);
	case PLAN_bind:
		return remember_list(c, step->s1, 1);
	case PLAN_oom_score:
		return set_oom_score(c);
	default:
		return 0;
	}
}

int plan_open_first(const struct plan *plan, struct plan_run *run, struct plan_failure *failure)
{
	for (uint32_t i = 0; i < plan->step_count; i++) {
		struct step_context context = { .plan = plan, .step = &plan->steps[i], .run = run };

		if (!(plan->steps[i].step_flags & PLAN_OPEN_FIRST) || open_of_step(&context) == 0)
			continue;
		plan_failed(&context, failure);
		return -1;
	}
	return 0;
}

const char *host_path(const struct step_context *c, uint32_t offset, char name[HOST_PATH_MAX])
{
	if (c->step->step_flags & PLAN_OPEN_FIRST)
		for (unsigned i = 0; i < opened_count; i++)
			if (opened[i].offset == offset) {
				snprintf(name, HOST_PATH_MAX, "/proc/self/fd/%d%s", opened[i].fd, opened[i].name);
				return name;
			}
	return c->plan->data + offset;
}

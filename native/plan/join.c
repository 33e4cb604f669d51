/* A further process in a running container: what `exec` and a health check are. */
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syscalls.h"

static _Noreturn void report(int report_fd, const struct plan_failure *failure)
{
	(void)!write(report_fd, failure, sizeof(*failure));
	_exit(127);
}

static _Noreturn void report_call(int report_fd, const char *call)
{
	struct plan_failure failure = { .step = -1, .error = errno };

	strncpy(failure.syscall, call, sizeof(failure.syscall) - 1);
	report(report_fd, &failure);
}

/* First all out of the way: a caller without standard streams has pipes at 0 to 2.  dup2 also clears CLOEXEC. */
static void place_stdio(const struct plan_join *join, int report_fd)
{
	int moved[3] = { -1, -1, -1 };

	for (int i = 0; i < 3; i++)
		if (join->stdio[i] >= 0 && (moved[i] = fcntl(join->stdio[i], F_DUPFD_CLOEXEC, 3)) < 0)
			report_call(report_fd, "fcntl");
	for (int i = 0; i < 3; i++)
		if (moved[i] >= 0 && dup2(moved[i], i) < 0)
			report_call(report_fd, "dup2");
}

static _Noreturn void joined_main(const struct plan_join *join, const struct plan *plan, int report_fd)
{
	struct plan_failure failure;
	struct plan_run run = {
		.control_fd = join->control_fd, .report_fd = report_fd, .init_fd = -1, .console_fd = -1, .peer_mounts_fd = -1
	};

	run.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run.root_fd < 0)
		report_call(report_fd, "open");
	place_stdio(join, report_fd);
	/* The caller's descriptors are the host's: none may be open where the container could name it. */
	if (plan_close_others(&run) < 0)
		report_call(report_fd, "close_range");
	plan_execute(plan, &run, &failure);
	report(report_fd, &failure);
}

/* Not dumpable from before we are visible inside, so that nobody there can ptrace us or open a /proc/PID/… of ours
 * (CVE-2016-9962); once more after each change of credentials, which sets the flag to fs.suid_dumpable: proc(5). */
static void hide(int report_fd)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		report_call(report_fd, "prctl(DUMPABLE)");
}

/* The first child joins; its own child is in the pid namespace.  It stays outside until that ends, and ends with its
 * code: a pid namespace ends only when all of its dead are reaped (pid_namespaces(7)), and should our caller be killed,
 * whoever inherits his children may never do that (a container's `sleep infinity`): stop and rm would never return. */
_Noreturn void plan_join(const struct plan_join *join, const struct plan *plan, int report_fd, int result_fd)
{
	struct plan_failure failure;
	int status = 0;
	long second;

	if (plan_open_first(plan, &(struct plan_run){ 0 }, &failure) < 0)
		report(report_fd, &failure);
	hide(report_fd);
	/* What may not be moved (another login session) stays: the group counts and limits, it does not confine. */
	if (join->cgroup_fd >= 0)
		(void)!write(join->cgroup_fd, "0", 1);
	if (setns(join->pidfd, join->namespaces) < 0)
		report_call(report_fd, "setns");
	hide(report_fd);
	if ((join->namespaces & CLONE_NEWUSER) && (sys_setresgid(0) < 0 || sys_setresuid(0) < 0) && errno != EINVAL)
		report_call(report_fd, "setresuid");
	hide(report_fd);
	second = sys_clone3(&(struct clone_args){ .exit_signal = SIGCHLD });
	if (second < 0)
		report_call(report_fd, "clone3");
	if (second == 0)
		joined_main(join, plan, report_fd);
	(void)!write(result_fd, &(int32_t){ (int32_t)second }, sizeof(int32_t));
	/* Neither our caller's streams nor its report may be kept open by us. */
	sys_close_range(0, ~0u, 0);
	while (waitpid((pid_t)second, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

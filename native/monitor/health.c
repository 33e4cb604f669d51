/* Health checks: a process that joins the container now and then, and what its end says.  Rules: moby daemon/health.go. */
#include "health.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../plan/join.h"
#include "../plan/syscalls.h"
#include "container.h"

static enum health_status status;
static unsigned streak; /* failures in a row */
static int64_t due_at = -1; /* the next check; -1: none */

/* The running check. */
static struct {
	pid_t pid; /* of our child, which waits outside for the end of the check; 0: none runs */
	int64_t began_at, ends_at; /* ends_at: when it has taken too long; -1: it has been ended */
	int output_fd, report_fd, result_fd;
	int is_late, is_cut;
	struct health_result result;
} check = { .ends_at = -1, .output_fd = -1, .report_fd = -1, .result_fd = -1 };

/* A container that has never been healthy is looked at more often within its start period. */
static void plan_next(void)
{
	const struct health_orders *orders = container.job.health;
	int64_t now = monotonic_ms();
	int is_early = status == HEALTH_STARTING && now - container.started_at < (int64_t)orders->start_period;

	due_at = now + (int64_t)(is_early ? orders->start_interval : orders->interval);
}

void health_begin(void)
{
	if (!container.job.health)
		return;
	status = HEALTH_STARTING;
	streak = 0;
	plan_next();
	health_record(container.directory_fd, status, streak, NULL);
}

static void forget_check(void)
{
	close_fd(&check.output_fd);
	close_fd(&check.report_fd);
	close_fd(&check.result_fd);
	check.pid = 0;
	check.ends_at = -1;
}

void health_end(void)
{
	forget_check();
	due_at = -1;
}

int64_t health_deadline(void)
{
	return check.pid ? check.ends_at : due_at;
}

int health_output_fd(void)
{
	return check.output_fd;
}

static void say(const char *text)
{
	size_t room = sizeof(check.result.output) - check.result.length, length = strlen(text);

	length = length < room ? length : room;
	memcpy(check.result.output + check.result.length, text, length);
	check.result.length += length;
}

/* Within its start period a container that has never been healthy cannot fail. */
static void conclude(int code)
{
	const struct health_orders *orders = container.job.health;
	enum health_status before = status;
	char action[40];

	check.result.code = code;
	format_time(check.result.end, sizeof(check.result.end));
	if (code == 0) {
		streak = 0;
		status = HEALTH_HEALTHY;
	} else if (status != HEALTH_STARTING || check.began_at - container.started_at >= (int64_t)orders->start_period) {
		if (++streak >= orders->retries)
			status = HEALTH_UNHEALTHY;
	}
	plan_next();
	forget_check();
	health_record(container.directory_fd, status, streak, &check.result);
	if (status == before)
		return;
	snprintf(action, sizeof(action), "health_status: %s", health_word(status));
	event_emit(&container.job, action, "");
}

static void fail(const char *call)
{
	int error = errno;

	say("cannot run the health check: ");
	say(call);
	say(": ");
	say(strerror(error));
	conclude(-1);
}

static int open_pipe(int *ours, int *theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	*ours = fds[0];
	*theirs = fds[1];
	return fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

static void start(void)
{
	struct plan_join join = { .pidfd = container.init.pidfd, .namespaces = (int)container.job.health->namespaces,
				  .control_fd = -1, .cgroup_fd = -1 }; /* the monitor is in the container's group */
	int output = -1, report = -1, result = -1;
	long pid = -1;

	check.result.length = 0;
	check.is_late = check.is_cut = 0;
	check.began_at = monotonic_ms();
	format_time(check.result.start, sizeof(check.result.start));
	join.stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (join.stdio[0] >= 0 && open_pipe(&check.output_fd, &output) == 0 && open_pipe(&check.report_fd, &report) == 0 &&
	    open_pipe(&check.result_fd, &result) == 0)
		pid = sys_clone3(&(struct clone_args){ .exit_signal = SIGCHLD });
	if (pid == 0) {
		join.stdio[1] = join.stdio[2] = output;
		plan_join(&join, &container.job.health_plan, report, result);
	}
	if (pid < 0)
		fail("clone3");
	close_fd(&join.stdio[0]);
	close_fd(&output);
	close_fd(&report);
	close_fd(&result);
	if (pid < 0)
		return;
	check.pid = (pid_t)pid;
	check.ends_at = check.began_at + (int64_t)container.job.health->timeout;
}

/* All of it is read, so that the check is not held up; the first of it is kept. */
void health_read(void)
{
	char buffer[4096];
	ssize_t got = read(check.output_fd, buffer, sizeof(buffer));
	size_t room = HEALTH_OUTPUT_MAX - check.result.length;

	if (got > 0 && (size_t)got > room)
		check.is_cut = 1;
	if (got > 0) {
		size_t part = (size_t)got < room ? (size_t)got : room;

		memcpy(check.result.output + check.result.length, buffer, part);
		check.result.length += part;
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(&check.output_fd);
	}
}

/* Also what it has started in its session; what has left that goes on, as with docker. */
static void end_late(void)
{
	int32_t pid;

	check.ends_at = -1;
	check.is_late = 1;
	/* Not reaped before our child has seen its end, so the pid is still its own. */
	if (read(check.result_fd, &pid, sizeof(pid)) == sizeof(pid)) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	} else {
		kill(check.pid, SIGKILL);
	}
}

/* Whether `pyrun pause` has stopped this run of the container; its file says where to look: "PID STARTTIME GROUP". */
static int is_paused(void)
{
	char text[4200], path[4300], *group;
	pid_t pid;

	if (read_text(container.directory_fd, "freezer", text, sizeof(text)) <= 0)
		return 0;
	pid = (pid_t)strtol(text, &group, 10);
	if (pid != container.init.host_pid || !*group || !(group = strchr(group + 1, ' ')))
		return 0;
	group++;
	group[strcspn(group, "\n")] = '\0';
	if (*group)
		snprintf(path, sizeof(path), "%s/cgroup.events", group);
	else
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (read_text(container.directory_fd, path, text, sizeof(text)) <= 0)
		return 0;
	return *group ? strstr(text, "frozen 1") != NULL : strstr(text, ") T ") != NULL;
}

void health_turn(void)
{
	int64_t now = monotonic_ms();

	if (check.pid && check.ends_at >= 0 && now >= check.ends_at)
		end_late();
	if (check.pid || due_at < 0 || now < due_at)
		return;
	if (is_paused())
		due_at = now + (int64_t)container.job.health->interval;
	else
		start();
}

static void put_late_words(void)
{
	const char *words = container.job.health->timeout_words;
	size_t before = strnlen(words, sizeof(container.job.health->timeout_words));
	size_t gap = check.result.length ? before + 2 : before;

	memmove(check.result.output + gap, check.result.output, check.result.length);
	memcpy(check.result.output, words, before);
	if (check.result.length)
		memcpy(check.result.output + before, ": ", 2);
	check.result.length += gap;
}

/* What the pipe still holds; not until its end, which a process in the background may keep from coming. */
static void drain_output(void)
{
	for (int reads = 0; check.output_fd >= 0 && reads < 64; reads++) {
		struct pollfd ready = { .fd = check.output_fd, .events = POLLIN };

		if (poll(&ready, 1, 0) <= 0)
			return;
		health_read();
	}
}

/* Whether the first process is on its way out: then nobody can join any more, and who is inside is killed.  Its pidfd says
 * so only once all of those are gone (zap_pid_ns_processes()), its flags from the beginning: PF_EXITING, proc(5). */
static int container_ends(void)
{
	char path[64], text[512], *at;
	unsigned long flags = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)container.init.host_pid);
	if (read_text(container.directory_fd, path, text, sizeof(text)) <= 0 || !(at = strrchr(text, ')')))
		return 1;
	sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags);
	return container.exited || (flags & 0x4);
}

int health_reaped(pid_t pid, int wait_status)
{
	struct plan_failure failure;

	if (!check.pid || pid != check.pid)
		return 0;
	drain_output();
	if (container_ends() || is_paused()) { /* then this says nothing of the container's health */
		forget_check();
		due_at = monotonic_ms() + (int64_t)container.job.health->interval;
		return 1;
	}
	if (check.is_cut)
		say("...");
	if (read(check.report_fd, &failure, sizeof(failure)) == sizeof(failure)) {
		errno = failure.error;
		fail(failure.syscall);
	} else if (check.is_late) {
		put_late_words();
		conclude(-1);
	} else {
		conclude(exit_code_of(wait_status));
	}
	return 1;
}

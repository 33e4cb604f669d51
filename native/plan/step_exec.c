/* The last step: the program. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "internal.h"
#include "syscalls.h"

enum { EXEC_INIT = 1 };

/* Python ignores SIGPIPE and its callers may block signals: none of that is the container's business. */
static void reset_signals(void)
{
	struct sigaction defaults = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int signal = 1; signal < NSIG; signal++)
		if (signal != SIGKILL && signal != SIGSTOP)
			sigaction(signal, &defaults, NULL);
	/* glibc's sigaction refuses its two internal signals (32, 33), which execve(2) would pass on as ignored. */
	for (int signal = 32; signal < 34; signal++) {
		struct {
			void *handler;
			unsigned long flags;
			void *restorer;
			unsigned long mask;
		} raw = { 0 };
		syscall(SYS_rt_sigaction, signal, &raw, NULL, 8);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static char **string_array(const char *list, uint32_t count, char **array)
{
	for (uint32_t i = 0; i < count; i++) {
		array[i] = (char *)(uintptr_t)list;
		list = next_string(list);
	}
	array[count] = NULL;
	return array;
}

static const char *search_path(char **environment)
{
	const char *path = "";

	for (; *environment; environment++)
		if (strncmp(*environment, "PATH=", 5) == 0)
			path = *environment + 5;
	return path;
}

/* execvp(3) without its shell fallback: ENOEXEC is an error to docker too.  Directories are EACCES. */
void plan_exec_program(const char *name, char **argv, char **environment)
{
	const char *path = search_path(environment);
	char file[PATH_MAX];
	int denied = 0;

	if (strchr(name, '/')) {
		execve(name, argv, environment);
		return;
	}
	for (;;) {
		const char *end = strchrnul(path, ':');
		int length = (int)(end - path);

		if (length == 0 && *end == '\0' && path == end)
			break;
		if (snprintf(file, sizeof(file), "%.*s/%s", length ? length : 1, length ? path : ".", name) < (int)sizeof(file)) {
			struct stat st;

			execve(file, argv, environment);
			if (errno == EACCES && stat(file, &st) == 0 && S_ISREG(st.st_mode))
				denied = 1;
			else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return;
		}
		if (*end == '\0')
			break;
		path = end + 1;
	}
	errno = denied ? EACCES : ENOENT;
}

/* The init program reports for the command that it starts: its report pipe is descriptor 3. */
static void exec_init(struct step_context *c, char **argv, char **environment)
{
	struct plan_run *run = c->run;
	int init_fd = fcntl(run->init_fd, F_DUPFD_CLOEXEC, 10);

	CALL(c, "dup2");
	if (init_fd < 0 || dup2(run->report_fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0)
		return;
	CALL(c, "execveat");
	argv[-1] = (char *)(uintptr_t)"pyrun-init";
	syscall(SYS_execveat, init_fd, "", argv - 1, environment, AT_EMPTY_PATH);
}

/* Nothing of ours is inherited, whatever was left open (CVE-2024-21626); all that stays closes itself at execve.
 * By now a filter may forbid close_range(2), which is newer than many profiles: then what the pivot left is all. */
static int close_last(struct step_context *c)
{
	struct plan_run *run = c->run;

	for (int i = 0; i < 2; i++) {
		int *fd = i ? &run->control_fd : &run->root_fd;

		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
	CALL(c, "close_range");
	if (plan_close_others(run) < 0 && !run->others_closed)
		return -1;
	return run->console_fd < 0 ? 0 : fcntl(run->console_fd, F_SETFD, FD_CLOEXEC);
}

/* s1: `count` arguments; s2: `a` variables; b: EXEC_INIT = under the init program. */
int step_exec(struct step_context *c)
{
	const struct plan_step *step = c->step;
	size_t bytes = (step->count + step->a + 8) * sizeof(char *);
	char **argv, **environment;

	CALL(c, "mmap");
	argv = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argv == MAP_FAILED)
		return -1;
	argv += 1; /* room for the init program's own name */
	string_array(step_string(c, step->s1), step->count, argv);
	environment = string_array(step_string(c, step->s2), step->s2 == PLAN_NONE ? 0 : (uint32_t)step->a, argv + step->count + 1);
	if (close_last(c) < 0)
		return -1;
	reset_signals();
	CALL(c, "write");
	if (c->run->announces_exec && write(c->run->report_fd, &(char){ PLAN_EXECUTING }, 1) != 1)
		return -1;
	CALL(c, "execve");
	if (step->b & EXEC_INIT) {
		exec_init(c, argv, environment);
		return -1;
	}
	plan_exec_program(argv[0], argv, environment);
	return -1;
}

/* The one container of this monitor; private to main.c, start.c, run.c, restart.c and streams.c. */
#ifndef PYRUN_CONTAINER_H
#define PYRUN_CONTAINER_H

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

struct container {
	struct job job;
	struct init_process init;
	struct network network;
	struct fuse fuse;
	struct members members;
	int directory_fd, lock_fd, signal_fd;
	/* Of this run; run_reset() sets them back. */
	int init_waits; /* it has sent 'R' */
	int network_ready;
	int64_t network_deadline;
	int executing; /* only execve was left to do */
	int started; /* execve succeeded */
	int exited, status;
	int64_t started_at; /* monotonic_ms() */
	/* Of its whole life. */
	int has_run; /* execve has succeeded once */
	int first_client_gone;
	int is_leaving; /* SIGTERM: it is not started again */
	int last_status; /* of the run before this one */
	unsigned restarts;
	int64_t restart_at; /* while it waits to be started again; else -1 */
	struct {
		struct plan_failure record; /* step -2: none */
		char words[480];
		size_t words_length;
	} failure;
	char input[FRAME_MAX]; /* bytes for stdin that the pipe did not take yet */
	size_t input_used;
	int input_eof;
	struct winsize window; /* the terminal's, as it was last told */
};

extern struct container container;

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Every deadline is of this clock: the wall's may jump. */
static inline int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* start.c: from the lock, and again from each clone, to execve */
void fail_before_init(const char *call);
int begin(void);
int run_begin(void);
void give_go_when_ready(void);
void on_control(void);
void on_report(void);
void on_network_ready(void);
void network_result(int status);
/* Until the network program must be ready, in ms; INT64_MAX where nobody waits for it.  Then: network_late. */
int64_t network_time_left(void);
void network_late(void);
/* End a start that has not come to execve; `call` is what is said to have failed. */
void abandon(const char *call, int error);

/* run.c: a run and its end */
void run_reset(void);
void on_signal(void);
void run_end(void);

/* restart.c: whether there is another run, and when */
int restart_follows(void);

/* streams.c */
int on_frame(int is_first, char kind, const char *bytes, size_t length);
int *input_fd(void);
void push_input(void);
void pump(int *fd, int stream);
void drain(void);
void take_words(int words_fd);

#endif

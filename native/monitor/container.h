/* The one container of this monitor; private to main.c, start.c and streams.c. */
#ifndef PYRUN_CONTAINER_H
#define PYRUN_CONTAINER_H

#include <sys/wait.h>
#include <unistd.h>

#include "monitor.h"

struct container {
	struct job job;
	struct init_process init;
	struct network network;
	struct fuse fuse;
	int directory_fd, lock_fd;
	int init_waits; /* it has sent 'R' */
	int network_ready;
	int executing; /* only execve was left to do */
	int started; /* execve succeeded */
	int first_client_gone;
	int exited, status;
	struct {
		struct plan_failure record; /* step -2: none */
		char words[480];
		size_t words_length;
	} failure;
	char input[FRAME_MAX]; /* bytes for stdin that the pipe did not take yet */
	size_t input_used;
	int input_eof;
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

/* start.c */
void fail_before_init(const char *call);
int begin(void);
void give_go_when_ready(void);
void on_control(void);
void on_report(void);
void network_result(int status);
/* End a start that has not come to execve; `call` is what is said to have failed. */
void abandon(const char *call, int error);

/* streams.c */
int on_frame(int is_first, char kind, const char *bytes, size_t length);
int *input_fd(void);
void push_input(void);
void pump(int *fd, int stream);
void drain(void);
void take_words(int words_fd);

#endif

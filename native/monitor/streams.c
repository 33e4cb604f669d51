/* Bytes between the container's standard streams, its log and the attached clients. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "container.h"

#define DRAIN_READS 512

static void set_window(const char *bytes, size_t length)
{
	uint16_t size[2];

	if (length != sizeof(size))
		return;
	memcpy(size, bytes, sizeof(size));
	container.window.ws_row = size[0];
	container.window.ws_col = size[1];
	ioctl(container.init.stdout_fd, TIOCSWINSZ, &container.window);
}

int *input_fd(void)
{
	return job_has(&container.job, JOB_TTY) ? &container.init.stdout_fd : &container.init.stdin_fd;
}

void push_input(void)
{
	int *fd = input_fd();

	/* Nobody will read it: kept, it would stop us from reading the clients for ever.  (A console may still come.) */
	if (*fd < 0 && (container.started || !job_has(&container.job, JOB_TTY)))
		container.input_used = 0;
	if (*fd >= 0 && container.input_used > 0) {
		ssize_t wrote = write(*fd, container.input, container.input_used);

		if (wrote < 0 && errno != EAGAIN && errno != EINTR) {
			container.input_used = 0;
			if (!job_has(&container.job, JOB_TTY))
				close_fd(fd);
		} else if (wrote > 0) {
			container.input_used -= (size_t)wrote;
			memmove(container.input, container.input + wrote, container.input_used);
		}
	}
	if (container.input_used == 0 && container.input_eof && !job_has(&container.job, JOB_TTY))
		close_fd(&container.init.stdin_fd);
}

/* Returns whether there is no room for another frame now. */
int on_frame(int is_first, char kind, const char *bytes, size_t length)
{
	if (kind == 0 && is_first)
		container.first_client_gone = 1;
	if (kind == FRAME_STDIN && container.input_used + length <= sizeof(container.input)) {
		memcpy(container.input + container.input_used, bytes, length);
		container.input_used += length;
	} else if (kind == FRAME_STDIN_EOF || (kind == 0 && is_first && job_has(&container.job, JOB_STDIN_ONCE))) {
		container.input_eof = 1;
	} else if (kind == FRAME_WINDOW && job_has(&container.job, JOB_TTY)) {
		set_window(bytes, length);
	}
	push_input();
	return container.input_used > 0;
}

void pump(int *fd, int stream)
{
	static char buffer[2 * (FRAME_MAX - 1)]; /* what a pipe holds, nearly */
	ssize_t got = read(*fd, buffer, sizeof(buffer));

	if (got > 0) {
		log_bytes(stream, buffer, (size_t)got);
		for (ssize_t sent = 0, part; sent < got; sent += part) {
			part = got - sent < FRAME_MAX ? got - sent : FRAME_MAX - 1;
			clients_broadcast(stream == 1 ? FRAME_STDOUT : FRAME_STDERR, buffer + sent, (size_t)part);
		}
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_fd(fd); /* EIO: the last slave of the pty was closed */
	}
}

/* Everything in the container is dead, so what its pipes still hold is all there is: at most fs.pipe-max-size (1 MiB)
 * each.  Not until EOF: a write end may have been handed to a process outside. */
void drain(void)
{
	for (int stream = 1; stream <= 2; stream++) {
		int *fd = stream == 1 ? &container.init.stdout_fd : &container.init.stderr_fd;

		for (int reads = 0; *fd >= 0 && reads < DRAIN_READS; reads++) {
			struct pollfd ready = { .fd = *fd, .events = POLLIN };

			if (poll(&ready, 1, 0) <= 0)
				break;
			pump(fd, stream);
		}
	}
}

/* What a helper has said goes with the failure. */
void take_words(int words_fd)
{
	ssize_t got = read(words_fd, container.failure.words, sizeof(container.failure.words));

	container.failure.words_length = got > 0 ? (size_t)got : 0;
}

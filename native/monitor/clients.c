/* The attach socket: each message is one frame.  A client that does not read holds the container's output back, as a full
 * pipe would, and nothing is dropped while it is connected.  But not for ever: one that takes nothing for PATIENCE_MS while
 * others wait for it is let go; what it has missed is in the log.  Only the one that started the container may stop it as long
 * as it likes, while it is alone: `pyrun run … | less`. */
#include "clients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "container.h"

#define QUEUE_HIGH 65536 /* from here on the container's output is not read */
#define PATIENCE_MS 10000
#define QUEUE_MAX (64u << 20) /* what two streams may hold at the container's end is less: DRAIN_READS */

struct client {
	int fd;
	int is_first; /* the one that started the container */
	int reads_nothing; /* it closed its end; what it has sent is still read */
	int64_t stuck_since; /* it has taken nothing since then, and others wait for it; 0: it is not stuck */
	size_t head, used, size; /* queue of [u32 length][frame] */
	char *queue;
};

static struct client clients[CLIENTS_MAX];
static int listen_fd = -1;
static int is_end; /* nothing more will come for them */

static void drop(struct client *client)
{
	close(client->fd);
	client->fd = -1;
	client->head = client->used = client->size = 0;
	client->stuck_since = 0;
	free(client->queue);
	client->queue = NULL;
}

static void push_queue(struct client *client)
{
	while (client->head < client->used) {
		uint32_t length;
		ssize_t sent;

		memcpy(&length, client->queue + client->head, sizeof(length));
		sent = send(client->fd, client->queue + client->head + sizeof(length), length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return;
		if (sent < 0 && errno != EINTR) {
			client->reads_nothing = 1;
			break;
		}
		if (sent >= 0) {
			client->head += sizeof(length) + length;
			client->stuck_since = 0;
		}
	}
	client->head = client->used = 0;
}

static int make_room(struct client *client, size_t length)
{
	char *larger;

	if (client->head) {
		memmove(client->queue, client->queue + client->head, client->used - client->head);
		client->used -= client->head;
		client->head = 0;
	}
	if (client->used + length <= client->size)
		return 0;
	larger = client->used + length > QUEUE_MAX ? NULL : realloc(client->queue, client->used + length);
	if (!larger)
		return -1;
	client->queue = larger;
	client->size = client->used + length;
	return 0;
}

static void enqueue(struct client *client, enum frame kind, const void *bytes, uint32_t length)
{
	uint32_t total = length + 1;

	if (client->reads_nothing)
		return;
	if (client->used + total + sizeof(total) > client->size && make_room(client, total + sizeof(total)) < 0) {
		client->reads_nothing = 1; /* no memory; better its output than the container */
		client->head = client->used = 0;
		return;
	}
	memcpy(client->queue + client->used, &total, sizeof(total));
	client->queue[client->used + sizeof(total)] = (char)kind;
	memcpy(client->queue + client->used + sizeof(total) + 1, bytes, length);
	client->used += sizeof(total) + total;
	push_queue(client);
}

static void hello(struct client *client)
{
	unsigned char version = ATTACH_VERSION;

	enqueue(client, FRAME_HELLO, &version, 1);
}

void clients_init(int inherited_fd)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	clients[0].fd = inherited_fd;
	clients[0].is_first = 1;
	hello(&clients[0]);
}

/* The path is reached by a descriptor of its directory: sun_path holds 107 bytes. */
int clients_listen(const struct job *job)
{
	const char *path = job_string(job, job->header->socket_path), *name;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char directory[4096];
	int directory_fd;

	if (!path || !(name = strrchr(path, '/')) || (size_t)(name - path) >= sizeof(directory))
		return 0;
	memcpy(directory, path, (size_t)(name - path));
	directory[name - path] = '\0';
	directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%.70s", directory_fd, name + 1);
	unlink(path);
	if (listen_fd >= 0)
		close(listen_fd);
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listen_fd, 8) < 0)
		return -1;
	close(directory_fd);
	return 0;
}

/* Where nobody reads the container's input, those who have gone after they wrote some are not noticed. */
static void drop_gone(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct pollfd entry = { .fd = clients[i].fd };

		if (poll(&entry, 1, 0) > 0 && !clients[i].is_first)
			drop(&clients[i]);
	}
}

static int is_full(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd < 0)
			return 0;
	return 1;
}

static void clients_accept(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (is_full())
		drop_gone();
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd < 0) {
			clients[i].fd = fd;
			clients[i].is_first = clients[i].reads_nothing = 0;
			hello(&clients[i]);
			return;
		}
	close(fd);
}

void clients_broadcast(enum frame kind, const void *bytes, size_t length)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd >= 0)
			enqueue(&clients[i], kind, bytes, (uint32_t)length);
}

int clients_congested(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd >= 0 && clients[i].used - clients[i].head > QUEUE_HIGH)
			return 1;
	return 0;
}

static int is_alone(const struct client *client)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd >= 0 && &clients[i] != client)
			return 0;
	return 1;
}

static int is_waited_for(const struct client *client)
{
	return client->fd >= 0 && client->used - client->head > (is_end ? 0 : QUEUE_HIGH) && !(client->is_first && is_alone(client));
}

int64_t clients_time_left(void)
{
	int64_t now = monotonic_ms(), left = INT64_MAX;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (!is_waited_for(&clients[i]))
			clients[i].stuck_since = 0;
		else if (!clients[i].stuck_since)
			clients[i].stuck_since = now;
		if (clients[i].stuck_since && clients[i].stuck_since + PATIENCE_MS - now < left)
			left = clients[i].stuck_since + PATIENCE_MS - now;
	}
	return left;
}

int clients_pending(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd >= 0 && clients[i].used > clients[i].head)
			return 1;
	return 0;
}

int clients_poll(struct pollfd *fds, int reading)
{
	int count = 0;

	fds[count++] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
	for (int i = 0; i < CLIENTS_MAX; i++) {
		short events = (short)((reading ? POLLIN : 0) | (clients[i].used > clients[i].head ? POLLOUT : 0));

		/* Not asked about at all when we want nothing: POLLHUP would come again and again. */
		fds[count++] = (struct pollfd){ .fd = events ? clients[i].fd : -1, .events = events };
	}
	return count;
}

/* Once the container has ended: who has connected until now is told, nobody else can. */
void clients_accept_last(void)
{
	struct pollfd waiting = { .fd = listen_fd, .events = POLLIN };

	is_end = 1;
	if (listen_fd < 0)
		return;
	while (poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN))
		clients_accept();
	close(listen_fd);
	listen_fd = -1;
}

static void let_go(struct client *client, client_frame_handler *handler)
{
	int was_first = client->is_first;

	drop(client);
	handler(was_first, 0, NULL, 0);
}

void clients_serve(const struct pollfd *fds, int count, client_frame_handler *handler)
{
	static char frame[FRAME_MAX + 1];
	int64_t now = monotonic_ms();
	int takes_no_more = 0;

	if (fds[0].revents & POLLIN)
		clients_accept();
	for (int i = 1; i < count; i++) {
		struct client *client = &clients[i - 1];
		ssize_t got;

		if (client->fd < 0 || client->fd != fds[i].fd)
			continue;
		if (fds[i].revents && client->used > client->head)
			push_queue(client);
		if (client->stuck_since && now - client->stuck_since >= PATIENCE_MS) {
			let_go(client, handler);
			continue;
		}
		if (takes_no_more || !(fds[i].events & POLLIN) || !(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		got = recv(client->fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (got > 0) {
			takes_no_more = handler(client->is_first, frame[0], frame + 1, (size_t)got - 1);
		} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			let_go(client, handler);
		}
	}
}

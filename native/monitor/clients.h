/* Attached terminals; private to clients.c and loop.c. */
#ifndef PYRUN_CLIENTS_H
#define PYRUN_CLIENTS_H

#include <poll.h>

#include "monitor.h"

#define CLIENTS_MAX 16

/* Fill poll entries for the listening socket and each client; returns how many were used.  reading: frames are wanted. */
int clients_poll(struct pollfd *fds, int reading);

/* Called with each frame, at most one of a client a turn; kind 0: the client went.  Returns true when no further frame
 * can be taken now: what is not read stays in its socket. */
typedef int client_frame_handler(int is_first, char kind, const char *bytes, size_t length);
void clients_serve(const struct pollfd *fds, int count, client_frame_handler *handler);

#endif

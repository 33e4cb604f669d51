/* Attached terminals; private to clients.c and loop.c. */
#ifndef PYRUN_CLIENTS_H
#define PYRUN_CLIENTS_H

#include <poll.h>

#include "monitor.h"

#define CLIENTS_MAX 16

/* Fill poll entries for the listening socket and each client; returns how many were used. */
int clients_poll(struct pollfd *fds, int reading);

/* What a client said: at most one frame a call.  Returns its kind, 0 for none, -1 when a client went. */
typedef void client_frame_handler(void *context, int is_first, char kind, const char *bytes, size_t length);
void clients_serve(const struct pollfd *fds, int count, client_frame_handler *handler, void *context);

#endif

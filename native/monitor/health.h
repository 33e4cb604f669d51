/* Health checks; private to health.c, health_record.c and who drives them. */
#ifndef PYRUN_HEALTH_H
#define PYRUN_HEALTH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HEALTH_OUTPUT_MAX 4096 /* of one check; what comes after it is not kept: moby daemon/health.go */

enum health_status { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

/* One check, as `inspect` shows it. */
struct health_result {
	char start[40], end[40];
	int code; /* -1: it could not be run, or took too long */
	size_t length;
	char output[HEALTH_OUTPUT_MAX + 128];
};

/* health.c */
/* The program has been executed: the container is "starting". */
void health_begin(void);
/* The container has ended, and a running check with it. */
void health_end(void);
/* When health_turn() has something to do, by monotonic_ms(); -1: never. */
int64_t health_deadline(void);
void health_turn(void);
/* Where the running check's output comes from, or -1. */
int health_output_fd(void);
void health_read(void);
/* Returns whether the process was the check's. */
int health_reaped(pid_t pid, int status);

/* health_record.c: the file `health`, by rename: docker's State.Health.  result: a new one, or NULL. */
void health_record(int directory_fd, enum health_status status, unsigned streak, const struct health_result *result);
const char *health_word(enum health_status status);

#endif

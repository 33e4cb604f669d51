/* The monitor's orders: one sealed memfd, written by runtime/job.py.  A newer pyrun must understand an older
 * monitor, so both carry versions; what this monitor does not know it refuses. */
#ifndef PYRUN_JOB_H
#define PYRUN_JOB_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "../plan/plan.h"

#define JOB_MAGIC 0x424f4a59u /* "YJOB" */
#define JOB_VERSION 1u

enum job_flag {
	JOB_TTY = 1, /* the console's master is the container's output */
	JOB_STDIN = 2, /* keep a pipe to its standard input open */
	JOB_STDIN_ONCE = 4, /* and close it when the first client goes */
	JOB_EPHEMERAL = 8, /* --rm: remove `remove` and the name at the end */
	JOB_INIT = 16, /* run under the init program */
	JOB_LOG = 32, /* keep a log of its output */
	JOB_NETWORK = 64, /* start the network program */
	JOB_NETWORK_READY_FD = 128, /* it writes to {ready} (slirp4netns); else it exits 0 when ready (pasta) */
	JOB_PASSTHROUGH = 256, /* our own standard streams are the container's; neither log nor clients see them */
};

enum log_driver { LOG_JSON_FILE, LOG_K8S_FILE, LOG_LOCAL };

/* Events that are prepared whole, but for their time (events.c). */
enum job_event_list {
	JOB_EVENTS_STARTED, /* before its `start`: volumes are mounted */
	JOB_EVENTS_ENDED, /* after its `die` */
	JOB_EVENTS_REMOVED, /* an ephemeral container is gone */
	JOB_EVENT_LISTS,
};

/* The container's health check (health.c), at `health_offset`; the plan of a check follows.  Times in milliseconds. */
struct health_orders {
	uint64_t namespaces; /* CLONE_NEW* to join */
	uint64_t interval, timeout, start_period, start_interval;
	uint32_t retries, plan_size;
	char timeout_words[64]; /* what is said of a check that took too long */
};
_Static_assert(sizeof(struct health_orders) == 112, "wire format");

struct job_header {
	uint32_t magic, version;
	uint32_t flags, network_argc, remove_count, log_max_files;
	uint64_t clone_flags, log_max_bytes;
	uint32_t id, directory, live_link, name_link, socket_path; /* offsets of strings; PLAN_NONE = none */
	uint32_t uid_map, gid_map, network_argv, remove;
	uint32_t data_offset, data_size, plan_offset, plan_size;
	uint16_t rows, columns;
	uint32_t boot_id, retired; /* retired: where an ephemeral container's directory is moved before it is removed */
	uint32_t events, event; /* the record of events; the container's event up to its attributes, which go on */
	struct {
		uint32_t first, count;
	} event_lists[JOB_EVENT_LISTS];
	uint32_t shared, shared_count; /* namespaces of other containers, "CLONE_NEW* DIRECTORY" each (share.c) */
	uint32_t network_api, network_requests, network_request_count; /* slirp4netns's socket; what to ask there once it is ready */
	uint32_t network_patience_ms; /* until it must be ready */
	uint32_t log_driver; /* enum log_driver */
	uint32_t log_path; /* the newest file; no slash: in logs/, PLAN_NONE: json.log there */
	uint32_t log_attributes; /* json-file: a JSON object that each record carries; or PLAN_NONE */
	uint32_t log_ring_bytes; /* mode=non-blocking: what waits to be written at most; 0: the container waits */
	uint32_t health_offset, health_size; /* 0: no health check */
};
_Static_assert(sizeof(struct job_header) == 184, "wire format");

struct job {
	const struct job_header *header;
	const char *data;
	struct plan plan;
	const struct health_orders *health; /* NULL: none */
	struct plan health_plan;
};

/* Map and check the memfd `fd`; 0 or -1 with errno. */
int job_load(struct job *job, int fd);

static inline const char *job_string(const struct job *job, uint32_t offset)
{
	return offset == PLAN_NONE ? NULL : job->data + offset;
}

static inline int job_has(const struct job *job, enum job_flag flag)
{
	return (job->header->flags & flag) != 0;
}

/* Whether the container's pid namespace is not its own, so that we are not pid 1 of one above it either: the kernel then
 * ends nothing for us (members.c). */
static inline int job_shares_pids(const struct job *job)
{
	return (job->header->clone_flags & CLONE_NEWPID) == 0;
}

#endif

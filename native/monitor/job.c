/* Reading the job. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int list_ok(const struct job_header *h, const char *data, uint32_t offset, uint32_t count)
{
	size_t at = offset;

	for (uint32_t i = 0; offset != PLAN_NONE && i < count; i++) {
		if (at >= h->data_size)
			return 0;
		at += strnlen(data + at, h->data_size - at) + 1;
	}
	return 1;
}

static int header_ok(const struct job_header *h, size_t size, const char *base)
{
	const uint32_t strings[] = { h->id,	       h->directory, h->live_link, h->name_link, h->socket_path, h->uid_map, h->gid_map,
				     h->network_argv, h->remove,    h->boot_id,   h->retired,	 h->events,	 h->event,	 h->network_api, h->network_requests,
				     h->log_path,     h->log_attributes };

	if (h->magic != JOB_MAGIC || h->version != JOB_VERSION)
		return 0;
	/* A shorter header is an older client's: who starts us is as new as we are. */
	if (h->data_offset < sizeof(*h) || (uint64_t)h->data_offset + h->data_size > size ||
	    (uint64_t)h->plan_offset + h->plan_size > size)
		return 0;
	if (h->data_size == 0 || base[h->data_offset + h->data_size - 1] != '\0' || h->plan_offset % 8)
		return 0;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strings[i] != PLAN_NONE && strings[i] >= h->data_size)
			return 0;
	for (size_t i = 0; i < JOB_EVENT_LISTS; i++)
		if (!list_ok(h, base + h->data_offset, h->event_lists[i].first, h->event_lists[i].count))
			return 0;
	if (h->shared_count && (h->shared == PLAN_NONE || h->shared >= h->data_size))
		return 0;
	return h->id != PLAN_NONE && h->log_driver <= LOG_LOCAL && h->directory != PLAN_NONE && h->network_argc < 120 &&
	       list_ok(h, base + h->data_offset, h->network_argv, h->network_argc) &&
	       list_ok(h, base + h->data_offset, h->network_requests, h->network_request_count) &&
	       list_ok(h, base + h->data_offset, h->remove, h->remove_count) &&
	       list_ok(h, base + h->data_offset, h->shared, h->shared_count);
}

/* The part of the health check: its own header, then a plan. */
static int load_health(struct job *job, const char *base, size_t size)
{
	const struct job_header *h = job->header;

	job->health = NULL;
	if (h->health_size == 0)
		return 0;
	if (h->health_offset % 8 || (uint64_t)h->health_offset + h->health_size > size || h->health_size < sizeof(*job->health))
		return -1;
	job->health = (const struct health_orders *)(base + h->health_offset);
	if (job->health->plan_size != h->health_size - sizeof(*job->health))
		return -1;
	return plan_load(&job->health_plan, job->health + 1, job->health->plan_size);
}

int job_load(struct job *job, int fd)
{
	struct stat st;
	const char *base;

	/* Unsealed orders could change under us. */
	if (fcntl(fd, F_GET_SEALS) != (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) {
		errno = EPERM;
		return -1;
	}
	if (fstat(fd, &st) < 0)
		return -1;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -1;
	job->header = (const struct job_header *)base;
	if ((size_t)st.st_size < sizeof(struct job_header) || !header_ok(job->header, (size_t)st.st_size, base) ||
	    plan_load(&job->plan, base + job->header->plan_offset, job->header->plan_size) < 0 ||
	    load_health(job, base, (size_t)st.st_size) < 0) {
		errno = EINVAL;
		return -1;
	}
	job->data = base + job->header->data_offset;
	return 0;
}

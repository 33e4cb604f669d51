/* What the process may do: ids, capabilities, filters.  Each is read back: a step that did not take is fatal. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "internal.h"
#include "syscalls.h"

/* a: capabilities that stay in the bounding set. */
int step_bounding(struct step_context *c)
{
	for (int capability = 0; capability < 64; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (held < 0)
			return 0; /* EINVAL: past the kernel's last capability */
		if ((c->step->a >> capability & 1) || !held)
			continue;
		CALL(c, "prctl(CAPBSET_DROP)");
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return -1;
		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0) {
			errno = EPERM;
			return -1;
		}
	}
	return 0;
}

static int capget_sets(uint64_t *permitted, uint64_t *effective, uint64_t *inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

static int capset_sets(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};
	return (int)syscall(SYS_capset, &header, data);
}

/* a: uid; b: gid; s1: `count` supplementary groups, or none: leave them (setgroups is denied, or --group-add keep). */
int step_ids(struct step_context *c)
{
	gid_t groups[256];
	uid_t uid = (uid_t)c->step->a, real, effective, saved;
	gid_t gid = (gid_t)c->step->b;
	uint64_t permitted, current, inheritable;
	const char *text = step_string(c, c->step->s1);

	CALL(c, "prctl(KEEPCAPS)");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -1;
	if (text) {
		if (c->step->count > sizeof(groups) / sizeof(groups[0])) {
			errno = E2BIG;
			return -1;
		}
		for (uint32_t i = 0; i < c->step->count; i++, text = next_string(text))
			groups[i] = (gid_t)strtoul(text, NULL, 10);
		CALL(c, "setgroups");
		if (sys_setgroups(c->step->count, groups) < 0)
			return -1;
	}
	CALL(c, "setresgid");
	if (sys_setresgid(gid) < 0)
		return -1;
	CALL(c, "setresuid");
	if (sys_setresuid(uid) < 0)
		return -1;
	if (getresuid(&real, &effective, &saved) < 0 || real != uid || effective != uid || saved != uid) {
		errno = EPERM;
		return -1;
	}
	/* A change of ids sets the flag to fs.suid_dumpable, which an administrator may have made 1: proc(5). */
	CALL(c, "prctl(DUMPABLE)");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	/* setresuid(2) to a non-root id empties the effective set; the filter still needs CAP_SYS_ADMIN. */
	CALL(c, "capset");
	if (capget_sets(&permitted, &current, &inheritable) < 0)
		return -1;
	return capset_sets(permitted, permitted, inheritable);
}

/* a: permitted; b: effective; s1: inheritable; s2: ambient (decimal).  Verified by reading back. */
int step_capabilities(struct step_context *c)
{
	uint64_t inheritable = strtoull(step_string(c, c->step->s1), NULL, 10);
	uint64_t ambient = strtoull(step_string(c, c->step->s2), NULL, 10);
	uint64_t permitted, effective, inherited, held;

	CALL(c, "capget");
	if (capget_sets(&held, &effective, &inherited) < 0)
		return -1;
	/* What the namespace never gave cannot be asked for: the kernel's list may be shorter than ours. */
	CALL(c, "capset");
	if (capset_sets(c->step->a & held, c->step->b & held, inheritable & held) < 0)
		return -1;
	CALL(c, "prctl(CAP_AMBIENT)");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -1;
	for (int capability = 0; capability < 64; capability++)
		if ((ambient >> capability & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
			return -1;
	CALL(c, "capget");
	if (capget_sets(&permitted, &effective, &inherited) < 0)
		return -1;
	if (permitted == (c->step->a & held) && effective == (c->step->b & held) && inherited == (inheritable & held))
		return 0;
	errno = EPERM;
	return -1;
}

int step_no_new_privs(struct step_context *c)
{
	CALL(c, "prctl(NO_NEW_PRIVS)");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return 0;
	errno = EPERM;
	return -1;
}

/* s1: filter; count: instructions. */
int step_seccomp(struct step_context *c)
{
	struct sock_fprog program = {
		.len = (unsigned short)c->step->count,
		.filter = (struct sock_filter *)(uintptr_t)step_string(c, c->step->s1),
	};
	int mode;

	CALL(c, "seccomp");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &program) < 0)
		return -1;
	/* An error: the new filter forbids even this question, so it is in force. */
	mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	if (mode == SECCOMP_MODE_FILTER || mode < 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* System calls that glibc 2.36 (Debian 12) does not wrap, under their own names.  Static inline: used on both
 * sides of fork, and by the monitor. */
#ifndef PYRUN_SYSCALLS_H
#define PYRUN_SYSCALLS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static inline int sys_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

/* clone3(2), or clone(2) where that is unknown (before 5.3) or hidden: seccomp profiles of older engines answer ENOSYS,
 * as they cannot look into its argument.  clone(2) has no bit for a time namespace. */
static inline long sys_clone3(struct clone_args *args)
{
	long pid = syscall(SYS_clone3, args, sizeof(*args));

	if (pid >= 0 || errno != ENOSYS || (args->flags & CLONE_NEWTIME))
		return pid;
	/* The pidfd is stored where CLONE_PARENT_SETTID would store the pid: third argument on all but s390 and cris. */
	return syscall(SYS_clone, (unsigned long)(args->flags | args->exit_signal), 0ul, (unsigned long)args->pidfd, 0ul, 0ul);
}

static inline int sys_pidfd_send_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0u);
}

static inline int sys_pidfd_open(int pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0u);
}

/* glibc's setresuid(3) and its like take a lock to tell the process's other threads (nptl(7), "NPTL and process
 * credential changes").  In a child of clone(2) that lock may be held by a thread that is not there: a pull's unpacking
 * threads hung for ever in 1 of some 50 runs.  So: the system calls themselves, with 32-bit ids where there are two. */
#ifdef SYS_setresuid32
#define PYRUN_ID_CALL(name) SYS_##name##32
#else
#define PYRUN_ID_CALL(name) SYS_##name
#endif

static inline int sys_setresuid(uid_t uid)
{
	return (int)syscall(PYRUN_ID_CALL(setresuid), uid, uid, uid);
}

static inline int sys_setresgid(gid_t gid)
{
	return (int)syscall(PYRUN_ID_CALL(setresgid), gid, gid, gid);
}

static inline int sys_setgroups(size_t count, const gid_t *groups)
{
	return (int)syscall(PYRUN_ID_CALL(setgroups), count, groups);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

#endif

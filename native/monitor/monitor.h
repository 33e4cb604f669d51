/* The monitor: parent of one container.  It outlives the Python that started it and holds what must not be lost:
 * the lock that says "running", the output, the exit code.  See native/README.md. */
#ifndef PYRUN_MONITOR_H
#define PYRUN_MONITOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "job.h"

/* Frames of the attach socket (SOCK_SEQPACKET, one frame a message, first byte = kind). */
#define ATTACH_VERSION 1
enum frame {
	FRAME_HELLO = 'H', /* to client: u8 version */
	FRAME_STARTED = 'S', /* to client: u32 pid of init, in the user's pid namespace */
	FRAME_FAILED = 'F', /* to client: struct plan_failure, then what the helper program said, if it was that */
	FRAME_STDOUT = 'O',
	FRAME_STDERR = 'E',
	FRAME_EXIT = 'X', /* to client: u32 exit code */
	FRAME_STDIN = 'I', /* from client: bytes */
	FRAME_STDIN_EOF = 'C', /* from client */
	FRAME_WINDOW = 'W', /* from client: u16 rows, u16 columns */
};
#define FRAME_MAX 32768

struct init_process {
	pid_t pid; /* in our pid namespace */
	pid_t host_pid; /* in the user's */
	int pidfd;
	int control_fd; /* SEQPACKET to it, until it has executed its program */
	int report_fd; /* failure record, or EOF at execve */
	int stdin_fd; /* write end, or -1 */
	int stdout_fd, stderr_fd; /* read ends; with a tty stdout_fd is the master and stderr_fd is -1 */
	int fuse_fd; /* the device of its root file system, when it has just come; or -1 */
	int peer_mounts_fd; /* in init itself: the mount namespace of whose IPC namespace it shares; or -1 */
	pid_t network_pid; /* in the user's: holds its network namespace until that is up (share.c), or 0 */
	int network_pidfd; /* the same, or -1 */
};

/* init_process.c; init_clone returns the name of the call that failed, with errno, or NULL. */
const char *init_clone(const struct job *job, struct init_process *init);
int init_write_maps(const struct job *job, const struct init_process *init);
int init_go(const struct init_process *init);
/* Handle one message of init on control_fd: 'R' = waits for the go; PLAN_SENDS_*.  Returns the kind, 0 when there is none
 * now, -1 when there will be none. */
int init_message(struct init_process *init);

/* share.c: as clone3 and init_clone. */
struct clone_args;
const char *share_clone(const struct job *job, struct init_process *init, struct clone_args *args, long *pid);
void share_release(struct init_process *init);

/* members.c: who belongs to a container that shares its pid namespace. */
struct members {
	int guard_pidfd; /* our parent; -1: the pid namespace is the container's own, and ends with init */
	int mounts_fd; /* of this run; or -1 */
	int entrusted[2]; /* what the guard gets if we are killed */
};
/* Becomes the guard, and returns in a child. */
int members_guard(struct members *members);
int members_watch(struct members *members, const struct init_process *init, int lock_fd);
void members_end(struct members *members);
/* Kill our children, which are to be waited for; returns how many there were. */
int members_end_children(void);

/* network.c */
struct network {
	pid_t pid;
	int ready_fd; /* readable when ready, or -1 */
	int words_fd; /* what it says on standard error */
};
int network_start(const struct job *job, const struct init_process *init, struct network *network);
/* Ask a ready slirp4netns for the published ports.  0; or -1 with errno, and `words` is the request, a newline, the answer. */
int network_publish(const struct job *job, char *words, size_t size);
/* In a child: run a helper program; what it says goes to words_fd, descriptor 3 is what the caller has put there. */
_Noreturn void helper_exec(char **argv, int words_fd);

/* fuse.c */
struct fuse {
	pid_t pid; /* 0: not running */
	int words_fd;
};
/* Start the program that answers `device_fd`, which is closed here; a failure shows as ENOTCONN to who waits for it. */
void fuse_start(const struct job *job, int *device_fd, struct fuse *fuse);
/* Once nothing of the container is left: wait until all is written. */
void fuse_finish(struct fuse *fuse);

/* log.c */
int log_open(const struct job *job, int directory_fd);
void log_bytes(int stream, const char *bytes, size_t length);
/* A run has ended: what it left without a newline is a line. */
void log_end_lines(void);
void log_close(void);
void log_wait_for_readers(void); /* log_file.c */

/* json.c: write text as the inside of a JSON string, at most six bytes for each of its own; returns the end. */
char *json_escape(char *to, const char *text, size_t length);

/* seal.c: the checksum of all that comes before it, as the last member of an object, which it closes; and a newline. */
enum { SEAL_BYTES = 24 };
uint32_t seal_add(uint32_t crc, const char *data, size_t size);
size_t seal_end(char to[static SEAL_BYTES], uint32_t crc);

/* state.c */
int state_lock(int directory_fd);
int state_is_copied(int directory_fd);
int state_open_init(const struct job *job, int directory_fd);
int state_is_alive(const struct job *job, int directory_fd);
int state_clear(int directory_fd);
int state_clear_exit(int directory_fd);
void state_restore(int directory_fd);
int state_is_kept(int directory_fd);
/* restarts: how often it was started again by its policy. */
int state_running(const struct job *job, int directory_fd, const struct init_process *init, unsigned restarts);
int state_restarting(const struct job *job, int directory_fd, unsigned restarts, int exit_code);
int state_exit(const struct job *job, int directory_fd, int exit_code);
void format_time(char *text, size_t size);

/* removal.c */
void remove_entries(const struct job *job);
void remove_trees(const struct job *job);

/* process.c */
/* A small file, which one read(2) gives whole.  Its size; -1: none, and then "" as well. */
ssize_t read_text(int directory_fd, const char *path, char *text, size_t size);
/* Field 22 of a process's `stat` file: with the pid it names a process for ever; 0: there is none.  proc(5). */
unsigned long long start_time(int directory_fd, const char *path);
pid_t own_host_pid(void);
pid_t host_pid_of(int pidfd); /* -1: it has ended */

/* events.c; body: the line up to where rest goes on, which ends before the time.
 * attributes: further ones as JSON, `,"key":"value"`, or "" */
void event_append(const char *path, const char *body, const char *rest);
void event_emit(const struct job *job, const char *action, const char *attributes);
void event_list(const struct job *job, enum job_event_list which);
void event_start(const struct job *job);
void event_die(const struct job *job, int exit_code);

/* clients.c */
void clients_init(int inherited_fd);
int clients_listen(const struct job *job);
void clients_broadcast(enum frame kind, const void *bytes, size_t length);
int clients_congested(void);
int clients_pending(void);
/* Milliseconds until a client's patience ends (clients.c), INT64_MAX: none is stuck.  To be asked before each poll. */
int64_t clients_time_left(void);
void clients_accept_last(void);

/* exec.c: the process of an `exec`, from its start to its end */
int exec_program(void);

/* init_program.c: what `--init` runs as the container's pid 1 */
int init_program(int argc, char **argv);

#endif

/* Runs in a container and tries, again and again, to get at processes that enter it: what runc's attackers did.
 * Prints a line for everything that it could open or attach to and that is not the container's own. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static dev_t own_device;
static volatile sig_atomic_t over;
static unsigned long attached;

static void stop(int signal)
{
	(void)signal;
	over = 1;
}

static int is_own(const char *path)
{
	char target[512];
	struct stat st;
	ssize_t got = readlink(path, target, sizeof(target) - 1);

	if (got < 0)
		return 1;
	target[got] = '\0';
	if (strncmp(target, "pipe:", 5) == 0 || strcmp(target, "/dev/null") == 0 || strncmp(target, "/proc", 5) == 0)
		return 1;
	return stat(path, &st) < 0 || st.st_dev == own_device || (S_ISDIR(st.st_mode) && strcmp(target, "/") == 0);
}

static void try_file(const char *path)
{
	int fd;

	if (!is_own(path)) {
		char target[512] = "";

		(void)!readlink(path, target, sizeof(target) - 1);
		printf("FOUND %s -> %s\n", path, target);
	}
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		struct stat st;

		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev != own_device)
			printf("WRITABLE %s\n", path);
		close(fd);
	}
}

static void try_process(const char *pid)
{
	static const char *const names[] = { "exe", "root", "cwd" };
	char path[600], comm[64] = "";
	struct dirent *entry;
	DIR *directory;
	int fd;

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, names[i]);
		try_file(path);
	}
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
		if (entry->d_name[0] != '.')
			try_file(path);
	}
	if (directory)
		closedir(directory);
	/* Stopped, it can execute nothing any more: what it is called now is what we have got hold of.  Ours are called
	 * pyrun…, python… or, under a test, pytest until they execute the container's program. */
	if (ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL) < 0)
		return;
	ptrace(PTRACE_INTERRUPT, atoi(pid), NULL, NULL);
	waitpid(atoi(pid), NULL, __WALL);
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		(void)!read(fd, comm, sizeof(comm) - 1);
		close(fd);
	}
	if (strncmp(comm, "py", 2) == 0)
		printf("PTRACED %s %s\n", pid, comm);
	ptrace(PTRACE_DETACH, atoi(pid), NULL, NULL);
	attached++;
}

int main(void)
{
	unsigned long rounds = 0, seen = 0;
	struct stat st;
	char self[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, stop);
	if (stat("/", &st) < 0)
		return 1;
	own_device = st.st_dev;
	snprintf(self, sizeof(self), "%d", (int)getpid());
	puts("probing");
	while (!over) {
		DIR *directory = opendir("/proc");
		struct dirent *entry;

		while (directory && (entry = readdir(directory)))
			if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, self) != 0) {
				try_process(entry->d_name);
				seen++;
			}
		if (directory)
			closedir(directory);
		rounds++;
	}
	printf("rounds %lu processes %lu attached %lu\n", rounds, seen, attached);
	return 0;
}

/* The parent of what `exec -d` has started, in the place of its caller, who has gone: the container's first process is often
 * one that reaps nothing.  Standard input: its end is the caller's word that all before the end of the process is recorded, a
 * byte that nothing was executed; standard output: the record of events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "container.h"

int waiter_program(const char *event)
{
	char end[128], discarded;
	struct timespec now;
	struct iovec line[2] = { { (void *)(uintptr_t)event, strlen(event) }, { end, 0 } };
	int status = 0, code;
	ssize_t got;

	prctl(PR_SET_NAME, "pyrun-exec");
	prctl(PR_SET_DUMPABLE, 0);
	setsid();
	/* The caller's, as far as he has let them be inherited. */
	sys_close_range(2, ~0u, 0);
	while ((got = read(0, &discarded, 1)) < 0 && errno == EINTR)
		;
	while (waitpid(-1, &status, 0) < 0 && errno == EINTR)
		;
	if (got > 0)
		return 0;
	code = exit_code_of(status);
	clock_gettime(CLOCK_REALTIME, &now);
	line[1].iov_len = (size_t)snprintf(end, sizeof(end), ",\"exitCode\":\"%d\"},\"Action\":\"exec_die\",\"timeNano\":%lld}\n", code,
					   now.tv_sec * 1000000000LL + now.tv_nsec);
	return writev(1, line, 2) < 0;
}

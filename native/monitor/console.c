/* Keeps the terminal of an `exec` when its caller goes, by the detach keys or by a signal: without a holder of the master its
 * programs would get SIGHUP, and with one that reads nothing they would stop at their next output.  Ends when the last of them
 * has closed it. */
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "monitor.h"

/* Closed by us once we are in a session of our own; closed by the caller when he goes. */
enum { MASTER_FD = 3, READY_FD, CALLER_FD };

int console_program(void)
{
	char discarded[4096];
	ssize_t got;

	prctl(PR_SET_NAME, "pyrun-console");
	prctl(PR_SET_DUMPABLE, 0);
	setsid();
	(void)!chdir("/");
	sys_close_range(CALLER_FD + 1, ~0u, 0);
	sys_close_range(0, MASTER_FD - 1, 0);
	close(READY_FD);
	while (read(CALLER_FD, discarded, 1) < 0 && errno == EINTR)
		;
	do
		got = read(MASTER_FD, discarded, sizeof(discarded));
	while (got > 0 || (got < 0 && errno == EINTR)); /* EIO: the last slave is closed */
	return 0;
}

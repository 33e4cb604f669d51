/* Keeps the terminal of an `exec` whose caller has detached: without a holder of the master its programs would get SIGHUP, and
 * with one that reads nothing they would stop at their next output.  Ends when the last of them has closed it. */
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../plan/syscalls.h"
#include "monitor.h"

enum { MASTER_FD = 3 };

int console_program(void)
{
	char discarded[4096];
	ssize_t got;

	prctl(PR_SET_NAME, "pyrun-console");
	prctl(PR_SET_DUMPABLE, 0);
	setsid();
	(void)!chdir("/");
	sys_close_range(MASTER_FD + 1, ~0u, 0);
	sys_close_range(0, MASTER_FD - 1, 0);
	do
		got = read(MASTER_FD, discarded, sizeof(discarded));
	while (got > 0 || (got < 0 && errno == EINTR)); /* EIO: the last slave is closed */
	return 0;
}

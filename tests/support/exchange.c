/* Exchanges two names for ever, as fast as the kernel does it: what an attacker inside a container does while somebody
 * outside copies. Arguments: the two names. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	if (write(1, "ready\n", 6) != 6)
		return 1;
	for (;;) /* one of them may be missing for a moment: the copy removes what it replaces */
		(void)renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
}

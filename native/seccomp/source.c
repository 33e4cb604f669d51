/* The C half of pyrun._seccomp: libseccomp itself. No code of ours: what is computed is computed in Python. */
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>

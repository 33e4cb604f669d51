/* Names for the bits of a capability set: capabilities(7), in the kernel's order. */
#include "system.h"

static const char *const CAPABILITIES[] = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
};
enum { KNOWN = sizeof(CAPABILITIES) / sizeof(CAPABILITIES[0]), PER_LINE = 6 };

int capability_count(unsigned long long set)
{
	int count = 0;

	for (; set; set &= set - 1)
		count++;
	return count;
}

void say_capabilities(unsigned long long set)
{
	int shown = 0;

	for (int i = 0; i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		say(shown == 0 ? "" : shown % PER_LINE ? " " : "\n                 ");
		if (i < KNOWN)
			say(CAPABILITIES[i]);
		else
			say_number((unsigned long long)i);
		shown++;
	}
}

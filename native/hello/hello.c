/* hello: prints, in plain words, what the kernel shows to a process in a container.
 * The only file of the image pyrun.local/hello; needs no library, no shell, no network. */
#include <sys/utsname.h>

#include "system.h"

__asm__(ENTRY);

static char file[65536];

static const char *next_line(const char *text)
{
	while (*text && *text != '\n')
		text++;
	return *text ? text + 1 : text;
}

/* The next number in `*text`, which moves behind it. */
static unsigned long long number_at(const char **text, unsigned base)
{
	unsigned long long value = 0;

	while (**text == ' ' || **text == '\t')
		(*text)++;
	for (;; (*text)++) {
		char c = **text;
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
				 c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;

		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

/* The number behind `name` in /proc/self/status. */
static unsigned long long status_field(const char *status, const char *name, unsigned base)
{
	for (const char *line = status; *line; line = next_line(line))
		if (starts_with(line, name)) {
			line += text_length(name);
			return number_at(&line, base);
		}
	return 0;
}

static void say_range(unsigned long long first, unsigned long long count)
{
	say_number(first);
	if (count > 1) {
		say("-");
		say_number(first + count - 1);
	}
}

/* False: ids are not mapped at all. */
static int say_map(const char *path, const char *label)
{
	int is_first = 1, is_mapped = 1;

	read_text(path, file, sizeof(file));
	for (const char *line = file; *line; line = next_line(line)) {
		unsigned long long inside = number_at(&line, 10), outside = number_at(&line, 10),
				   count = number_at(&line, 10);

		say(is_first ? label : "                 ");
		is_first = 0;
		if (inside == 0 && count == 4294967295ULL) {
			say("none: ids in here are the machine's own\n");
			is_mapped = 0;
			continue;
		}
		say_range(inside, count);
		say(" in here  =  ");
		say_range(outside, count);
		say(" one level out\n");
	}
	return is_mapped;
}

static void say_identity(void)
{
	struct utsname names = { 0 };
	long uid = call(SYS_getuid, 0, 0, 0, 0), pid = call(SYS_getpid, 0, 0, 0, 0);
	int is_mapped;

	call(SYS_uname, (long)&names, 0, 0, 0);
	say("Who I am\n  host name      ");
	say(names.nodename);
	say("\n  process        ");
	say_number((unsigned long long)pid);
	say(pid == 1 ? " (the first one: I cannot see the machine's other processes)\n" : "\n");
	say("  user           ");
	say_number((unsigned long long)uid);
	say(uid == 0 ? " (root)\n" : "\n");
	is_mapped = say_map("/proc/self/uid_map", "  user id map    ");
	say_map("/proc/self/gid_map", "  group id map   ");
	if (is_mapped)
		say("                 I am this user in here only. An id that has no line in the map does not exist for me,\n"
		    "                 and on the machine I am whoever started me: the kernel lets me do no more than that.\n");
	say("  kernel         ");
	say(names.release);
	say(" (shared with the machine: a container is no virtual machine)\n");
}

/* Inode numbers of the first namespaces are fixed: include/linux/proc_ns.h. Of mnt and net they are not (before 6.18). */
static const struct {
	const char *name;
	unsigned long long first;
	const char *meaning;
} NAMESPACES[] = {
	{ "user", 4026531837ULL, "ids and privileges" },
	{ "pid", 4026531836ULL, "process numbers" },
	{ "mnt", 0, "mounted file systems" },
	{ "net", 0, "network interfaces and ports" },
	{ "ipc", 4026531839ULL, "shared memory and message queues" },
	{ "uts", 4026531838ULL, "host name" },
	{ "cgroup", 4026531835ULL, "view of resource limits" },
	{ "time", 4026531834ULL, "boot and monotonic clocks" },
};

static void say_namespaces(void)
{
	say("\nWhat I have of my own (namespaces)\n");
	for (unsigned i = 0; i < sizeof(NAMESPACES) / sizeof(NAMESPACES[0]); i++) {
		char path[32] = "/proc/self/ns/", link[64] = "";
		const char *at = link;
		long end = text_length(path);
		unsigned long long inode;

		for (const char *c = NAMESPACES[i].name; *c; c++)
			path[end++] = *c;
		if (call(SYS_readlinkat, AT_CWD, (long)path, (long)link, sizeof(link) - 1) <= 0)
			continue;
		while (*at && *at != '[')
			at++;
		at += *at == '[';
		inode = number_at(&at, 10);
		say("  ");
		say(NAMESPACES[i].name);
		say_part("               ", 15 - text_length(NAMESPACES[i].name));
		say(NAMESPACES[i].first == 0 ? "" : inode == NAMESPACES[i].first ? "the machine's " : "own ");
		say(NAMESPACES[i].meaning);
		say(" (");
		say_number(inode);
		say(")\n");
	}
}

static void say_interfaces(void)
{
	int count = 0;

	read_text("/proc/self/net/dev", file, sizeof(file));
	say("\nMy network\n  interfaces     ");
	for (const char *line = next_line(next_line(file)); *line; line = next_line(line)) {
		const char *end;

		while (*line == ' ')
			line++;
		for (end = line; *end && *end != ':'; end++)
			;
		if (count++)
			say(", ");
		say_part(line, end - line);
	}
	say(count == 0 ? "none\n" : "\n");
}

static const char *skip_words(const char *text, int count)
{
	while (count--) {
		while (*text && *text != ' ')
			text++;
		text += *text == ' ';
	}
	return text;
}

static long word_length(const char *text)
{
	long n = 0;

	while (text[n] && text[n] != ' ' && text[n] != '\n')
		n++;
	return n;
}

/* /proc/self/mountinfo: id parent device root TARGET OPTIONS tags… - TYPE source super-options (proc(5)). */
static void say_mounts(void)
{
	unsigned long long count = 0;

	read_text("/proc/self/mountinfo", file, sizeof(file));
	say("\nMy files\n");
	for (const char *line = file; *line; line = next_line(line)) {
		const char *target = skip_words(line, 4), *options = skip_words(line, 5), *type = options;

		while (*type && !starts_with(type, " - "))
			type++;
		count++;
		if (!starts_with(target, "/ ") || !*type)
			continue;
		type += 3;
		say("  root           ");
		say_part(type, word_length(type));
		say(starts_with(options, "ro") ? ", read-only" : ", writable");
		say(starts_with(type, "overlay ") ? ": the image's layers below, my changes in a layer above\n" : "\n");
	}
	say("  mounts         ");
	say_number(count);
	say(", in a list of my own: they vanish with my last process\n");
}

static void say_limits(void)
{
	unsigned long long effective, mode;

	read_text("/proc/self/status", file, sizeof(file));
	effective = status_field(file, "CapEff:", 16);
	say("\nWhat I may do\n  capabilities   ");
	say_number((unsigned long long)capability_count(effective));
	say(" of ");
	say_number((unsigned long long)capability_count(status_field(file, "CapBnd:", 16)));
	say(" that programs in here can ever have\n");
	if (effective) {
		say("                 ");
		say_capabilities(effective);
		say("\n");
	}
	mode = status_field(file, "Seccomp:", 10);
	say("  seccomp        ");
	say(mode == 2 ? "a filter: system calls that containers do not need are refused\n" :
	    mode == 1 ? "strict\n" : "off: every system call may be tried\n");
	say("  no_new_privs   ");
	say(status_field(file, "NoNewPrivs:", 10) ? "on: set-uid programs gain nothing\n" :
						     "off: set-uid programs work, within the id map above\n");
}

__attribute__((used)) void entry(void *stack);

void entry(void *stack)
{
	(void)stack;
	say("Hello from a container! I am the only file of my image; this is what the kernel lets me see.\n\n");
	say_identity();
	say_namespaces();
	say_interfaces();
	say_mounts();
	say_limits();
	flush();
	for (;;)
		call(SYS_exit_group, 0, 0, 0, 0);
}

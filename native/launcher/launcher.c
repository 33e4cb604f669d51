/* pyrun: finds the Python that the package was installed for and becomes it.
 *
 * pip's console script is `python script`, and python then runs `site`: 4-7 ms of .pth files, sitecustomize and user
 * directories before the first line of ours, where a whole container start takes tens. This program starts
 * `python -I -S` instead and says itself where the packages are:
 *   -S  without site: so the site-packages directories are appended to sys.path by hand, behind the standard library
 *       as site would do it; .pth files are not read (an editable install names its source directory below);
 *   -I  PYTHON* variables and the current directory are not trusted: a container runtime is run in other people's trees.
 * The directories travel in argv, not in a variable: what is in the environment would be inherited by containers.
 *
 * It keeps no state; the one decision it takes is which interpreter. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DIRECTORIES 8

/* n = where the directories end in argv, the first of them ours; then the command line follows. The finder is loaded
 * by its path: to search sys.path for it reads five directories, 0.35 ms of the 10 of a short verb (measured). */
static const char BOOT[] = "import sys;a=sys.argv;n=int(a[1]);p=a[2]+'/pyrun/cli/finder.py';sys.path+=a[3:n]\n"
			   "del a[1:n];a[0]='pyrun'\n"
			   "from _frozen_importlib import ModuleSpec,_load\n"
			   "from _frozen_importlib_external import SourceFileLoader\n"
			   "s=ModuleSpec('pyrun.cli.finder',SourceFileLoader('pyrun.cli.finder',p),origin=p)\n"
			   "s.has_location=True\n"
			   "_load(s).install()\n"
			   "from pyrun.cli.main import run\n"
			   "run(a[1:])";

struct install {
	char prefix[PATH_MAX]; /* the directory above the launcher's bin */
	int minor; /* of the Python 3 that it was installed for; -1 = Debian's lib/python3 */
	char python[PATH_MAX];
	char package[PATH_MAX]; /* the directory of packages that holds ours */
	char directories[MAX_DIRECTORIES][PATH_MAX];
	int count;
};

static struct install found;

static _Noreturn void fail(const char *what, const char *hint)
{
	fprintf(stderr, "pyrun: %s\nhint: %s\n", what, hint);
	exit(125);
}

/* False when the path does not fit. */
static int print(char out[PATH_MAX], const char *format, va_list arguments)
{
	int length = vsnprintf(out, PATH_MAX, format, arguments);

	return length > 0 && length < PATH_MAX;
}

__attribute__((format(printf, 2, 3))) static int join(char out[PATH_MAX], const char *format, ...)
{
	va_list arguments;
	int fits;

	va_start(arguments, format);
	fits = print(out, format, arguments);
	va_end(arguments);
	return fits;
}

/* Add a directory that exists. */
__attribute__((format(printf, 1, 2))) static void add_directory(const char *format, ...)
{
	char *out = found.directories[found.count];
	va_list arguments;

	if (found.count == MAX_DIRECTORIES)
		return;
	va_start(arguments, format);
	if (print(out, format, arguments) && access(out, X_OK) == 0)
		found.count++;
	va_end(arguments);
}

static void cut_last_part(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = 0;
}

/* /proc/self/exe: argv[0] may be anything, and a symbolic link to the launcher must work. */
static void find_prefix(void)
{
	ssize_t length = readlink("/proc/self/exe", found.prefix, sizeof(found.prefix) - 1);

	if (length <= 0)
		fail("cannot find my own program file: readlink /proc/self/exe failed", "mount /proc");
	found.prefix[length] = 0;
	cut_last_part(found.prefix);
	cut_last_part(found.prefix);
}

/* Whether a directory of packages holds ours; it is remembered. */
__attribute__((format(printf, 1, 2))) static int holds_package(const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;
	int fits;

	va_start(arguments, format);
	fits = print(found.package, format, arguments);
	va_end(arguments);
	return fits && join(path, "%s/pyrun/cli", found.package) && access(path, X_OK) == 0;
}

/* The same for Python 3.`minor`. */
static int has_package(int minor)
{
	if (minor < 0)
		return holds_package("%s/lib/python3/dist-packages", found.prefix);
#ifdef PYRUN_SOURCE
	char path[PATH_MAX];

	/* The package is elsewhere: any Python of the environment will do. */
	return join(path, "%s/lib/python3.%d", found.prefix, minor) && access(path, X_OK) == 0 &&
	       holds_package("%s", PYRUN_SOURCE);
#else
	return holds_package("%s/lib/python3.%d/site-packages", found.prefix, minor) ||
	       holds_package("%s/lib/python3.%d/dist-packages", found.prefix, minor);
#endif
}

static int minor_of(const char *name)
{
	char *end;
	long minor;

	if (strncmp(name, "python3.", 8) != 0)
		return -1;
	minor = strtol(name + 8, &end, 10);
	return *end || minor < 0 || minor > 999 ? -1 : (int)minor;
}

/* One prefix may hold several Pythons (/usr/local, ~/.local): the one this program was built with, else the newest. */
static int find_package(void)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	found.minor = -1;
	if (has_package(PYRUN_MINOR)) {
		found.minor = PYRUN_MINOR;
		return 1;
	}
	if (join(path, "%s/lib", found.prefix) && (directory = opendir(path))) {
		while ((entry = readdir(directory))) {
			int minor = minor_of(entry->d_name);

			if (minor > found.minor && has_package(minor))
				found.minor = minor;
		}
		closedir(directory);
	}
	return found.minor >= 0 || has_package(-1);
}

static int usable(const char *directory, size_t length, const char *name)
{
	return join(found.python, "%.*s/%s", (int)length, directory, name) && access(found.python, X_OK) == 0;
}

static int find_on_path(const char *name)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t length = strcspn(path, ":");

		/* An empty or relative entry would let the current directory choose our interpreter. */
		if (*path == '/' && usable(path, length, name))
			return 1;
		path += length + (path[length] == ':');
	}
	return 0;
}

static int find_python(void)
{
	char name[32] = "python3", beside[PATH_MAX];

	if (found.minor >= 0)
		snprintf(name, sizeof(name), "python3.%d", found.minor);
	if (join(beside, "%s/bin", found.prefix) && usable(beside, strlen(beside), name))
		return 1;
	/* `pip install --user`, Debian's /usr/local: the interpreter stands elsewhere. */
	if (found.minor == PYRUN_MINOR && join(found.python, "%s", PYRUN_PYTHON) && access(found.python, X_OK) == 0)
		return 1;
	return usable("/usr/local/bin", 14, name) || usable("/usr/bin", 8, name) || find_on_path(name);
}

/* Append what the interpreter under `prefix` would search by itself. */
static void add_packages(const char *prefix)
{
	if (found.minor >= 0) {
		add_directory("%s/lib/python3.%d/site-packages", prefix, found.minor);
		add_directory("%s/lib/python3.%d/dist-packages", prefix, found.minor);
	}
	add_directory("%s/lib/python3/dist-packages", prefix);
}

/* 0: no virtual environment; 1: one that keeps to itself; 2: one that sees the system's packages, whose bin directory
 * is then in `home`.  Source: PEP 405. */
static int read_environment(char home[PATH_MAX])
{
	char path[PATH_MAX], line[PATH_MAX + 32], value[PATH_MAX];
	FILE *file = join(path, "%s/pyvenv.cfg", found.prefix) ? fopen(path, "re") : NULL;
	int kind = 1;

	if (!file)
		return 0;
	home[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "home = %4095[^\n]", value) == 1)
			join(home, "%s", value);
		else if (sscanf(line, "include-system-site-packages = %15s", value) == 1 && strcmp(value, "true") == 0)
			kind = 2;
	}
	fclose(file);
	return kind;
}

static void find_directories(void)
{
	char base[PATH_MAX];
	int environment;

#ifdef PYRUN_SOURCE
	add_directory("%s", PYRUN_SOURCE);
#endif
	add_packages(found.prefix);
	environment = read_environment(base);
	if (environment == 1)
		return;
	if (environment == 0) {
		if (!realpath(found.python, base))
			return;
		cut_last_part(base);
	}
	cut_last_part(base); /* …/bin */
	if (strcmp(base, found.prefix) != 0)
		add_packages(base);
	if (strcmp(base, "/usr") == 0)
		add_packages("/usr/local");
}

/* Python ends at once with a directory as its standard input (`pyrun ps < /tmp`); to read one fails for everybody. */
static void replace_directory(void)
{
	struct stat st;

	if (fstat(0, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	close(0);
	(void)!open("/dev/null", O_RDONLY); /* the lowest free number */
}

static void start(int argc, char **argv)
{
	char **arguments = calloc((size_t)argc + MAX_DIRECTORIES + 10, sizeof(*arguments)), end[16];
	int n = 0;

	if (!arguments)
		return;
	snprintf(end, sizeof(end), "%d", found.count + 3);
	arguments[n++] = found.python;
	arguments[n++] = (char *)"-I";
	arguments[n++] = (char *)"-S";
	/* Names in images are bytes, mostly UTF-8; a locale must not change what they mean (and its codec costs 0.3 ms). */
	arguments[n++] = (char *)"-X";
	arguments[n++] = (char *)"utf8";
	arguments[n++] = (char *)"-c";
	arguments[n++] = (char *)BOOT;
	arguments[n++] = end;
	arguments[n++] = found.package;
	for (int i = 0; i < found.count; i++)
		arguments[n++] = found.directories[i];
	for (int i = 1; i < argc; i++)
		arguments[n++] = argv[i];
	arguments[n] = NULL;
	execv(found.python, arguments);
}

int main(int argc, char **argv)
{
	char text[2 * PATH_MAX];
	sigset_t interrupt;

	find_prefix();
	if (!find_package()) {
		snprintf(text, sizeof(text), "the Python package pyrun is not under %s/lib", found.prefix);
		fail(text, "the launcher stays where pip put it; link to it instead of copying it, or install again");
	}
	if (!find_python()) {
		snprintf(text, sizeof(text), "no Python interpreter: pyrun under %s was installed for python3.%d",
			 found.prefix, found.minor);
		fail(text, "install that Python again, or pyrun for another one");
	}
	find_directories();
	replace_directory();
	/* Ctrl-C while Python starts would be a traceback: it waits until cli/main.py can answer it. */
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, NULL);
	start(argc, argv);
	snprintf(text, sizeof(text), "cannot run %s: %s", found.python, strerror(errno));
	fail(text, "reinstall Python or pyrun");
}

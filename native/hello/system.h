/* What the freestanding program needs of a C library: a few system calls and text output. */
#ifndef PYRUN_HELLO_SYSTEM_H
#define PYRUN_HELLO_SYSTEM_H

#include <stddef.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
#define ENTRY ".globl _start\n_start:\nxor %ebp,%ebp\nmov %rsp,%rdi\nand $-16,%rsp\ncall entry\n"
#elif defined(__aarch64__)
static inline long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
		      x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#define ENTRY ".globl _start\n_start:\nmov x0,sp\nb entry\n"
#else
#error "hello: add this processor's system call and entry, about ten lines (syscall(2), table Architecture calling conventions)"
#endif

#define AT_CWD (-100)

static inline long text_length(const char *text)
{
	long n = 0;

	while (text[n])
		n++;
	return n;
}

static inline int starts_with(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return 0;
	return 1;
}

/* Whole file as text, cut at `size` - 1; empty if it cannot be read. */
void read_text(const char *path, char *buffer, long size);
void say(const char *text);
void say_part(const char *text, long length);
void say_number(unsigned long long number);
void flush(void);

/* explain.c */
void say_capabilities(unsigned long long set);
int capability_count(unsigned long long set);

#endif

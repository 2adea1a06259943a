/* User mode: a program is copied to a page of its own, entered by IRET, and left through
   VECTOR_SYSCALL or an exception. */
#ifndef USER_H
#define USER_H

#define SYSCALL_ADD 1     /* rax = rdi + rsi */
#define SYSCALL_STACK 2   /* rax = the stack pointer in the kernel */
#define SYSCALL_TICKS 3   /* rax = ticks */
#define INT80_INCREMENT 1 /* rax = rdi + 1 */
#define INT80_EXIT 2      /* ends the program; rdi is its result */

/* Where a program finds itself: code, then a page for its stack and data. */
#define USER_CODE_PAGE 0x10000200000
#define USER_DATA_PAGE 0x10000201000

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "interrupts.h"

/* A program in `user_programs.S`. */
struct program {
	const uint8_t *start, *end;
};

#define PROGRAM(name)                                            \
	({                                                       \
		extern const uint8_t name[], name##_end[];       \
		(struct program){ name, name##_end };            \
	})

void user_init(void);
/* Runs it; vector VECTOR_SYSCALL and the result in rax if it left by INT80_EXIT. */
struct caught user_run(struct program program, uint64_t argument);
#endif

#endif

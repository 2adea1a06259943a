/* The interrupt descriptor table, handlers, and the catching of exceptions that checks provoke.
   Intel SDM vol. 3A, 6.14 "Exception and Interrupt Handling in 64-bit Mode". */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_XM 19
/* What `catch` reports if the body returned without an exception. */
#define VECTOR_NONE 0x100

/* The 8259 pair is remapped to 0x20-0x2f. */
#define VECTOR_IRQ0 0x20
#define VECTOR_IOAPIC 0x30
#define VECTOR_APIC_TIMER 0x40
#define VECTOR_DISK 0x50
#define VECTOR_SYSCALL 0x80
#define VECTOR_YIELD 0x81
#define VECTOR_SPURIOUS 0xff

#ifndef __ASSEMBLER__
#include <stdint.h>

struct interrupt_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	/* pushed by the processor */
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Returns the frame to go back to: its argument, unless it switches threads. */
typedef struct interrupt_frame *(*interrupt_handler)(struct interrupt_frame *);

/* An exception that ended a body given to `catch`. */
struct caught {
	uint64_t vector, error, cr2;
	uint64_t rip, cs, rflags, rsp, ss;
	uint64_t rax;
	uint64_t handler_stack; /* where the frame was pushed */
};

void interrupts_init(void);
/* Sets the handler of a vector; null gives the vector back to `catch`. */
void interrupts_handle(unsigned vector, interrupt_handler handler);
/* The same, and lets user mode raise the vector with INT n. */
void interrupts_handle_user(unsigned vector, interrupt_handler handler);
/* Makes a gate use an interrupt stack table entry (0 for none). */
void interrupts_use_ist(unsigned vector, unsigned ist);

/* Runs `body(argument)` and returns what ended it; an exception abandons it. */
struct caught catch(void (*body)(void *), void *argument);
/* For handlers: abandons the body that `catch` runs, as an exception would. */
struct interrupt_frame *interrupts_abandon(struct interrupt_frame *frame);
#endif

#endif

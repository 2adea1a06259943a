/* Programs for user mode, each position-independent and at most a page. Their one argument is
   in rdi. */
#include "user.h"

#define KERNEL_ADDRESS 0x100000

	.macro	program name
	.global	\name, \name\()_end
\name:
	.endm

	.macro	exit_with register
	movq	\register, %rdi
	movl	$INT80_EXIT, %eax
	int	$0x80
	.endm

	.section .rodata
	.code64

/* Adds rdi numbers through SYSCALL, each answer incremented through INT. SYSRET must restore
   the flags from r11, and rcx must be where it came back to. */
program user_calls
	movq	%rdi, %rbx
	xorl	%ebp, %ebp
1:	movl	$SYSCALL_ADD, %eax
	movq	%rbp, %rdi
	movq	%rbx, %rsi
	stc
	syscall
2:	jnc	9f
	leaq	2b(%rip), %rdx
	cmpq	%rdx, %rcx
	jne	9f
	testl	$0x200, %r11d
	jz	9f
	movq	%rax, %rdi
	movl	$INT80_INCREMENT, %eax
	int	$0x80
	movq	%rax, %rbp
	decq	%rbx
	jnz	1b
	exit_with %rbp
9:	movq	$-1, %rax
	exit_with %rax
user_calls_end:

/* The stack pointer that SYSCALL's handler runs on. */
program user_stack
	movl	$SYSCALL_STACK, %eax
	syscall
	exit_with %rax
user_stack_end:

/* Spins until rdi ticks have passed, and returns how often its registers were found changed. */
program user_spin
	movq	%rdi, %rbx
	xorl	%r12d, %r12d
	movl	$SYSCALL_TICKS, %eax
	syscall
	addq	%rax, %rbx
1:	movl	$0x1000, %r8d
	movq	$-7, %r13
	movq	$-7, %r14
2:	cmpq	%r13, %r14
	je	3f
	incq	%r12
3:	decl	%r8d
	jnz	2b
	movl	$SYSCALL_TICKS, %eax
	syscall
	cmpq	%rbx, %rax
	jb	1b
	exit_with %r12
user_spin_end:

/* The rest end in an exception. */
program user_reads_kernel
	movl	KERNEL_ADDRESS, %eax
	ud2
user_reads_kernel_end:

program user_writes_kernel
	movl	%eax, KERNEL_ADDRESS
	ud2
user_writes_kernel_end:

program user_runs_kernel
	movl	$KERNEL_ADDRESS, %eax
	jmp	*%rax
user_runs_kernel_end:

program user_runs_stack
	movabsq	$USER_DATA_PAGE, %rax
	movb	$0xc3, (%rax)
	jmp	*%rax
user_runs_stack_end:

program user_writes_code
	movb	$0x90, user_writes_code(%rip)
	ud2
user_writes_code_end:

program user_closes_interrupts
	cli
	ud2
user_closes_interrupts_end:

program user_halts
	hlt
	ud2
user_halts_end:

program user_writes_port
	movb	$0x80, %al
	outb	%al, $0x80
	ud2
user_writes_port_end:

program user_writes_cr3
	movq	%rax, %cr3
	ud2
user_writes_cr3_end:

program user_raises_irq
	int	$0x21
	ud2
user_raises_irq_end:

program user_loads_kernel_segment
	movl	$0x10, %eax
	movw	%ax, %ds
	ud2
user_loads_kernel_segment_end:

	.section .note.GNU-stack, "", @progbits

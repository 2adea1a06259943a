/* Programs for user mode; see the embedded guest's `user_programs.S`. rdi is the argument. */
#include "descriptors.h"
#include "user.h"

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

program user_loads_unaligned
	pushq	%rdi
	popfq
	movabsq	$(USER_DATA_PAGE + 1), %rax
	movl	(%rax), %eax
	exit_with %rax
user_loads_unaligned_end:

program user_sgdt
	movabsq	$USER_DATA_PAGE, %rax
	sgdt	(%rax)
	exit_with %rax
user_sgdt_end:

program user_sidt
	movabsq	$USER_DATA_PAGE, %rax
	sidt	(%rax)
	exit_with %rax
user_sidt_end:

program user_sldt
	sldt	%eax
	exit_with %rax
user_sldt_end:

program user_str
	str	%eax
	exit_with %rax
user_str_end:

program user_smsw
	smsw	%eax
	exit_with %rax
user_smsw_end:

program user_rdtsc
	rdtsc
	exit_with %rax
user_rdtsc_end:

program user_stores
	movl	$1, (%rdi)
	exit_with %rdi
user_stores_end:

/* Single-steps over SYSCALL. FMASK clears TF, so the kernel is not stepped through. */
	.global	user_stepped_syscall_return
program user_steps_syscall
	pushfq
	orl	$0x100, (%rsp)
	popfq
	movl	$SYSCALL_ADD, %eax
	movl	$20, %edi
	movl	$22, %esi
	syscall
user_stepped_syscall_return:
	nop
	pushfq
	andl	$~0x100, (%rsp)
	popfq
	exit_with %rax
user_steps_syscall_end:

program user_syscall
	movl	$SYSCALL_ADD, %eax
	movl	$20, %edi
	movl	$22, %esi
	syscall
	exit_with %rax
user_syscall_end:

/* rdi is 1 to come back by SYSEXIT with REX.W, to 64-bit code. */
program user_sysenter
	movl	%edi, %r8d
	leaq	1f(%rip), %rdi
	movq	%rsp, %rbx
	sysenter
1:	movl	%cs, %ecx
	shll	$16, %ecx
	orl	%ecx, %eax
	exit_with %rax
user_sysenter_end:

program user_calls_gate
	movq	%rsp, %rbx
	lcall	*1f(%rip)
	subq	%rsp, %rbx
	addq	%rbx, %rax
	exit_with %rax
	.balign 4
1:	.long	0
	.word	BEYOND_GDT + 3
user_calls_gate_end:

program user_exits
	exit_with %rdi
user_exits_end:

/* 32-bit code, run at COMPAT_CODE: in compatibility mode 40h is INC, a push is four bytes, an
   address has 32 bits, and a far jump leads to 64-bit code and back. */
	.code32
program compat_program
	movl	$0x7fffffff, %eax
	.byte	0x40			/* incl %eax; a REX prefix in 64-bit mode */
	movl	%esp, %ebx
	pushl	%eax
	subl	%esp, %ebx		/* 4 */
	popl	%ecx
	movl	$-16, %esi
	movl	0x40001010(%esi), %edx	/* wraps to 0x40001000 */
	lcall	$USER_CODE, $0x40000000 + compat64 - compat_program
	movl	%eax, %edi
	movl	$INT80_EXIT, %eax
	int	$0x80
	.code64
compat64:
	addl	%ebx, %eax
	movq	$-1, %r9
	movabsq	$0x100000000, %r10
	shrq	$32, %r10
	addl	%r10d, %eax
	lretl				/* four-byte CS and EIP, as they were pushed */
compat_program_end:

/* SYSCALL in compatibility mode: only AMD's processors have it, through CSTAR. */
	.code32
program compat_syscall
	movl	$0x77, %eax
	syscall
	int3
compat_syscall_end:
	.code64

	.section .note.GNU-stack, "", @progbits

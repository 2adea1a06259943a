/* Entry points of all 256 vectors, and the way back. */

	.text
	.code64


/* The processor pushes an error code for vectors 8, 10-14, 17 and 21; the others get a zero.
   Intel SDM vol. 3A, table 6-1 "Protected-Mode Exceptions and Interrupts". */
	.altmacro
	.macro	entry vector
entry_\vector:
	.if !((\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21))
	pushq	$0
	.endif
	pushq	$\vector
	jmp	interrupt_common
	.endm

	.set	v, 0
	.rept	256
	entry	%v
	.set	v, v + 1
	.endr

interrupt_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	interrupt_dispatch
	movq	%rax, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/* uint64_t catch_run(void (*body)(void *), void *argument)
   Calls body(argument); returns 0 if it returned, 1 if an exception resumed at catch_resume. */
	.global	catch_run, catch_resume
catch_run:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$8, %rsp
	movq	%rsp, catch_rsp
	movq	%rdi, %rax
	movq	%rsi, %rdi
	call	*%rax
	movq	$0, catch_rsp
	xorl	%eax, %eax
	jmp	1f
catch_resume:
	movl	$1, %eax
1:	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.section .rodata
	.balign 8
	.global	interrupt_entries
	.macro	address vector
	.quad	entry_\vector
	.endm
interrupt_entries:
	.set	v, 0
	.rept	256
	address	%v
	.set	v, v + 1
	.endr

	.bss
	.balign 8
	.global	catch_rsp
catch_rsp:
	.skip	8

	.section .note.GNU-stack, "", @progbits

/* Into user mode and back; Intel SDM vol. 3A, 5.8.8 "Fast System Calls in 64-Bit Mode". */
#include "descriptors.h"
#include "user.h"

	.text
	.code64

/* void user_enter(uint64_t *argument): by IRET, interrupts open; does not return. */
	.global	user_enter
user_enter:
	movq	(%rdi), %rdi
	pushq	$USER_DATA
	movabsq	$(USER_DATA_PAGE + 4096), %rax
	pushq	%rax
	pushq	$0x202
	pushq	$USER_CODE
	movabsq	$USER_CODE_PAGE, %rax
	pushq	%rax
	xorl	%eax, %eax
	iretq

/* SYSCALL leaves the stack to us: GS holds the kernel's, and a place for the user's. */
	.global	syscall_entry
syscall_entry:
	swapgs
	movq	%rsp, %gs:8
	movq	%gs:0, %rsp
	pushq	%rcx
	pushq	%r11
	movq	%rax, %rdx
	call	syscall_dispatch
	popq	%r11
	popq	%rcx
	movq	%gs:8, %rsp
	swapgs
	sysretq

	.section .note.GNU-stack, "", @progbits

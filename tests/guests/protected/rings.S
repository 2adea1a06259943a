/* Programs for rings 1 and 3, and what they call. eax is argument and result. */
#include "machine.h"
#include "rings.h"

	.text
	.code32

	.global	user_adds, user_clears_interrupts, user_pops_flags, user_outputs, user_inputs
	.global	user_halts, user_raises_irq, user_reads_unaligned, user_loads_ds, user_reports_cpl
user_adds:
	addl	$5, %eax
	int	$VECTOR_EXIT
user_clears_interrupts:
	cli
	movl	$0x600d, %eax
	int	$VECTOR_EXIT
user_pops_flags:
	pushl	%eax
	popfl
	pushfl
	popl	%eax
	int	$VECTOR_EXIT
user_outputs:
	movl	%eax, %edx
	outb	%al, %dx
	int	$VECTOR_EXIT
user_inputs:
	movl	%eax, %edx
	inw	%dx, %ax
	int	$VECTOR_EXIT
user_halts:
	hlt
user_raises_irq:
	int	$0x20
user_reads_unaligned:
	movl	(%eax), %ecx
	int	$VECTOR_EXIT
user_loads_ds:
	movl	%eax, %ds
	int	$VECTOR_EXIT
user_reports_cpl:
	movl	%cs, %eax
	int	$VECTOR_EXIT

/* Calls through the gate with two doublewords and comes back with both gone: eax is their sum
   plus what the stack pointer moved, which must be nothing. */
	.global	user_calls_gate, gate_target
user_calls_gate:
	movl	%esp, %esi
	pushl	$0x00010000
	pushl	$0x00000200
	lcall	$GATE, $0		/* the offset is ignored */
	subl	%esp, %esi
	addl	%esi, %eax
	int	$VECTOR_EXIT
gate_target:
	movl	8(%esp), %eax		/* after EIP and CS: the parameters, copied */
	addl	12(%esp), %eax
	movl	%cs, %ecx
	andl	$3, %ecx
	addl	%ecx, %eax
	movl	%ss, %edx
	shll	$20, %edx
	addl	%edx, %eax
	lretl	$8

/* A 16-bit gate copies words and pushes words. */
	.global	user_calls_gate16, gate_target16
user_calls_gate16:
	movl	%esp, %esi
	pushw	$0x0300
	pushw	$0x0004
	lcall	$GATE, $0
	subl	%esp, %esi
	addl	%esi, %eax
	int	$VECTOR_EXIT
gate_target16:
	movzwl	4(%esp), %eax
	addw	6(%esp), %ax
	lretw	$4

/* Ring 3 to ring 1 to ring 0 and back, by two gates. */
	.global	user_calls_ring1, ring1_target, ring0_target
user_calls_ring1:
	lcall	$GATE, $0
	int	$VECTOR_EXIT
ring1_target:
	movl	%cs, %eax
	andl	$3, %eax
	pushl	%eax
	lcall	$INNER_GATE, $0
	popl	%ecx
	shll	$4, %ecx
	orl	%ecx, %eax
	lretl
ring0_target:
	movl	%cs, %eax
	andl	$3, %eax
	orl	$0x100, %eax
	lretl

/* Data segments that the outer ring may not have are null after the return. */
	.global	user_keeps_segments, loads_inner_segments
user_keeps_segments:
	lcall	$GATE, $0
	movl	%es, %eax
	shll	$16, %eax
	movl	%fs, %ecx
	movw	%cx, %ax
	int	$VECTOR_EXIT
loads_inner_segments:
	movl	$KERNEL_DATA, %ecx
	movl	%ecx, %es
	movl	$USER_DATA, %ecx
	movl	%ecx, %fs
	lretl

/* A conforming segment is entered by a plain call and keeps the caller's ring. */
	.global	user_calls_conforming, conforming_target
user_calls_conforming:
	lcall	$CONFORMING, $conforming_target
	int	$VECTOR_EXIT
conforming_target:
	movl	%cs, %eax
	lretl

	.global	user_calls_kernel, user_jumps_gate, user_returns_inward
user_calls_kernel:
	lcall	$KERNEL_CODE, $user_adds
user_jumps_gate:
	ljmp	$GATE, $0
user_returns_inward:
	pushl	$KERNEL_CODE
	pushl	$user_adds
	lretl

/* 16-bit code for virtual-8086 mode, at a multiple of 16. */
	.balign 16
	.global	v86_start, v86_end
	.code16
v86_start:
	movw	$0x1234, %ax
	movw	%ax, %ds
	movw	$0x4321, 0
	movw	%cs, %bx
	pushw	%bx
	popw	%cx
	movw	0, %dx
	int	$0x21			/* IOPL is 0: up to the monitor */
v86_end:
	.code32

/* A task of its own: it counts, and returns to the task that called it by IRET with NT set. */
	.global	task_main
task_main:
	incl	task_runs
	iretl
	jmp	task_main		/* a later entry goes on here */

	.bss
	.balign 4
	.global	task_runs
task_runs:
	.skip	4

	.section .note.GNU-stack, "", @progbits

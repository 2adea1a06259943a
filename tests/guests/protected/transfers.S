/* Far transfers within a ring, and 16-bit code, of which the checks compare results. */
#include "machine.h"

	.text
	.code32

/* uint32_t far_calls(void): calls of every shape; the sum of what each returns, or a depth that
   is wrong in the high half. */
	.global	far_calls
far_calls:
	pushl	%ebx
	movl	%esp, %ebx
	xorl	%eax, %eax
	lcall	$KERNEL_CODE, $add1	/* immediate */
	movl	$far_target, %ecx
	lcall	*(%ecx)			/* m16:32 */
	pushl	$0x1234
	lcall	$KERNEL_CODE, $add4_pop
	ljmp	$KERNEL_CODE, $1f
	ud2
1:	movl	$far_jump_target, %ecx
	ljmp	*(%ecx)
	ud2
	.global	far_jumped
far_jumped:
	pushl	$KERNEL_CODE		/* RETF to a place of our choice */
	pushl	$2f
	lretl
	ud2
2:	pushfl				/* and IRET */
	pushl	$KERNEL_CODE
	pushl	$3f
	iretl
	ud2
3:	subl	%esp, %ebx
	shll	$16, %ebx
	orl	%ebx, %eax
	popl	%ebx
	ret
add1:	addl	$1, %eax
	lretl
add2:	addl	$2, %eax
	lretl
add4_pop:
	addl	$4, %eax
	lretl	$4

/* uint32_t call_code16(uint32_t): a 16-bit segment whose base is where its code lies. */
	.global	call_code16, code16_start
call_code16:
	pushl	%ebx
	movl	8(%esp), %ebx
	xorl	%eax, %eax
	lcall	*code16_target
	popl	%ebx
	ret

	.code16
code16_start:
	movw	$0x1234, %ax		/* the operands are words, */
	addw	$0x1111, %ax
	movl	$0x00010000, %ecx
	addl	%ecx, %eax		/* but with a prefix doublewords */
	movl	$0xffff0001, %ebx
	decw	%bx			/* a jump stays within 64 KiB */
	jnz	1f
	jmp	2f
1:	ud2
2:	addl	%ebx, %eax
	addl	$0x00010000, %eax
	callw	near16
	lretl
near16:
	addw	$1, %ax
	retw
	.code32

/* uint32_t push_on_stack16(uint32_t esp): esp after three pushes on a segment with B clear. */
	.global	push_on_stack16
push_on_stack16:
	movl	4(%esp), %edx
	movl	%esp, %ecx
	movl	$DATA16, %eax
	movl	%eax, %ss
	movl	%edx, %esp
	pushl	$0x11111111
	pushw	$0x2222
	pushl	$0x33333333
	movl	%esp, %eax
	movl	$KERNEL_DATA, %edx
	movl	%edx, %ss
	movl	%ecx, %esp
	ret

/* Programs for the outer rings; eax is argument and result. */
	.global	user_exits
user_exits:
	int	$VECTOR_EXIT

	.global	user_pushes
user_pushes:
	pushl	$0x600d
	popl	%eax
	int	$VECTOR_EXIT

	.section .rodata
	.balign 4
far_target:
	.long	add2
	.word	KERNEL_CODE
far_jump_target:
	.long	far_jumped
	.word	KERNEL_CODE
code16_target:
	.long	0
	.word	SCRATCH

	.section .note.GNU-stack, "", @progbits

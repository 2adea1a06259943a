/* Interrupt entries of protected mode, catching, and IRET into other rings. */
#include "machine.h"

	.text
	.code32

	.altmacro
	.macro	entry vector
entry_\vector:
	.if !((\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17))
	pushl	$0
	.endif
	pushl	$\vector
	jmp	interrupt_common
	.endm

	.set	v, 0
	.rept	256
	entry	%v
	.set	v, v + 1
	.endr

interrupt_common:
	pushal
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	movl	$KERNEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cld
	pushl	%esp
	call	interrupt_dispatch	/* returns only if the interrupt is to be returned from */
	addl	$4, %esp
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	popal
	addl	$8, %esp
	iretl

/* uint32_t catch_run(void (*body)(uint32_t), uint32_t argument): 1 if it was abandoned. */
	.global	catch_run, catch_resume
catch_run:
	pushl	%ebx
	pushl	%ebp
	pushl	%esi
	pushl	%edi
	movl	%esp, catch_esp
	pushl	24(%esp)
	call	*24(%esp)
	addl	$4, %esp
	movl	$0, catch_esp
	xorl	%eax, %eax
	jmp	1f
/* Reached by a jump from the handler, in ring 0, on whatever stack. */
catch_resume:
	movl	$KERNEL_DATA, %eax
	movl	%eax, %ss
	movl	catch_esp, %esp
	movl	$0, catch_esp
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	pushl	$2
	popfl
	movl	$1, %eax
1:	popl	%edi
	popl	%esi
	popl	%ebp
	popl	%ebx
	ret

/* void enter_outer(const struct entry *): IRET to an outer ring or to virtual-8086 mode. */
	.global	enter_outer
enter_outer:
	movl	4(%esp), %esi
	testl	$0x20000, 8(%esi)
	jz	1f
	pushl	32(%esi)	/* gs fs ds es, for virtual-8086 mode */
	pushl	28(%esi)
	pushl	24(%esi)
	pushl	20(%esi)
1:	pushl	16(%esi)
	pushl	12(%esi)
	pushl	8(%esi)
	pushl	4(%esi)
	pushl	0(%esi)
	testl	$0x20000, 8(%esi)
	jnz	2f
	movw	20(%esi), %es
	movw	28(%esi), %fs
	movw	32(%esi), %gs
	movl	36(%esi), %eax
	movw	24(%esi), %ds
	iretl
2:	movl	36(%esi), %eax
	iretl

	.section .rodata
	.balign 4
	.global	interrupt_entries
	.macro	address vector
	.long	entry_\vector
	.endm
interrupt_entries:
	.set	v, 0
	.rept	256
	address	%v
	.set	v, v + 1
	.endr

	.bss
	.balign 4
	.global	catch_esp
catch_esp:
	.skip	4

	.section .note.GNU-stack, "", @progbits

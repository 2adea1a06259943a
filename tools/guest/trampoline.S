/* From the start-up interrupt (real mode, at TRAMPOLINE) to `ap_main` in long mode. */
#include "descriptors.h"
#include "trampoline.h"

#define CR0_PE (1 << 0)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)
#define MSR_EFER 0xc0000080

/* The address of a label after this code has been copied. */
#define COPIED(label) (label - trampoline_start + TRAMPOLINE)

	.text
	.code16
	.global	trampoline_start, trampoline_end
trampoline_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	COPIED(trampoline_gdt)
	movl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_CODE32, $COPIED(trampoline32)

	.code32
trampoline32:
	movw	$KERNEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	ap_efer, %eax
	movl	ap_efer + 4, %edx
	wrmsr
	movl	$(CR0_PG | CR0_WP | CR0_NE | CR0_PE), %eax
	movl	%eax, %cr0
	ljmp	$KERNEL_CODE, $ap_start

	.balign 4
	.word	0
trampoline_gdt:
	.word	BEYOND_GDT - 1
	.long	gdt
trampoline_end:

	.code64
ap_start:
	movq	ap_stack, %rsp
	xorl	%ebp, %ebp
	call	ap_main
1:	cli
	hlt
	jmp	1b

	.bss
	.balign 8
	.global	ap_stack, ap_efer
ap_stack:
	.skip	8
ap_efer:
	.skip	8

	.section .note.GNU-stack, "", @progbits

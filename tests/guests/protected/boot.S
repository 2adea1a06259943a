/* From the multiboot entry to `kernel_main`, in 32-bit protected mode without paging, on our own
   descriptor table. */
#include "machine.h"
#include "multiboot.h"

#define MULTIBOOT_FLAGS (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO)

	.section .multiboot, "a"
	.balign 4
	.long	MULTIBOOT_HEADER_MAGIC
	.long	MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.global	start
start:
	cli
	cld
	movl	$boot_stack_top, %esp
	pushl	$0
	popfl
	lgdt	gdt_pointer
	ljmp	$KERNEL_CODE, $1f
1:	movl	$KERNEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	lldt	%ax
	fninit
	call	kernel_main
1:	hlt
	jmp	1b

	.data
	.balign 16
	.global	gdt, gdt_pointer
gdt:	.quad	0
	.quad	0x00cf9a000000ffff	/* KERNEL_CODE */
	.quad	0x00cf92000000ffff	/* KERNEL_DATA */
	.quad	0x00cffa000000ffff	/* USER_CODE */
	.quad	0x00cff2000000ffff	/* USER_DATA */
	.quad	0x00cfba000000ffff	/* RING1_CODE */
	.quad	0x00cfb2000000ffff	/* RING1_DATA */
	.quad	0			/* TSS_SELECTOR */
	.quad	0			/* LDT_SELECTOR */
	.quad	0x00009a000000ffff	/* CODE16 */
	.quad	0x000092000000ffff	/* DATA16 */
	.quad	0x0000fa000000ffff	/* USER_CODE16 */
	.fill	SCRATCH_ENTRIES, 8, 0
	.balign 4
	.word	0
gdt_pointer:
	.word	BEYOND_GDT - 1
	.long	gdt

	.bss
	.balign 16
	.skip	32768
boot_stack_top:

	.section .note.GNU-stack, "", @progbits

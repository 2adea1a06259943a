/* Multiboot entry of the kernel that ends in many ways. */
#include "multiboot.h"

#define MULTIBOOT_FLAGS MULTIBOOT_MEMORY_INFO

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
	movl	$stack_top, %esp
	pushl	%ebx
	call	kernel_main
1:	hlt
	jmp	1b

	.bss
	.balign 16
	.skip	16384
stack_top:

	.section .note.GNU-stack, "", @progbits

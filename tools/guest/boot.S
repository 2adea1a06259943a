/* From the multiboot entry (32-bit protected mode, paging off) to `kernel_main` in long mode.
   Multiboot Specification 0.6.96, 3.2 "Machine state";
   Intel SDM vol. 3A, 9.8.5 "Initializing IA-32e Mode". */
#include "descriptors.h"
#include "multiboot.h"

#define MULTIBOOT_FLAGS (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO)

#define CR0_MP (1 << 1)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)
#define CR4_OSFXSR (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define TABLE 0x003		/* present, writable */
#define LARGE 0x083		/* present, writable, 2 MiB */
#define DEVICE_LARGE 0x09b	/* the same, uncached: for the memory-mapped devices */

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER_MAGIC
	.long MULTIBOOT_FLAGS
	.long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.global start
start:
	cli
	cld
	movl	$boot_stack_top, %esp
	pushl	$0
	popfl
	movl	%eax, boot_magic
	movl	%ebx, boot_info
	call	require_long_mode
	call	build_page_tables
	call	enter_long_mode
	lgdt	gdt_pointer
	ljmp	$KERNEL_CODE, $start64

/* Long mode is CPUID 80000001h EDX bit 29, NX is bit 20. Leaves EDX in boot_features. */
require_long_mode:
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	movl	%edx, boot_features
	btl	$29, %edx
	jnc	no_long_mode
	ret

no_long_mode:
	movl	$no_long_mode_text, %esi
	movw	$0x3f8, %dx
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, %dx
	jmp	1b
2:	hlt
	jmp	2b

/* The first 4 GiB at their own addresses, in 2 MiB pages; the last GiB uncached. */
build_page_tables:
	movl	$(boot_pdpt + TABLE), boot_pml4
	movl	$(boot_pd + TABLE), %eax
	movl	$boot_pdpt, %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	loop	1b
	movl	$LARGE, %eax
	movl	$boot_pd, %edi
	movl	$(4 * 512), %ecx
2:	cmpl	$512, %ecx
	jne	3f
	orl	$DEVICE_LARGE, %eax
3:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b
	ret

enter_long_mode:
	movl	%cr4, %eax
	orl	$(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	btl	$20, boot_features
	jnc	1f
	orl	$EFER_NXE, %eax
1:	wrmsr
	movl	%cr0, %eax
	andl	$~0xc, %eax	/* EM and TS off: the FPU is there and ours */
	orl	$(CR0_PG | CR0_WP | CR0_NE | CR0_MP), %eax
	movl	%eax, %cr0
	ret

	.code64
start64:
	movw	$KERNEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	xorl	%eax, %eax
	movw	%ax, %fs
	movw	%ax, %gs
	movq	$boot_stack_top, %rsp
	fninit
	movl	boot_magic, %edi
	movl	boot_info, %esi
	xorl	%ebp, %ebp
	call	kernel_main
1:	cli
	hlt
	jmp	1b

	.section .rodata
no_long_mode_text:
	.asciz	"guest: FAIL this CPU has no long mode\r\n"

	.data
	.balign 16
	.global gdt, gdt_pointer
gdt:	.quad	0
	.quad	0x00af9a000000ffff	/* KERNEL_CODE */
	.quad	0x00cf92000000ffff	/* KERNEL_DATA */
	.quad	0x00cffa000000ffff	/* USER_CODE32 */
	.quad	0x00cff2000000ffff	/* USER_DATA */
	.quad	0x00affa000000ffff	/* USER_CODE */
	.quad	0, 0			/* TSS_SELECTOR */
	.quad	0x00cf12000000ffff	/* ABSENT_DATA: as KERNEL_DATA, not present */
	.quad	0x00cf9a000000ffff	/* BOOT_CODE32 */
gdt_end:
	.balign 4
	.word	0
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.bss
	.balign 4096
	.global boot_pml4
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4 * 4096
	.balign 16
	.skip	65536
boot_stack_top:
boot_magic:
	.skip	4
boot_info:
	.skip	4
boot_features:
	.skip	4

	.section .note.GNU-stack, "", @progbits

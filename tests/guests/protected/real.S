/* Real mode: reached from protected mode over a 16-bit code segment, and left again.
   Intel SDM vol. 3A, 9.9 "Mode Switching", 20.1 "Real-Address Mode". */
#include "machine.h"
#include "real.h"

#define COPIED(label) (label - real_start + REAL_CODE)
#define RESULT(index) (REAL_RESULTS + 4 * (index))

	.text
	.code32
	.global	real_run
real_run:
	pushal
	movl	%esp, real_esp
	sidt	real_old_idt
	lidt	COPIED(real_idt)
	ljmp	$CODE16, $COPIED(enter_real)

	.global	real_start, real_end
real_start:
	.code16
enter_real:
	movw	$KERNEL_DATA, %ax	/* its 4 GiB limit stays in GS: "unreal" mode */
	movw	%ax, %gs
	movw	$DATA16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %ss
	movl	%cr0, %eax
	andl	$~1, %eax
	movl	%eax, %cr0
	ljmp	$0, $COPIED(in_real)

in_real:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %ss
	movl	$REAL_STACK, %esp
	call	set_vectors
	call	test_unreal
	call	test_segments
	call	test_far_calls
	call	test_interrupts
	call	test_faults
	call	test_limits
	call	test_strings
	call	test_stack
	call	test_relocated_vectors

	cli
	lgdtl	COPIED(real_gdt)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$KERNEL_CODE, $real_return

/* Vectors 0 to 15 go to fault_0 to fault_15, vector 60h to service. */
set_vectors:
	xorw	%bx, %bx
	movw	$COPIED(fault_0), %ax
	movw	$16, %cx
1:	movw	%ax, (%bx)
	movw	$0, 2(%bx)
	addw	$(fault_1 - fault_0), %ax
	addw	$4, %bx
	loop	1b
	movw	$COPIED(service), 0x60 * 4
	movw	$0, 0x60 * 4 + 2
	ret

	.altmacro
	.macro	fault vector
fault_\vector:
	movw	$\vector, COPIED(fault_vector)
	jmp	fault_common
	.balign 16
	.endm
	.balign 16
	.set	v, 0
	.rept	16
	fault	%v
	.set	v, v + 1
	.endr
	.noaltmacro

/* Notes the IP that was pushed, and goes where the test wants to go on. */
fault_common:
	movw	%sp, %bp
	movw	(%bp), %ax
	movw	%ax, COPIED(fault_ip)
	movw	COPIED(fault_sp), %sp
	jmp	*COPIED(fault_resume)

fault_vector:
	.word	0
fault_ip:
	.word	0
fault_sp:
	.word	0
fault_resume:
	.word	0

/* What comes in between is expected to fault, and result `index` says how. */
	.macro	attempt
	movw	$NO_FAULT, COPIED(fault_vector)
	movw	$0, COPIED(fault_ip)
	movw	%sp, COPIED(fault_sp)
	movw	$COPIED(9f), COPIED(fault_resume)
	.endm
	.macro	attempted index
9:	xorw	%ax, %ax
	movw	%ax, %ds
	movl	COPIED(fault_vector), %eax
	movl	%eax, RESULT(\index)
	.endm

/* The 4 GiB limit that GS had in protected mode outlives the mode. */
test_unreal:
	movl	$0x100000, %ebx
	attempt
	movl	%gs:(%ebx), %edx
	attempted R_UNREAL
	xorw	%ax, %ax
	movw	%ax, %gs
	ret

/* The base is sixteen times the selector, and FFFF:0010 is 1 MiB with A20 on. */
test_segments:
	movl	$0x12345678, REAL_SCRATCH + 0x24
	movw	$(REAL_SCRATCH >> 4), %ax
	movw	%ax, %es
	movl	%es:0x24, %eax
	movl	%eax, RESULT(R_SEGMENT_BASE)
	movw	$0xffff, %ax
	movw	%ax, %es
	movl	%es:0x10, %eax
	movl	%eax, RESULT(R_HIGH_MEMORY)
	movw	$(REAL_SCRATCH >> 4), %ax
	movw	%ax, %fs
	movl	$0x89abcdef, %eax
	movl	%eax, %fs:0x30
	movw	%ax, %ds		/* any selector loads */
	movw	%ds, %bx
	xorw	%cx, %cx
	movw	%cx, %ds
	movw	%bx, RESULT(R_SEGMENT_LOAD)
	movl	REAL_SCRATCH + 0x30, %eax
	movw	%ax, RESULT(R_SEGMENT_LOAD) + 2
	ret

/* A far call pushes CS and IP: two words, or two doublewords with an operand-size prefix. */
test_far_calls:
	movw	%sp, %bx
	lcall	$0, $COPIED(far16)
	movw	%ax, RESULT(R_FAR_CALL16)
	subw	%sp, %bx
	movw	%bx, RESULT(R_FAR_CALL16) + 2
	lcalll	$0, $COPIED(far32)
	movw	%ax, RESULT(R_FAR_CALL32)
	movw	$0, RESULT(R_FAR_CALL32) + 2
	ret
far16:
	movw	%sp, %cx
	subw	%bx, %cx
	movw	%cx, RESULT(R_FAR_CALL_DEPTH16)
	movw	$0x1616, %ax
	lretw
far32:
	movw	%sp, %cx
	subw	$REAL_STACK, %cx
	movw	%cx, RESULT(R_FAR_CALL_DEPTH32)
	movw	$0x3232, %ax
	lretl

/* INT clears IF and TF and pushes the flags that were; IRET brings them back. */
test_interrupts:
	pushw	$0x0cd5			/* DF OF SF ZF AF PF CF, and the bit that is always set */
	popfw
	int	$0x60
	pushfw
	popw	%bx
	movw	%bx, RESULT(R_IRET_FLAGS)
	movw	%ax, RESULT(R_INT_RESULT)
	cld
	ret
service:
	movw	%sp, %bp
	movw	4(%bp), %ax
	movw	%ax, RESULT(R_INT_FLAGS)
	movw	(%bp), %ax
	subw	$COPIED(test_interrupts), %ax
	iretw

	.global	real_de, real_ud, real_bp_after, real_of_after, real_br, real_protected_only
test_faults:
	attempt
	xorw	%cx, %cx
real_de:
	divw	%cx
	attempted R_DE
	attempt
real_ud:
	ud2
	attempted R_UD
	attempt
	int3
real_bp_after:
	attempted R_BP
	attempt
	movb	$0x7f, %al
	incb	%al
	into
real_of_after:
	attempted R_OF
	attempt
	movl	$0x00200010, REAL_SCRATCH
	movw	$0x0021, %ax
real_br:
	boundw	%ax, REAL_SCRATCH
	attempted R_BR
	attempt
real_protected_only:
	.byte	0x0f, 0x02, 0xc0	/* lar %ax, %ax */
	attempted R_PROTECTED_ONLY
	smsw	%ax
	movw	%ax, RESULT(R_MSW)
	ret

/* Segments are 64 KiB long here too: a word at FFFF is beyond. */
test_limits:
	attempt
	movw	0xffff, %ax
	attempted R_WORD_AT_LIMIT
	attempt
	movw	$0xffff, %bp
	movw	(%bp), %ax
	attempted R_STACK_AT_LIMIT
	attempt
	movl	$0x10000, %ebx
	movb	(%ebx), %al
	attempted R_BEYOND_LIMIT
	ret

/* SI and CX are 16 bits wide: 8 bytes from FFFC wrap to 0 in the same segment. */
test_strings:
	movw	$0x1000, %ax
	movw	%ax, %ds
	movl	$0x64636261, 0xfffc
	movl	$0x68676665, 0
	movl	$0xaaaafffc, %esi
	movl	$0xbbbb0000 + REAL_SCRATCH, %edi
	movl	$0xcccc0008, %ecx
	xorw	%ax, %ax
	movw	%ax, %es
	rep movsb
	movw	%ax, %ds
	movl	REAL_SCRATCH + 4, %eax
	movl	%eax, RESULT(R_STRING_WRAP)
	movl	%esi, RESULT(R_STRING_SI)
	xorl	%eax, %eax
	movl	$0xffff0003, %ecx
1:	incl	%eax
	loop	1b
	shll	$16, %eax
	shrl	$16, %ecx
	movw	%cx, %ax
	movl	%eax, RESULT(R_LOOP)
	ret

/* PUSH SP pushes what SP was before; PUSHA pushes eight words; ENTER makes a frame. */
test_stack:
	movw	%sp, %bx
	pushw	%sp
	popw	%ax
	subw	%bx, %ax
	movw	%ax, RESULT(R_PUSH_SP)
	movw	%sp, RESULT(R_PUSH_SP) + 2
	subw	%bx, RESULT(R_PUSH_SP) + 2
	movw	$0x1111, %ax
	movw	$0x7777, %di
	pushaw
	movw	%sp, %bp
	movw	14(%bp), %ax
	movw	%ax, RESULT(R_PUSHA)
	movw	(%bp), %ax
	movw	%ax, RESULT(R_PUSHA) + 2
	popaw
	movl	$0x00071234, REAL_SCRATCH
	lesw	REAL_SCRATCH, %dx
	movw	%dx, RESULT(R_LES)
	movw	%es, RESULT(R_LES) + 2
	movw	%sp, %bx
	movw	$0xb0b0, %bp
	enterw	$8, $1
	movw	%sp, %ax
	subw	%bx, %ax
	movw	%ax, RESULT(R_ENTER)
	leavew
	movw	%bp, RESULT(R_ENTER) + 2
	ret

/* LIDT works here too: the vector table need not be at 0. */
test_relocated_vectors:
	movw	$COPIED(1f), REAL_SCRATCH + 0x20 * 4
	movw	$0, REAL_SCRATCH + 0x20 * 4 + 2
	lidtl	COPIED(relocated_idt)
	xorl	%eax, %eax
	int	$0x20
	movl	%eax, RESULT(R_RELOCATED_IVT)
	lidtl	COPIED(real_idt)
	ret
1:	movl	$0x20202020, %eax
	iretw

	.balign 4
real_gdt:
	.word	BEYOND_GDT - 1
	.long	gdt
real_idt:
	.word	0x3ff
	.long	0
relocated_idt:
	.word	0x3ff
	.long	REAL_SCRATCH
real_end:

	.code32
real_return:
	movl	$KERNEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	real_esp, %esp
	lidt	real_old_idt
	popal
	ret

	.bss
	.balign 4
real_esp:
	.skip	4
real_old_idt:
	.skip	8

	.section .note.GNU-stack, "", @progbits

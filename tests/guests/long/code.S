/* Code of which the checks must know the addresses. */
#include "descriptors.h"

	.text
	.code64

	.global	jump_to_rdi, jump_to_rdi_at
jump_to_rdi:
	nop
jump_to_rdi_at:
	jmp	*%rdi

	.global	interrupt_on_stack, breakpoint, undefined, divide_by_zero, raise_50
interrupt_on_stack:
	movq	%rdi, %rsp
	int3
	ud2
breakpoint:
	int3
	ret
undefined:
	ud2
	ret
divide_by_zero:
	xorl	%eax, %eax
	divl	%eax
	ret
raise_50:
	int	$0x50
	ret

/* An interrupt is pending: it comes behind the instruction that follows STI. */
	.global	open_with_sti, behind_sti_shadow
open_with_sti:
	sti
	nop
behind_sti_shadow:
	nop
	nop
	cli
	ret

/* STI with interrupts open already casts no shadow, but nothing is pending then; STI, CLI lets
   nothing through. */
	.global	open_and_close
open_and_close:
	sti
	cli
	nop
	ret

/* MOV SS holds the trap of single-stepping back, for itself and one instruction more. */
	.global	step_over_mov_ss, behind_mov_ss_shadow, step_over_end
step_over_mov_ss:
	movl	%ss, %eax
	pushfq
	orl	$0x100, (%rsp)
	popfq
	movl	%eax, %ss
	nop
behind_mov_ss_shadow:
	pushfq
	andl	$~0x100, (%rsp)
	popfq
step_over_end:
	ret

/* A data breakpoint on what MOV SS loads is reported behind the next instruction. */
	.global	watch_mov_ss, behind_watched_mov_ss
watch_mov_ss:
	movw	(%rdi), %ss
	nop
behind_watched_mov_ss:
	nop
	ret

/* TF through POPF, INT n, IRET, and a repeated instruction, which traps after every iteration. */
	.global	step_through, stepped_1, stepped_int, stepped_rep, stepped_end
step_through:
	pushfq
	orl	$0x100, (%rsp)
	popfq
	nop
stepped_1:
	int	$0x51
stepped_int:
	movl	$3, %ecx
stepped_rep:
	rep stosb
	pushfq
	andl	$~0x100, (%rsp)
	popfq
stepped_end:
	ret

/* IRET sets TF: the first trap comes behind one instruction at the target. */
	.global	step_from_iret, stepped_after_iret
step_from_iret:
	movq	%rsp, %rdx
	movl	%ss, %eax
	pushq	%rax
	pushq	%rdx
	pushq	$0x102
	movl	%cs, %eax
	pushq	%rax
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	nop
stepped_after_iret:
	pushfq
	andl	$~0x100, (%rsp)
	popfq
	ret

/* Breakpoints: on the first byte of an instruction, on data of each width, on a port. */
	.global	break_here, break_at, break_next
break_here:
	nop
break_at:
	movl	$1, %eax
break_next:
	incl	%eax
	ret

	.global	store_bytes, stored_1, stored_2, stored_4, stored_8
store_bytes:			/* (address) */
	movb	$1, 1(%rdi)
stored_1:
	movw	$2, 2(%rdi)
stored_2:
	movl	$4, 4(%rdi)
stored_4:
	movq	$8, 8(%rdi)
stored_8:
	ret

	.global	load_word, loaded_word
load_word:
	movzwl	(%rdi), %eax
loaded_word:
	ret

	.global	write_port, wrote_port
write_port:
	movb	$0x5a, %al
	outb	%al, $0x80
wrote_port:
	inb	$0x84, %al
	ret

	.global	move_to_dr7, move_to_dr7_at
move_to_dr7:
	movq	%dr7, %rax
move_to_dr7_at:
	movq	%rax, %dr7
	ret

	.global	icebp, behind_icebp
icebp:
	.byte	0xf1
behind_icebp:
	nop
	ret

/* Far transfers with 64-bit operands: the sum of what each adds. */
	.global	far_transfers
far_transfers:
	xorl	%eax, %eax
	leaq	add1(%rip), %rcx
	movq	%rcx, far_pointer
	movw	$KERNEL_CODE, far_pointer + 8
	rex.W lcall *far_pointer
	movl	$KERNEL_CODE, %ecx
	pushq	%rcx
	leaq	1f(%rip), %rcx
	pushq	%rcx
	lretq
	ud2
1:	addl	$2, %eax
	leaq	2f(%rip), %rcx
	movl	%ecx, far_pointer
	movw	$KERNEL_CODE, far_pointer + 4
	ljmpl	*far_pointer
	ud2
2:	addl	$4, %eax
	ret
add1:	addl	$1, %eax
	lretq

/* What the 64-bit call gate leads to: the stack has the caller's SS, RSP, CS and RIP. */
	.global	gate_target
gate_target:
	movl	%cs, %eax
	andl	$3, %eax
	movl	%ss, %ecx		/* null: a far call inward in 64-bit mode loads it so */
	shll	$8, %ecx
	orl	%ecx, %eax
	movl	8(%rsp), %ecx
	shll	$16, %ecx
	orl	%ecx, %eax
	lretq

	.global	sysenter_entry
sysenter_entry:
	movq	%rsp, %rsi
	movl	%cs, %eax
	movl	%ss, %ecx
	shll	$8, %ecx
	orl	%ecx, %eax
	movq	%rdi, %rdx		/* SYSEXIT: rip from rdx, rsp from rcx */
	movq	%rbx, %rcx
	testl	%r8d, %r8d
	jz	1f
	sysexitq
1:	sysexitl

	.global	sysret_to_rdi
sysret_to_rdi:
	movq	%rdi, %rcx
	movl	$0x202, %r11d
sysret_at:
	sysretq

/* IRET to one's own ring with a stack of one's choice, and a null SS. */
	.global	iret_to_null_ss
iret_to_null_ss:
	movq	%rsp, %rdx
	pushq	$0
	pushq	%rdx
	pushfq
	movl	%cs, %eax
	pushq	%rax
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	movl	%ss, %eax
	movl	$KERNEL_DATA, %ecx
	movl	%ecx, %ss
	ret

	.global	iret_to, iret_to_at
iret_to:			/* (rip, cs, ss) */
	movq	%rsp, %rax
	pushq	%rdx
	pushq	%rax
	pushq	$2
	pushq	%rsi
	pushq	%rdi
iret_to_at:
	iretq

/* Rewrites its own next instruction, which is in the same block. */
	.global	rewrite_next
rewrite_next:
	movl	$7, 1f + 1(%rip)
1:	movl	$1, %eax
	ret

/* A loop that rewrites its own body on every round: eax is the sum of 1 to edi. */
	.global	rewrite_loop
rewrite_loop:
	xorl	%eax, %eax
1:	movl	%edi, 2f + 1(%rip)
2:	.byte	0x05		/* addl $imm32, %eax */
	.long	0
	decl	%edi
	jnz	1b
	ret

	.bss
	.balign 8
far_pointer:
	.skip	16

	.section .note.GNU-stack, "", @progbits

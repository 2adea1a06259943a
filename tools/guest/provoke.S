/* Code of which the checks must know the addresses. */

	.text
	.code64

/* void provoke_ud(void *) */
	.global	provoke_ud, provoke_ud_at
provoke_ud:
	nop
provoke_ud_at:
	ud2

/* void provoke_bp(void *) */
	.global	provoke_bp, provoke_bp_after
provoke_bp:
	int3
provoke_bp_after:
	ret

/* void provoke_double_fault(void *stack) */
	.global	provoke_double_fault
provoke_double_fault:
	movq	%rdi, %rsp
	ud2

/* void run_stepped(void): TF is on over six instructions: a trap follows each one that began
   with TF set. */
	.global	run_stepped, stepped_first, stepped_last
run_stepped:
	pushfq
	orl	$0x100, (%rsp)
	popfq
	nop
stepped_first:
	nop
	nop
	pushfq
	andl	$~0x100, (%rsp)
	popfq
stepped_last:
	nop
	ret

/* uint64_t run_watched(uint64_t variables[2]) */
	.global	run_watched, watched_instruction, watched_store_after, watched_load_after
run_watched:
	movq	(%rdi), %rax
watched_instruction:
	movl	$42, %eax
	movq	%rax, (%rdi)
watched_store_after:
	nop
	movq	8(%rdi), %rax
watched_load_after:
	nop
	ret

/* Copy, fill, search and compare with one repeated instruction each, so that the tick can see
   that it came in the middle of one. */
	.global	string_copy, string_copy_at
string_copy:			/* (to, from, count) */
	movq	%rdx, %rcx
string_copy_at:
	rep movsb
	ret

	.global	string_fill, string_fill_at
string_fill:			/* (to, byte, count) */
	movq	%rdx, %rcx
	movl	%esi, %eax
string_fill_at:
	rep stosb
	ret

	.global	string_find, string_find_at
string_find:			/* (in, byte, count): how many bytes were left */
	movq	%rdx, %rcx
	movl	%esi, %eax
string_find_at:
	repne scasb
	movq	%rcx, %rax
	ret

	.global	string_compare, string_compare_at
string_compare:			/* (left, right, count): how many bytes were left */
	movq	%rdx, %rcx
string_compare_at:
	repe cmpsb
	movq	%rcx, %rax
	ret

	.section .note.GNU-stack, "", @progbits

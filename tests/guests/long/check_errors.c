/* Faults of single instructions; Intel SDM vol. 3A, 6.15 "Exception and Interrupt Reference". */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "paging.h"
#include "user.h"

#define NON_CANONICAL 0x0000800000000000ul

void jump_to_rdi(void *target);
extern const uint8_t jump_to_rdi_at[];

static void load_from(void *address)
{
	*(volatile uint64_t *)address;
}

static void load_idt_beyond(void *argument)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = { 0xfff, NON_CANONICAL };

	(void)argument;
	__asm__ volatile("lidt %0" : : "m"(table));
}

static void write_msr(void *msr)
{
	wrmsr((uint64_t)msr, 0);
}

static void write_fs_base(void *base)
{
	wrmsr(MSR_FS_BASE, (uint64_t)base);
}

static void run_long_instruction(void *argument)
{
	(void)argument;
	__asm__ volatile(".fill 15, 1, 0x66; nop");
}

static void run_longest_instruction(void *argument)
{
	(void)argument;
	__asm__ volatile(".fill 14, 1, 0x66; nop");
}

static void load_unaligned_vector(void *address)
{
	__asm__ volatile("movaps (%0), %%xmm0" : : "r"(address));
}

void check_general_protection(void)
{
	static uint8_t bytes[32] __attribute__((aligned(16)));
	struct caught caught;

	expect_fault("first non-canonical address", catch(load_from, (void *)NON_CANONICAL), VECTOR_GP, 0);
	expect_fault("across into it", catch(load_from, (void *)(NON_CANONICAL - 4)), under_tcg() ? VECTOR_PF : VECTOR_GP, 0);
	if (!under_tcg())
		expect_fault("LIDT of a non-canonical base", catch(load_idt_beyond, 0), VECTOR_GP, 0);
	expect_fault("FS base, non-canonical", catch(write_fs_base, (void *)NON_CANONICAL),
		     under_tcg() ? VECTOR_NONE : VECTOR_GP, 0);
	wrmsr(MSR_FS_BASE, 0);
	if (!under_tcg())
		expect_fault("unknown MSR", catch(write_msr, (void *)0x12345), VECTOR_GP, 0);
	expect_fault("15 bytes", catch(run_longest_instruction, 0), VECTOR_NONE, 0);
	expect_fault("16 bytes", catch(run_long_instruction, 0), VECTOR_GP, 0);
	expect_fault("MOVAPS, unaligned", catch(load_unaligned_vector, bytes + 8), VECTOR_GP, 0);
	caught = catch(jump_to_rdi, (void *)NON_CANONICAL);
	expect_fault("jump, non-canonical", caught, VECTOR_GP, 0);
	if (!under_tcg())
		expect("rip of that fault", caught.rip, (uint64_t)jump_to_rdi_at);
}

#define UNDEFINED(name, bytes)                    \
	static void name(void *argument)          \
	{                                         \
		(void)argument;                   \
		__asm__ volatile(".byte " bytes); \
	}

UNDEFINED(run_push_es, "0x06")
UNDEFINED(run_daa, "0x27")
UNDEFINED(run_aam, "0xd4, 0x0a")
UNDEFINED(run_lcall_immediate, "0x9a, 0, 0, 0, 0, 0, 0")
UNDEFINED(run_ud1, "0x0f, 0xb9, 0xc0")
UNDEFINED(run_lock_nop, "0xf0, 0x90")
UNDEFINED(run_lock_load, "0xf0, 0x8b, 0x00")
UNDEFINED(run_mov_cs, "0x8e, 0xc8")
UNDEFINED(run_mov_cr1, "0x0f, 0x20, 0xc8")
UNDEFINED(run_lea_register, "0x8d, 0xc0")
UNDEFINED(run_cmpxchg8b_register, "0x0f, 0xc7, 0xc8")
UNDEFINED(run_salc, "0xd6")

void check_undefined(void)
{
	expect_fault("PUSH ES", catch(run_push_es, 0), VECTOR_UD, 0);
	expect_fault("DAA", catch(run_daa, 0), VECTOR_UD, 0);
	if (!under_tcg()) {
		expect_fault("SALC", catch(run_salc, 0), VECTOR_UD, 0);
		expect_fault("AAM", catch(run_aam, 0), VECTOR_UD, 0);
		expect_fault("MOV to CS", catch(run_mov_cs, 0), VECTOR_UD, 0);
	}
	expect_fault("far CALL, immediate", catch(run_lcall_immediate, 0), VECTOR_UD, 0);
	expect_fault("UD1", catch(run_ud1, 0), VECTOR_UD, 0);
	expect_fault("LOCK NOP", catch(run_lock_nop, 0), VECTOR_UD, 0);
	expect_fault("LOCK on a load", catch(run_lock_load, 0), VECTOR_UD, 0);
	expect_fault("MOV from CR1", catch(run_mov_cr1, 0), VECTOR_UD, 0);
	expect_fault("LEA of a register", catch(run_lea_register, 0), VECTOR_UD, 0);
	expect_fault("CMPXCHG8B of a register", catch(run_cmpxchg8b_register, 0), VECTOR_UD, 0);
}

static void load_through_rbp(void *address)
{
	__asm__ volatile("push %%rbp; mov %0, %%rbp; mov (%%rbp), %%rax; pop %%rbp" : : "r"(address) : "rax");
}

/* A non-canonical address over RBP or RSP is a matter of the stack segment. */
void check_stack_fault(void)
{
	if (under_tcg()) {
		skip("TCG calls it #GP");
		return;
	}
	expect_fault("load over RBP", catch(load_through_rbp, (void *)NON_CANONICAL), VECTOR_SS, 0);
}

static void divide_vectors(void *control)
{
	uint32_t mxcsr = (uint64_t)control;

	__asm__ volatile("ldmxcsr %0; pcmpeqd %%xmm0, %%xmm0; psrld $25, %%xmm0; pslld $23, %%xmm0; "
			 "pxor %%xmm1, %%xmm1; divps %%xmm1, %%xmm0"
			 :
			 : "m"(mxcsr));
}

static void load_mxcsr(void *control)
{
	uint32_t mxcsr = (uint64_t)control;

	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

#define MXCSR_DEFAULT 0x1f80ul
#define MXCSR_ZM 0x200ul
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_OSFXSR (1ul << 9)

void check_float_faults(void)
{
	expect_fault("reserved bit of MXCSR", catch(load_mxcsr, (void *)0x10000), under_tcg() ? VECTOR_NONE : VECTOR_GP, 0);
	load_mxcsr((void *)MXCSR_DEFAULT);
	expect_fault("division, masked", catch(divide_vectors, (void *)MXCSR_DEFAULT), VECTOR_NONE, 0);
	if (!under_tcg()) {
		expect_fault("division", catch(divide_vectors, (void *)(MXCSR_DEFAULT & ~MXCSR_ZM)), VECTOR_XM, 0);
		write_cr4(read_cr4() & ~CR4_OSXMMEXCPT);
		expect_fault("division without OSXMMEXCPT",
			     catch(divide_vectors, (void *)(MXCSR_DEFAULT & ~MXCSR_ZM)), VECTOR_UD, 0);
		write_cr4(read_cr4() | CR4_OSXMMEXCPT);
	}
	load_mxcsr((void *)MXCSR_DEFAULT);
	write_cr0(read_cr0() | CR0_TS);
	expect_fault("SSE with CR0.TS", catch(divide_vectors, (void *)MXCSR_DEFAULT), VECTOR_NM, 0);
	write_cr0((read_cr0() & ~CR0_TS) | CR0_EM);
	expect_fault("SSE with CR0.EM", catch(divide_vectors, (void *)MXCSR_DEFAULT), VECTOR_UD, 0);
	write_cr0(read_cr0() & ~CR0_EM);
	write_cr4(read_cr4() & ~CR4_OSFXSR);
	expect_fault("SSE without CR4.OSFXSR", catch(divide_vectors, (void *)MXCSR_DEFAULT), VECTOR_UD, 0);
	write_cr4(read_cr4() | CR4_OSFXSR);
}

void check_alignment(void)
{
	if (under_tcg()) {
		skip("TCG checks no alignment");
		return;
	}
	write_cr0(read_cr0() | CR0_AM);
	expect_fault("unaligned", user_run(PROGRAM(user_loads_unaligned), RFLAGS_AC), VECTOR_AC, 0);
	expect_fault("unaligned without AC", user_run(PROGRAM(user_loads_unaligned), 0), VECTOR_SYSCALL, 0);
	write_cr0(read_cr0() & ~CR0_AM);
	expect_fault("unaligned without AM", user_run(PROGRAM(user_loads_unaligned), RFLAGS_AC), VECTOR_SYSCALL, 0);
}

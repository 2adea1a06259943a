/* Exceptions: vector, error code and return address of each, as Intel SDM vol. 3A, 6.15
   "Exception and Interrupt Reference" has them. */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupts.h"
#include "paging.h"

#define NON_CANONICAL 0x0000800000000000ul

/* The places in provoke.S where a fault must point, or a debug exception arise. */
extern const uint8_t provoke_ud_at[], provoke_bp_after[];
extern const uint8_t stepped_first[], stepped_last[];
extern const uint8_t watched_instruction[], watched_store_after[], watched_load_after[];
void provoke_ud(void *argument);
void provoke_bp(void *argument);
void provoke_double_fault(void *stack);
void run_stepped(void);
uint64_t run_watched(uint64_t *variable);

static void divide_by_zero(void *argument)
{
	(void)argument;
	__asm__ volatile("xorl %%ecx, %%ecx; movl $1, %%eax; cltd; idivl %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static void divide_overflow(void *argument)
{
	(void)argument;
	__asm__ volatile("movl $2, %%ecx; movl $7, %%edx; xorl %%eax, %%eax; divl %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static void load_from(void *address)
{
	*(volatile uint64_t *)address;
}

static void call_to(void *address)
{
	((void (*)(void))address)();
}

static void expect_fault(const char *what, struct caught caught, uint64_t vector, uint64_t error)
{
	expect(what, caught.vector << 32 | caught.error, vector << 32 | error);
}

void check_faults(void)
{
	struct caught caught;

	expect_fault("division by zero", catch(divide_by_zero, 0), VECTOR_DE, 0);
	expect_fault("division overflow", catch(divide_overflow, 0), VECTOR_DE, 0);
	caught = catch(provoke_ud, 0);
	expect_fault("UD2", caught, VECTOR_UD, 0);
	expect("rip of UD2", caught.rip, (uint64_t)provoke_ud_at);
	expect("cs of UD2", caught.cs, KERNEL_CODE);
	expect_fault("non-canonical load", catch(load_from, (void *)NON_CANONICAL), VECTOR_GP, 0);
	expect_fault("non-canonical call", catch(call_to, (void *)NON_CANONICAL), VECTOR_GP, 0);
	caught = catch(load_from, (void *)PLAYGROUND);
	expect_fault("page fault", caught, VECTOR_PF, 0);
	expect("cr2", caught.cr2, PLAYGROUND);
}

static void load_ds(void *selector)
{
	__asm__ volatile("movl %k0, %%ds" : : "r"(selector));
}

static void load_ss(void *selector)
{
	__asm__ volatile("movl %k0, %%ss" : : "r"(selector));
}

static void load_tr(void *selector)
{
	__asm__ volatile("ltr %w0" : : "r"(selector));
}

#define SELECTOR(value) ((void *)(uint64_t)(value))

void check_selectors(void)
{
	expect_fault("null selector in DS", catch(load_ds, SELECTOR(0)), VECTOR_NONE, 0);
	load_ds(SELECTOR(KERNEL_DATA));
	expect_fault("selector beyond the GDT", catch(load_ds, SELECTOR(BEYOND_GDT)), VECTOR_GP, BEYOND_GDT);
	expect_fault("selector of an absent LDT", catch(load_ds, SELECTOR(0x0c)), VECTOR_GP, 0x0c);
	expect_fault("TSS in DS", catch(load_ds, SELECTOR(TSS_SELECTOR)), VECTOR_GP, TSS_SELECTOR);
	expect_fault("absent segment in DS", catch(load_ds, SELECTOR(ABSENT_DATA)), VECTOR_NP, ABSENT_DATA);
	expect_fault("absent segment in SS", catch(load_ss, SELECTOR(ABSENT_DATA)), VECTOR_SS, ABSENT_DATA);
	expect_fault("code in SS", catch(load_ss, SELECTOR(KERNEL_CODE)), VECTOR_GP, KERNEL_CODE);
	expect_fault("user data in SS", catch(load_ss, SELECTOR(USER_DATA)), VECTOR_GP, USER_DATA & ~3);
	expect_fault("busy TSS in TR", catch(load_tr, SELECTOR(TSS_SELECTOR)), VECTOR_GP, TSS_SELECTOR);
}

static void use_x87(void *argument)
{
	(void)argument;
	__asm__ volatile("fld1; fstp %st(0)");
}

static void x87_division_by_zero(void *argument)
{
	uint16_t unmasked = 0x037b;

	(void)argument;
	__asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(unmasked));
}

void check_fpu_faults(void)
{
	write_cr0(read_cr0() | CR0_TS);
	expect_fault("x87 with CR0.TS", catch(use_x87, 0), VECTOR_NM, 0);
	__asm__ volatile("clts");
	expect_fault("x87 after CLTS", catch(use_x87, 0), VECTOR_NONE, 0);
	write_cr0(read_cr0() | CR0_EM);
	expect_fault("x87 with CR0.EM", catch(use_x87, 0), VECTOR_NM, 0);
	write_cr0(read_cr0() & ~CR0_EM);
	expect_fault("unmasked division", catch(x87_division_by_zero, 0), VECTOR_MF, 0);
	__asm__ volatile("fninit");
}

/* A breakpoint is a trap: it points behind INT3, and the handler may just return. */
void check_breakpoint(void)
{
	struct caught caught = catch(provoke_bp, 0);

	expect_fault("INT3", caught, VECTOR_BP, 0);
	expect("rip after INT3", caught.rip, (uint64_t)provoke_bp_after);
}

#define DR6_B0 (1 << 0)
#define DR6_B1 (1 << 1)
#define DR6_B2 (1 << 2)
#define DR6_BS (1 << 14)
#define DR6_CAUSES 0xe00f
#define MAX_HITS 8

static struct {
	uint64_t rip, dr6;
} hits[MAX_HITS];
static unsigned hit_count;

/* Notes a debug exception and goes on; RF keeps an instruction breakpoint from coming again.
   Intel SDM vol. 3B, 17.3.1.1 "Instruction-Breakpoint Exception Condition". */
static struct interrupt_frame *on_debug(struct interrupt_frame *frame)
{
	if (hit_count < MAX_HITS) {
		hits[hit_count].rip = frame->rip;
		hits[hit_count].dr6 = read_dr6() & DR6_CAUSES;
	}
	hit_count++;
	write_dr6(0);
	frame->rflags |= RFLAGS_RF;
	return frame;
}

static void expect_hit(unsigned index, const uint8_t *rip, uint64_t dr6)
{
	expect("rip of a debug exception", hits[index].rip, (uint64_t)rip);
	expect("its DR6", hits[index].dr6, dr6);
}

void check_single_step(void)
{
	uint64_t flags = interrupts_off();

	hit_count = 0;
	write_dr6(0);
	interrupts_handle(VECTOR_DB, on_debug);
	run_stepped();
	interrupts_handle(VECTOR_DB, 0);
	write_flags(flags);
	expect("steps", hit_count, 6);
	expect_hit(0, stepped_first, DR6_BS);
	expect_hit(5, stepped_last, DR6_BS);
}

/* DR0 on an instruction, DR1 on writes and DR2 on any access of a variable: kinds 0, 1 and 3,
   length 8 is coded 2. Intel SDM vol. 3B, 17.2.4 "Debug Control Register (DR7)". */
#define DR7_CONDITIONS (1ul << 0 | 1ul << 2 | 1ul << 4 | 1ul << 10 | 0x9ul << 20 | 0xbul << 24)

void check_debug_registers(void)
{
	static uint64_t variables[2];
	uint64_t flags = interrupts_off();

	hit_count = 0;
	write_dr6(0);
	interrupts_handle(VECTOR_DB, on_debug);
	write_dr0((uint64_t)watched_instruction);
	write_dr1((uint64_t)&variables[0]);
	write_dr2((uint64_t)&variables[1]);
	write_dr7(DR7_CONDITIONS);
	expect("dr7 reads back", read_dr7(), DR7_CONDITIONS);
	run_watched(variables);
	write_dr7(1ul << 10);
	interrupts_handle(VECTOR_DB, 0);
	write_flags(flags);
	expect("debug exceptions", hit_count, 3);
	expect_hit(0, watched_instruction, DR6_B0);
	expect_hit(1, watched_store_after, DR6_B1);
	expect_hit(2, watched_load_after, DR6_B2);
	expect("what was stored", variables[0], 42);
}

/* The stack pointer is at a page that is not there, so the fault that reports UD2 cannot be
   delivered, nor the page fault about that: the double fault has a stack of its own. */
void check_double_fault(void)
{
	struct caught caught = catch(provoke_double_fault, (void *)(PLAYGROUND + 0x800));

	expect_fault("UD2 without a stack", caught, VECTOR_DF, 0);
	expect_true("its handler is on the IST stack", on_ist_stack(IST_DOUBLE_FAULT, caught.handler_stack));
	expect("stack pointer that was", caught.rsp, PLAYGROUND + 0x800);
}

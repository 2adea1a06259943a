/* Between rings and modes: SYSCALL, SYSENTER, compatibility mode, far transfers, IRET.
   Intel SDM vol. 3A, 5.8.7 "Performing Fast Calls to System Procedures with the SYSENTER and
   SYSEXIT Instructions", 5.8.8 "Fast System Calls in 64-Bit Mode". */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "debugging.h"
#include "descriptors.h"
#include "memory.h"
#include "paging.h"
#include "user.h"

#define NON_CANONICAL 0x0000800000000000ul
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176

uint64_t far_transfers(void), iret_to_null_ss(void);
void sysenter_entry(void), sysret_to_rdi(void *), gate_target(void);
void iret_to(uint64_t rip, uint64_t cs, uint64_t ss);

static void expect_exit(const char *what, struct caught caught, uint64_t value)
{
	expect_fault(what, caught, VECTOR_SYSCALL, 0);
	expect(what, caught.rax, value);
}

void check_syscall(void)
{
	expect_exit("SYSCALL", user_run(PROGRAM(user_syscall), 0), 42);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	expect_fault("SYSCALL without EFER.SCE", user_run(PROGRAM(user_syscall), 0), VECTOR_UD, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	if (is_intel() && !under_tcg())
		expect_fault("SYSRET to a non-canonical address", catch(sysret_to_rdi, (void *)NON_CANONICAL),
			     VECTOR_GP, 0);
}

/* SYSCALL and SYSRET trap by the TF they leave, not by the one they began with (undocumented;
   Xen's advisory XSA-204 has it; Bochs 2.7 differs). FMASK takes TF away, so ring 0 sees no trap;
   SYSRET brings TF back, and its trap is there before the next instruction, as if SYSCALL itself
   had been stepped over. */
void check_syscall_trap_flag(void)
{
	extern const uint8_t user_steps_syscall[], user_stepped_syscall_return[];
	uint64_t after = USER_CODE_PAGE + (user_stepped_syscall_return - user_steps_syscall);

	debugging_begin();
	expect_exit("SYSCALL", user_run(PROGRAM(user_steps_syscall), 0), 42);
	debugging_end();
	for (unsigned i = 0; i < debug_hit_count && i < DEBUG_MAX_HITS; i++)
		expect("ring of a trap", debug_hits[i].cs, USER_CODE);
	expect("traps", debug_hit_count, 8);
	expect("trap of SYSCALL", debug_hits[3].rip, after);
	expect("the next", debug_hits[4].rip, after + 1);
}

void check_sysenter(void)
{
	static uint8_t stack[1024] __attribute__((aligned(16)));
	struct caught caught;

	wrmsr(MSR_SYSENTER_CS, KERNEL_CODE);
	wrmsr(MSR_SYSENTER_ESP, (uint64_t)stack + sizeof stack);
	wrmsr(MSR_SYSENTER_EIP, (uint64_t)sysenter_entry);
	caught = user_run(PROGRAM(user_sysenter), 1);
	if (!is_intel() && caught.vector == VECTOR_UD) {
		skip("no SYSENTER in long mode");
		return;
	}
	expect_exit("SYSENTER and SYSEXIT", caught, (uint64_t)USER_CODE << 16 | KERNEL_DATA << 8 | KERNEL_CODE);
	wrmsr(MSR_SYSENTER_CS, 0);
	expect_fault("SYSENTER without a segment", user_run(PROGRAM(user_sysenter), 1), VECTOR_GP, 0);
}

/* A page of user code and one of data below 4 GiB, where no memory is in the way. */
#define COMPAT_CODE 0x40000000ul
#define COMPAT_DATA 0x40001000ul

static uint8_t *compat_code, *compat_data;

static void map_compat(void)
{
	compat_code = page_alloc();
	compat_data = page_alloc();
	page_unmap(COMPAT_CODE);
	page_map(COMPAT_CODE, compat_code, PAGE_USER);
	page_map(COMPAT_DATA, compat_data, PAGE_USER | PAGE_WRITABLE);
	*page_table_entry(COMPAT_CODE, 3) |= PAGE_USER;
	*page_table_entry(COMPAT_CODE, 2) |= PAGE_USER;
	write_cr3(read_cr3());
}

/* DS matters again in compatibility mode, and IRET would take ring 0's away. */
static void enter_compat(void *argument)
{
	(void)argument;
	__asm__ volatile("movl %k0, %%ds" : : "r"(USER_DATA));
	__asm__ volatile("pushq %0; pushq %1; pushq $2; pushq %2; pushq %3; iretq"
			 :
			 : "i"(USER_DATA), "r"(COMPAT_DATA + PAGE_SIZE), "i"(USER_CODE32), "r"(COMPAT_CODE));
}

static struct caught compat_run(struct program program)
{
	memcpy(compat_code, program.start, program.end - program.start);
	return catch(enter_compat, 0);
}

void check_compatibility(void)
{
	struct caught caught;

	map_compat();
	*(uint32_t *)compat_data = 0x12345678;
	caught = compat_run(PROGRAM(compat_program));
	expect_exit("program", caught, 0x80000000u + 4 + 1);
	expect("cs", caught.cs, USER_CODE32);
	expect("rsp", caught.rsp, COMPAT_DATA + PAGE_SIZE);
	if (is_intel() && !under_tcg())
		expect_fault("SYSCALL", compat_run(PROGRAM(compat_syscall)), VECTOR_UD, 0);
}

void check_far_transfers(void)
{
	expect("far transfers", far_transfers(), 1 + 2 + 4);
}

/* A table of our own that goes on where the boot table ends: with a call gate, which has 16
   bytes; Intel SDM vol. 3A, figure 5-9 "Call-Gate Descriptor in IA-32e Mode". */
static uint64_t wide_gdt[BEYOND_GDT / 8 + 2];

static void load_gdt(const uint64_t *table, unsigned size)
{
	struct {
		uint16_t limit;
		const uint64_t *base;
	} __attribute__((packed)) pointer = { size - 1, table };

	__asm__ volatile("lgdt %0" : : "m"(pointer));
}

void check_call_gate(void)
{
	extern const uint64_t gdt[];
	uint64_t target = (uint64_t)gate_target;

	memcpy(wide_gdt, gdt, BEYOND_GDT);
	wide_gdt[BEYOND_GDT / 8] = (target & 0xffff) | KERNEL_CODE << 16 | 0xecul << 40 | (target >> 16 & 0xffff) << 48;
	wide_gdt[BEYOND_GDT / 8 + 1] = target >> 32;
	load_gdt(wide_gdt, sizeof wide_gdt);
	expect_exit("gate to ring 0", user_run(PROGRAM(user_calls_gate), 0), USER_CODE << 16);
	wide_gdt[BEYOND_GDT / 8] &= ~(0x60ul << 40);
	expect_fault("gate of ring 0", user_run(PROGRAM(user_calls_gate), 0), VECTOR_GP, BEYOND_GDT);
	wide_gdt[BEYOND_GDT / 8] |= 0x60ul << 40;
	wide_gdt[BEYOND_GDT / 8 + 1] |= 1ul << 40;
	if (!under_tcg())
		expect_fault("gate with a type in its upper half", user_run(PROGRAM(user_calls_gate), 0), VECTOR_GP,
			     BEYOND_GDT);
	load_gdt(gdt, BEYOND_GDT);
	expect_fault("gate beyond the table", user_run(PROGRAM(user_calls_gate), 0), VECTOR_GP, BEYOND_GDT);
}

static void iret_non_canonical(void *argument)
{
	(void)argument;
	iret_to(NON_CANONICAL, KERNEL_CODE, KERNEL_DATA);
}

static void iret_to_data(void *argument)
{
	iret_to((uint64_t)argument, KERNEL_DATA, KERNEL_DATA);
}

static void iret_to_user_with_kernel_stack(void *argument)
{
	iret_to((uint64_t)argument, USER_CODE, KERNEL_DATA);
}

static void iret_inward(void *argument)
{
	iret_to((uint64_t)argument, 0, KERNEL_DATA);
}

void check_iret(void)
{
	expect("null SS in ring 0", iret_to_null_ss(), 0);
	expect_fault("to a non-canonical address", catch(iret_non_canonical, 0), VECTOR_GP, 0);
	expect_fault("to a data segment", catch(iret_to_data, 0), VECTOR_GP, KERNEL_DATA);
	expect_fault("to a null segment", catch(iret_inward, 0), VECTOR_GP, 0);
	expect_fault("to ring 3 on ring 0's stack", catch(iret_to_user_with_kernel_stack, 0), VECTOR_GP, KERNEL_DATA);
}

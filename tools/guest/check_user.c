/* User mode: system calls both ways, interrupts, and what it must not do. */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupts.h"
#include "paging.h"
#include "pit.h"
#include "user.h"

#define CALLS 2000
#define KERNEL_ADDRESS 0x100000

void check_user_calls(void)
{
	struct caught caught = user_run(PROGRAM(user_calls), CALLS);

	expect("how it ended", caught.vector, VECTOR_SYSCALL);
	expect("sum", caught.rax, CALLS * (CALLS + 1ul) / 2 + CALLS);
	expect("cs", caught.cs, USER_CODE);
	expect("ss", caught.ss, USER_DATA);
	expect_true("INT came in on the TSS's stack", on_rsp0_stack(caught.handler_stack));
	caught = user_run(PROGRAM(user_stack), 0);
	expect_true("SYSCALL's stack is another", caught.rax && !on_rsp0_stack(caught.rax));
	note("%u calls", CALLS);
}

/* The tick must come to a user program, and leave its registers alone. */
void check_user_interrupts(void)
{
	struct caught caught;

	pit_set_rate(2000);
	caught = user_run(PROGRAM(user_spin), 3);
	pit_set_rate(TICK_HZ);

	expect("how it ended", caught.vector, VECTOR_SYSCALL);
	expect("registers changed", caught.rax, 0);
}

static void expect_fault(const char *what, struct caught caught, uint64_t vector, uint64_t error)
{
	expect(what, caught.vector << 32 | caught.error, vector << 32 | error);
	expect("cs", caught.cs, USER_CODE);
}

static void check_user_page_faults(void)
{
	uint64_t kernel = FAULT_PRESENT | FAULT_USER;
	struct caught caught = user_run(PROGRAM(user_reads_kernel), 0);

	expect_fault("reading the kernel", caught, VECTOR_PF, kernel);
	expect("cr2", caught.cr2, KERNEL_ADDRESS);
	expect_fault("writing the kernel", user_run(PROGRAM(user_writes_kernel), 0), VECTOR_PF, kernel | FAULT_WRITE);
	expect_fault("writing its code", user_run(PROGRAM(user_writes_code), 0), VECTOR_PF, kernel | FAULT_WRITE);
	if (!cpu_has_nx())
		return;
	expect_fault("running the kernel", user_run(PROGRAM(user_runs_kernel), 0), VECTOR_PF, kernel | FAULT_FETCH);
	expect_fault("running its stack", user_run(PROGRAM(user_runs_stack), 0), VECTOR_PF, kernel | FAULT_FETCH);
}

void check_user_faults(void)
{
	check_user_page_faults();
	expect_fault("CLI", user_run(PROGRAM(user_closes_interrupts), 0), VECTOR_GP, 0);
	expect_fault("HLT", user_run(PROGRAM(user_halts), 0), VECTOR_GP, 0);
	expect_fault("OUT", user_run(PROGRAM(user_writes_port), 0), VECTOR_GP, 0);
	expect_fault("MOV to CR3", user_run(PROGRAM(user_writes_cr3), 0), VECTOR_GP, 0);
	expect_fault("INT 21h", user_run(PROGRAM(user_raises_irq), 0), VECTOR_GP, 0x21 << 3 | 2);
	expect_fault("kernel selector in DS", user_run(PROGRAM(user_loads_kernel_segment), 0), VECTOR_GP, KERNEL_DATA);
}

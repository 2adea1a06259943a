/* Changing rings: interrupts, call gates, returns, and what an outer ring may not do.
   Intel SDM vol. 3A, 5.8 "Privilege Level Checking When Transferring Program Control between
   Code Segments". */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "machine.h"
#include "rings.h"

#define EFLAGS_IOPL(level) ((level) << 12)
#define EFLAGS_IF 0x200
#define EFLAGS_AC 0x40000
#define EFLAGS_VM 0x20000

void user_adds(void), user_clears_interrupts(void), user_pops_flags(void), user_outputs(void);
void user_inputs(void), user_halts(void), user_raises_irq(void), user_reads_unaligned(void);
void user_loads_ds(void), user_reports_cpl(void), user_calls_gate(void), user_calls_gate16(void);
void user_calls_ring1(void), user_keeps_segments(void), user_calls_conforming(void);
void user_calls_kernel(void), user_jumps_gate(void), user_returns_inward(void);
extern const uint8_t gate_target[], gate_target16[], ring1_target[], ring0_target[];
extern const uint8_t loads_inner_segments[], v86_start[], v86_end[], task_main[];
extern uint32_t task_runs;

static struct caught run(void (*code)(void), uint32_t argument)
{
	return ring_run(3, code, argument, 0);
}

static void expect_exit(const char *what, struct caught caught, uint32_t eax)
{
	expect_fault(what, caught, VECTOR_EXIT, 0);
	expect(what, caught.frame.eax, eax);
}

void check_ring_switch(void)
{
	struct caught caught = run(user_adds, 37);

	expect_exit("ring 3", caught, 42);
	expect("cs", caught.frame.cs, USER_CODE);
	expect("ss", caught.frame.ss, USER_DATA);
	expect("esp", caught.frame.esp, outer_stack());
	expect("ss of the handler", caught.handler_ss, KERNEL_DATA);
	expect("esp of the handler", caught.handler_esp + sizeof(struct frame) - 16, tss.esp0);
	caught = ring_run(1, user_reports_cpl, 0, 0);
	expect_exit("ring 1", caught, RING1_CODE);
	expect("ss of ring 1", caught.frame.ss, RING1_DATA);
}

static void set_call_gate(unsigned selector, unsigned code, const uint8_t *target, unsigned type, unsigned parameters)
{
	set_gate(selector, code, (uint32_t)target, ACCESS_PRESENT | ACCESS_RING(selector & 3) | type, parameters);
}

/* A 16-bit gate has a 16-bit offset, and pushes words: the segments must begin where their
   contents lie, and the outer stack must be a 16-bit one. */
static void check_gate16(void)
{
	const unsigned code = ACCESS_PRESENT | ACCESS_SEGMENT | CODE_READABLE;
	struct entry entry = {
		.cs = CALLER16, .eflags = 2, .esp = 0x1000, .ss = STACK16, .es = USER_DATA, .ds = USER_DATA,
	};

	set_segment(TARGET16, (uint32_t)gate_target16, 0xffff, code, FLAG_32);
	set_segment(CALLER16, (uint32_t)user_calls_gate16, 0xffff, code | ACCESS_RING(3), FLAG_32);
	set_segment(STACK16, outer_stack() - 0x1000, 0xffff,
		    ACCESS_PRESENT | ACCESS_SEGMENT | ACCESS_RING(3) | DATA_WRITABLE, 0);
	set_gate(GATE, TARGET16, 0, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_CALL_GATE16, 2);
	expect_exit("gate with words", enter(&entry), 0x304);
}

void check_call_gates(void)
{
	set_call_gate(GATE, KERNEL_CODE, gate_target, SYSTEM_CALL_GATE, 2);
	expect_exit("gate with parameters", run(user_calls_gate, 0), 0x10200 + (KERNEL_DATA << 20));
	check_gate16();
	set_call_gate(GATE, RING1_CODE & ~3, ring1_target, SYSTEM_CALL_GATE, 0);
	set_call_gate(INNER_GATE, KERNEL_CODE, ring0_target, SYSTEM_CALL_GATE, 0);
	expect_exit("gates to rings 1 and 0", run(user_calls_ring1, 0), 0x110);
	set_call_gate(GATE, KERNEL_CODE, loads_inner_segments, SYSTEM_CALL_GATE, 0);
	expect_exit("segments after the return", run(user_keeps_segments, 0), USER_DATA);
	set_call_gate(GATE, KERNEL_CODE, gate_target, SYSTEM_CALL_GATE, 0);
	set_descriptor(GATE, get_descriptor(GATE) & ~((uint64_t)ACCESS_PRESENT << 40));
	expect_fault("absent gate", run(user_calls_gate, 0), VECTOR_NP, GATE & ~3);
	set_gate(GATE, KERNEL_CODE, (uint32_t)gate_target, ACCESS_PRESENT | SYSTEM_CALL_GATE, 0);
	expect_fault("gate of ring 0", run(user_calls_gate, 0), VECTOR_GP, GATE & ~3);
	set_call_gate(GATE, KERNEL_CODE, gate_target, SYSTEM_CALL_GATE, 0);
	expect_fault("jump inward through a gate", run(user_jumps_gate, 0), VECTOR_GP, KERNEL_CODE);
	set_gate(GATE, BEYOND_GDT, 0, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_CALL_GATE, 0);
	expect_fault("gate beyond the table", run(user_calls_gate, 0), VECTOR_GP, BEYOND_GDT);
}

void check_conforming(void)
{
	set_segment(CONFORMING, 0, 0xfffff, ACCESS_PRESENT | ACCESS_SEGMENT | CODE_CONFORMING, FLAG_PAGES | FLAG_32);
	expect_exit("conforming segment", run(user_calls_conforming, 0), CONFORMING);
	set_segment(CONFORMING, 0, 0xfffff, ACCESS_PRESENT | ACCESS_SEGMENT | CODE_READABLE, FLAG_PAGES | FLAG_32);
	expect_fault("the same, not conforming", run(user_calls_conforming, 0), VECTOR_GP, CONFORMING & ~3);
}

void check_ring_faults(void)
{
	expect_fault("HLT", run(user_halts, 0), VECTOR_GP, 0);
	expect_fault("INT 20h", run(user_raises_irq, 0), VECTOR_GP, 0x20 << 3 | 2);
	expect_fault("call of the kernel", run(user_calls_kernel, 0), VECTOR_GP, KERNEL_CODE);
	expect_fault("return inward", run(user_returns_inward, 0), VECTOR_GP, KERNEL_CODE);
	expect_fault("kernel data in DS", run(user_loads_ds, KERNEL_DATA), VECTOR_GP, KERNEL_DATA);
	expect_exit("user data in DS", run(user_loads_ds, USER_DATA), USER_DATA);
	set_idt_gate(0x20, ACCESS_RING(3) | SYSTEM_INTERRUPT_GATE);
	expect_fault("absent interrupt gate", run(user_raises_irq, 0), VECTOR_NP, 0x20 << 3 | 2);
	set_idt_gate(0x20, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_TRAP_GATE);
	expect_fault("trap gate", run(user_raises_irq, 0), 0x20, 0);
	set_idt_target(0x20, KERNEL_DATA, 0, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_TRAP_GATE);
	expect_fault("gate to data", run(user_raises_irq, 0), VECTOR_GP, KERNEL_DATA);
	set_idt_gate(0x20, ACCESS_PRESENT | SYSTEM_INTERRUPT_GATE);
	set_call_gate(GATE, RING1_CODE & ~3, ring1_target, SYSTEM_CALL_GATE, 0);
	tss.ss1 = USER_DATA;
	expect_fault("gate to a bad stack", run(user_calls_ring1, 0), VECTOR_TS, USER_DATA & ~3);
	tss.ss1 = RING1_DATA;
}

static void allow_port(unsigned port)
{
	tss.iomap[port / 8] &= ~(1 << port % 8);
}

static void deny_port(unsigned port)
{
	tss.iomap[port / 8] |= 1 << port % 8;
}

void check_io_privilege(void)
{
	expect_fault("CLI with IOPL 0", run(user_clears_interrupts, 0), VECTOR_GP, 0);
	expect_exit("CLI with IOPL 3", ring_run(3, user_clears_interrupts, 0, EFLAGS_IOPL(3)), 0x600d);
	expect_fault("OUT with IOPL 0", run(user_outputs, 0x80), VECTOR_GP, 0);
	expect_exit("OUT with IOPL 3", ring_run(3, user_outputs, 0x80, EFLAGS_IOPL(3)), 0x80);
	allow_port(0x80);
	expect_exit("OUT to a port of the bitmap", run(user_outputs, 0x80), 0x80);
	expect_fault("word of which one port is denied", run(user_inputs, 0x80), VECTOR_GP, 0);
	allow_port(0x81);
	expect_fault("word of two ports", run(user_inputs, 0x80), VECTOR_EXIT, 0);
	expect_fault("OUT to another port", run(user_outputs, 0x87), VECTOR_GP, 0);
	expect_fault("OUT beyond the bitmap", run(user_outputs, 0xffff), VECTOR_GP, 0);
	deny_port(0x80);
	deny_port(0x81);
	expect_exit("POPF of IF and IOPL", run(user_pops_flags, EFLAGS_IF | EFLAGS_IOPL(3) | 0xd7), 0xd7);
	expect_exit("POPF of IF with IOPL 3", ring_run(3, user_pops_flags, 0x202, EFLAGS_IOPL(3)),
		    0x202 | EFLAGS_IOPL(3));
	expect_fault("CLI in ring 1 with IOPL 0", ring_run(1, user_clears_interrupts, 0, 0), VECTOR_GP, 0);
	expect_exit("CLI in ring 1 with IOPL 1", ring_run(1, user_clears_interrupts, 0, EFLAGS_IOPL(1)), 0x600d);
}

#define CR0_AM_BIT (1u << 18)

static void set_alignment_mask(bool on)
{
	uint32_t cr0;

	__asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
	cr0 = on ? cr0 | CR0_AM_BIT : cr0 & ~CR0_AM_BIT;
	__asm__ volatile("movl %0, %%cr0" : : "r"(cr0));
}

void check_alignment(void)
{
	static uint32_t words[2];
	uint32_t odd = (uint32_t)words + 1;

	if (under_tcg()) {
		skip("TCG checks no alignment");
		return;
	}
	set_alignment_mask(true);
	expect_exit("unaligned without EFLAGS.AC", run(user_reads_unaligned, odd), odd);
	expect_fault("unaligned", ring_run(3, user_reads_unaligned, odd, EFLAGS_AC), VECTOR_AC, 0);
	expect_exit("aligned", ring_run(3, user_reads_unaligned, odd - 1, EFLAGS_AC), odd - 1);
	expect_exit("unaligned in ring 1", ring_run(1, user_reads_unaligned, odd, EFLAGS_AC), odd);
	set_alignment_mask(false);
	expect_exit("unaligned without CR0.AM", ring_run(3, user_reads_unaligned, odd, EFLAGS_AC), odd);
}

#define V86_CODE 0x9000

/* INT in virtual-8086 mode with IOPL 0 goes to the monitor as #GP(0); what it did before is
   there, and its segment registers are on the monitor's stack. */
void check_virtual_8086(void)
{
	struct entry entry = {
		.eip = 0,
		.cs = V86_CODE >> 4,
		.eflags = EFLAGS_VM | 2,
		.esp = 0x1000,
		.ss = 0x700,
		.es = 0x1111,
		.ds = 0x2222,
		.fs = 0x3333,
		.gs = 0x4444,
	};
	struct caught caught;

	memcpy((void *)V86_CODE, v86_start, v86_end - v86_start);
	caught = enter(&entry);
	expect_fault("INT with IOPL 0", caught, VECTOR_GP, 0);
	expect("word over DS", *(volatile uint16_t *)0x12340, 0x4321);
	expect("cs", caught.frame.cs, V86_CODE >> 4);
	expect("ip", caught.frame.eip, v86_end - v86_start - 2);
	expect("VM in the flags", caught.frame.eflags & EFLAGS_VM, EFLAGS_VM);
	expect("ds", caught.frame.v86_ds, 0x1234);
	expect("es, fs and gs",
	       (uint64_t)caught.frame.v86_es << 32 | caught.frame.v86_fs << 16 | caught.frame.v86_gs,
	       0x111133334444);
	expect("what PUSH and POP moved", caught.frame.ecx & 0xffff, V86_CODE >> 4);
	expect("ss and sp", caught.frame.ss << 16 | caught.frame.esp, 0x7001000);
	entry.eflags |= EFLAGS_IOPL(3);
	expect_fault("INT with IOPL 3 and DPL 0", enter(&entry), VECTOR_GP, 0x21 << 3 | 2);
	set_idt_gate(0x21, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_INTERRUPT_GATE);
	expect_fault("INT with IOPL 3", enter(&entry), 0x21, 0);
	set_idt_gate(0x21, ACCESS_PRESENT | SYSTEM_INTERRUPT_GATE);
}

static struct tss task;
static uint8_t task_stack[1024];

static void call_task(uint32_t selector)
{
	struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) target = { 0, selector };

	__asm__ volatile("lcall *%0" : : "m"(target) : "memory", "cc");
}

static unsigned type_of(unsigned selector)
{
	return get_descriptor(selector) >> 40 & 0xf;
}

static void raise_task(uint32_t argument)
{
	(void)argument;
	__asm__ volatile("int $0x22" : : : "memory");
}

/* Intel SDM vol. 3A, 7.3 "Task Switching". */
void check_task_switch(void)
{
	memset(&task, 0, sizeof task);
	task.eip = (uint32_t)task_main;
	task.eflags = 2;
	task.esp = (uint32_t)task_stack + sizeof task_stack;
	task.cs = KERNEL_CODE;
	task.ss = task.ds = task.es = KERNEL_DATA;
	task.iomap_base = 0xffff;
	set_segment(TASK, (uint32_t)&task, 103, ACCESS_PRESENT | SYSTEM_TSS, 0);
	set_gate(TASK_GATE, TASK, 0, ACCESS_PRESENT | SYSTEM_TASK_GATE, 0);
	expect_fault("call of a task", catch(call_task, TASK), VECTOR_NONE, 0);
	expect("runs", task_runs, 1);
	expect("link to the caller", task.link & 0xffff, TSS_SELECTOR);
	expect("its TSS is free again", type_of(TASK), SYSTEM_TSS);
	expect("ours is busy", type_of(TSS_SELECTOR), SYSTEM_TSS | 2);
	expect_fault("call through a task gate", catch(call_task, TASK_GATE), VECTOR_NONE, 0);
	expect("runs", task_runs, 2);
	set_idt_task(0x22, TASK);
	expect_fault("interrupt through a task gate", catch(raise_task, 0), VECTOR_NONE, 0);
	expect("runs", task_runs, 3);
	expect_fault("call of the busy task", catch(call_task, TSS_SELECTOR), VECTOR_GP, TSS_SELECTOR);
	set_idt_gate(0x22, ACCESS_PRESENT | SYSTEM_INTERRUPT_GATE);
}

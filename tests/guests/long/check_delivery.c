/* How exceptions and interrupts are delivered: frames, gates, faults on the way, priorities.
   Intel SDM vol. 3A, 6.14 "Exception and Interrupt Handling in 64-bit Mode". */
#include "apic.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "paging.h"

#define ERROR_IDT 2
#define ERROR_EXTERNAL 1
#define GATE_PRESENT 0x80

void interrupt_on_stack(void *rsp);
void breakpoint(void *argument);
void undefined(void *argument);
void divide_by_zero(void *argument);
void raise_50(void *argument);

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate *gate(unsigned vector)
{
	struct {
		uint16_t limit;
		struct gate *base;
	} __attribute__((packed)) table;

	__asm__ volatile("sidt %0" : "=m"(table));
	return &table.base[vector];
}

/* The stack pointer is aligned to 16 before the frame of five words, or six, is pushed. */
void check_frame(void)
{
	static uint8_t stack[4096] __attribute__((aligned(16)));
	uint64_t top = (uint64_t)stack + sizeof stack;

	for (unsigned offset = 0; offset < 16; offset++) {
		struct caught caught = catch(interrupt_on_stack, (void *)(top - offset));
		uint64_t pushed = caught.handler_stack + sizeof(struct interrupt_frame);

		expect_fault("INT3", caught, VECTOR_BP, 0);
		expect("rsp in the frame", caught.rsp, top - offset);
		expect("where the frame begins", pushed, (top - offset) & ~15ul);
	}
}

static struct caught without_gate(unsigned vector, void (*body)(void *))
{
	struct caught caught;

	gate(vector)->type &= ~GATE_PRESENT;
	caught = catch(body, 0);
	gate(vector)->type |= GATE_PRESENT;
	return caught;
}

static void load_from(void *address)
{
	*(volatile uint64_t *)address;
}

static void load_from_nowhere(void *argument)
{
	(void)argument;
	load_from((void *)PLAYGROUND);
}

/* An exception without a gate is #NP with the vector, and EXT unless software raised it. */
void check_absent_gates(void)
{
	expect_fault("INT3", without_gate(VECTOR_BP, breakpoint), VECTOR_NP, VECTOR_BP << 3 | ERROR_IDT);
	expect_fault("INT 50h", without_gate(0x50, raise_50), VECTOR_NP, 0x50 << 3 | ERROR_IDT);
	if (!under_tcg())
		expect_fault("UD2", without_gate(VECTOR_UD, undefined), VECTOR_NP,
			     VECTOR_UD << 3 | ERROR_IDT | ERROR_EXTERNAL);
}

/* Intel SDM vol. 3A, table 6-5 "Conditions for Generating a Double Fault". */
void check_double_faults(void)
{
	expect_fault("#DE, then #NP", without_gate(VECTOR_DE, divide_by_zero), VECTOR_DF, 0);
	expect_fault("#PF, then #NP", without_gate(VECTOR_PF, load_from_nowhere), VECTOR_DF, 0);
}

void check_gate_types(void)
{
	uint8_t type = gate(0x50)->type;

	gate(0x50)->type = GATE_PRESENT | 0x5;
	expect_fault("task gate", catch(raise_50, 0), VECTOR_GP, 0x50 << 3 | ERROR_IDT);
	gate(0x50)->type = type;
	gate(0x50)->selector = KERNEL_DATA;
	expect_fault("gate to data", catch(raise_50, 0), VECTOR_GP, KERNEL_DATA);
	gate(0x50)->selector = BOOT_CODE32;
	expect_fault("gate to 32-bit code", catch(raise_50, 0), VECTOR_GP, BOOT_CODE32);
	gate(0x50)->selector = 0;
	expect_fault("gate to null", catch(raise_50, 0), VECTOR_GP, 0);
	gate(0x50)->selector = KERNEL_CODE;
	gate(0x50)->offset_high = 0x8000;
	expect_fault("gate to a non-canonical address", catch(raise_50, 0), VECTOR_GP, 0);
	gate(0x50)->offset_high = 0;
}

static volatile unsigned nmis, nmis_inside;

/* Sends itself a second one, which must wait until the IRET. */
static struct interrupt_frame *on_nmi(struct interrupt_frame *frame)
{
	nmis++;
	if (nmis == 1) {
		apic_send_nmi(apic_id());
		for (unsigned i = 0; i < 1000; i++)
			pause();
		nmis_inside = nmis;
	}
	return frame;
}

void check_nmi_blocking(void)
{
	nmis = 0;
	interrupts_handle(VECTOR_NMI, on_nmi);
	apic_send_nmi(apic_id());
	for (unsigned i = 0; i < 100000 && nmis < 2; i++)
		pause();
	interrupts_handle(VECTOR_NMI, 0);
	expect("NMIs seen in the first one's handler", nmis_inside, 1);
	expect("NMIs", nmis, 2);
}

#define LOCAL_APIC ((volatile uint32_t *)0xfee00000)
#define LOCAL_TPR (0x80 / 4)
#define LOCAL_ICR (0x300 / 4)
#define SELF 0x40000

static volatile unsigned interrupts;

static struct interrupt_frame *on_interrupt(struct interrupt_frame *frame)
{
	interrupts++;
	apic_end();
	return frame;
}

static void wait_a_little(void)
{
	for (unsigned i = 0; i < 1000; i++)
		pause();
}

static void write_cr8_from(void *value)
{
	write_cr8((uint64_t)value);
}

/* CR8 is the task priority's upper half; vector 55h is of class 5. */
void check_task_priority(void)
{
	interrupts = 0;
	interrupts_handle(0x55, on_interrupt);
	write_cr8(5);
	expect("TPR after CR8", LOCAL_APIC[LOCAL_TPR], 0x50);
	interrupts_on();
	LOCAL_APIC[LOCAL_ICR] = SELF | 0x55;
	wait_a_little();
	expect("interrupts at priority 5", interrupts, 0);
	write_cr8(4);
	wait_a_little();
	expect("interrupts at priority 4", interrupts, 1);
	interrupts_off();
	LOCAL_APIC[LOCAL_TPR] = 0x30;
	expect("CR8 after TPR", read_cr8(), 3);
	write_cr8(0);
	interrupts_handle(0x55, 0);
	expect_fault("CR8 of 16", catch(write_cr8_from, (void *)16), under_tcg() ? VECTOR_NONE : VECTOR_GP, 0);
	write_cr8(0);
}

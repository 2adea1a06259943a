/* Far jumps, calls and returns in one ring; 16-bit code and stacks. */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "machine.h"

#define SEGMENT(n) (SCRATCH + 8 * (n))

uint32_t far_calls(void);
uint32_t call_code16(uint32_t argument);
uint32_t push_on_stack16(uint32_t esp);
extern const uint8_t code16_start[];

void check_far_transfers(void)
{
	expect("far transfers", far_calls(), 1 + 2 + 4);
}

static void jump_to(uint32_t selector)
{
	struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) target = { 0, selector };

	__asm__ volatile("ljmp *%0" : : "m"(target));
}

static void return_to(uint32_t selector)
{
	__asm__ volatile("pushl %0; pushl $0; lretl" : : "r"(selector));
}

void check_far_faults(void)
{
	expect_fault("jump to null", catch(jump_to, 0), VECTOR_GP, 0);
	expect_fault("jump beyond the table", catch(jump_to, BEYOND_GDT), VECTOR_GP, BEYOND_GDT);
	expect_fault("jump to data", catch(jump_to, KERNEL_DATA), VECTOR_GP, KERNEL_DATA);
	expect_fault("jump to DPL 3", catch(jump_to, USER_CODE & ~3), VECTOR_GP, USER_CODE & ~3);
	expect_fault("jump to an LDT", catch(jump_to, LDT_SELECTOR), VECTOR_GP, LDT_SELECTOR);
	set_segment(SEGMENT(0), 0, 0xfffff, ACCESS_SEGMENT | CODE_READABLE, FLAG_PAGES | FLAG_32);
	expect_fault("jump to absent code", catch(jump_to, SEGMENT(0)), VECTOR_NP, SEGMENT(0));
	set_gate(SEGMENT(0), KERNEL_CODE, 0, SYSTEM_CALL_GATE, 0);
	expect_fault("jump to an absent gate", catch(jump_to, SEGMENT(0)), VECTOR_NP, SEGMENT(0));
	set_gate(SEGMENT(0), KERNEL_DATA, 0, ACCESS_PRESENT | SYSTEM_CALL_GATE, 0);
	expect_fault("gate to data", catch(jump_to, SEGMENT(0)), VECTOR_GP, KERNEL_DATA);
	expect_fault("return to null", catch(return_to, 0), VECTOR_GP, 0);
	expect_fault("return to data", catch(return_to, KERNEL_DATA), VECTOR_GP, KERNEL_DATA);
	expect_fault("return beyond the table", catch(return_to, BEYOND_GDT), VECTOR_GP, BEYOND_GDT);
}

void check_code16(void)
{
	set_segment(SCRATCH, (uint32_t)code16_start, 0xffff, ACCESS_PRESENT | ACCESS_SEGMENT | CODE_READABLE, 0);
	expect("16-bit code", call_code16(0), 0xffff0000 + 0x00020000 + 0x2345 + 1);
}

/* Pushes change SP only, and wrap within 64 KiB. */
void check_stack16(void)
{
	volatile uint32_t *stack = (volatile uint32_t *)0x6ff6;

	expect("esp over a 16-bit stack", push_on_stack16(0xabcd7000), 0xabcd6ff6);
	expect("last push", *stack, 0x33333333);
	expect("second push", *(volatile uint16_t *)0x6ffa, 0x2222);
	expect("first push", *(volatile uint32_t *)0x6ffc, 0x11111111);
	expect("esp wrapped", push_on_stack16(0x00010004) & 0xffff, 0xfffa);
}

#include "descriptors.h"

#define STACK_SIZE 8192

struct tss tss;
extern uint64_t gdt[];

static uint8_t rsp0_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t ist_stacks[2][STACK_SIZE] __attribute__((aligned(16)));

static uint64_t top(const uint8_t *stack)
{
	return (uint64_t)stack + STACK_SIZE;
}

static int within(const uint8_t *stack, uint64_t address)
{
	return address >= (uint64_t)stack && address < top(stack);
}

int on_ist_stack(unsigned index, uint64_t address)
{
	return within(ist_stacks[index - 1], address);
}

int on_rsp0_stack(uint64_t address)
{
	return within(rsp0_stack, address);
}

/* Intel SDM vol. 3A, figure 8-4 "Format of TSS and LDT Descriptors in 64-bit Mode". */
static void set_tss_descriptor(uint64_t base, uint64_t limit)
{
	const uint64_t available_tss = 0x89;

	gdt[TSS_SELECTOR / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | available_tss << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
}

void descriptors_init(void)
{
	tss.rsp[0] = top(rsp0_stack);
	tss.ist[IST_DOUBLE_FAULT] = top(ist_stacks[IST_DOUBLE_FAULT - 1]);
	tss.ist[IST_NMI] = top(ist_stacks[IST_NMI - 1]);
	tss.iomap_base = sizeof tss;
	set_tss_descriptor((uint64_t)&tss, sizeof tss - 1);
	__asm__ volatile("lldt %w0; ltr %w1" : : "r"(0), "r"(TSS_SELECTOR));
}

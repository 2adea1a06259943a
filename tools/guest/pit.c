#include "pit.h"

#include "cpu.h"
#include "pic.h"

#define CHANNEL0 0x40
#define CONTROL 0x43
#define CHANNEL0_RATE_GENERATOR 0x34 /* low byte, then high byte; mode 2; binary */
#define CHANNEL0_LATCH 0x00

static volatile uint64_t ticks;
static interrupt_handler tick_hook;

struct interrupt_frame *pit_tick(struct interrupt_frame *frame)
{
	ticks++;
	return tick_hook ? tick_hook(frame) : frame;
}

static struct interrupt_frame *on_irq0(struct interrupt_frame *frame)
{
	pic_end(0);
	return pit_tick(frame);
}

void pit_set_rate(unsigned hz)
{
	uint16_t divisor = (PIT_HZ + hz / 2) / hz;
	uint64_t flags = interrupts_off();

	outb(CONTROL, CHANNEL0_RATE_GENERATOR);
	outb(CHANNEL0, divisor);
	outb(CHANNEL0, divisor >> 8);
	write_flags(flags);
}

uint16_t pit_count(void)
{
	uint64_t flags = interrupts_off();
	uint16_t count;

	outb(CONTROL, CHANNEL0_LATCH);
	count = inb(CHANNEL0);
	count |= inb(CHANNEL0) << 8;
	write_flags(flags);
	return count;
}

void pit_init(void)
{
	interrupts_handle(VECTOR_IRQ0, on_irq0);
	pit_set_rate(TICK_HZ);
	pic_unmask(0);
}

uint64_t pit_ticks(void)
{
	return ticks;
}

void pit_sleep(unsigned count)
{
	uint64_t flags = interrupts_off();
	uint64_t end = ticks + count + 1;

	while (ticks < end)
		wait_for_interrupt();
	write_flags(flags);
}

void pit_hook(interrupt_handler hook)
{
	tick_hook = hook;
}

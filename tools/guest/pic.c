#include "pic.h"

#include <stdbool.h>

#include "cpu.h"
#include "interrupts.h"

#define MASTER 0x20
#define SLAVE 0xa0
#define ICW1_INIT_ICW4 0x11
#define ICW4_8086 0x01
#define OCW2_EOI 0x20
#define OCW3_READ_ISR 0x0b
#define CASCADE 2

static void init_one(uint16_t port, uint8_t vector, uint8_t cascade)
{
	outb(port, ICW1_INIT_ICW4);
	outb(port + 1, vector);
	outb(port + 1, cascade);
	outb(port + 1, ICW4_8086);
}

uint16_t pic_masks(void)
{
	return inb(MASTER + 1) | inb(SLAVE + 1) << 8;
}

void pic_set_masks(uint16_t masks)
{
	outb(MASTER + 1, masks);
	outb(SLAVE + 1, masks >> 8);
}

/* Whether the lowest input of a controller is in service. An interrupt that went away before it
   was acknowledged shows as that input without its bit: "default IR7". */
static bool lowest_in_service(uint16_t port)
{
	outb(port, OCW3_READ_ISR);
	return inb(port) & 0x80;
}

static struct interrupt_frame *on_irq7(struct interrupt_frame *frame)
{
	if (lowest_in_service(MASTER))
		pic_end(7);
	return frame;
}

/* The master has seen a true interrupt of the slave, whatever that was. */
static struct interrupt_frame *on_irq15(struct interrupt_frame *frame)
{
	pic_end(lowest_in_service(SLAVE) ? 15 : CASCADE);
	return frame;
}

void pic_init(void)
{
	init_one(MASTER, VECTOR_IRQ0, 1 << CASCADE);
	init_one(SLAVE, VECTOR_IRQ0 + 8, CASCADE);
	pic_set_masks((uint16_t)~(1 << CASCADE));
	interrupts_handle(VECTOR_IRQ0 + 7, on_irq7);
	interrupts_handle(VECTOR_IRQ0 + 15, on_irq15);
}

void pic_mask(unsigned irq)
{
	pic_set_masks(pic_masks() | 1 << irq);
}

void pic_unmask(unsigned irq)
{
	pic_set_masks(pic_masks() & ~(1 << irq));
}

void pic_end(unsigned irq)
{
	if (irq >= 8)
		outb(SLAVE, OCW2_EOI);
	outb(MASTER, OCW2_EOI);
}

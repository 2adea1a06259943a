#include "serial_irq.h"

#include "cpu.h"
#include "interrupts.h"
#include "pic.h"
#include "serial.h"

#define RING 4096

struct ring {
	unsigned head, tail; /* free-running: bytes put, bytes taken */
	char bytes[RING];
};

static volatile struct ring output, input;
static volatile unsigned transmit_interrupts;

static bool empty(const volatile struct ring *ring)
{
	return ring->head == ring->tail;
}

static bool full(const volatile struct ring *ring)
{
	return ring->head - ring->tail == RING;
}

static void put(volatile struct ring *ring, char byte)
{
	ring->bytes[ring->head % RING] = byte;
	ring->head++;
}

static char take(volatile struct ring *ring)
{
	char byte = ring->bytes[ring->tail % RING];

	ring->tail++;
	return byte;
}

static void transmit(void)
{
	for (unsigned i = 0; i < SERIAL_FIFO && !empty(&output); i++)
		outb(SERIAL_DATA, take(&output));
	if (empty(&output))
		outb(SERIAL_IER, SERIAL_IER_RECEIVED);
	transmit_interrupts++;
}

static void receive(void)
{
	while (inb(SERIAL_LSR) & SERIAL_LSR_READY) {
		char byte = inb(SERIAL_DATA);

		if (!full(&input))
			put(&input, byte);
	}
}

/* The PIC sees an edge only after every cause is gone: hence the loop. */
static struct interrupt_frame *on_irq4(struct interrupt_frame *frame)
{
	uint8_t iir;

	while (!((iir = inb(SERIAL_IIR)) & SERIAL_IIR_NONE)) {
		switch (iir & SERIAL_IIR_CAUSE) {
		case SERIAL_IIR_EMPTY:
			transmit();
			break;
		case SERIAL_IIR_RECEIVED:
		case SERIAL_IIR_TIMEOUT:
			receive();
			break;
		case SERIAL_IIR_LINE:
			inb(SERIAL_LSR);
			break;
		case SERIAL_IIR_MODEM:
			inb(SERIAL_MSR);
			break;
		}
	}
	pic_end(4);
	return frame;
}

static void put_buffered(char byte)
{
	uint64_t flags = interrupts_off();

	while (full(&output))
		if (inb(SERIAL_LSR) & SERIAL_LSR_EMPTY)
			outb(SERIAL_DATA, take(&output));
	put(&output, byte);
	outb(SERIAL_IER, SERIAL_IER_RECEIVED | SERIAL_IER_EMPTY);
	write_flags(flags);
}

void serial_irq_on(void)
{
	interrupts_handle(VECTOR_IRQ0 + 4, on_irq4);
	pic_unmask(4);
	outb(SERIAL_IER, SERIAL_IER_RECEIVED);
	serial_divert(put_buffered);
}

void serial_irq_off(void)
{
	interrupts_off();
	pic_mask(4);
	serial_poll();
	while (!empty(&output))
		serial_put(take(&output));
}

void serial_irq_drain(void)
{
	uint64_t flags = interrupts_off();

	while (!empty(&output))
		wait_for_interrupt();
	write_flags(flags);
}

bool serial_irq_get(char *byte)
{
	uint64_t flags = interrupts_off();
	bool any = !empty(&input);

	if (any)
		*byte = take(&input);
	write_flags(flags);
	return any;
}

unsigned serial_irq_sent(void)
{
	return transmit_interrupts;
}

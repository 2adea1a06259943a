#include "serial.h"

#include "cpu.h"

static void (*diversion)(char byte);

void serial_init(void)
{
	outb(SERIAL_IER, 0);
	outb(SERIAL_LCR, SERIAL_LCR_DLAB);
	outb(SERIAL_DATA, 1);
	outb(SERIAL_IER, 0);
	outb(SERIAL_LCR, SERIAL_LCR_8N1);
	outb(SERIAL_IIR, SERIAL_FCR_ENABLE | SERIAL_FCR_CLEAR);
	outb(SERIAL_MCR, SERIAL_MCR_DTR_RTS_OUT2);
}

static void put_polled(char byte)
{
	while (!(inb(SERIAL_LSR) & SERIAL_LSR_EMPTY))
		pause();
	outb(SERIAL_DATA, byte);
}

void serial_put(char byte)
{
	if (diversion)
		diversion(byte);
	else
		put_polled(byte);
}

void serial_divert(void (*put)(char byte))
{
	diversion = put;
}

void serial_poll(void)
{
	diversion = 0;
	outb(SERIAL_IER, 0);
}

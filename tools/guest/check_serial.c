/* The serial port: its own loopback, transmit interrupts, and what somebody types. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "print.h"
#include "serial.h"
#include "serial_irq.h"

#define PATIENCE 1000000

static bool wait_for(uint8_t status)
{
	for (unsigned i = 0; i < PATIENCE; i++)
		if (inb(SERIAL_LSR) & status)
			return true;
	return false;
}

static void loop_bytes(void)
{
	static const char bytes[] = "loop\x00\xff\x55\xaa";

	for (unsigned i = 0; i < sizeof bytes; i++) {
		outb(SERIAL_DATA, bytes[i]);
		expect_true("a byte comes back", wait_for(SERIAL_LSR_READY));
		expect("the byte", inb(SERIAL_DATA), (uint8_t)bytes[i]);
	}
	expect("nothing left", inb(SERIAL_LSR) & SERIAL_LSR_READY, 0);
}

/* PC16550D data sheet, 8.6 "Modem Control Register": in loopback DTR, RTS and OUT2 show as DSR,
   CTS and DCD. */
#define MSR_DSR_CTS_DCD 0xb0

void check_serial_loopback(void)
{
	uint64_t flags;

	serial_irq_drain();
	flags = interrupts_off();
	expect_true("the transmitter is idle", wait_for(SERIAL_LSR_IDLE));
	outb(SERIAL_IER, 0);
	outb(SERIAL_SCR, 0x5a);
	expect("scratch register", inb(SERIAL_SCR), 0x5a);
	outb(SERIAL_LCR, SERIAL_LCR_8N1 | SERIAL_LCR_DLAB);
	expect("divisor", inb(SERIAL_DATA) | inb(SERIAL_IER) << 8, 1);
	outb(SERIAL_LCR, SERIAL_LCR_8N1);
	outb(SERIAL_MCR, SERIAL_MCR_DTR_RTS_OUT2 | SERIAL_MCR_LOOP);
	expect("modem status", inb(SERIAL_MSR) & 0xf0, MSR_DSR_CTS_DCD);
	loop_bytes();
	outb(SERIAL_MCR, SERIAL_MCR_DTR_RTS_OUT2);
	inb(SERIAL_MSR);
	outb(SERIAL_IER, SERIAL_IER_RECEIVED);
	write_flags(flags);
}

void check_serial_interrupts(void)
{
	unsigned before;

	serial_irq_drain();
	before = serial_irq_sent();
	print("%s: these words leave by interrupts of the transmitter\n", kernel_name);
	serial_irq_drain();
	expect_true("transmit interrupts came", serial_irq_sent() > before);
}

/* Does not wait: what has come in by now is given back. */
void check_serial_echo(void)
{
	char bytes[65];
	unsigned count = 0;

	while (count < sizeof bytes - 1 && serial_irq_get(&bytes[count]))
		count++;
	bytes[count] = 0;
	if (count)
		note("%u bytes: %s", count, bytes);
	else
		note("no input");
}

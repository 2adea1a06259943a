#include "rtc.h"

#include "bytes.h"
#include "cpu.h"
#include "interrupts.h"
#include "pic.h"

#define INDEX 0x70
#define DATA 0x71
#define REGISTER_A 0x0a
#define REGISTER_B 0x0b
#define REGISTER_C 0x0c
#define CENTURY 0x32 /* where PC firmware keeps it */
#define A_UPDATE_IN_PROGRESS 0x80
#define A_32768_HZ 0x20
#define A_RATE_1024_HZ 0x06
#define B_PERIODIC 0x40
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define C_PERIODIC 0x40

#define PATIENCE 10000000

static volatile unsigned periodic_interrupts;

static uint8_t read_register(uint8_t index)
{
	outb(INDEX, index);
	return inb(DATA);
}

static void write_register(uint8_t index, uint8_t value)
{
	outb(INDEX, index);
	outb(DATA, value);
}

static void wait_for_update(void)
{
	for (unsigned i = 0; i < PATIENCE && (read_register(REGISTER_A) & A_UPDATE_IN_PROGRESS); i++)
		pause();
}

static unsigned from_bcd(uint8_t value, uint8_t register_b)
{
	return register_b & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static unsigned read_hour(uint8_t register_b)
{
	uint8_t hour = read_register(4);
	unsigned value = from_bcd(hour & 0x7f, register_b);

	if (register_b & B_24_HOURS)
		return value;
	return value % 12 + (hour & 0x80 ? 12 : 0);
}

static struct rtc_time read_once(void)
{
	uint8_t register_b = read_register(REGISTER_B);

	wait_for_update();
	return (struct rtc_time){
		.year = from_bcd(read_register(9), register_b) +
			100 * from_bcd(read_register(CENTURY), register_b),
		.month = from_bcd(read_register(8), register_b),
		.day = from_bcd(read_register(7), register_b),
		.hour = read_hour(register_b),
		.minute = from_bcd(read_register(2), register_b),
		.second = from_bcd(read_register(0), register_b),
	};
}

/* Two readings that agree cannot both have straddled an update. */
struct rtc_time rtc_read(void)
{
	struct rtc_time first, second = read_once();

	do {
		first = second;
		second = read_once();
	} while (memcmp(&first, &second, sizeof first));
	return second;
}

static struct interrupt_frame *on_irq8(struct interrupt_frame *frame)
{
	if (read_register(REGISTER_C) & C_PERIODIC)
		periodic_interrupts++;
	pic_end(8);
	return frame;
}

void rtc_periodic_start(void)
{
	uint64_t flags = interrupts_off();

	periodic_interrupts = 0;
	interrupts_handle(VECTOR_IRQ0 + 8, on_irq8);
	write_register(REGISTER_A, A_32768_HZ | A_RATE_1024_HZ);
	write_register(REGISTER_B, read_register(REGISTER_B) | B_PERIODIC);
	read_register(REGISTER_C);
	pic_unmask(8);
	write_flags(flags);
}

void rtc_periodic_stop(void)
{
	uint64_t flags = interrupts_off();

	pic_mask(8);
	write_register(REGISTER_B, read_register(REGISTER_B) & ~B_PERIODIC);
	read_register(REGISTER_C);
	write_flags(flags);
}

unsigned rtc_periodic_count(void)
{
	return periodic_interrupts;
}

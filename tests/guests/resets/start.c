/* A test kernel that leaves in the way its command line's last word says: one of `ways` below.
   With `again-` before it (`again-port-cf9`), it does so once, and leaves by isa-debug-exit with
   0 when it comes up again; a byte of CMOS remembers. */
#include "bytes.h"
#include "cpu.h"
#include "debug_exit.h"
#include "multiboot.h"
#include "power.h"
#include "print.h"
#include "serial.h"

void kernel_main(const struct multiboot_info *info);

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_BYTE 0x7e /* past what firmware uses */
#define CMOS_CAME_ONCE 0xa5

static uint8_t read_cmos(void)
{
	outb(CMOS_INDEX, CMOS_BYTE);
	return inb(CMOS_DATA);
}

static void write_cmos(uint8_t value)
{
	outb(CMOS_INDEX, CMOS_BYTE);
	outb(CMOS_DATA, value);
}

/* An interrupt table that has no entries: neither the breakpoint, nor the fault about that, nor
   the double fault can be delivered. */
static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) empty = { 0, 0 };

	__asm__ volatile("lidt %0; int3" : : "m"(empty));
}

/* Intel ICH9 data sheet, 13.7.5 "RST_CNT - Reset Control Register". */
static void port_cf9(void)
{
	outb(0xcf9, 0x02);
	outb(0xcf9, 0x06);
}

/* The 8042's output port, bit 0, pulsed low. */
static void keyboard_controller(void)
{
	outb(0x64, 0xfe);
}

/* Intel ICH9 data sheet, 13.7.3 "PORT92 - Fast A20 and Init Register". */
static void port_92(void)
{
	outb(0x92, inb(0x92) | 1);
}

/* QEMU, docs/specs/pvpanic: bit 0 of the port says "panicked". */
static void panic(void)
{
	print("resets: pvpanic supports %x\n", inb(0x505));
	outb(0x505, 1);
}

static void debug_exit_33(void)
{
	outb(DEBUG_EXIT_PORT, 33);
}

static void halt(void)
{
	__asm__ volatile("cli; hlt");
}

static const struct way {
	const char *name;
	void (*go)(void);
} ways[] = {
	{ "triple-fault", triple_fault },
	{ "port-cf9", port_cf9 },
	{ "keyboard-controller", keyboard_controller },
	{ "port-92", port_92 },
	{ "pvpanic", panic },
	{ "debug-exit-33", debug_exit_33 },
	{ "halt", halt },
};

static unsigned length(const char *string)
{
	unsigned count = 0;

	while (string[count])
		count++;
	return count;
}

static const char *last_word(const char *line)
{
	const char *word = line;

	for (; *line; line++)
		if (*line == ' ' && line[1] && line[1] != ' ')
			word = line + 1;
	return word;
}

static const struct way *find(const char *name)
{
	for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
		if (!memcmp(ways[i].name, name, length(ways[i].name) + 1))
			return &ways[i];
	return 0;
}

/* Takes `again-` off the word; ends the run if this is the second time. */
static const char *take_again(const char *word)
{
	if (memcmp(word, "again-", 6))
		return word;
	if (read_cmos() == CMOS_CAME_ONCE) {
		write_cmos(0);
		print("resets: came back\n");
		power_off();
	}
	write_cmos(CMOS_CAME_ONCE);
	return word + 6;
}

void kernel_main(const struct multiboot_info *info)
{
	const char *line = info->flags & MULTIBOOT_INFO_CMDLINE ? (const char *)info->cmdline : "";
	const struct way *way;

	serial_init();
	way = find(take_again(last_word(line)));
	if (!way) {
		print("resets: no such way: %s\n", line);
		exit_failed();
	}
	print("resets: %s\n", way->name);
	way->go();
	for (unsigned i = 0; i < 1000000; i++)
		pause();
	print("resets: FAIL still here\n");
	exit_failed();
}

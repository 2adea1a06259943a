/* A guest that looks at the port of a device that leaks the host's clock (tests/src/bin/leaky.rs): once after some
   work, and then works on without what it read. Leaves by isa-debug-exit with 0. */
#include "cpu.h"
#include "multiboot.h"
#include "power.h"
#include "print.h"
#include "serial.h"

void kernel_main(uint32_t magic, const struct multiboot_info *info);

#define LEAK_PORT 0x5c0
#define ROUNDS 7000000 /* of two instructions each */

static void work(void)
{
	uint32_t left = ROUNDS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(left) : : "cc");
}

/* What was read is gone when this returns: only the device remembers. */
static void look(void)
{
	__asm__ volatile("inl %%dx, %%eax; xorl %%eax, %%eax" : : "d"((uint16_t)LEAK_PORT) : "eax", "cc");
}

void kernel_main(uint32_t magic, const struct multiboot_info *info)
{
	(void)magic;
	(void)info;
	serial_init();
	print("leak: working\n");
	work();
	work();
	look();
	work();
	print("leak: done\n");
	power_off();
}

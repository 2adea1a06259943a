/* How a test kernel ends: isa-debug-exit with 0 for passed (status 1) or 1 for failed (status 3). */
#include "debug_exit.h"

#include "cpu.h"
#include "power.h"

static _Noreturn void leave(uint8_t value)
{
	outb(DEBUG_EXIT_PORT, value);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void power_off(void)
{
	leave(0);
}

void exit_failed(void)
{
	leave(1);
}

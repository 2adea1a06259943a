#include "power.h"

#include "acpi.h"
#include "cpu.h"
#include "debug_exit.h"
#include "serial_irq.h"

/* ACPI 6.4, 4.8.3.2.1 "PM1 Control Registers". */
#define PM1_SCI_ENABLE 0x0001
#define PM1_SLEEP_TYPE(type) ((type) << 10)
#define PM1_SLEEP_ENABLE 0x2000

#define PATIENCE 100000

static _Noreturn void halt(void)
{
	interrupts_off();
	for (;;)
		__asm__ volatile("hlt");
}

/* ACPI 6.4, 16.3.1 "Placing the System in ACPI Mode". */
static void enable_acpi(void)
{
	if (!acpi.smi_command || (inw(acpi.pm1a_control) & PM1_SCI_ENABLE))
		return;
	outb(acpi.smi_command, acpi.acpi_enable);
	for (unsigned i = 0; i < PATIENCE && !(inw(acpi.pm1a_control) & PM1_SCI_ENABLE); i++)
		pause();
}

void power_off(void)
{
	serial_irq_off();
	if (acpi.pm1a_control && acpi.has_s5) {
		enable_acpi();
		outw(acpi.pm1a_control, PM1_SLEEP_TYPE(acpi.s5_a) | PM1_SLEEP_ENABLE);
		if (acpi.pm1b_control)
			outw(acpi.pm1b_control, PM1_SLEEP_TYPE(acpi.s5_b) | PM1_SLEEP_ENABLE);
		for (unsigned i = 0; i < PATIENCE; i++)
			pause();
	}
	outb(DEBUG_EXIT_PORT, 0);
	halt();
}

void exit_failed(void)
{
	serial_irq_off();
	outb(DEBUG_EXIT_PORT, 1);
	halt();
}

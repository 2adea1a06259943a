/* The embedded guest: what `reprise run` boots when no kernel is named. It takes hold of a PC,
   does real work on it, checks every result, and switches the machine off. */
#include "acpi.h"
#include "apic.h"
#include "check.h"
#include "checks.h"
#include "clocks.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupts.h"
#include "memory.h"
#include "pic.h"
#include "pit.h"
#include "print.h"
#include "serial.h"
#include "user.h"

void kernel_main(uint32_t magic, const struct multiboot_info *info);

const char kernel_name[] = "guest";

static const struct check checks[] = {
	{ "multiboot", check_multiboot },
	{ "memory-map", check_memory_map },
	{ "page-allocator", check_pages },
	{ "cpuid", check_cpuid },
	{ "acpi", check_acpi },
	{ "ticks", check_ticks },
	{ "serial-loopback", check_serial_loopback },
	{ "serial-interrupts", check_serial_interrupts },
	{ "sleep", check_sleep },
	{ "clocks", check_clocks },
	{ "rtc", check_rtc },
	{ "faults", check_faults },
	{ "selectors", check_selectors },
	{ "fpu-faults", check_fpu_faults },
	{ "breakpoint", check_breakpoint },
	{ "single-step", check_single_step },
	{ "debug-registers", check_debug_registers },
	{ "double-fault", check_double_fault },
	{ "page-mapping", check_page_mapping },
	{ "page-faults", check_page_faults },
	{ "write-protect", check_write_protect },
	{ "no-execute", check_no_execute },
	{ "accessed-dirty", check_accessed_dirty },
	{ "large-page", check_large_page },
	{ "user-calls", check_user_calls },
	{ "user-interrupts", check_user_interrupts },
	{ "user-faults", check_user_faults },
	{ "apic-timer", check_apic_timer },
	{ "tsc-deadline", check_tsc_deadline },
	{ "nmi", check_nmi },
	{ "ioapic", check_ioapic },
	{ "strings", check_strings },
	{ "interrupted-strings", check_interrupted_strings },
	{ "sse", check_sse },
	{ "sse-integer", check_sse_integer },
	{ "x87", check_x87 },
	{ "fpu-state", check_fpu_state },
	{ "checksums", check_checksums },
	{ "primes", check_primes },
	{ "sort", check_sort },
	{ "threads", check_threads },
	{ "smp", check_smp },
	{ "disk", check_disk },
	{ "serial-echo", check_serial_echo },
};

static void init(uint32_t magic, const struct multiboot_info *info)
{
	multiboot_received(magic, info);
	descriptors_init();
	interrupts_init();
	pic_init();
	apic_init();
	acpi_init();
	clocks_init();
	memory_init(info);
	user_init();
	pit_init();
	interrupts_on();
}

void kernel_main(uint32_t magic, const struct multiboot_info *info)
{
	serial_init();
	print("guest: the embedded guest of Reprise\n");
	init(magic, info);
	run_checks(checks, sizeof checks / sizeof *checks);
	finish_checks();
}

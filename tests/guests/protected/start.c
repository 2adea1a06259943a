/* A test kernel for what 64-bit systems rarely do: real mode, 16-bit and 32-bit protected mode,
   segmentation, rings, and 32-bit paging. Prints a line per check and leaves by
   isa-debug-exit: 0 if all passed, 1 if not. */
#include "check.h"
#include "checks.h"
#include "machine.h"
#include "print.h"
#include "serial.h"

void kernel_main(void);

const char kernel_name[] = "protected";

static const struct check checks[] = {
	{ "real-mode", check_real_mode },
	{ "real-interrupts", check_real_interrupts },
	{ "real-faults", check_real_faults },
	{ "real-limits", check_real_limits },
	{ "real-widths", check_real_widths },
	{ "decimal", check_decimal },
	{ "legacy-instructions", check_legacy_instructions },
	{ "legacy-faults", check_legacy_faults },
	{ "segment-loads", check_segment_loads },
	{ "accessed-bit", check_accessed_bit },
	{ "limits", check_limits },
	{ "segment-types", check_segment_types },
	{ "queries", check_queries },
	{ "local-table", check_local_table },
	{ "far-transfers", check_far_transfers },
	{ "far-faults", check_far_faults },
	{ "code16", check_code16 },
	{ "stack16", check_stack16 },
	{ "ring-switch", check_ring_switch },
	{ "call-gates", check_call_gates },
	{ "conforming", check_conforming },
	{ "ring-faults", check_ring_faults },
	{ "io-privilege", check_io_privilege },
	{ "alignment", check_alignment },
	{ "virtual-8086", check_virtual_8086 },
	{ "task-switch", check_task_switch },
	{ "two-level-paging", check_two_level_paging },
	{ "pse", check_pse },
	{ "pae", check_pae },
};

void kernel_main(void)
{
	serial_init();
	machine_init();
	run_checks(checks, sizeof checks / sizeof *checks);
	finish_checks();
}

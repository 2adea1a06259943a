/* A test kernel for long mode where user programs do not reach: protection features, delivery of
   exceptions, debugging, transfers between modes, page tables. Prints a line per check and
   leaves by isa-debug-exit: 0 if all passed, 1 if not. */
#include "apic.h"
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "memory.h"
#include "pic.h"
#include "serial.h"
#include "user.h"

void kernel_main(uint32_t magic, const struct multiboot_info *info);

const char kernel_name[] = "long";

static const struct check checks[] = {
	{ "general-protection", check_general_protection },
	{ "undefined", check_undefined },
	{ "stack-fault", check_stack_fault },
	{ "float-faults", check_float_faults },
	{ "alignment", check_alignment },
	{ "frame", check_frame },
	{ "absent-gates", check_absent_gates },
	{ "double-faults", check_double_faults },
	{ "gate-types", check_gate_types },
	{ "nmi-blocking", check_nmi_blocking },
	{ "task-priority", check_task_priority },
	{ "sti-shadow", check_sti_shadow },
	{ "mov-ss-shadow", check_mov_ss_shadow },
	{ "trap-flag", check_trap_flag },
	{ "resume-flag", check_resume_flag },
	{ "breakpoints", check_breakpoints },
	{ "watchpoints", check_watchpoints },
	{ "io-breakpoint", check_io_breakpoint },
	{ "general-detect", check_general_detect },
	{ "debug-aliases", check_debug_aliases },
	{ "dr6", check_dr6 },
	{ "icebp", check_icebp },
	{ "smep", check_smep },
	{ "smap", check_smap },
	{ "umip", check_umip },
	{ "tsd", check_tsd },
	{ "write-protect-user", check_write_protect_user },
	{ "syscall", check_syscall },
	{ "syscall-trap-flag", check_syscall_trap_flag },
	{ "sysenter", check_sysenter },
	{ "compatibility", check_compatibility },
	{ "far-transfers", check_far_transfers },
	{ "call-gate", check_call_gate },
	{ "iret", check_iret },
	{ "self-modifying", check_self_modifying },
	{ "cross-page-code", check_cross_page_code },
	{ "aliases", check_aliases },
	{ "global-pages", check_global_pages },
	{ "pcid", check_pcid },
	{ "invpcid", check_invpcid },
	{ "gigabyte-page", check_gigabyte_page },
	{ "control-registers", check_control_registers },
	{ "msrs", check_msrs },
	{ "segment-bases", check_segment_bases },
	{ "xsave", check_xsave },
	{ "cmpxchg16b", check_cmpxchg16b },
};

/* QEMU's TCG leaves some things unchecked that every processor checks: alignment, unmasked SSE
   exceptions, the RF flag, unknown MSRs. Those are for other machines. */
bool under_tcg(void)
{
	uint32_t regs[4];

	if (!cpu_has(1, 2, 31))
		return false;
	cpuid(0x40000000, 0, regs);
	return !memcmp(&regs[1], "TCGTCGTCGTCG", 12);
}

bool is_intel(void)
{
	uint32_t regs[4];

	cpuid(0, 0, regs);
	return !memcmp(&regs[1], "Genu", 4);
}

void expect_fault(const char *what, struct caught caught, uint64_t vector, uint64_t error)
{
	expect(what, caught.vector << 32 | caught.error, vector << 32 | error);
}

void kernel_main(uint32_t magic, const struct multiboot_info *info)
{
	(void)magic;
	serial_init();
	if (info->flags & MULTIBOOT_INFO_CMDLINE)
		leave_out_checks((const char *)(uint64_t)info->cmdline);
	descriptors_init();
	interrupts_init();
	pic_init();
	apic_init();
	memory_init(info);
	user_init();
	run_checks(checks, sizeof checks / sizeof *checks);
	finish_checks();
}

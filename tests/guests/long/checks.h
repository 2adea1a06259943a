/* The checks of the long-mode test kernel, by file. */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdbool.h>
#include <stdint.h>

#include "interrupts.h"

/* start.c */
bool under_tcg(void);
bool is_intel(void);
void expect_fault(const char *what, struct caught caught, uint64_t vector, uint64_t error);

/* check_errors.c */
void check_general_protection(void);
void check_undefined(void);
void check_stack_fault(void);
void check_float_faults(void);
void check_alignment(void);

/* check_delivery.c */
void check_frame(void);
void check_absent_gates(void);
void check_double_faults(void);
void check_gate_types(void);
void check_nmi_blocking(void);
void check_task_priority(void);

/* check_flags.c */
void check_sti_shadow(void);
void check_mov_ss_shadow(void);
void check_trap_flag(void);
void check_resume_flag(void);

/* check_debug.c */
void check_breakpoints(void);
void check_watchpoints(void);
void check_io_breakpoint(void);
void check_general_detect(void);
void check_debug_aliases(void);
void check_dr6(void);
void check_icebp(void);

/* check_protection.c */
void check_smep(void);
void check_smap(void);
void check_umip(void);
void check_tsd(void);
void check_write_protect_user(void);

/* check_transfers.c */
void check_syscall(void);
void check_syscall_trap_flag(void);
void check_sysenter(void);
void check_compatibility(void);
void check_far_transfers(void);
void check_call_gate(void);
void check_iret(void);

/* check_memory.c */
void check_self_modifying(void);
void check_cross_page_code(void);
void check_aliases(void);
void check_global_pages(void);
void check_pcid(void);
void check_invpcid(void);
void check_gigabyte_page(void);

/* check_registers.c */
void check_control_registers(void);
void check_msrs(void);
void check_segment_bases(void);
void check_xsave(void);
void check_cmpxchg16b(void);

#endif

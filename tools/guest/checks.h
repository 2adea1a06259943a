/* The checks of the embedded guest, by file. */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdint.h>

#include "multiboot.h"

/* check_machine.c */
void check_multiboot(void);
void check_memory_map(void);
void check_pages(void);
void check_cpuid(void);
void check_acpi(void);
void multiboot_received(uint32_t magic, const struct multiboot_info *info);

/* check_exceptions.c */
void check_faults(void);
void check_selectors(void);
void check_fpu_faults(void);
void check_breakpoint(void);
void check_single_step(void);
void check_debug_registers(void);
void check_double_fault(void);

/* check_paging.c */
void check_page_mapping(void);
void check_page_faults(void);
void check_write_protect(void);
void check_no_execute(void);
void check_accessed_dirty(void);
void check_large_page(void);

/* check_user.c */
void check_user_calls(void);
void check_user_interrupts(void);
void check_user_faults(void);

/* check_time.c */
void check_ticks(void);
void check_sleep(void);
void check_clocks(void);
void check_rtc(void);

/* check_apic.c */
void check_apic_timer(void);
void check_tsc_deadline(void);
void check_nmi(void);
void check_ioapic(void);
void check_smp(void);

/* check_serial.c */
void check_serial_loopback(void);
void check_serial_interrupts(void);
void check_serial_echo(void);

/* check_strings.c */
void check_strings(void);
void check_interrupted_strings(void);

/* check_float.c */
void check_sse(void);
void check_sse_integer(void);
void check_x87(void);
void check_fpu_state(void);

/* check_compute.c */
void check_checksums(void);
void check_primes(void);
void check_sort(void);

/* check_disk.c */
void check_disk(void);

/* check_threads.c */
void check_threads(void);

#endif

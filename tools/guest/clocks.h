/* The counters that only run: TSC, HPET main counter and ACPI PM timer.
   IA-PC HPET Specification 1.0a, 2.3 "Register Overview";
   ACPI 6.4, 4.8.3.3 "Power Management Timer (PM_TMR)". */
#ifndef CLOCKS_H
#define CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define PM_TIMER_HZ 3579545
#define PM_TIMER_MASK 0xffffff

struct clock_reading {
	uint64_t tsc;
	uint64_t hpet;
	uint32_t pm_timer;
};

/* Starts the HPET's main counter, if the tables name an HPET. */
void clocks_init(void);
bool clocks_have_hpet(void);
bool clocks_have_pm_timer(void);
/* HPET ticks in `nanoseconds`. */
uint64_t hpet_ticks_in(uint64_t nanoseconds);
struct clock_reading clocks_read(void);

#endif

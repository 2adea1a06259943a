#include "clocks.h"

#include "acpi.h"
#include "cpu.h"

#define HPET_CAPABILITIES 0x000
#define HPET_CONFIGURATION 0x010
#define HPET_COUNTER 0x0f0
#define HPET_ENABLE 0x1

static volatile uint64_t *hpet_register(unsigned at)
{
	return (volatile uint64_t *)(acpi.hpet + at);
}

void clocks_init(void)
{
	if (clocks_have_hpet())
		*hpet_register(HPET_CONFIGURATION) |= HPET_ENABLE;
}

bool clocks_have_hpet(void)
{
	return acpi.hpet != 0;
}

bool clocks_have_pm_timer(void)
{
	return acpi.pm_timer != 0;
}

uint64_t hpet_ticks_in(uint64_t nanoseconds)
{
	uint32_t period_in_femtoseconds = *hpet_register(HPET_CAPABILITIES) >> 32;

	return period_in_femtoseconds ? nanoseconds * 1000000 / period_in_femtoseconds : 0;
}

struct clock_reading clocks_read(void)
{
	return (struct clock_reading){
		.tsc = rdtsc(),
		.hpet = clocks_have_hpet() ? *hpet_register(HPET_COUNTER) : 0,
		.pm_timer = clocks_have_pm_timer() ? inl(acpi.pm_timer) & PM_TIMER_MASK : 0,
	};
}

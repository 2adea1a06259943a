/* Time: ticks, sleeping, the counters against each other, the real-time clock. */
#include "check.h"
#include "checks.h"
#include "clocks.h"
#include "cpu.h"
#include "pit.h"
#include "rtc.h"
#include "serial_irq.h"

/* Where time is the host's, as under other emulators, one measurement may be spoiled. */
#define ATTEMPTS 5

static bool counts(void)
{
	uint16_t start = pit_count();

	for (unsigned i = 0; i < 1000000; i++)
		if (pit_count() != start)
			return true;
	return false;
}

/* From here on the console, too, runs by interrupts. */
void check_ticks(void)
{
	uint64_t start = pit_ticks();

	while (pit_ticks() < start + 3)
		wait_for_interrupt();
	interrupts_on();
	expect_range("count", pit_count(), 1, PIT_HZ / TICK_HZ + 1);
	expect_true("it counts", counts());
	serial_irq_on();
}

void check_sleep(void)
{
	uint64_t start = pit_ticks(), tsc = rdtsc();

	pit_sleep(9);
	expect_true("ten ticks have passed", pit_ticks() >= start + 10);
	expect_true("the TSC has moved on", rdtsc() > tsc);
}

#define MEASURED_TICKS 5
#define MEASURED_NS (MEASURED_TICKS * 1000000000ul / TICK_HZ)

struct interval {
	uint64_t tsc, hpet;
	uint32_t pm_timer;
};

static struct interval measure(void)
{
	struct clock_reading start, end;

	pit_sleep(0);
	start = clocks_read();
	pit_sleep(MEASURED_TICKS - 1);
	end = clocks_read();
	return (struct interval){
		.tsc = end.tsc - start.tsc,
		.hpet = end.hpet - start.hpet,
		.pm_timer = (end.pm_timer - start.pm_timer) & PM_TIMER_MASK,
	};
}

static bool near(uint64_t got, uint64_t wanted)
{
	return got >= wanted - wanted / 10 && got <= wanted + wanted / 10;
}

static bool agrees(const struct interval *interval, uint64_t tsc)
{
	return near(interval->tsc, tsc) &&
	       (!clocks_have_hpet() || near(interval->hpet, hpet_ticks_in(MEASURED_NS))) &&
	       (!clocks_have_pm_timer() || near(interval->pm_timer, MEASURED_NS * PM_TIMER_HZ / 1000000000));
}

/* Nothing says how fast the TSC is: two measurements must agree. */
void check_clocks(void)
{
	struct interval interval = measure();
	uint64_t tsc = interval.tsc;

	for (unsigned i = 0; i < ATTEMPTS; i++) {
		interval = measure();
		if (agrees(&interval, tsc))
			break;
		tsc = interval.tsc;
	}
	expect_range("TSC in five ticks", interval.tsc, tsc - tsc / 10, tsc + tsc / 10);
	if (clocks_have_hpet()) {
		uint64_t wanted = hpet_ticks_in(MEASURED_NS);

		expect_range("HPET in five ticks", interval.hpet, wanted - wanted / 10, wanted + wanted / 10);
	}
	if (clocks_have_pm_timer()) {
		uint64_t wanted = MEASURED_NS * PM_TIMER_HZ / 1000000000;

		expect_range("PM timer in five ticks", interval.pm_timer, wanted - wanted / 10, wanted + wanted / 10);
	}
	note("tsc %lu kHz%s%s", tsc * 1000000 / MEASURED_NS, clocks_have_hpet() ? ", hpet" : "",
	     clocks_have_pm_timer() ? ", pm timer" : "");
}

#define PERIODIC_WANTED 8

void check_rtc(void)
{
	struct rtc_time time = rtc_read();

	expect_range("month", time.month, 1, 12);
	expect_range("day", time.day, 1, 31);
	expect_range("hour", time.hour, 0, 23);
	expect_range("minute", time.minute, 0, 59);
	expect_range("second", time.second, 0, 59);
	rtc_periodic_start();
	for (uint64_t end = pit_ticks() + 100; rtc_periodic_count() < PERIODIC_WANTED && pit_ticks() < end;)
		wait_for_interrupt();
	interrupts_on();
	expect_true("periodic interrupts came", rtc_periodic_count() >= PERIODIC_WANTED);
	rtc_periodic_stop();
	note("%04u-%02u-%02u %02u:%02u:%02u", time.year, time.month, time.day, time.hour, time.minute, time.second);
}

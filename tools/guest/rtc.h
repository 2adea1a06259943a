/* The MC146818 real-time clock; Motorola MC146818A data sheet, "Registers". */
#ifndef RTC_H
#define RTC_H

#include <stdint.h>

struct rtc_time {
	unsigned year, month, day, hour, minute, second;
};

/* The registers as they are, none of them in the middle of an update. */
struct rtc_time rtc_read(void);
/* Counts periodic interrupts (IRQ 8, 1024 Hz) from now on. */
void rtc_periodic_start(void);
void rtc_periodic_stop(void);
unsigned rtc_periodic_count(void);

#endif

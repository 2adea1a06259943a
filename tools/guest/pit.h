/* 8254 channel 0 on IRQ 0: the kernel's tick; Intel 82C54 data sheet, "Mode 2: Rate Generator". */
#ifndef PIT_H
#define PIT_H

#include <stdint.h>

#include "interrupts.h"

#define PIT_HZ 1193182
#define TICK_HZ 100

/* Starts ticks at TICK_HZ through the PIC. */
void pit_init(void);
/* Changes the rate; at least 19 Hz. */
void pit_set_rate(unsigned hz);
/* The count of channel 0, latched. */
uint16_t pit_count(void);
/* Ticks since `pit_init`, at whatever rate they had. */
uint64_t pit_ticks(void);
/* Sleeps for `ticks` whole ticks after the next one begins. */
void pit_sleep(unsigned ticks);
/* Lets `hook` see, and exchange, the frame that each tick interrupted; null ends it. */
void pit_hook(interrupt_handler hook);
/* One tick that came another way than through the PIC. */
struct interrupt_frame *pit_tick(struct interrupt_frame *frame);

#endif

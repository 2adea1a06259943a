/* COM1 by interrupts: output drains from a ring on IRQ 4, input fills another. */
#ifndef SERIAL_IRQ_H
#define SERIAL_IRQ_H

#include <stdbool.h>

/* Diverts the console through the ring. Interrupts must be handled from here on. */
void serial_irq_on(void);
/* Sends what the ring holds, by polling, and gives the console back to `serial.c`. */
void serial_irq_off(void);
/* Sleeps until the ring is empty. */
void serial_irq_drain(void);
/* Takes a byte that has come in, if there is one. */
bool serial_irq_get(char *byte);
/* How many transmit interrupts there were. */
unsigned serial_irq_sent(void);

#endif

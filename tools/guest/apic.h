/* The local APIC by its memory-mapped registers, and the I/O APIC.
   Intel SDM vol. 3A, 10.4.1 "The Local APIC Block Diagram", table 10-1 "Local APIC Register
   Address Map"; Intel 82093AA data sheet, 3.2 "IOAPIC Registers". */
#ifndef APIC_H
#define APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_TIMER_ONE_SHOT 0x00000
#define APIC_TIMER_PERIODIC 0x20000
#define APIC_TIMER_DEADLINE 0x40000

/* Enables it, with the 8259 pair on LINT0 and NMI on LINT1; false without one. */
bool apic_init(void);
uint32_t apic_id(void);
void apic_end(void);

/* Starts the timer, whose clock is divided by 16, on VECTOR_APIC_TIMER. */
void apic_timer_start(uint32_t mode, uint32_t count);
void apic_timer_stop(void);
uint32_t apic_timer_count(void);

void apic_send_init(uint32_t id);
/* Starts a processor in real mode at `address`, a page below 1 MiB. */
void apic_send_startup(uint32_t id, uint32_t address);
void apic_send_nmi(uint32_t id);

/* Number of redirection entries. */
unsigned ioapic_entries(void);
/* Edge-triggered, active high, to the running processor. */
void ioapic_route(unsigned entry, unsigned vector);
void ioapic_mask(unsigned entry);

#endif

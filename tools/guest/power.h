/* The ways out: ACPI power-off, isa-debug-exit, and at worst HLT. */
#ifndef POWER_H
#define POWER_H

/* Switches the machine off. */
_Noreturn void power_off(void);
/* Leaves through isa-debug-exit with value 1 (QEMU's exit status 3), or sleeps for ever. */
_Noreturn void exit_failed(void);

#endif

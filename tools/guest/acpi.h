/* The ACPI tables that tell a kernel what the machine has.
   ACPI 6.4, 5.2 "ACPI System Description Tables". */
#ifndef ACPI_H
#define ACPI_H

#include <stdbool.h>
#include <stdint.h>

#define ACPI_MAX_CPUS 64

struct acpi {
	bool found;
	unsigned revision;
	char tables[80]; /* their signatures, for the report */

	/* MADT */
	uint64_t local_apic;
	uint32_t ioapic;
	uint32_t ioapic_base;
	uint32_t timer_gsi; /* where IRQ 0 arrives */
	unsigned cpus;
	uint32_t apic_ids[ACPI_MAX_CPUS];

	/* FADT and DSDT */
	uint16_t pm1a_control;
	uint16_t pm1b_control;
	uint16_t pm_timer;
	uint16_t smi_command;
	uint8_t acpi_enable;
	bool has_s5;
	uint8_t s5_a, s5_b;

	/* HPET */
	uint64_t hpet;
};

extern struct acpi acpi;

/* Fills `acpi`; without an RSDP in the BIOS area `found` stays false. */
void acpi_init(void);

#endif

/* Configuration space of bus 0, by ports; PCI Local Bus Specification 3.0, 3.2.2.3.2 "Software
   Generation of Configuration Transactions", 6 "Configuration Space". */
#ifndef PCI_H
#define PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4
#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX 0x11

/* Finds function 0 of the device that says it is `vendor` and `device`; its slot. */
bool pci_find(uint16_t vendor, uint16_t device, unsigned *slot);
uint32_t pci_read(unsigned slot, unsigned offset);
void pci_write(unsigned slot, unsigned offset, uint32_t value);
uint8_t pci_read_byte(unsigned slot, unsigned offset);
/* The capability with that ID after the one at `from` (0: the first one); 0 if there is none. */
unsigned pci_capability(unsigned slot, uint8_t id, unsigned from);
/* Where base address register `index` leads, given an address if it has none; mapped. */
volatile void *pci_map_bar(unsigned slot, unsigned index);

#endif

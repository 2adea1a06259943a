#include "pci.h"

#include "cpu.h"
#include "memory.h"
#include "paging.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000

#define PCI_STATUS_CAPABILITIES (1u << 20) /* of the register at PCI_COMMAND */
#define PCI_BARS 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_BAR_64 0x4
#define PCI_BAR_FLAGS 0xf

/* Where registers go that no firmware has placed, and where all are mapped. */
#define FREE_BUS_ADDRESS 0xc0000000ul
#define WINDOW 0x20000000000ul

static uint64_t next_bus_address = FREE_BUS_ADDRESS;
static uint64_t next_window = WINDOW;

static void select(unsigned slot, unsigned offset)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | slot << 11 | (offset & 0xfc));
}

uint32_t pci_read(unsigned slot, unsigned offset)
{
	select(slot, offset);
	return inl(CONFIG_DATA);
}

void pci_write(unsigned slot, unsigned offset, uint32_t value)
{
	select(slot, offset);
	outl(CONFIG_DATA, value);
}

uint8_t pci_read_byte(unsigned slot, unsigned offset)
{
	return pci_read(slot, offset) >> 8 * (offset & 3);
}

bool pci_find(uint16_t vendor, uint16_t device, unsigned *slot)
{
	for (*slot = 0; *slot < 32; ++*slot)
		if (pci_read(*slot, 0) == ((uint32_t)device << 16 | vendor))
			return true;
	return false;
}

unsigned pci_capability(unsigned slot, uint8_t id, unsigned from)
{
	unsigned at;

	if (!(pci_read(slot, PCI_COMMAND) & PCI_STATUS_CAPABILITIES))
		return 0;
	at = pci_read_byte(slot, from ? from + 1 : PCI_CAPABILITIES);
	while (at && pci_read_byte(slot, at) != id)
		at = pci_read_byte(slot, at + 1);
	return at;
}

/* 6.2.5.1 "Address Maps": the size is what remains zero when ones are written. */
static uint64_t size_of(unsigned slot, unsigned bar)
{
	uint32_t before = pci_read(slot, bar);
	uint32_t mask;

	pci_write(slot, bar, 0xffffffff);
	mask = pci_read(slot, bar) & ~PCI_BAR_FLAGS;
	pci_write(slot, bar, before);
	return (uint32_t)-mask;
}

static uint64_t place(unsigned slot, unsigned bar, uint64_t size)
{
	uint64_t address = (next_bus_address + size - 1) & -size;

	next_bus_address = address + size;
	pci_write(slot, bar, address);
	return address;
}

volatile void *pci_map_bar(unsigned slot, unsigned index)
{
	unsigned bar = PCI_BARS + 4 * index;
	uint32_t low = pci_read(slot, bar);
	uint64_t size = size_of(slot, bar), address = low & ~PCI_BAR_FLAGS;
	uint64_t window = next_window;

	if (low & PCI_BAR_64)
		address |= (uint64_t)pci_read(slot, bar + 4) << 32;
	if (!address)
		address = place(slot, bar, size);
	pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (uint64_t at = 0; at < size; at += PAGE_SIZE)
		page_map(window + at, (void *)(address + at), PAGE_WRITABLE);
	next_window += (size + PAGE_SIZE - 1) & -PAGE_SIZE;
	return (volatile void *)(window + address % PAGE_SIZE);
}

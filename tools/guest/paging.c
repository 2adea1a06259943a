#include "paging.h"

#include "bytes.h"
#include "cpu.h"
#include "memory.h"

#define LEVELS 4

static volatile uint64_t *entry_in(uint64_t table, uint64_t address, unsigned level)
{
	volatile uint64_t *entries = (volatile uint64_t *)(table & PAGE_ADDRESS);

	return &entries[address >> (12 + 9 * level) & 511];
}

static void add_table(volatile uint64_t *entry)
{
	void *table = page_alloc();

	memset(table, 0, PAGE_SIZE);
	*entry = (uint64_t)table | PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER;
}

/* The entry at `level` (0 for 4 KiB pages), with the tables above it made as needed. */
static volatile uint64_t *make_entry(uint64_t address, unsigned level)
{
	volatile uint64_t *entry = entry_in(read_cr3(), address, LEVELS - 1);

	for (unsigned at = LEVELS - 1; at > level; at--) {
		if (!(*entry & PAGE_PRESENT))
			add_table(entry);
		entry = entry_in(*entry, address, at - 1);
	}
	return entry;
}

volatile uint64_t *page_entry(uint64_t address)
{
	volatile uint64_t *entry = entry_in(read_cr3(), address, LEVELS - 1);

	for (unsigned at = LEVELS - 1; at > 0; at--) {
		if (!(*entry & PAGE_PRESENT) || (*entry & PAGE_LARGE))
			return entry;
		entry = entry_in(*entry, address, at - 1);
	}
	return entry;
}

volatile uint64_t *page_table_entry(uint64_t address, unsigned level)
{
	return make_entry(address, level);
}

void page_map(uint64_t address, const void *physical, uint64_t flags)
{
	*make_entry(address, 0) = (uint64_t)physical | flags | PAGE_PRESENT;
	invlpg((void *)address);
}

void page_map_large(uint64_t address, const void *physical, uint64_t flags)
{
	*make_entry(address, 1) = (uint64_t)physical | flags | PAGE_LARGE | PAGE_PRESENT;
	invlpg((void *)address);
}

void page_unmap(uint64_t address)
{
	*page_entry(address) = 0;
	invlpg((void *)address);
}

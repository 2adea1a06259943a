/* The memory map, and pages from the region the kernel lies in. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

#include "multiboot.h"

#define PAGE_SIZE 4096ul
#define LARGE_PAGE_SIZE 0x200000ul
#define MEMORY_MAX_REGIONS 32

struct memory_region {
	uint64_t base, length;
	uint32_t type;
};

struct memory_map {
	unsigned count;
	struct memory_region regions[MEMORY_MAX_REGIONS];
};

extern struct memory_map memory_map;

/* Copies the loader's map and gathers free pages: at most 128 MiB. */
void memory_init(const struct multiboot_info *info);
/* A page at its physical address, not cleared; the kernel ends when there is none. */
void *page_alloc(void);
/* `count` pages in a row, the first at a multiple of `alignment` pages. */
void *pages_alloc(unsigned count, unsigned alignment);
void pages_free(void *first, unsigned count);
unsigned pages_available(void);

#endif

/* Four-level page tables; Intel SDM vol. 3A, 4.5 "4-Level Paging and 5-Level Paging". */
#ifndef PAGING_H
#define PAGING_H

#include <stdint.h>

#define PAGE_PRESENT (1ul << 0)
#define PAGE_WRITABLE (1ul << 1)
#define PAGE_USER (1ul << 2)
#define PAGE_ACCESSED (1ul << 5)
#define PAGE_DIRTY (1ul << 6)
#define PAGE_LARGE (1ul << 7)
#define PAGE_GLOBAL (1ul << 8)
#define PAGE_NX (1ul << 63)
#define PAGE_ADDRESS 0x000ffffffffff000ul

/* Intel SDM vol. 3A, 6.15 "Exception and Interrupt Reference", page-fault error code. */
#define FAULT_PRESENT 0x01
#define FAULT_WRITE 0x02
#define FAULT_USER 0x04
#define FAULT_RESERVED 0x08
#define FAULT_FETCH 0x10

/* Addresses that checks may map as they like; nothing of the kernel is near. */
#define PLAYGROUND 0x10000000000ul

/* Maps a 4 KiB page with `flags` besides present. */
void page_map(uint64_t address, const void *physical, uint64_t flags);
/* Maps a 2 MiB page. */
void page_map_large(uint64_t address, const void *physical, uint64_t flags);
void page_unmap(uint64_t address);
/* The entry that maps `address`, or the one where walking it ends. Change it, then `invlpg`. */
volatile uint64_t *page_entry(uint64_t address);
/* The entry at a level, 0 for 4 KiB pages to 3 for the root, with the tables above it made. */
volatile uint64_t *page_table_entry(uint64_t address, unsigned level);

#endif

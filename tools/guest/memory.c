#include "memory.h"

#include <stdbool.h>

#include "bytes.h"
#include "check.h"

#define MAX_PAGES 32768

struct memory_map memory_map;
extern uint8_t kernel_end[];

static uint64_t first_page; /* its address */
static unsigned page_count, available, next;
static uint8_t used[MAX_PAGES];

static void copy_map(const struct multiboot_info *info)
{
	const uint8_t *at = (const uint8_t *)(uint64_t)info->mmap_addr;
	const uint8_t *end = at + info->mmap_length;

	while (at + sizeof(struct multiboot_memory) <= end && memory_map.count < MEMORY_MAX_REGIONS) {
		struct multiboot_memory entry;

		memcpy(&entry, at, sizeof entry);
		memory_map.regions[memory_map.count++] =
			(struct memory_region){ entry.base, entry.length, entry.type };
		at += entry.size + sizeof entry.size;
	}
}

/* A loader without a map still tells how far memory goes from 1 MiB, in KiB. */
static void make_map(const struct multiboot_info *info)
{
	memory_map.regions[0] =
		(struct memory_region){ 0, info->mem_lower * 1024ul, MULTIBOOT_MEMORY_AVAILABLE };
	memory_map.regions[1] =
		(struct memory_region){ 0x100000, info->mem_upper * 1024ul, MULTIBOOT_MEMORY_AVAILABLE };
	memory_map.count = 2;
}

static uint64_t end_of_kernel_region(void)
{
	for (unsigned i = 0; i < memory_map.count; i++) {
		const struct memory_region *region = &memory_map.regions[i];

		if (region->type == MULTIBOOT_MEMORY_AVAILABLE && region->base <= first_page &&
		    first_page - region->base < region->length)
			return region->base + region->length;
	}
	return first_page;
}

void memory_init(const struct multiboot_info *info)
{
	if (info->flags & MULTIBOOT_INFO_MEMORY_MAP)
		copy_map(info);
	else if (info->flags & MULTIBOOT_INFO_MEMORY)
		make_map(info);
	first_page = (uint64_t)kernel_end;
	page_count = (end_of_kernel_region() - first_page) / PAGE_SIZE;
	if (page_count > MAX_PAGES)
		page_count = MAX_PAGES;
	available = page_count;
}

static bool fits(unsigned index, unsigned count, unsigned alignment)
{
	if ((first_page / PAGE_SIZE + index) % alignment || count > page_count - index)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (used[index + i])
			return false;
	return true;
}

static void *take(unsigned index, unsigned count)
{
	memset(used + index, 1, count);
	available -= count;
	next = index + count;
	return (void *)(first_page + index * PAGE_SIZE);
}

void *pages_alloc(unsigned count, unsigned alignment)
{
	for (unsigned index = next; index < page_count; index++)
		if (fits(index, count, alignment))
			return take(index, count);
	for (unsigned index = 0; index < next && index < page_count; index++)
		if (fits(index, count, alignment))
			return take(index, count);
	die("out of memory: no %u pages", count);
}

void *page_alloc(void)
{
	return pages_alloc(1, 1);
}

void pages_free(void *first, unsigned count)
{
	unsigned index = ((uint64_t)first - first_page) / PAGE_SIZE;

	for (unsigned i = 0; i < count; i++) {
		if (!used[index + i])
			die("page %lx freed twice", (uint64_t)first + i * PAGE_SIZE);
		used[index + i] = 0;
	}
	available += count;
	next = index;
}

unsigned pages_available(void)
{
	return available;
}

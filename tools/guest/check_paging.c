/* Page tables: mapping, faults with their error codes, accessed and dirty bits, large pages. */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "interrupts.h"
#include "memory.h"
#include "paging.h"

static void load_from(void *address)
{
	*(volatile uint64_t *)address;
}

static void store_to(void *address)
{
	*(volatile uint64_t *)address = 0x1122334455667788;
}

static void call_to(void *address)
{
	((void (*)(void))address)();
}

/* That a reserved bit also counts as present is left open: QEMU's TCG does not report it so. */
static void expect_reserved_fault(const char *what, struct caught caught, uint64_t address)
{
	expect(what, caught.vector << 32 | (caught.error | FAULT_PRESENT),
	       (uint64_t)VECTOR_PF << 32 | FAULT_RESERVED | FAULT_PRESENT);
	expect("cr2", caught.cr2, address);
}

static void expect_page_fault(const char *what, struct caught caught, uint64_t error, uint64_t address)
{
	expect(what, caught.vector << 32 | caught.error, (uint64_t)VECTOR_PF << 32 | error);
	expect("cr2", caught.cr2, address);
}

/* One page at two addresses, then at another of the two; and a 16-byte value across two pages
   that are far apart in memory. */
void check_page_mapping(void)
{
	uint64_t *first = page_alloc(), *second = page_alloc();
	volatile uint64_t *a = (uint64_t *)PLAYGROUND, *b = (uint64_t *)(PLAYGROUND + 0x40000000);

	page_map((uint64_t)a, first, PAGE_WRITABLE);
	page_map((uint64_t)b, first, PAGE_WRITABLE);
	*a = 1;
	expect("one page at two addresses", *b, 1);
	page_map((uint64_t)b, second, PAGE_WRITABLE);
	*b = 2;
	expect("the first page then", *a, 1);
	expect("the second page", *second, 2);
	page_map((uint64_t)a + PAGE_SIZE, second, PAGE_WRITABLE);
	*(volatile uint64_t *)((uint64_t)a + PAGE_SIZE - 4) = 0xaaaaaaaabbbbbbbb;
	expect("low half across pages", ((uint32_t *)first)[1023], 0xbbbbbbbb);
	expect("high half across pages", *(uint32_t *)second, 0xaaaaaaaa);
	page_unmap((uint64_t)a);
	page_unmap((uint64_t)a + PAGE_SIZE);
	page_unmap((uint64_t)b);
	pages_free(first, 1);
	pages_free(second, 1);
}

void check_page_faults(void)
{
	uint64_t at = PLAYGROUND + 0x123 * PAGE_SIZE;
	void *page = page_alloc();
	uint64_t fetch = cpu_has_nx() ? FAULT_FETCH : 0;

	expect_page_fault("load, not present", catch(load_from, (void *)(at + 8)), 0, at + 8);
	expect_page_fault("store, not present", catch(store_to, (void *)(at + 16)), FAULT_WRITE, at + 16);
	expect_page_fault("fetch, not present", catch(call_to, (void *)at), fetch, at);
	page_map(at, page, PAGE_WRITABLE);
	expect("load, present", catch(load_from, (void *)at).vector, VECTOR_NONE);
	expect_page_fault("store into the next page", catch(store_to, (void *)(at + PAGE_SIZE - 4)), FAULT_WRITE,
			  at + PAGE_SIZE);
	*page_entry(at) |= 1ul << 51;
	invlpg((void *)at);
	expect_reserved_fault("reserved bit", catch(load_from, (void *)at), at);
	page_unmap(at);
	expect_page_fault("load, unmapped again", catch(load_from, (void *)at), 0, at);
	pages_free(page, 1);
}

void check_write_protect(void)
{
	uint64_t at = PLAYGROUND;
	uint64_t *page = page_alloc();

	*page = 7;
	page_map(at, page, 0);
	expect("load, read-only", catch(load_from, (void *)at).vector, VECTOR_NONE);
	expect_page_fault("store, read-only", catch(store_to, (void *)at), FAULT_PRESENT | FAULT_WRITE, at);
	expect("what it left", *page, 7);
	write_cr0(read_cr0() & ~CR0_WP);
	expect("store without CR0.WP", catch(store_to, (void *)at).vector, VECTOR_NONE);
	write_cr0(read_cr0() | CR0_WP);
	expect("what it wrote", *page, 0x1122334455667788);
	expect_page_fault("store with CR0.WP again", catch(store_to, (void *)at), FAULT_PRESENT | FAULT_WRITE, at);
	page_unmap(at);
	pages_free(page, 1);
}

#define OPCODE_RET 0xc3

void check_no_execute(void)
{
	uint64_t at = PLAYGROUND;
	uint8_t *page = page_alloc();

	if (!cpu_has_nx()) {
		pages_free(page, 1);
		skip("no NX");
		return;
	}
	page[0] = OPCODE_RET;
	page_map(at, page, 0);
	expect("call", catch(call_to, (void *)at).vector, VECTOR_NONE);
	page_map(at, page, PAGE_NX);
	expect_page_fault("call with NX", catch(call_to, (void *)at), FAULT_PRESENT | FAULT_FETCH, at);
	expect("load with NX", catch(load_from, (void *)at).vector, VECTOR_NONE);
	page_unmap(at);
	pages_free(page, 1);
}

static uint64_t used_bits(uint64_t at)
{
	return *page_entry(at) & (PAGE_ACCESSED | PAGE_DIRTY);
}

void check_accessed_dirty(void)
{
	uint64_t at = PLAYGROUND;
	void *page = page_alloc();

	page_map(at, page, PAGE_WRITABLE);
	expect("unused", used_bits(at), 0);
	load_from((void *)at);
	expect("after a load", used_bits(at), PAGE_ACCESSED);
	store_to((void *)at);
	expect("after a store", used_bits(at), PAGE_ACCESSED | PAGE_DIRTY);
	*page_entry(at) &= ~(PAGE_ACCESSED | PAGE_DIRTY);
	invlpg((void *)at);
	store_to((void *)at);
	expect("after clearing and a store", used_bits(at), PAGE_ACCESSED | PAGE_DIRTY);
	page_unmap(at);
	pages_free(page, 1);
}

void check_large_page(void)
{
	uint64_t at = PLAYGROUND + 0x80000000;
	unsigned pages = LARGE_PAGE_SIZE / PAGE_SIZE;
	uint8_t *memory = pages_alloc(pages, pages);

	page_map_large(at, memory, PAGE_WRITABLE);
	expect("unused", used_bits(at), 0);
	for (unsigned i = 0; i < pages; i++)
		((volatile uint8_t *)at)[i * PAGE_SIZE + i] = i;
	expect("used", used_bits(at), PAGE_ACCESSED | PAGE_DIRTY);
	for (unsigned i = 0; i < pages; i++)
		expect("byte through the large page", memory[i * PAGE_SIZE + i], i & 0xff);
	page_map_large(at, memory, 0);
	expect_page_fault("store, read-only", catch(store_to, (void *)(at + 0x1ff000)), FAULT_PRESENT | FAULT_WRITE,
			  at + 0x1ff000);
	*page_entry(at) |= 1 << 13;
	invlpg((void *)at);
	expect_reserved_fault("reserved bit", catch(load_from, (void *)at), at);
	page_unmap(at);
	pages_free(memory, pages);
}

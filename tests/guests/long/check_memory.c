/* Code and page tables that change, address spaces, large pages.
   Intel SDM vol. 3A, 11.6 "Self-Modifying Code", 4.10 "Caching Translation Information". What a
   stale translation would do is not checked: every change is followed by its INVLPG. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "memory.h"
#include "paging.h"

#define CR4_PGE (1ul << 7)
#define CR4_PCIDE (1ul << 17)
#define CR3_NO_FLUSH (1ul << 63)

uint32_t rewrite_next(void), rewrite_loop(uint32_t count);

/* movl $value, %eax; ret */
static void emit_return(uint8_t *at, uint32_t value)
{
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

static uint32_t call(const void *code)
{
	return ((uint32_t (*)(void))code)();
}

void check_self_modifying(void)
{
	uint8_t *page = page_alloc();

	expect("the next instruction", rewrite_next(), 7);
	expect("the body of a loop", rewrite_loop(1000), 500500);
	for (uint32_t i = 0; i < 100; i++) {
		emit_return(page, i);
		expect("a function written anew", call(page), i);
	}
	page_map(PLAYGROUND, page, PAGE_WRITABLE);
	for (uint32_t i = 0; i < 100; i++) {
		emit_return(page, i);
		expect("a function written elsewhere", call((void *)PLAYGROUND), i);
		emit_return((uint8_t *)PLAYGROUND, i + 1000);
		expect("a function written here", call(page), i + 1000);
	}
	page_unmap(PLAYGROUND);
	pages_free(page, 1);
}

/* One instruction in two pages, of which the second is exchanged, then rewritten. Bochs 2.7 goes
   on with the old second page. */
void check_cross_page_code(void)
{
	uint8_t *pages = pages_alloc(2, 1), *other = page_alloc();
	uint8_t *code = (uint8_t *)PLAYGROUND + PAGE_SIZE - 3;

	page_map(PLAYGROUND, pages, PAGE_WRITABLE);
	page_map(PLAYGROUND + PAGE_SIZE, pages + PAGE_SIZE, PAGE_WRITABLE);
	emit_return(pages + PAGE_SIZE - 3, 0x11223344);
	memcpy(other, pages + PAGE_SIZE, PAGE_SIZE);
	other[0] = 0x99;
	expect("across pages", call(code), 0x11223344);
	page_map(PLAYGROUND + PAGE_SIZE, other, PAGE_WRITABLE);
	expect("with another second page", call(code), 0x11993344);
	other[1] = 0x55;
	expect("with the second page rewritten", call(code), 0x55993344);
	pages[PAGE_SIZE - 1] = 0x66;
	expect("with the first page rewritten", call(code), 0x55996644);
	page_unmap(PLAYGROUND + PAGE_SIZE);
	page_unmap(PLAYGROUND);
	pages_free(pages, 2);
	pages_free(other, 1);
}

/* A page table that is mapped as data, and an entry changed through that. */
void check_aliases(void)
{
	uint64_t *first = page_alloc(), *second = page_alloc();
	uint64_t window = PLAYGROUND + 0x200000, at = PLAYGROUND;
	volatile uint64_t *entry;

	first[0] = 1;
	second[0] = 2;
	page_map(at, first, PAGE_WRITABLE);
	page_map(window, (void *)((uint64_t)page_entry(at) & PAGE_ADDRESS), PAGE_WRITABLE);
	entry = (volatile uint64_t *)(window + ((uint64_t)page_entry(at) & 0xfff));
	for (unsigned i = 0; i < 10; i++) {
		*entry = (uint64_t)(i & 1 ? second : first) | PAGE_WRITABLE | PAGE_PRESENT;
		invlpg((void *)at);
		expect("through the changed entry", *(volatile uint64_t *)at, 1 + (i & 1));
	}
	expect("accessed, seen through the window", *entry & PAGE_ACCESSED, PAGE_ACCESSED);
	page_unmap(window);
	page_unmap(at);
	pages_free(first, 1);
	pages_free(second, 1);
}

void check_global_pages(void)
{
	uint64_t *first = page_alloc(), *second = page_alloc();
	volatile uint64_t *at = (uint64_t *)PLAYGROUND;

	first[0] = 1;
	second[0] = 2;
	write_cr4(read_cr4() | CR4_PGE);
	page_map(PLAYGROUND, first, PAGE_GLOBAL);
	expect("global page", *at, 1);
	write_cr3(read_cr3());
	expect("after a load of CR3", *at, 1);
	page_map(PLAYGROUND, second, PAGE_GLOBAL);
	expect("after INVLPG", *at, 2);
	*page_entry(PLAYGROUND) = (uint64_t)first | PAGE_GLOBAL | PAGE_PRESENT;
	write_cr4(read_cr4() & ~CR4_PGE);
	expect("after PGE is cleared", *at, 1);
	page_unmap(PLAYGROUND);
	pages_free(first, 1);
	pages_free(second, 1);
}

static void set_pcide(void *argument)
{
	(void)argument;
	write_cr4(read_cr4() | CR4_PCIDE);
}

/* Two address spaces that differ in one entry, told apart by their PCIDs. */
void check_pcid(void)
{
	uint64_t cr3 = read_cr3(), *first = page_alloc(), *second = page_alloc(), *other = page_alloc();
	volatile uint64_t *at = (uint64_t *)PLAYGROUND;

	if (!cpu_has(1, 2, 17)) {
		skip("no PCID");
		return;
	}
	page_map(PLAYGROUND, first, PAGE_WRITABLE);
	memcpy(other, (void *)cr3, PAGE_SIZE);
	other[PLAYGROUND >> 39 & 511] = 0;
	first[0] = 1;
	second[0] = 2;
	write_cr3(cr3 | 7);
	expect_fault("PCIDE with a PCID in CR3", catch(set_pcide, 0), under_tcg() ? VECTOR_NONE : VECTOR_GP, 0);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	write_cr3(cr3);
	set_pcide(0);
	write_cr3((uint64_t)other | 2);
	page_map(PLAYGROUND, second, PAGE_WRITABLE);
	expect("second space", *at, 2);
	write_cr3(cr3 | 1);
	expect("first space", *at, 1);
	write_cr3((uint64_t)other | 2 | CR3_NO_FLUSH);
	expect("second space again", *at, 2);
	expect("CR3 reads back without bit 63", read_cr3(), (uint64_t)other | 2);
	write_cr3(cr3);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	expect("first space without PCIDs", *at, 1);
	page_unmap(PLAYGROUND);
}

static void run_invpcid(void *type)
{
	const uint64_t descriptor[2] = { 0, PLAYGROUND };

	__asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"((uint64_t)type) : "memory");
}

void check_invpcid(void)
{
	uint64_t *first = page_alloc(), *second = page_alloc();

	if (!cpu_has(7, 1, 10)) {
		expect_fault("INVPCID", catch(run_invpcid, 0), VECTOR_UD, 0);
		skip("no INVPCID");
		return;
	}
	for (uint64_t type = 0; type < 4; type++) {
		first[0] = type;
		second[0] = type + 100;
		page_map(PLAYGROUND, first, 0);
		expect("before", *(volatile uint64_t *)PLAYGROUND, type);
		*page_entry(PLAYGROUND) = (uint64_t)second | PAGE_PRESENT;
		expect_fault("INVPCID", catch(run_invpcid, (void *)type), VECTOR_NONE, 0);
		expect("after", *(volatile uint64_t *)PLAYGROUND, type + 100);
	}
	expect_fault("INVPCID of type 4", catch(run_invpcid, (void *)4), VECTOR_GP, 0);
	page_unmap(PLAYGROUND);
}

static void store_to(void *address)
{
	*(volatile uint64_t *)address = 1;
}

void check_gigabyte_page(void)
{
	volatile uint64_t *entry = page_table_entry(PLAYGROUND, 2);
	uint64_t before = *entry;
	uint64_t *page = page_alloc();

	if (!cpu_has(0x80000001, 3, 26)) {
		skip("no 1 GiB pages");
		return;
	}
	*page = 77;
	*entry = PAGE_LARGE | PAGE_PRESENT;
	invlpg((void *)PLAYGROUND);
	expect("word through it", *(volatile uint64_t *)(PLAYGROUND + (uint64_t)page), 77);
	expect("accessed", *entry & (PAGE_ACCESSED | PAGE_DIRTY), PAGE_ACCESSED);
	expect_fault("store", catch(store_to, (void *)(PLAYGROUND + (uint64_t)page)), VECTOR_PF,
		     FAULT_PRESENT | FAULT_WRITE);
	*entry |= PAGE_WRITABLE;
	invlpg((void *)PLAYGROUND);
	*(volatile uint64_t *)(PLAYGROUND + (uint64_t)page) = 78;
	expect("what was stored", *page, 78);
	expect("dirty", *entry & PAGE_DIRTY, PAGE_DIRTY);
	*entry = before;
	write_cr3(read_cr3());
	pages_free(page, 1);
}

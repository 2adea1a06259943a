/* 32-bit paging with 4 KiB and 4 MiB pages, and PAE paging.
   Intel SDM vol. 3A, 4.3 "32-Bit Paging", 4.4 "PAE Paging". */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "machine.h"

#define CR0_WP_BIT (1u << 16)
#define CR0_PG_BIT (1u << 31)
#define CR4_PSE_BIT (1u << 4)
#define CR4_PAE_BIT (1u << 5)

#define PRESENT 0x01
#define WRITABLE 0x02
#define USER 0x04
#define ACCESSED 0x20
#define DIRTY 0x40
#define LARGE 0x80

#define FAULT_PRESENT 0x01
#define FAULT_WRITE 0x02
#define FAULT_USER 0x04
#define FAULT_RESERVED 0x08
#define FAULT_FETCH 0x10

/* Where the pages under test are mapped; the kernel itself stays at its own addresses. */
#define TEST_AREA 0x40000000u
#define MIB 0x100000u

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t kernel_table[1024] __attribute__((aligned(4096)));
static uint32_t test_table[1024] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

static uint64_t pae_pointers[4] __attribute__((aligned(32)));
static uint64_t pae_directories[2][512] __attribute__((aligned(4096)));
static uint64_t pae_table[512] __attribute__((aligned(4096)));

void user_reads_unaligned(void);

static uint32_t get_cr0(void)
{
	uint32_t value;

	__asm__ volatile("movl %%cr0, %0" : "=r"(value));
	return value;
}

static void set_cr0(uint32_t value)
{
	__asm__ volatile("movl %0, %%cr0" : : "r"(value) : "memory");
}

static void set_cr3(uint32_t value)
{
	__asm__ volatile("movl %0, %%cr3" : : "r"(value) : "memory");
}

static void set_cr4(uint32_t value)
{
	__asm__ volatile("movl %0, %%cr4" : : "r"(value) : "memory");
}

static void flush(uint32_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void load_from(uint32_t address)
{
	*(volatile uint32_t *)address;
}

static void store_to(uint32_t address)
{
	*(volatile uint32_t *)address = 0x12345678;
}

static void call_to(uint32_t address)
{
	((void (*)(void))address)();
}

static void expect_page_fault(const char *what, struct caught caught, uint32_t error, uint32_t address)
{
	expect_fault(what, caught, VECTOR_PF, error);
	expect("cr2", caught.cr2, address);
}

static void expect_none(const char *what, struct caught caught)
{
	expect_fault(what, caught, VECTOR_NONE, 0);
}

static void paging_on(uint32_t cr3)
{
	set_cr3(cr3);
	set_cr0(get_cr0() | CR0_PG_BIT | CR0_WP_BIT);
}

static void paging_off(void)
{
	set_cr0(get_cr0() & ~(CR0_PG_BIT | CR0_WP_BIT));
	set_cr4(0);
}

static void map_kernel(void)
{
	memset(directory, 0, sizeof directory);
	memset(test_table, 0, sizeof test_table);
	for (unsigned i = 0; i < 1024; i++)
		kernel_table[i] = i << 12 | USER | WRITABLE | PRESENT;
	directory[0] = (uint32_t)kernel_table | USER | WRITABLE | PRESENT;
	directory[TEST_AREA >> 22] = (uint32_t)test_table | USER | WRITABLE | PRESENT;
}

static void set_test_entry(uint32_t flags)
{
	test_table[0] = (uint32_t)page | flags;
	flush(TEST_AREA);
}

static void check_two_level_faults(void)
{
	expect_page_fault("load, not present", catch(load_from, TEST_AREA + 4), 0, TEST_AREA + 4);
	expect_page_fault("store, no table", catch(store_to, 0x80000000), FAULT_WRITE, 0x80000000);
	set_test_entry(PRESENT);
	expect_none("load, read-only", catch(load_from, TEST_AREA));
	expect_page_fault("store, read-only", catch(store_to, TEST_AREA), FAULT_PRESENT | FAULT_WRITE, TEST_AREA);
	set_cr0(get_cr0() & ~CR0_WP_BIT);
	expect_none("store, read-only, without WP", catch(store_to, TEST_AREA));
	set_cr0(get_cr0() | CR0_WP_BIT);
	expect_page_fault("user load, supervisor page", ring_run(3, user_reads_unaligned, TEST_AREA, 0),
			  FAULT_PRESENT | FAULT_USER, TEST_AREA);
	set_test_entry(USER | PRESENT);
	expect_fault("user load", ring_run(3, user_reads_unaligned, TEST_AREA, 0), VECTOR_EXIT, 0);
	expect_fault("load in ring 1", ring_run(1, user_reads_unaligned, TEST_AREA, 0), VECTOR_EXIT, 0);
}

void check_two_level_paging(void)
{
	map_kernel();
	paging_on((uint32_t)directory);
	check_two_level_faults();
	set_test_entry(WRITABLE | PRESENT);
	load_from(TEST_AREA);
	expect("bits after a load", test_table[0] & (ACCESSED | DIRTY), ACCESSED);
	expect("bits of the directory", directory[TEST_AREA >> 22] & (ACCESSED | DIRTY), ACCESSED);
	store_to(TEST_AREA + 8);
	expect("bits after a store", test_table[0] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	expect("what it stored", *(uint32_t *)(page + 8), 0x12345678);
	paging_off();
}

/* With CR4.PSE clear, bit 7 of a directory entry means nothing. */
void check_pse(void)
{
	if (!cpu_has(1, 3, 3)) {
		skip("no PSE");
		return;
	}
	map_kernel();
	set_cr4(CR4_PSE_BIT);
	paging_on((uint32_t)directory);
	directory[TEST_AREA >> 22] = 0 | LARGE | WRITABLE | PRESENT;
	flush(TEST_AREA);
	expect("word through a 4 MiB page", *(volatile uint32_t *)(TEST_AREA + MIB), *(volatile uint32_t *)MIB);
	expect("bits after a load", directory[TEST_AREA >> 22] & (ACCESSED | DIRTY), ACCESSED);
	store_to(TEST_AREA + (uint32_t)page);
	expect("bits after a store", directory[TEST_AREA >> 22] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	expect("what it stored", *(uint32_t *)page, 0x12345678);
	directory[TEST_AREA >> 22] &= ~WRITABLE;
	flush(TEST_AREA);
	expect_page_fault("store, read-only", catch(store_to, TEST_AREA + (uint32_t)page), FAULT_PRESENT | FAULT_WRITE,
			  TEST_AREA + (uint32_t)page);
	paging_off();
}

static void map_kernel_pae(void)
{
	memset(pae_directories, 0, sizeof pae_directories);
	memset(pae_table, 0, sizeof pae_table);
	pae_pointers[0] = (uint32_t)pae_directories[0] | PRESENT;
	pae_pointers[1] = (uint32_t)pae_directories[1] | PRESENT;
	pae_pointers[2] = pae_pointers[3] = 0;
	for (unsigned i = 0; i < 8; i++)
		pae_directories[0][i] = i * 2 * MIB | LARGE | USER | WRITABLE | PRESENT;
	pae_directories[1][0] = (uint32_t)pae_table | USER | WRITABLE | PRESENT;
}

static void check_pae_nx(void)
{
	const uint64_t nx = 1ull << 63;

	if (!cpu_has_nx())
		return;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	page[0] = 0xc3;
	pae_table[0] = (uint32_t)page | PRESENT;
	flush(TEST_AREA);
	expect_none("call", catch(call_to, TEST_AREA));
	pae_table[0] |= nx;
	flush(TEST_AREA);
	expect_page_fault("call with NX", catch(call_to, TEST_AREA), FAULT_PRESENT | FAULT_FETCH, TEST_AREA);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
}

void check_pae(void)
{
	if (!cpu_has(1, 3, 6)) {
		skip("no PAE");
		return;
	}
	map_kernel_pae();
	set_cr4(CR4_PAE_BIT);
	paging_on((uint32_t)pae_pointers);
	expect_page_fault("load, not present", catch(load_from, TEST_AREA), 0, TEST_AREA);
	expect_page_fault("load, no directory", catch(load_from, 0xc0000000), 0, 0xc0000000);
	pae_table[0] = (uint32_t)page | WRITABLE | PRESENT;
	flush(TEST_AREA);
	store_to(TEST_AREA + 12);
	expect("what it stored", *(uint32_t *)(page + 12), 0x12345678);
	expect("bits", pae_table[0] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	expect("bits of the 2 MiB page", pae_directories[0][0] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
	expect_page_fault("user load, supervisor page", ring_run(3, user_reads_unaligned, TEST_AREA, 0),
			  FAULT_PRESENT | FAULT_USER, TEST_AREA);
	pae_table[0] = 0;
	flush(TEST_AREA);
	check_pae_nx();
	paging_off();
}

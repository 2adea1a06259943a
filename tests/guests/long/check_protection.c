/* What keeps the kernel from the user's pages, and the user from the kernel's registers.
   Intel SDM vol. 3A, 4.6 "Access Rights"; 2.5 "Control Registers". */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "memory.h"
#include "paging.h"
#include "user.h"

#define CR4_TSD (1ul << 2)
#define CR4_UMIP (1ul << 11)
#define CR4_SMEP (1ul << 20)
#define CR4_SMAP (1ul << 21)

#define OPCODE_RET 0xc3

static void load_from(void *address)
{
	*(volatile uint64_t *)address;
}

static void store_to(void *address)
{
	*(volatile uint64_t *)address = 1;
}

static void call_to(void *address)
{
	((void (*)(void))address)();
}

static void load_with_stac(void *address)
{
	__asm__ volatile("stac; movq (%0), %%rax; clac" : : "r"(address) : "rax", "memory");
}

void check_smep(void)
{
	uint8_t *page = page_alloc();

	page[0] = OPCODE_RET;
	page_map(PLAYGROUND, page, PAGE_USER);
	expect_fault("call of a user page", catch(call_to, (void *)PLAYGROUND), VECTOR_NONE, 0);
	if (!cpu_has(7, 1, 7)) {
		skip("no SMEP");
	} else {
		write_cr4(read_cr4() | CR4_SMEP);
		expect_fault("call with SMEP", catch(call_to, (void *)PLAYGROUND), VECTOR_PF,
			     FAULT_PRESENT | FAULT_FETCH);
		expect_fault("load with SMEP", catch(load_from, (void *)PLAYGROUND), VECTOR_NONE, 0);
		page_map(PLAYGROUND, page, 0);
		expect_fault("call of a kernel page", catch(call_to, (void *)PLAYGROUND), VECTOR_NONE, 0);
		write_cr4(read_cr4() & ~CR4_SMEP);
	}
	page_unmap(PLAYGROUND);
	pages_free(page, 1);
}

static void check_smap_on(void)
{
	void *at = (void *)PLAYGROUND;

	expect_fault("load", catch(load_from, at), VECTOR_PF, FAULT_PRESENT);
	expect_fault("store", catch(store_to, at), VECTOR_PF, FAULT_PRESENT | FAULT_WRITE);
	expect_fault("load after STAC", catch(load_with_stac, at), VECTOR_NONE, 0);
	expect_fault("load after CLAC", catch(load_from, at), VECTOR_PF, FAULT_PRESENT);
	write_flags(read_flags() | RFLAGS_AC);
	expect_fault("load with AC by POPF", catch(load_from, at), VECTOR_NONE, 0);
	write_flags(read_flags() & ~RFLAGS_AC);
	*page_entry(PLAYGROUND) &= ~PAGE_USER;
	invlpg(at);
	expect_fault("load of a kernel page", catch(load_from, at), VECTOR_NONE, 0);
}

static void run_stac(void *argument)
{
	(void)argument;
	__asm__ volatile("stac; clac");
}

void check_smap(void)
{
	void *page = page_alloc();

	if (!cpu_has(7, 1, 20)) {
		expect_fault("STAC", catch(run_stac, 0), VECTOR_UD, 0);
		skip("no SMAP");
		pages_free(page, 1);
		return;
	}
	page_map(PLAYGROUND, page, PAGE_USER | PAGE_WRITABLE);
	expect_fault("load without SMAP", catch(load_from, (void *)PLAYGROUND), VECTOR_NONE, 0);
	write_cr4(read_cr4() | CR4_SMAP);
	check_smap_on();
	write_cr4(read_cr4() & ~CR4_SMAP);
	page_unmap(PLAYGROUND);
	pages_free(page, 1);
}

static void check_table_reads(uint64_t vector)
{
	expect_fault("SGDT", user_run(PROGRAM(user_sgdt), 0), vector, 0);
	expect_fault("SIDT", user_run(PROGRAM(user_sidt), 0), vector, 0);
	expect_fault("SLDT", user_run(PROGRAM(user_sldt), 0), vector, 0);
	expect_fault("STR", user_run(PROGRAM(user_str), 0), vector, 0);
	expect_fault("SMSW", user_run(PROGRAM(user_smsw), 0), vector, 0);
}

void check_umip(void)
{
	check_table_reads(VECTOR_SYSCALL);
	if (!cpu_has(7, 2, 2)) {
		skip("no UMIP");
		return;
	}
	write_cr4(read_cr4() | CR4_UMIP);
	check_table_reads(VECTOR_GP);
	write_cr4(read_cr4() & ~CR4_UMIP);
}

void check_tsd(void)
{
	expect_fault("RDTSC", user_run(PROGRAM(user_rdtsc), 0), VECTOR_SYSCALL, 0);
	write_cr4(read_cr4() | CR4_TSD);
	expect_fault("RDTSC with TSD", user_run(PROGRAM(user_rdtsc), 0), VECTOR_GP, 0);
	rdtsc();
	write_cr4(read_cr4() & ~CR4_TSD);
}

/* CR0.WP is for the kernel only; an entry of a higher level can forbid, too. */
void check_write_protect_user(void)
{
	void *page = page_alloc();

	page_map(PLAYGROUND, page, PAGE_USER);
	write_cr0(read_cr0() & ~CR0_WP);
	expect_fault("user store, read-only", user_run(PROGRAM(user_stores), PLAYGROUND), VECTOR_PF,
		     FAULT_PRESENT | FAULT_WRITE | FAULT_USER);
	expect_fault("kernel store, read-only", catch(store_to, (void *)PLAYGROUND), VECTOR_NONE, 0);
	write_cr0(read_cr0() | CR0_WP);
	page_map(PLAYGROUND, page, PAGE_USER | PAGE_WRITABLE);
	expect_fault("user store", user_run(PROGRAM(user_stores), PLAYGROUND), VECTOR_SYSCALL, 0);
	*page_table_entry(PLAYGROUND, 1) &= ~PAGE_WRITABLE;
	invlpg((void *)PLAYGROUND);
	expect_fault("store, read-only directory", catch(store_to, (void *)PLAYGROUND), VECTOR_PF,
		     FAULT_PRESENT | FAULT_WRITE);
	*page_table_entry(PLAYGROUND, 1) |= PAGE_WRITABLE;
	*page_table_entry(PLAYGROUND, 1) &= ~PAGE_USER;
	invlpg((void *)PLAYGROUND);
	expect_fault("user store, kernel directory", user_run(PROGRAM(user_stores), PLAYGROUND), VECTOR_PF,
		     FAULT_PRESENT | FAULT_WRITE | FAULT_USER);
	*page_table_entry(PLAYGROUND, 1) |= PAGE_USER;
	invlpg((void *)PLAYGROUND);
	page_unmap(PLAYGROUND);
	pages_free(page, 1);
}

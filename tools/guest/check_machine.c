/* What the machine says about itself: boot loader, memory, CPUID, ACPI. */
#include "acpi.h"
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "memory.h"

static uint32_t boot_magic, boot_flags;

void multiboot_received(uint32_t magic, const struct multiboot_info *info)
{
	boot_magic = magic;
	boot_flags = info->flags;
}

void check_multiboot(void)
{
	expect("eax at entry", boot_magic, MULTIBOOT_BOOT_MAGIC);
	expect_true("memory sizes are given", boot_flags & MULTIBOOT_INFO_MEMORY);
}

static bool overlaps(const struct memory_region *a, const struct memory_region *b)
{
	return a->base < b->base + b->length && b->base < a->base + a->length;
}

void check_memory_map(void)
{
	uint64_t memory = 0;

	for (unsigned i = 0; i < memory_map.count; i++) {
		const struct memory_region *region = &memory_map.regions[i];

		if (region->type == MULTIBOOT_MEMORY_AVAILABLE)
			memory += region->length;
		for (unsigned j = 0; j < i; j++)
			expect_true("regions are disjoint", !overlaps(region, &memory_map.regions[j]));
	}
	expect_true("there are 16 MiB at least", memory >= 16ul << 20);
	note("%u regions, %lu MiB", memory_map.count, memory >> 20);
}

#define PAGES 512

/* Every page gets words that only it has; half are freed and taken again. */
void check_pages(void)
{
	static uint64_t *pages[PAGES];
	unsigned before = pages_available();

	for (unsigned i = 0; i < PAGES; i++) {
		pages[i] = page_alloc();
		pages[i][0] = i;
		pages[i][511] = ~(uint64_t)i;
	}
	expect("pages left", pages_available(), before - PAGES);
	for (unsigned i = 0; i < PAGES; i += 2)
		pages_free(pages[i], 1);
	for (unsigned i = 0; i < PAGES; i += 2) {
		pages[i] = page_alloc();
		pages[i][0] = i;
		pages[i][511] = ~(uint64_t)i;
	}
	for (unsigned i = 0; i < PAGES; i++) {
		expect("first word of a page", pages[i][0], i);
		expect("last word of a page", pages[i][511], ~(uint64_t)i);
		expect("offset in page", (uint64_t)pages[i] % PAGE_SIZE, 0);
		pages_free(pages[i], 1);
	}
	expect("pages left at the end", pages_available(), before);
	note("%u free", before);
}

/* The processor's own name for itself, leaves 80000002h to 80000004h. */
static void read_brand(char brand[49])
{
	uint32_t regs[4];

	memset(brand, 0, 49);
	cpuid(0x80000000, 0, regs);
	if (regs[0] < 0x80000004)
		return;
	for (unsigned i = 0; i < 3; i++) {
		cpuid(0x80000002 + i, 0, regs);
		memcpy(brand + 16 * i, regs, 16);
	}
}

/* Bits of CPUID.1:EDX that every 64-bit processor has: FPU, TSC, MSR, PAE, CX8, CMOV, FXSR,
   SSE, SSE2. */
#define BASELINE (1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 15 | 1 << 24 | 1 << 25 | 1 << 26)

void check_cpuid(void)
{
	uint32_t regs[4], leaves;
	char vendor[13] = "", brand[49];

	cpuid(0, 0, regs);
	leaves = regs[0];
	memcpy(vendor, &regs[1], 4);
	memcpy(vendor + 4, &regs[3], 4);
	memcpy(vendor + 8, &regs[2], 4);
	expect_true("leaf 1 exists", leaves >= 1);
	cpuid(1, 0, regs);
	expect("baseline features", regs[3] & BASELINE, BASELINE);
	expect_true("SYSCALL is there", cpu_has(0x80000001, 3, 11));
	read_brand(brand);
	note("%s, leaves to %x, signature %x, %s", vendor, leaves, regs[0], brand);
}

void check_acpi(void)
{
	if (!acpi.found) {
		skip("no RSDP");
		return;
	}
	expect_true("the FADT names a PM1a control block", acpi.pm1a_control);
	expect_true("the DSDT has _S5", acpi.has_s5);
	expect_true("the MADT lists a processor", acpi.cpus);
	note("revision %u, %s, %u cpus", acpi.revision, acpi.tables, acpi.cpus);
}

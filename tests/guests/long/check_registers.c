/* Control registers, MSRs, segment bases, XSAVE, and CMPXCHG16B. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"

#define CR0_PE (1ul << 0)
#define CR0_NW (1ul << 29)
#define CR0_CD (1ul << 30)
#define CR0_PG (1ul << 31)
#define CR4_PAE (1ul << 5)
#define CR4_OSXSAVE (1ul << 18)
#define EFER_LME (1ul << 8)

static void write_cr0_from(void *value)
{
	write_cr0((uint64_t)value);
}

static void write_cr3_from(void *value)
{
	write_cr3((uint64_t)value);
}

static void write_cr4_from(void *value)
{
	write_cr4((uint64_t)value);
}

static void write_efer(void *value)
{
	wrmsr(MSR_EFER, (uint64_t)value);
}

void check_control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER);

	expect("ET is always set", cr0 & 0x10, 0x10);
	expect("PE and PG", cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
	if (under_tcg()) {
		skip("TCG accepts any value");
		return;
	}
	expect_fault("PG without PE", catch(write_cr0_from, (void *)(cr0 & ~CR0_PE)), VECTOR_GP, 0);
	expect_fault("NW without CD", catch(write_cr0_from, (void *)((cr0 & ~CR0_CD) | CR0_NW)), VECTOR_GP, 0);
	expect_fault("CR0 of more than 32 bits", catch(write_cr0_from, (void *)(cr0 | 1ul << 32)), VECTOR_GP, 0);
	expect_fault("CR4 without PAE", catch(write_cr4_from, (void *)(cr4 & ~CR4_PAE)), VECTOR_GP, 0);
	expect_fault("reserved bit of CR4", catch(write_cr4_from, (void *)(cr4 | 1ul << 31)), VECTOR_GP, 0);
	expect_fault("reserved bit of CR3", catch(write_cr3_from, (void *)(read_cr3() | 1ul << 62)), VECTOR_GP, 0);
	expect_fault("EFER without LME", catch(write_efer, (void *)(efer & ~EFER_LME)), VECTOR_GP, 0);
	expect_fault("reserved bit of EFER", catch(write_efer, (void *)(efer | 1ul << 40)), VECTOR_GP, 0);
	expect("CR0 afterwards", read_cr0(), cr0);
	expect("CR4 afterwards", read_cr4(), cr4);
	expect("EFER afterwards", rdmsr(MSR_EFER), efer);
}

static void expect_msr(const char *what, uint32_t msr, uint64_t value)
{
	uint64_t before = rdmsr(msr);

	wrmsr(msr, value);
	expect(what, rdmsr(msr), value);
	wrmsr(msr, before);
}

#define MSR_TSC 0x10
#define MSR_SYSENTER_ESP 0x175
#define MSR_PAT 0x277
#define MSR_TSC_AUX 0xc0000103

void check_msrs(void)
{
	expect_msr("FS base", MSR_FS_BASE, 0x123456789abc);
	expect_msr("GS base", MSR_GS_BASE, 0xffff800000000000);
	expect_msr("kernel GS base", MSR_KERNEL_GS_BASE, 0x7fffffffffff);
	expect_msr("LSTAR", MSR_LSTAR, 0xffffffff81000000);
	expect_msr("STAR", MSR_STAR, 0x0023001000000000);
	expect_msr("SYSENTER_ESP", MSR_SYSENTER_ESP, 0xffff888000001000);
	if (cpu_has(1, 3, 16))
		expect_msr("PAT", MSR_PAT, 0x0007010600070106);
	if (cpu_has(0x80000001, 3, 27)) {
		uint32_t aux;

		wrmsr(MSR_TSC_AUX, 0x1234);
		__asm__ volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
		expect("RDTSCP's ECX", aux, 0x1234);
	}
}

/* SWAPGS exchanges the bases; loading a selector in 64-bit mode loads a base of 32 bits. */
void check_segment_bases(void)
{
	static uint64_t words[2] = { 11, 22 };
	uint64_t kernel_base = rdmsr(MSR_KERNEL_GS_BASE), value;

	wrmsr(MSR_GS_BASE, (uint64_t)&words[0]);
	wrmsr(MSR_KERNEL_GS_BASE, (uint64_t)&words[1]);
	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	expect("through GS", value, 11);
	__asm__ volatile("swapgs; movq %%gs:0, %0; swapgs" : "=r"(value));
	expect("through GS after SWAPGS", value, 22);
	wrmsr(MSR_FS_BASE, (uint64_t)&words[1]);
	__asm__ volatile("movq %%fs:-8, %0" : "=r"(value));
	expect("through FS with a displacement", value, 11);
	__asm__ volatile("movl $0x10, %%eax; movl %%eax, %%fs; xorl %%eax, %%eax; movl %%eax, %%fs" : : : "eax");
	expect("FS base after a load of FS", rdmsr(MSR_FS_BASE), 0);
	wrmsr(MSR_GS_BASE, 0);
	wrmsr(MSR_KERNEL_GS_BASE, kernel_base);
}

static void run_xgetbv(void *argument)
{
	(void)argument;
	__asm__ volatile("xgetbv" : : "c"(0) : "eax", "edx");
}

static void run_xsetbv(void *value)
{
	__asm__ volatile("xsetbv" : : "a"((uint32_t)(uint64_t)value), "c"(0), "d"(0));
}

static bool osxsave_shown(void)
{
	return cpu_has(1, 2, 27);
}

static void check_xsave_area(void)
{
	static uint8_t area[1024] __attribute__((aligned(64)));
	uint64_t xmm3;

	memset(area, 0, sizeof area);
	__asm__ volatile("movq %0, %%xmm3; xsave64 %1" : : "r"(0x1234567890abcdef), "m"(area), "a"(3), "d"(0) : "memory");
	expect("XSTATE_BV", *(uint64_t *)&area[512] & 2, 2);
	expect("XMM3 in the area", *(uint64_t *)&area[160 + 3 * 16], 0x1234567890abcdef);
	__asm__ volatile("pxor %%xmm3, %%xmm3; xrstor64 %1; movq %%xmm3, %0"
			 : "=r"(xmm3)
			 : "m"(area), "a"(3), "d"(0));
	expect("XMM3 restored", xmm3, 0x1234567890abcdef);
	*(uint64_t *)&area[512] = 0;
	__asm__ volatile("xrstor64 %1; movq %%xmm3, %0" : "=r"(xmm3) : "m"(area), "a"(3), "d"(0));
	expect("XMM3 in its initial state", xmm3, 0);
}

void check_xsave(void)
{
	if (!cpu_has(1, 2, 26)) {
		expect_fault("XGETBV", catch(run_xgetbv, 0), VECTOR_UD, 0);
		skip("no XSAVE");
		return;
	}
	expect_fault("XGETBV without OSXSAVE", catch(run_xgetbv, 0), VECTOR_UD, 0);
	expect_true("CPUID does not show OSXSAVE", !osxsave_shown());
	write_cr4(read_cr4() | CR4_OSXSAVE);
	expect_true("CPUID shows OSXSAVE", osxsave_shown());
	expect_fault("XCR0 of 3", catch(run_xsetbv, (void *)3), VECTOR_NONE, 0);
	expect_fault("XCR0 without x87", catch(run_xsetbv, (void *)2), VECTOR_GP, 0);
	expect_fault("XCR0 with AVX and no SSE", catch(run_xsetbv, (void *)5), VECTOR_GP, 0);
	check_xsave_area();
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

static void exchange(void *address)
{
	uint64_t low = 1, high = 2;

	__asm__ volatile("lock cmpxchg16b (%2)"
			 : "+a"(low), "+d"(high)
			 : "r"(address), "b"(3ul), "c"(4ul)
			 : "memory", "cc");
}

void check_cmpxchg16b(void)
{
	static uint64_t words[4] __attribute__((aligned(16))) = { 1, 2 };

	if (!cpu_has(1, 2, 13)) {
		skip("no CMPXCHG16B");
		return;
	}
	expect_fault("equal", catch(exchange, words), VECTOR_NONE, 0);
	expect("low word", words[0], 3);
	expect("high word", words[1], 4);
	expect_fault("different", catch(exchange, words), VECTOR_NONE, 0);
	expect("low word kept", words[0], 3);
	expect_fault("unaligned", catch(exchange, &words[1]), VECTOR_GP, 0);
}

/* Loading segment registers, and what the descriptors then allow.
   Intel SDM vol. 3A, 5.2 to 5.7. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "machine.h"

#define SEGMENT(n) (SCRATCH + 8 * (n))
#define MEMORY (ACCESS_PRESENT | ACCESS_SEGMENT)

static uint8_t memory[64] __attribute__((aligned(64)));

static void load_ds(uint32_t selector)
{
	__asm__ volatile("movl %0, %%ds; movl %1, %%ds" : : "r"(selector), "r"(KERNEL_DATA));
}

static void load_ss(uint32_t selector)
{
	__asm__ volatile("movl %0, %%ss; movl %1, %%ss" : : "r"(selector), "r"(KERNEL_DATA));
}

static void load_fs(uint32_t selector)
{
	__asm__ volatile("movl %0, %%fs" : : "r"(selector));
}

static void load_through_fs(uint32_t offset)
{
	__asm__ volatile("movl %%fs:(%0), %%eax" : : "r"(offset) : "eax", "memory");
}

static void load_byte_through_fs(uint32_t offset)
{
	__asm__ volatile("movb %%fs:(%0), %%al" : : "r"(offset) : "eax", "memory");
}

static void store_through_fs(uint32_t offset)
{
	__asm__ volatile("movl $0x5a5a5a5a, %%fs:(%0)" : : "r"(offset) : "memory");
}

static void null_then_load(uint32_t argument)
{
	load_fs(0);
	load_through_fs(argument);
}

void check_segment_loads(void)
{
	expect_fault("null in DS", catch(load_ds, 0), VECTOR_NONE, 0);
	expect_fault("null with RPL 3 in DS", catch(load_ds, 3), VECTOR_NONE, 0);
	if (!under_tcg())
		expect_fault("using a null selector", catch(null_then_load, 0), VECTOR_GP, 0);
	expect_fault("null in SS", catch(load_ss, 0), VECTOR_GP, 0);
	expect_fault("beyond the table in DS", catch(load_ds, BEYOND_GDT | 2), VECTOR_GP, BEYOND_GDT);
	set_segment(SEGMENT(0), 0, 0xfffff, MEMORY | CODE_EXECUTE_ONLY, FLAG_PAGES | FLAG_32);
	expect_fault("execute-only code in DS", catch(load_ds, SEGMENT(0)), VECTOR_GP, SEGMENT(0));
	expect_fault("readable code in DS", catch(load_ds, KERNEL_CODE), VECTOR_NONE, 0);
	expect_fault("code in SS", catch(load_ss, KERNEL_CODE), VECTOR_GP, KERNEL_CODE);
	expect_fault("RPL 3 above DPL 0", catch(load_ds, KERNEL_DATA | 3), VECTOR_GP, KERNEL_DATA);
	expect_fault("RPL 3 in SS", catch(load_ss, KERNEL_DATA | 3), VECTOR_GP, KERNEL_DATA);
	expect_fault("DPL 3 in SS", catch(load_ss, USER_DATA), VECTOR_GP, USER_DATA & ~3);
	expect_fault("DPL 3 in DS", catch(load_ds, USER_DATA), VECTOR_NONE, 0);
	expect_fault("a TSS in DS", catch(load_ds, TSS_SELECTOR), VECTOR_GP, TSS_SELECTOR);
	set_segment(SEGMENT(1), 0, 0xfffff, ACCESS_SEGMENT | DATA_WRITABLE, FLAG_PAGES | FLAG_32);
	expect_fault("absent in DS", catch(load_ds, SEGMENT(1)), VECTOR_NP, SEGMENT(1));
	expect_fault("absent in SS", catch(load_ss, SEGMENT(1)), VECTOR_SS, SEGMENT(1));
	set_segment(SEGMENT(1), 0, 0xfffff, MEMORY | DATA_READ_ONLY, FLAG_PAGES | FLAG_32);
	expect_fault("read-only in SS", catch(load_ss, SEGMENT(1)), VECTOR_GP, SEGMENT(1));
	expect_fault("LDT selector without an LDT", catch(load_ds, 4), VECTOR_GP, 4);
}

void check_accessed_bit(void)
{
	set_segment(SEGMENT(2), 0, 0xfffff, MEMORY | DATA_WRITABLE, FLAG_PAGES | FLAG_32);
	expect("accessed, before", get_descriptor(SEGMENT(2)) >> 40 & ACCESS_ACCESSED, 0);
	load_fs(SEGMENT(2));
	expect("accessed, after", get_descriptor(SEGMENT(2)) >> 40 & ACCESS_ACCESSED, 1);
	set_descriptor(SEGMENT(2), 0);
	load_through_fs((uint32_t)memory); /* the processor's copy is what counts */
	load_fs(0);
}

static void limit_by_byte(void)
{
	set_segment(SEGMENT(3), (uint32_t)memory, 15, MEMORY | DATA_WRITABLE, FLAG_32);
	load_fs(SEGMENT(3));
	expect_fault("doubleword up to the limit", catch(load_through_fs, 12), VECTOR_NONE, 0);
	load_fs(SEGMENT(3));
	expect_fault("doubleword over the limit", catch(load_through_fs, 13), VECTOR_GP, 0);
	load_fs(SEGMENT(3));
	expect_fault("byte at the limit", catch(load_byte_through_fs, 15), VECTOR_NONE, 0);
	load_fs(SEGMENT(3));
	expect_fault("byte over the limit", catch(load_byte_through_fs, 16), VECTOR_GP, 0);
	load_fs(SEGMENT(3));
	expect_fault("store over the limit", catch(store_through_fs, 14), VECTOR_GP, 0);
	load_fs(SEGMENT(3));
	expect_fault("around the end of 4 GiB", catch(load_through_fs, 0xfffffffe), VECTOR_GP, 0);
}

static void limit_by_page(void)
{
	set_segment(SEGMENT(3), 0, 0x100, MEMORY | DATA_WRITABLE, FLAG_PAGES | FLAG_32);
	load_fs(SEGMENT(3));
	expect_fault("last doubleword of a page limit", catch(load_through_fs, 0x100ffc), VECTOR_NONE, 0);
	load_fs(SEGMENT(3));
	expect_fault("behind a page limit", catch(load_through_fs, 0x101000), VECTOR_GP, 0);
}

/* An expand-down segment holds what lies above its limit, to 64 KiB or 4 GiB by the B flag. */
static void expand_down(void)
{
	set_segment(SEGMENT(3), 0, 0xfff, MEMORY | DATA_EXPAND_DOWN, 0);
	load_fs(SEGMENT(3));
	expect_fault("at an expand-down limit", catch(load_through_fs, 0xfff), VECTOR_GP, 0);
	load_fs(SEGMENT(3));
	expect_fault("above an expand-down limit", catch(load_through_fs, 0x1000), VECTOR_NONE, 0);
	load_fs(SEGMENT(3));
	expect_fault("above 64 KiB without B", catch(load_through_fs, 0xfffe), VECTOR_GP, 0);
	set_segment(SEGMENT(3), 0, 0xfff, MEMORY | DATA_EXPAND_DOWN, FLAG_32);
	load_fs(SEGMENT(3));
	expect_fault("above 64 KiB with B", catch(load_through_fs, 0xfffe), VECTOR_NONE, 0);
}

void user_pushes(void);
void user_exits(void);

/* In ring 3, so that the fault finds a stack to be reported on. */
static void stack_limit(void)
{
	struct entry entry = {
		.eip = (uint32_t)user_pushes,
		.cs = USER_CODE,
		.eflags = 2,
		.esp = 64,
		.ss = SEGMENT(4) | 3,
		.es = USER_DATA,
		.ds = USER_DATA,
	};

	set_segment(SEGMENT(4), (uint32_t)memory, 63, MEMORY | ACCESS_RING(3) | DATA_WRITABLE, FLAG_32);
	expect_fault("push up to the limit", enter(&entry), VECTOR_EXIT, 0);
	entry.esp = 66;
	expect_fault("push over the limit", enter(&entry), VECTOR_SS, 0);
	entry.esp = 2;
	expect_fault("push below 0", enter(&entry), VECTOR_SS, 0);
	set_segment(SEGMENT(5), 0, (uint32_t)user_exits, MEMORY | ACCESS_RING(3) | CODE_READABLE, FLAG_32);
	entry.esp = 64;
	entry.cs = SEGMENT(5) | 3;
	entry.eip = (uint32_t)user_exits;
	expect_fault("code over its limit", enter(&entry), VECTOR_GP, 0);
}

void check_limits(void)
{
	if (under_tcg()) {
		skip("TCG checks no limits");
		return;
	}
	limit_by_byte();
	limit_by_page();
	expand_down();
	stack_limit();
	load_fs(0);
}

void check_segment_types(void)
{
	if (under_tcg()) {
		skip("TCG checks no segment types");
		return;
	}
	set_segment(SEGMENT(6), (uint32_t)memory, 63, MEMORY | DATA_READ_ONLY, FLAG_32);
	load_fs(SEGMENT(6));
	expect_fault("load, read-only", catch(load_through_fs, 0), VECTOR_NONE, 0);
	load_fs(SEGMENT(6));
	expect_fault("store, read-only", catch(store_through_fs, 0), VECTOR_GP, 0);
	set_segment(SEGMENT(6), (uint32_t)memory, 63, MEMORY | CODE_READABLE, FLAG_32);
	load_fs(SEGMENT(6));
	expect_fault("load, readable code", catch(load_through_fs, 0), VECTOR_NONE, 0);
	load_fs(SEGMENT(6));
	expect_fault("store, readable code", catch(store_through_fs, 0), VECTOR_GP, 0);
	load_fs(0);
}

#define QUERY(instruction, selector)                                                          \
	({                                                                                    \
		uint32_t value = 0xdeadbeef;                                                  \
		bool valid;                                                                   \
		__asm__ volatile(instruction : "+r"(value), "=@ccz"(valid) : "r"(selector)); \
		(uint64_t)valid << 32 | value;                                                \
	})
#define VERIFY(instruction, selector)                                                             \
	({                                                                                        \
		bool valid;                                                                       \
		__asm__ volatile(instruction " %w1" : "=@ccz"(valid) : "r"((uint32_t)selector)); \
		valid;                                                                            \
	})
#define VALID (1ull << 32)
/* LAR leaves bits 16 to 19, part of the limit, undefined. */
#define LAR_DEFINED (VALID | 0x00f0ff00)
#define INVALID 0xdeadbeefull

static void query_lar_lsl(void)
{
	set_segment(SEGMENT(7), 0, 0x12345, MEMORY | DATA_WRITABLE, FLAG_32);
	set_segment(SEGMENT(8), 0, 0x12345, MEMORY | CODE_EXECUTE_ONLY, FLAG_PAGES | FLAG_32);
	set_gate(SEGMENT(9), KERNEL_CODE, 0, ACCESS_PRESENT | SYSTEM_CALL_GATE, 0);
	set_gate(SEGMENT(10), KERNEL_CODE, 0, ACCESS_PRESENT | SYSTEM_INTERRUPT_GATE, 0);
	expect("LAR of data", QUERY("lar %2, %0", SEGMENT(7)) & LAR_DEFINED, VALID | 0x00409200);
	expect("LSL of data", QUERY("lsl %2, %0", SEGMENT(7)), VALID | 0x12345);
	expect("LAR of code", QUERY("lar %2, %0", SEGMENT(8)) & LAR_DEFINED, VALID | 0x00c09800);
	expect("LSL in pages", QUERY("lsl %2, %0", SEGMENT(8)), VALID | 0x12345fff);
	expect("LAR of a call gate", QUERY("lar %2, %0", SEGMENT(9)) & ~0xfffffull, VALID);
	expect("LSL of a call gate", QUERY("lsl %2, %0", SEGMENT(9)), INVALID);
	expect("LAR of an interrupt gate", QUERY("lar %2, %0", SEGMENT(10)), INVALID);
	expect("LAR of null", QUERY("lar %2, %0", 0), INVALID);
	expect("LAR beyond the table", QUERY("lar %2, %0", BEYOND_GDT), INVALID);
	expect("LAR with RPL 3", QUERY("lar %2, %0", SEGMENT(7) | 3), INVALID);
	expect("LSL of the TSS", QUERY("lsl %2, %0", TSS_SELECTOR), VALID | (sizeof tss - 1));
	expect("LAR of the TSS, busy", QUERY("lar %2, %0", TSS_SELECTOR) & LAR_DEFINED, VALID | 0x8b00);
}

static void query_verr_verw(void)
{
	expect("VERR of data", VERIFY("verr", SEGMENT(7)), 1);
	expect("VERW of data", VERIFY("verw", SEGMENT(7)), 1);
	expect("VERR of execute-only code", VERIFY("verr", SEGMENT(8)), 0);
	expect("VERW of code", VERIFY("verw", KERNEL_CODE), 0);
	expect("VERR of readable code", VERIFY("verr", KERNEL_CODE), 1);
	expect("VERR with RPL 3", VERIFY("verr", SEGMENT(7) | 3), 0);
	expect("VERR of the TSS", VERIFY("verr", TSS_SELECTOR), 0);
	expect("VERR of null", VERIFY("verr", 0), 0);
}

static void query_arpl(void)
{
	uint32_t selector = 0x48;
	bool adjusted;

	__asm__ volatile("arpl %w2, %w0" : "+r"(selector), "=@ccz"(adjusted) : "r"(3));
	expect("ARPL raises", selector, 0x4b);
	expect("ARPL says so", adjusted, 1);
	__asm__ volatile("arpl %w2, %w0" : "+r"(selector), "=@ccz"(adjusted) : "r"(1));
	expect("ARPL never lowers", selector, 0x4b);
	expect("ARPL says so", adjusted, 0);
}

static void query_registers(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) table;
	uint32_t selector = 0xffffffff;

	__asm__ volatile("sgdt %0" : "=m"(table));
	expect("SGDT limit", table.limit, BEYOND_GDT - 1);
	__asm__ volatile("str %w0" : "+r"(selector));
	expect("STR", selector & 0xffff, TSS_SELECTOR);
	__asm__ volatile("sldt %w0" : "+r"(selector));
	expect("SLDT", selector & 0xffff, 0);
	__asm__ volatile("smsw %w0" : "+r"(selector));
	expect("SMSW", selector & 1, 1);
}

void check_queries(void)
{
	query_lar_lsl();
	query_verr_verw();
	query_arpl();
	query_registers();
}

static void load_ldt(uint32_t selector)
{
	__asm__ volatile("lldt %w0" : : "r"(selector));
}

void check_local_table(void)
{
	static uint64_t table[4];
	uint32_t value = 0;

	table[2] = get_descriptor(KERNEL_DATA);
	set_segment(LDT_SELECTOR, (uint32_t)table, sizeof table - 1, ACCESS_PRESENT | SYSTEM_LDT, 0);
	expect_fault("LLDT", catch(load_ldt, LDT_SELECTOR), VECTOR_NONE, 0);
	expect_fault("selector in the LDT", catch(load_fs, 2 * 8 | 4), VECTOR_NONE, 0);
	memory[0] = 0x77;
	load_fs(2 * 8 | 4);
	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(memory));
	expect("byte through it", value & 0xff, 0x77);
	load_fs(0);
	expect_fault("empty entry of the LDT", catch(load_fs, 1 * 8 | 4), VECTOR_GP, 1 * 8 | 4);
	expect_fault("beyond the LDT", catch(load_fs, 4 * 8 | 4), VECTOR_GP, 4 * 8 | 4);
	expect_fault("LLDT of data", catch(load_ldt, KERNEL_DATA), VECTOR_GP, KERNEL_DATA);
	expect_fault("LLDT of an LDT's entry", catch(load_ldt, 2 * 8 | 4), VECTOR_GP, 2 * 8 | 4);
	set_segment(SEGMENT(11), (uint32_t)table, sizeof table - 1, SYSTEM_LDT, 0);
	expect_fault("LLDT of an absent one", catch(load_ldt, SEGMENT(11)), VECTOR_NP, SEGMENT(11));
	load_ldt(0);
}

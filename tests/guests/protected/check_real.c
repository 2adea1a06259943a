/* Real mode: what `real.S` found. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "machine.h"
#include "real.h"

static volatile uint32_t *const results = (volatile uint32_t *)REAL_RESULTS;

/* FFFF:0010 is the first word of the kernel, which is its multiboot header. */
#define FIRST_WORD (*(volatile uint32_t *)0x100000)

void check_real_mode(void)
{
	memcpy((void *)REAL_CODE, real_start, real_end - real_start);
	memset((void *)REAL_RESULTS, 0xee, 4 * R_COUNT);
	real_run();
	expect("a word over a segment base", results[R_SEGMENT_BASE], 0x12345678);
	expect("a word at 1 MiB", results[R_HIGH_MEMORY], FIRST_WORD);
	expect("any selector, and a store over FS", results[R_SEGMENT_LOAD], 0xcdefcdef);
	expect("far call with words", results[R_FAR_CALL16], 0x1616);
	expect("its depth", (uint16_t)results[R_FAR_CALL_DEPTH16], (uint16_t)-4);
	expect("far call with doublewords", results[R_FAR_CALL32], 0x3232);
	expect("its depth", (uint16_t)results[R_FAR_CALL_DEPTH32], (uint16_t)-10);
}

void check_real_interrupts(void)
{
	expect("flags that INT pushed", (uint16_t)results[R_INT_FLAGS], 0x0cd7);
	expect("flags after IRET", (uint16_t)results[R_IRET_FLAGS], 0x0cd7);
	expect("offset that INT pushed", (uint16_t)results[R_INT_RESULT], 6);
	expect("INT over a moved table", results[R_RELOCATED_IVT], 0x20202020);
}

static void expect_fault_at(const char *what, unsigned index, unsigned vector, const uint8_t *at)
{
	uint32_t ip = (uint32_t)(at - real_start) + REAL_CODE;

	expect(what, results[index], ip << 16 | vector);
}

void check_real_faults(void)
{
	expect_fault_at("DIV by 0", R_DE, VECTOR_DE, real_de);
	expect_fault_at("UD2", R_UD, VECTOR_UD, real_ud);
	expect_fault_at("INT3", R_BP, VECTOR_BP, real_bp_after);
	expect_fault_at("INTO", R_OF, VECTOR_OF, real_of_after);
	expect_fault_at("BOUND", R_BR, VECTOR_BR, real_br);
	expect_fault_at("LAR", R_PROTECTED_ONLY, VECTOR_UD, real_protected_only);
	expect("CR0.PE", results[R_MSW] & 1, 0);
}

void check_real_limits(void)
{
	expect("a limit from protected mode", results[R_UNREAL], NO_FAULT);
	if (under_tcg()) {
		skip("TCG checks no limits");
		return;
	}
	expect("word at FFFF", (uint16_t)results[R_WORD_AT_LIMIT], VECTOR_GP);
	expect("word at FFFF on the stack", (uint16_t)results[R_STACK_AT_LIMIT], VECTOR_SS);
	expect("byte at 10000", (uint16_t)results[R_BEYOND_LIMIT], VECTOR_GP);
}

void check_real_widths(void)
{
	expect("string across the segment's end", results[R_STRING_WRAP], 0x68676665);
	expect("esi after it", results[R_STRING_SI], 0xaaaa0004);
	expect("LOOP with CX", results[R_LOOP], 0x0003ffff);
	expect("PUSH SP", results[R_PUSH_SP], 0);
	expect("PUSHA", results[R_PUSHA], 0x77771111);
	expect("LES", results[R_LES], 0x00071234);
	expect("ENTER and LEAVE", results[R_ENTER], 0xb0b00000 | (uint16_t)-12);
}

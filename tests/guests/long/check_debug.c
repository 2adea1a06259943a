/* Debug registers; Intel SDM vol. 3B, 17.2 "Debug Registers", 17.3 "Debug Exceptions". */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "debugging.h"

#define CR4_DE (1ul << 3)

void break_here(void), store_bytes(uint8_t *), load_word(const uint8_t *), write_port(void);
void move_to_dr7(void), icebp(void *);
extern const uint8_t break_at[], break_next[], stored_1[], stored_2[], stored_4[], stored_8[];
extern const uint8_t loaded_word[], wrote_port[], move_to_dr7_at[], behind_icebp[];

/* An instruction breakpoint is a fault: it comes before, and RF lets the instruction pass. */
void check_breakpoints(void)
{
	debugging_begin();
	write_dr3((uint64_t)break_at);
	write_dr7(DR7_ALWAYS | DR7_ENTRY(3, DR7_KIND_EXECUTE, DR7_LENGTH_1));
	break_here();
	expect("breaks", debug_hit_count, 1);
	expect_hit("break", 0, break_at, DR6_B3);
	write_dr1((uint64_t)break_next);
	write_dr7(DR7_ALWAYS | DR7_ENTRY(3, DR7_KIND_EXECUTE, DR7_LENGTH_1) |
		  DR7_ENTRY(1, DR7_KIND_EXECUTE, DR7_LENGTH_1));
	break_here();
	expect("breaks", debug_hit_count, 3);
	expect_hit("first of two", 1, break_at, DR6_B3);
	expect_hit("second of two", 2, break_next, DR6_B1);
	write_dr3((uint64_t)break_at + 1);
	write_dr7(DR7_ALWAYS | DR7_ENTRY(3, DR7_KIND_EXECUTE, DR7_LENGTH_1));
	break_here();
	expect("breaks inside an instruction", debug_hit_count, 3);
	debugging_end();
}

static void watch(uint64_t address, unsigned kind, unsigned length)
{
	write_dr2(address);
	write_dr7(DR7_ALWAYS | DR7_ENTRY(2, kind, length));
	debug_hit_count = 0;
}

void check_watchpoints(void)
{
	static uint8_t bytes[16] __attribute__((aligned(16)));

	debugging_begin();
	watch((uint64_t)bytes + 1, DR7_KIND_WRITE, DR7_LENGTH_1);
	store_bytes(bytes);
	expect("writes of a byte", debug_hit_count, 1);
	expect_hit("byte", 0, stored_1, DR6_B2);
	watch((uint64_t)bytes + 2, DR7_KIND_WRITE, DR7_LENGTH_2);
	store_bytes(bytes);
	expect("writes of a word", debug_hit_count, 1);
	expect_hit("word", 0, stored_2, DR6_B2);
	watch((uint64_t)bytes + 7, DR7_KIND_WRITE, DR7_LENGTH_1);
	store_bytes(bytes);
	expect("writes over one byte", debug_hit_count, 1);
	expect_hit("doubleword", 0, stored_4, DR6_B2);
	watch((uint64_t)bytes + 8, DR7_KIND_ACCESS, DR7_LENGTH_8);
	store_bytes(bytes);
	load_word(bytes + 14);
	load_word(bytes + 6);
	expect("accesses to a quadword", debug_hit_count, 2);
	expect_hit("quadword", 0, stored_8, DR6_B2);
	expect_hit("load of its last word", 1, loaded_word, DR6_B2);
	watch((uint64_t)bytes, DR7_KIND_WRITE, DR7_LENGTH_8);
	load_word(bytes);
	expect("loads where writes are watched", debug_hit_count, 0);
	debugging_end();
}

void check_io_breakpoint(void)
{
	debugging_begin();
	write_cr4(read_cr4() | CR4_DE);
	watch(0x80, DR7_KIND_IO, DR7_LENGTH_1);
	write_port();
	write_cr4(read_cr4() & ~CR4_DE);
	debugging_end();
	expect("port accesses", debug_hit_count, 1);
	expect_hit("port", 0, wrote_port, DR6_B2);
}

/* With DR7.GD any move of a debug register faults; the exception clears GD. */
void check_general_detect(void)
{
	debugging_begin();
	write_dr7(DR7_ALWAYS | DR7_GD);
	__asm__ volatile("" : : : "memory");
	move_to_dr7();
	debugging_end();
	expect_true("it came", debug_hit_count >= 1);
	expect("DR6", debug_hits[0].dr6, DR6_BD);
	expect("GD afterwards", read_dr7() & DR7_GD, 0);
}

static void read_dr4(void *argument)
{
	uint64_t value;

	(void)argument;
	__asm__ volatile("mov %%db4, %0" : "=r"(value));
}

static void write_dr6_from(void *value)
{
	write_dr6((uint64_t)value);
}

void check_debug_aliases(void)
{
	uint64_t dr5;

	write_cr4(read_cr4() | CR4_DE);
	expect_fault("DR4 with CR4.DE", catch(read_dr4, 0), VECTOR_UD, 0);
	write_cr4(read_cr4() & ~CR4_DE);
	expect_fault("DR4 without", catch(read_dr4, 0), VECTOR_NONE, 0);
	__asm__ volatile("mov %%db5, %0" : "=r"(dr5));
	expect("DR5", dr5, read_dr7());
}

/* The cause bits stay until software clears them; the reserved bits are fixed. */
void check_dr6(void)
{
	write_dr6(0);
	expect("DR6 of 0", read_dr6() & ~0x10800ul, 0xfffe07f0);
	write_dr6(0xf);
	expect("DR6 of 15", read_dr6() & ~0x10800ul, 0xfffe07ff);
	expect_fault("DR6 of more than 32 bits", catch(write_dr6_from, (void *)(1ul << 32)), VECTOR_GP, 0);
	write_dr6(0);
}

void check_icebp(void)
{
	debugging_begin();
	icebp(0);
	debugging_end();
	expect("debug exceptions", debug_hit_count, 1);
	expect_hit("ICEBP", 0, behind_icebp, 0);
}

/* Instructions that 64-bit mode no longer has. */
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "machine.h"

#define FLAG_CF 0x01
#define FLAG_PF 0x04
#define FLAG_AF 0x10
#define FLAG_ZF 0x40
#define FLAG_SF 0x80

/* Runs `code` on AX over all AL and both values of CF and AF, and folds AX and the defined flags
   into one number. The wanted numbers come from the operations in Intel SDM vol. 2. */
#define DECIMAL(code, defined)                                                                           \
	({                                                                                               \
		static const uint8_t high_bytes[] = { 0x00, 0x12, 0xff };                                \
		uint32_t sum = 0;                                                                        \
		for (unsigned h = 0; h < 3; h++)                                                         \
			for (unsigned i = 0; i < 1024; i++) {                                            \
				uint32_t ax = high_bytes[h] << 8 | i >> 2;                               \
				uint32_t flags = 2 | (i & 1) | (i & 2) << 3;                             \
				__asm__ volatile("pushl %1; popfl; " code "; pushfl; popl %1"            \
						 : "+a"(ax), "+r"(flags)                                 \
						 :                                                       \
						 : "cc");                                                \
				sum = sum * 31 + ((ax & 0xffff) | (flags & (defined)) << 16);            \
			}                                                                                \
		sum;                                                                                     \
	})

void check_decimal(void)
{
	const uint32_t adjusted = FLAG_CF | FLAG_AF;
	const uint32_t of_result = FLAG_SF | FLAG_ZF | FLAG_PF;

	expect("DAA", DECIMAL("daa", adjusted | of_result), 0xdddcd280);
	expect("DAS", DECIMAL("das", adjusted | of_result), 0x55e06d80);
	expect("AAA", DECIMAL("aaa", adjusted), 0x87e4b800);
	expect("AAS", DECIMAL("aas", adjusted), 0x417e8800);
	expect("AAM", DECIMAL("aam", of_result), 0x993c3700);
	expect("AAD", DECIMAL("aad", of_result), 0xeccba000);
}

static void check_pusha(void)
{
	uint32_t stacked[8], depth;

	__asm__ volatile("pushl %%ebp; movl %%esp, %%edx; movl $0xb, %%ebp; movl $1, %%eax; movl $3, %%ebx; "
			 "pushal; movl $5, %%eax; movl $6, %%ebx; movl %%esp, %%esi; movl $8, %%ecx; "
			 "cld; rep movsl; "
			 "movl %%esp, %%ecx; popal; subl %%ecx, %%edx; popl %%ebp"
			 : "=&d"(depth)
			 : "D"(stacked)
			 : "eax", "ebx", "ecx", "esi", "memory", "cc");
	expect("ebp", stacked[2], 0xb);
	expect("ebx", stacked[4], 3);
	expect("eax", stacked[7], 1);
}

static void check_les(void)
{
	struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) far = { 0x12345678, KERNEL_DATA };
	uint32_t offset, selector;

	__asm__ volatile("movl %%es, %%ecx; lesl %2, %0; movl %%es, %1; movl %%ecx, %%es"
			 : "=&r"(offset), "=&r"(selector)
			 : "m"(far)
			 : "ecx");
	expect("LES offset", offset, 0x12345678);
	expect("LES selector", selector, KERNEL_DATA);
	__asm__ volatile("lfsl %2, %0; movl %%fs, %1" : "=&r"(offset), "=&r"(selector) : "m"(far));
	expect("LFS selector", selector, KERNEL_DATA);
}

static void check_xlat_salc(void)
{
	static const uint8_t table[256] = { [0x42] = 0x99 };
	uint32_t al = 0x42;

	__asm__ volatile("xlatb" : "+a"(al) : "b"(table));
	expect("XLAT", al & 0xff, 0x99);
	__asm__ volatile("stc; .byte 0xd6" : "=a"(al) : : "cc");
	expect("SALC", al & 0xff, 0xff);
}

static void check_short_forms(void)
{
	uint32_t value = 41, selector;

	__asm__ volatile(".byte 0x40" : "+a"(value) : : "cc");
	expect("INC by opcode 40", value, 42);
	__asm__ volatile(".byte 0x48, 0x48" : "+a"(value) : : "cc");
	expect("DEC by opcode 48", value, 40);
	__asm__ volatile("pushl %%ds; popl %0; pushl %%ds; popl %%es" : "=r"(selector));
	expect("PUSH DS", selector & 0xffff, KERNEL_DATA);
	__asm__ volatile("pushl %%cs; popl %0" : "=r"(selector));
	expect("PUSH CS", selector & 0xffff, KERNEL_CODE);
	__asm__ volatile(".byte 0x82, 0xc0, 0x05" : "+a"(value) : : "cc"); /* add $5, %al */
	expect("ADD by opcode 82", value, 45);
}

void check_legacy_instructions(void)
{
	check_pusha();
	check_les();
	check_xlat_salc();
	check_short_forms();
}

static void run_into(uint32_t overflow)
{
	__asm__ volatile("addl $0x7fffffff, %0; into" : "+r"(overflow) : : "cc");
}

static void run_bound(uint32_t index)
{
	static const int32_t bounds[2] = { -5, 10 };

	__asm__ volatile("boundl %0, %1" : : "r"(index), "m"(bounds));
}

static void run_aam_0(uint32_t argument)
{
	__asm__ volatile(".byte 0xd4, 0x00" : "+a"(argument) : : "cc");
}

static void run_lock_on_register(uint32_t argument)
{
	__asm__ volatile(".byte 0xf0; addl %%ecx, %%eax" : "+a"(argument) : : "cc");
}

static void run_les_of_register(uint32_t argument)
{
	__asm__ volatile(".byte 0xc5, 0xff" : : "a"(argument)); /* VEX in 64-bit mode, LDS here: bad */
}

static void run_syscall(uint32_t argument)
{
	(void)argument;
	__asm__ volatile("syscall" : : : "ecx");
}

void check_legacy_faults(void)
{
	expect_fault("INTO without overflow", catch(run_into, 0), VECTOR_NONE, 0);
	expect_fault("INTO", catch(run_into, 1), VECTOR_OF, 0);
	expect_fault("BOUND within", catch(run_bound, -5), VECTOR_NONE, 0);
	expect_fault("BOUND at the upper bound", catch(run_bound, 10), VECTOR_NONE, 0);
	expect_fault("BOUND below", catch(run_bound, -6), VECTOR_BR, 0);
	expect_fault("BOUND above", catch(run_bound, 11), VECTOR_BR, 0);
	expect_fault("AAM by 0", catch(run_aam_0, 7), VECTOR_DE, 0);
	expect_fault("LOCK on a register", catch(run_lock_on_register, 0), VECTOR_UD, 0);
	expect_fault("VEX prefix without AVX enabled", catch(run_les_of_register, 0), VECTOR_UD, 0);
	expect_fault("SYSCALL without EFER.SCE", catch(run_syscall, 0), VECTOR_UD, 0);
}

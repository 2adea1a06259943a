/* Floating point to the last bit: SSE2 in C, x87 and packed integers in assembly. This is the
   one file that is compiled with SSE; the rest of the kernel, handlers above all, keeps to the
   general registers. */
#include "bytes.h"
#include "check.h"
#include "checks.h"

static uint64_t double_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static uint32_t float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static double square_root(double value)
{
	double root;

	__asm__("sqrtsd %1, %0" : "=x"(root) : "x"(value));
	return root;
}

/* A chaotic sequence: one wrong bit anywhere changes every bit of the end. */
static double logistic(void)
{
	double x = 0.3;

	for (unsigned i = 0; i < 10000; i++)
		x = 3.99 * x * (1.0 - x);
	return x;
}

static double harmonic(unsigned count)
{
	double sum = 0;

	for (unsigned i = 1; i <= count; i++)
		sum += 1.0 / i;
	return sum;
}

static float harmonic_single(unsigned count)
{
	float sum = 0;

	for (unsigned i = 1; i <= count; i++)
		sum += 1.0f / (float)(int)i;
	return sum;
}

static double sum_of_roots(unsigned count)
{
	double sum = 0;

	for (unsigned i = 1; i <= count; i++)
		sum += square_root(i);
	return sum;
}

/* Intel SDM vol. 1, 10.2.3 "MXCSR Control and Status Register". */
#define MXCSR_DEFAULT 0x1f80
#define MXCSR_UP 0x4000
#define MXCSR_PE 0x20
#define MXCSR_ZE 0x04
#define MXCSR_IE 0x01

static void set_mxcsr(uint32_t value)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(value));
}

static uint32_t get_mxcsr(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

static double divide(double dividend, double divisor)
{
	__asm__ volatile("divsd %1, %0" : "+x"(dividend) : "x"(divisor));
	return dividend;
}

static int64_t round_to_integer(double value)
{
	int64_t integer;

	__asm__ volatile("cvtsd2si %1, %0" : "=r"(integer) : "x"(value));
	return integer;
}

static void check_mxcsr(void)
{
	set_mxcsr(MXCSR_DEFAULT);
	expect("1/3", double_bits(divide(1, 3)), 0x3fd5555555555555);
	expect("flags of 1/3", get_mxcsr(), MXCSR_DEFAULT | MXCSR_PE);
	set_mxcsr(MXCSR_DEFAULT);
	expect("1/0", double_bits(divide(1, 0)), 0x7ff0000000000000);
	expect("flags of 1/0", get_mxcsr(), MXCSR_DEFAULT | MXCSR_ZE);
	set_mxcsr(MXCSR_DEFAULT);
	expect("0/0", double_bits(divide(0, 0)), 0xfff8000000000000);
	expect("flags of 0/0", get_mxcsr(), MXCSR_DEFAULT | MXCSR_IE);
	set_mxcsr(MXCSR_DEFAULT);
	expect("2.5 to nearest", round_to_integer(2.5), 2);
	expect("too large", round_to_integer(1e300), 0x8000000000000000);
	set_mxcsr(MXCSR_DEFAULT | MXCSR_UP);
	expect("1/3 upwards", double_bits(divide(1, 3)), 0x3fd5555555555556);
	expect("2.5 upwards", round_to_integer(2.5), 3);
	set_mxcsr(MXCSR_DEFAULT);
	expect("a denormal number", double_bits(divide(0x1p-1022, 4)), 0x0004000000000000);
}

void check_sse(void)
{
	check_mxcsr();
	expect("logistic map", double_bits(logistic()), 0x3fe38c86ceacff21);
	expect("harmonic number 10000", double_bits(harmonic(10000)), 0x40239341192de2a6);
	expect("harmonic number 1000, single", float_bits(harmonic_single(1000)), 0x40ef890a);
	expect("roots of 1 to 2000", double_bits(sum_of_roots(2000)), 0x40ed2054428fdcaf);
}

static const uint64_t left[2] __attribute__((aligned(16))) = { 0x00ff10f07f80807f, 0x7fff800012345678 };
static const uint64_t right[2] __attribute__((aligned(16))) = { 0x0101f00f80017fff, 0x0001ffff11111111 };

#define EXPECT_PACKED(instruction, high, low)                                                    \
	do {                                                                                     \
		uint64_t result[2] __attribute__((aligned(16)));                                 \
		__asm__ volatile("movdqa %1, %%xmm1; " instruction " %2, %%xmm1; movdqa %%xmm1, %0" \
				 : "=m"(result)                                                  \
				 : "m"(left), "m"(right)                                         \
				 : "xmm1");                                                      \
		expect(instruction " low", result[0], low);                                      \
		expect(instruction " high", result[1], high);                                    \
	} while (0)

/* Intel SDM vol. 2, the operation of each instruction, worked out apart from any processor. */
void check_sse_integer(void)
{
	EXPECT_PACKED("paddd", 0x80017fff23456789, 0x020100ffff82007e);
	EXPECT_PACKED("psubw", 0x7ffe800101234567, 0xfffe20e1ff7f0080);
	EXPECT_PACKED("paddsw", 0x7fff800023456789, 0x020000ffff81007e);
	EXPECT_PACKED("psubusb", 0x7ffe000001234567, 0x00fe00e1007f0100);
	EXPECT_PACKED("pmullw", 0x7fff8000a974b5f8, 0xfffffe107f80ff81);
	EXPECT_PACKED("pmulhw", 0x00000000013605c3, 0x0000fef1c040c03f);
	EXPECT_PACKED("pmulhuw", 0x00007fff013605c3, 0x00000fe13fc0403e);
	EXPECT_PACKED("pmaddwd", 0x0000ffff06fa5f6c, 0xfef2fe0f80807f01);
	EXPECT_PACKED("pmuludq", 0x0136b06e652fb5f8, 0x3fc0ff7fc13dff81);
	EXPECT_PACKED("pcmpgtw", 0xffff0000ffffffff, 0x0000ffffffff0000);
	EXPECT_PACKED("pavgb", 0x4080c08012233445, 0x01808080804180bf);
	EXPECT_PACKED("psadbw", 0x00000000000003cb, 0x00000000000003c1);
	EXPECT_PACKED("packuswb", 0x0100ffffff0000ff, 0xff00ffffffffff00);
	EXPECT_PACKED("packssdw", 0x7fff7fff7fff8000, 0x7fff7fff7fff7fff);
	EXPECT_PACKED("punpcklbw", 0x010001fff0100ff0, 0x807f01807f80ff7f);
	EXPECT_PACKED("pandn", 0x00007fff01010101, 0x0100e00f80017f80);
}

/* Intel SDM vol. 1, figure 4-2 "Floating-Point Data Types": double extended. */
struct extended {
	uint64_t significand;
	uint16_t sign_exponent;
} __attribute__((packed));

static void expect_extended(const char *what, struct extended got, uint16_t sign_exponent, uint64_t significand)
{
	expect(what, got.significand, significand);
	expect(what, got.sign_exponent, sign_exponent);
}

#define X87(code)                                                       \
	({                                                              \
		struct extended value;                                  \
		__asm__ volatile(code "; fstpt %0" : "=m"(value) : : "st"); \
		value;                                                  \
	})

static struct extended extended_harmonic(unsigned count)
{
	struct extended sum;

	__asm__ volatile("fldz");
	for (unsigned i = 1; i <= count; i++)
		__asm__ volatile("fld1; fidivl %0; faddp" : : "m"(i));
	__asm__ volatile("fstpt %0" : "=m"(sum));
	return sum;
}

static int32_t round_x87(uint16_t control, double value)
{
	int32_t integer;

	__asm__ volatile("fldcw %1; fldl %2; fistpl %0; fninit" : "=m"(integer) : "m"(control), "m"(value));
	return integer;
}

/* Intel SDM vol. 1, 8.1.5 "x87 FPU Control Word": rounding in bits 10 and 11. */
static void check_x87_rounding(void)
{
	expect("2.5 to nearest", round_x87(0x037f, 2.5), 2);
	expect("-2.5 downwards", (uint32_t)round_x87(0x077f, -2.5), (uint32_t)-3);
	expect("2.5 upwards", round_x87(0x0b7f, 2.5), 3);
	expect("-2.5 to zero", (uint32_t)round_x87(0x0f7f, -2.5), (uint32_t)-2);
}

static void check_x87_decimal(void)
{
	static const int64_t number = -123456789012345678;
	uint8_t decimal[10];
	int64_t back;
	uint64_t digits;

	__asm__ volatile("fildll %1; fbstp %0" : "=m"(decimal) : "m"(number));
	memcpy(&digits, decimal, 8);
	expect("decimal digits", digits, 0x3456789012345678);
	expect("the leading digits", decimal[8], 0x12);
	expect("the sign", decimal[9], 0x80);
	__asm__ volatile("fbld %1; fistpll %0" : "=m"(back) : "m"(decimal));
	expect("and back", back, number);
}

static void check_x87_remainder(void)
{
	static const int32_t ten = 10, three = 3;
	int32_t rest;
	uint16_t status;

	__asm__ volatile("fildl %3; fildl %2; fprem; fnstsw %1; fistpl %0; fstp %%st(0)"
			 : "=m"(rest), "=a"(status)
			 : "m"(ten), "m"(three));
	expect("10 mod 3", rest, 1);
	expect("quotient bits", status & 0x4700, 0x4200);
}

void check_x87(void)
{
	__asm__ volatile("fninit");
	expect_extended("1/3", X87("fld1; fld1; fld1; fadd %%st(1), %%st; fadd %%st(1), %%st; fdivrp"), 0x3ffd,
			0xaaaaaaaaaaaaaaab);
	expect_extended("root of 2", X87("fld1; fadd %%st, %%st; fsqrt"), 0x3fff, 0xb504f333f9de6484);
	expect_extended("pi", X87("fldpi"), 0x4000, 0xc90fdaa22168c235);
	expect_extended("-pi", X87("fldpi; fchs"), 0xc000, 0xc90fdaa22168c235);
	expect_extended("1/0", X87("fld1; fldz; fdivrp"), 0x7fff, 0x8000000000000000);
	expect_extended("pi times 32", X87("fld1; fadd %%st, %%st; fadd %%st(0), %%st; fld1; faddp; fldpi; fscale; "
					  "fstp %%st(1)"),
			0x4005, 0xc90fdaa22168c235);
	expect_extended("harmonic number 1000", extended_harmonic(1000), 0x4001, 0xef88fa2fa730cec4);
	check_x87_rounding();
	check_x87_decimal();
	check_x87_remainder();
}

/* FXSAVE's layout: Intel SDM vol. 1, table 10-2 "Format of an FXSAVE Area". */
#define FXSAVE_TAGS 4
#define FXSAVE_ST0 32
#define FXSAVE_XMM0 160

void check_fpu_state(void)
{
	static uint8_t saved[512] __attribute__((aligned(16))), again[512] __attribute__((aligned(16)));
	uint64_t xmm0, xmm15;

	__asm__ volatile("fninit; fldpi; movq %0, %%xmm0; movq %1, %%xmm15"
			 :
			 : "r"(0x1111111111111111), "r"(0xffffffffffffffff)
			 : "xmm0", "xmm15");
	__asm__ volatile("fxsave64 %0; fninit; pxor %%xmm0, %%xmm0; pxor %%xmm15, %%xmm15" : "=m"(saved));
	__asm__ volatile("fxrstor64 %2; movq %%xmm0, %0; movq %%xmm15, %1; fxsave64 %3; fninit"
			 : "=r"(xmm0), "=r"(xmm15)
			 : "m"(saved), "m"(again));
	expect("xmm0", xmm0, 0x1111111111111111);
	expect("xmm15", xmm15, 0xffffffffffffffff);
	expect("tags", saved[FXSAVE_TAGS], 0x80);
	expect("st(0)", *(uint64_t *)&saved[FXSAVE_ST0], 0xc90fdaa22168c235);
	expect("saved twice, compared", memcmp(saved, again, FXSAVE_XMM0 + 256), 0);
}

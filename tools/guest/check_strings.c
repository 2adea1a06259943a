/* String instructions: their results, and that interrupts in the middle do no harm. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "memory.h"
#include "pit.h"

static void check_moves(void)
{
	uint8_t bytes[16], *to = bytes + 1;
	const uint8_t *from = bytes;
	uint64_t count = 15;

	memset(bytes, 0xee, sizeof bytes);
	bytes[0] = 7;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	expect("byte carried along", bytes[15], 7);
	expect("rdi", (uint64_t)to, (uint64_t)(bytes + 16));
	expect("rsi", (uint64_t)from, (uint64_t)(bytes + 15));
	expect("rcx", count, 0);
	for (unsigned i = 0; i < 16; i++)
		bytes[i] = i;
	memmove(bytes + 4, bytes, 12);
	for (unsigned i = 4; i < 16; i++)
		expect("byte moved downwards", bytes[i], i - 4);
}

static void check_widths(void)
{
	uint64_t words[4] = { 0, 0, 0, 0 }, count = 2;
	void *to = words;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x0123456789abcdef) : "memory");
	count = 1;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x0123456789abcdef) : "memory");
	__asm__ volatile("stosw" : "+D"(to) : "a"(0x1111) : "memory");
	expect("two quadwords", words[1], 0x0123456789abcdef);
	expect("a doubleword and a word", words[2], 0x0000111189abcdef);
	expect("nothing behind", words[3], 0);
	count = 0;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0xff) : "memory");
	expect("nothing for a count of 0", words[2] >> 48, 0);
}

static void check_compares(void)
{
	const char *left = "the quick brown fox", *right = "the quick green fox";
	uint64_t count = 20;
	bool below;

	__asm__ volatile("repe cmpsb" : "+S"(left), "+D"(right), "+c"(count), "=@ccb"(below) : : "memory");
	expect("bytes after the difference", count, 9);
	expect_true("b is below g", below);
	right -= 11;
	count = 20;
	__asm__ volatile("repne scasb" : "+D"(right), "+c"(count) : "a"('q') : "memory", "cc");
	expect("bytes after q", count, 15);
}

void check_strings(void)
{
	check_moves();
	check_widths();
	check_compares();
}

#define BUFFER_PAGES 64
#define BUFFER_SIZE (BUFFER_PAGES * PAGE_SIZE)
#define FAST_TICK_HZ 10000
#define ATTEMPTS 4096

/* In provoke.S: the instruction is at the second of each pair. */
void string_copy(void *to, const void *from, uint64_t count);
void string_fill(void *to, int byte, uint64_t count);
uint64_t string_find(const void *in, int byte, uint64_t count);
uint64_t string_compare(const void *left, const void *right, uint64_t count);
extern const uint8_t string_copy_at[], string_fill_at[], string_find_at[], string_compare_at[];

static const uint8_t *watched;
static volatile unsigned hits;

static struct interrupt_frame *on_tick(struct interrupt_frame *frame)
{
	if (frame->rip == (uint64_t)watched && frame->rcx && frame->rcx < BUFFER_SIZE)
		hits++;
	return frame;
}

static unsigned check_interrupted_fill(uint8_t *buffer)
{
	unsigned attempts = 0;

	watched = string_fill_at;
	for (hits = 0; !hits && attempts < ATTEMPTS; attempts++)
		string_fill(buffer, attempts, BUFFER_SIZE);
	for (unsigned i = 0; i < BUFFER_SIZE; i += 61)
		expect("a byte filled", buffer[i], (attempts - 1) & 0xff);
	return hits;
}

static unsigned check_interrupted_copy(uint8_t *to, uint8_t *from)
{
	for (uint64_t i = 0; i < BUFFER_SIZE / 8; i++)
		((uint64_t *)from)[i] = i * 0x9e3779b97f4a7c15;
	memset(to, 0, BUFFER_SIZE);
	watched = string_copy_at;
	hits = 0;
	for (unsigned i = 0; !hits && i < ATTEMPTS; i++)
		string_copy(to, from, BUFFER_SIZE);
	for (uint64_t i = 0; i < BUFFER_SIZE / 8; i++)
		expect("words copied", ((uint64_t *)to)[i], i * 0x9e3779b97f4a7c15);
	return hits;
}

static unsigned check_interrupted_compare(uint8_t *left, const uint8_t *right)
{
	left[BUFFER_SIZE - 5] ^= 1;
	watched = string_compare_at;
	hits = 0;
	for (unsigned i = 0; !hits && i < ATTEMPTS; i++)
		expect("bytes after the difference", string_compare(left, right, BUFFER_SIZE), 4);
	return hits;
}

static unsigned check_interrupted_find(uint8_t *buffer)
{
	memset(buffer, 'a', BUFFER_SIZE);
	buffer[BUFFER_SIZE - 8] = 'b';
	watched = string_find_at;
	hits = 0;
	for (unsigned i = 0; !hits && i < ATTEMPTS; i++)
		expect("bytes after b", string_find(buffer, 'b', BUFFER_SIZE), 7);
	return hits;
}

void check_interrupted_strings(void)
{
	uint8_t *left = pages_alloc(BUFFER_PAGES, 1), *right = pages_alloc(BUFFER_PAGES, 1);

	pit_hook(on_tick);
	pit_set_rate(FAST_TICK_HZ);
	expect_true("STOS was interrupted", check_interrupted_fill(left));
	expect_true("MOVS was interrupted", check_interrupted_copy(left, right));
	expect_true("CMPS was interrupted", check_interrupted_compare(left, right));
	expect_true("SCAS was interrupted", check_interrupted_find(left));
	pit_set_rate(TICK_HZ);
	pit_hook(0);
	pages_free(left, BUFFER_PAGES);
	pages_free(right, BUFFER_PAGES);
}

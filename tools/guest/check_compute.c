/* Plain computing, with results known beforehand: CRC-32, SHA-256, primes, sorting. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "memory.h"
#include "sha256.h"

#define DATA_PAGES 256
#define DATA_SIZE (DATA_PAGES * PAGE_SIZE)
#define SHA_SIZE (DATA_SIZE / 8)

/* Marsaglia, "Xorshift RNGs": the triple 13, 7, 17. */
static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(uint64_t *words, unsigned count)
{
	uint64_t state = 0x9e3779b97f4a7c15;

	for (unsigned i = 0; i < count; i++)
		words[i] = xorshift(&state);
}

/* The reflected polynomial of ITU-T V.42, 8.1.1.6.2 "32-bit frame check sequence". */
static uint32_t crc32(const uint8_t *bytes, unsigned count)
{
	uint32_t table[256], crc = ~0u;

	for (unsigned i = 0; i < 256; i++) {
		table[i] = i;
		for (unsigned bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
	}
	while (count--)
		crc = crc >> 8 ^ table[(crc ^ *bytes++) & 0xff];
	return ~crc;
}

static void expect_digest(const char *what, const void *bytes, unsigned count, const uint8_t wanted[32])
{
	uint8_t digest[32];

	sha256(bytes, count, digest);
	expect(what, memcmp(digest, wanted, 32), 0);
}

void check_checksums(void)
{
	static const uint8_t abc[32] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	static const uint8_t data[32] = {
		0xcb, 0x55, 0x9b, 0x0b, 0x09, 0x68, 0x14, 0x62, 0x46, 0x17, 0xf4, 0xb2, 0x28, 0x8e, 0x76, 0x6d,
		0x64, 0xbf, 0x4f, 0xed, 0x9c, 0x09, 0xdb, 0x29, 0x36, 0x8d, 0x5f, 0x8d, 0xe3, 0xea, 0x1a, 0x42,
	};
	void *bytes = pages_alloc(DATA_PAGES, 1);

	fill(bytes, DATA_SIZE / 8);
	expect("CRC-32 of 1 MiB", crc32(bytes, DATA_SIZE), 0x665310df);
	expect_digest("SHA-256 of abc, compared", "abc", 3, abc);
	expect_digest("SHA-256 of 128 KiB, compared", bytes, SHA_SIZE, data);
	pages_free(bytes, DATA_PAGES);
}

#define SIEVE 400000

void check_primes(void)
{
	unsigned pages = (SIEVE + PAGE_SIZE - 1) / PAGE_SIZE;
	uint8_t *composite = pages_alloc(pages, 1);
	uint64_t count = 0, sum = 0;

	memset(composite, 0, SIEVE);
	for (unsigned i = 2; i < SIEVE; i++) {
		if (composite[i])
			continue;
		count++;
		sum += i;
		for (uint64_t j = (uint64_t)i * i; j < SIEVE; j += i)
			composite[j] = 1;
	}
	expect("how many", count, 33860);
	expect("their sum", sum, 6458901531);
	note("%lu below %u", count, SIEVE);
	pages_free(composite, pages);
}

#define SORTED 32768

/* Hoare's partition around the middle; the smaller part first keeps the recursion shallow. */
static void quicksort(uint64_t *words, int64_t low, int64_t high)
{
	while (low < high) {
		uint64_t pivot = words[low + (high - low) / 2];
		int64_t i = low - 1, j = high + 1;

		for (;;) {
			uint64_t word;

			while (words[++i] < pivot)
				;
			while (words[--j] > pivot)
				;
			if (i >= j)
				break;
			word = words[i];
			words[i] = words[j];
			words[j] = word;
		}
		if (j - low < high - j) {
			quicksort(words, low, j);
			low = j + 1;
		} else {
			quicksort(words, j + 1, high);
			high = j;
		}
	}
}

void check_sort(void)
{
	unsigned pages = SORTED * 8 / PAGE_SIZE;
	uint64_t *words = pages_alloc(pages, 1), before = 0, after = 0;

	fill(words, SORTED);
	for (unsigned i = 0; i < SORTED; i++)
		before += words[i];
	quicksort(words, 0, SORTED - 1);
	for (unsigned i = 0; i < SORTED; i++) {
		after += words[i];
		expect_true("ascending", i == 0 || words[i - 1] <= words[i]);
	}
	expect("sum of the words", after, before);
	pages_free(words, pages);
}

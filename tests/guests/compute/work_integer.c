/* The benchmark's integer works. */
#include "sha256.h"
#include "works.h"

/* Marsaglia, "Xorshift RNGs": the triple 13, 7, 17. */
static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define WORDS 65536

static uint64_t words[WORDS];

static void fill(uint64_t seed)
{
	for (unsigned i = 0; i < WORDS; i++)
		words[i] = xorshift(&seed);
}

uint64_t hash(void)
{
	uint8_t digest[32];
	uint64_t sum = 0;

	fill(1);
	for (unsigned round = 0; round < 120; round++) {
		words[0] ^= sum;
		sha256(words, 65536, digest);
		for (unsigned i = 0; i < 8; i++)
			sum = sum << 8 ^ sum >> 56 ^ digest[i];
	}
	return sum;
}

/* Hoare's partition around the middle; the smaller part first keeps the recursion shallow. */
static void quicksort(int64_t low, int64_t high)
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
			quicksort(low, j);
			low = j + 1;
		} else {
			quicksort(j + 1, high);
			high = j;
		}
	}
}

uint64_t sort(void)
{
	uint64_t sum = 0;

	for (unsigned round = 1; round <= 48; round++) {
		fill(round);
		quicksort(0, WORDS - 1);
		for (unsigned i = 0; i < WORDS; i += 97)
			sum = sum * 31 + words[i];
	}
	return sum;
}

/* Takeuchi's function. */
__attribute__((noinline)) static uint64_t tak(uint64_t x, uint64_t y, uint64_t z)
{
	return y < x ? tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)) : z;
}

uint64_t calls(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 560; i++)
		sum = sum * 31 + tak(18, 12, 6) + i;
	return sum;
}

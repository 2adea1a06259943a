// Vectors of sixteen bytes, written with the intrinsics of SSE2 so that every compiler makes the same of it: y += a x in
// single precision, and sums of absolute differences with saturation.
//
// Usage: vector ROUNDS

#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLOATS = 4096, BYTES = 16384 };

static _Alignas(16) float x[FLOATS], y[FLOATS];
static _Alignas(16) uint8_t first[BYTES], second[BYTES];

static void add_scaled(float factor) {
    const __m128 a = _mm_set1_ps(factor), half = _mm_set1_ps(0.5f);
    for (int i = 0; i < FLOATS; i += 8)
        for (int j = i; j < i + 8; j += 4) {
            __m128 sum = _mm_add_ps(_mm_mul_ps(_mm_load_ps(y + j), half), _mm_mul_ps(a, _mm_load_ps(x + j)));
            _mm_store_ps(y + j, _mm_max_ps(sum, _mm_load_ps(x + j)));
        }
}

static uint64_t differences(void) {
    __m128i sum = _mm_setzero_si128();
    const __m128i one = _mm_set1_epi8(1);
    for (int i = 0; i < BYTES; i += 16) {
        __m128i a = _mm_load_si128((const __m128i *)(first + i)), b = _mm_load_si128((const __m128i *)(second + i));
        sum = _mm_add_epi64(sum, _mm_sad_epu8(a, b));
        _mm_store_si128((__m128i *)(first + i), _mm_adds_epu8(_mm_avg_epu8(a, b), one));
    }
    uint64_t parts[2];
    _mm_storeu_si128((__m128i *)parts, sum);
    return parts[0] + parts[1];
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 1;
    uint64_t total = 0;
    for (int i = 0; i < FLOATS; i++)
        x[i] = (float)(i % 97) / 97.0f;
    for (int i = 0; i < BYTES; i++)
        second[i] = (uint8_t)(i * 131 >> 3);
    for (long round = 0; round < rounds; round++) {
        add_scaled((float)(round % 7) * 0.25f);
        total += differences();
        second[round % BYTES] ^= (uint8_t)round;
    }
    double sum = 0;
    for (int i = 0; i < FLOATS; i++)
        sum += y[i];
    printf("vector %llu %a\n", (unsigned long long)total, sum);
    return 0;
}

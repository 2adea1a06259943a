/* What the benchmark's guest computes: each some hundred million instructions, with one right result. */
#ifndef WORKS_H
#define WORKS_H

#include <stdint.h>

/* SHA-256 of the same 64 KiB again and again: straight-line integer code. */
uint64_t hash(void);
/* Quicksort of pseudo-random words: loads, stores, and branches that nobody can predict. */
uint64_t sort(void);
/* A recursion that does little but call and return. */
uint64_t calls(void);
/* Particles under gravity in double precision: SSE2. */
uint64_t floating(void);

#endif

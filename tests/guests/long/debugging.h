/* A handler that notes every debug exception and goes on. */
#ifndef DEBUGGING_H
#define DEBUGGING_H

#include <stdint.h>

#define DR6_B0 0x0001
#define DR6_B1 0x0002
#define DR6_B2 0x0004
#define DR6_B3 0x0008
#define DR6_BD 0x2000
#define DR6_BS 0x4000
#define DR6_CAUSES 0xe00f

/* DR7 for one register: kind 0 execute, 1 write, 2 I/O, 3 read or write. */
#define DR7_KIND_EXECUTE 0
#define DR7_KIND_WRITE 1
#define DR7_KIND_IO 2
#define DR7_KIND_ACCESS 3
#define DR7_LENGTH_1 0
#define DR7_LENGTH_2 1
#define DR7_LENGTH_8 2
#define DR7_LENGTH_4 3
#define DR7_ALWAYS 0x400
#define DR7_GD 0x2000
#define DR7_ENTRY(index, kind, length) \
	(1ul << (2 * (index)) | (uint64_t)(kind) << (16 + 4 * (index)) | (uint64_t)(length) << (18 + 4 * (index)))

struct debug_hit {
	uint64_t rip, cs, dr6, rflags;
};

#define DEBUG_MAX_HITS 32

extern struct debug_hit debug_hits[DEBUG_MAX_HITS];
extern unsigned debug_hit_count;

/* Clears the notes and DR6 and handles #DB from now on. */
void debugging_begin(void);
/* Switches all breakpoints off and gives #DB back. */
void debugging_end(void);
void expect_hit(const char *what, unsigned index, const void *rip, uint64_t dr6);

#endif

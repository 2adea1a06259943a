#include "debugging.h"

#include "check.h"
#include "cpu.h"
#include "interrupts.h"

struct debug_hit debug_hits[DEBUG_MAX_HITS];
unsigned debug_hit_count;

static struct interrupt_frame *on_debug(struct interrupt_frame *frame)
{
	if (debug_hit_count < DEBUG_MAX_HITS)
		debug_hits[debug_hit_count] = (struct debug_hit){
			.rip = frame->rip,
			.cs = frame->cs,
			.dr6 = read_dr6() & DR6_CAUSES,
			.rflags = frame->rflags,
		};
	debug_hit_count++;
	write_dr6(0);
	frame->rflags |= RFLAGS_RF;
	return frame;
}

void debugging_begin(void)
{
	debug_hit_count = 0;
	write_dr6(0);
	interrupts_handle(VECTOR_DB, on_debug);
}

void debugging_end(void)
{
	write_dr7(DR7_ALWAYS);
	interrupts_handle(VECTOR_DB, 0);
}

void expect_hit(const char *what, unsigned index, const void *rip, uint64_t dr6)
{
	expect(what, debug_hits[index].rip, (uint64_t)rip);
	expect(what, debug_hits[index].dr6, dr6);
}

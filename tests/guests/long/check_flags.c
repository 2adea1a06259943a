/* Interrupt shadows, single-stepping, the resume flag.
   Intel SDM vol. 3A, 6.8 "Enabling and Disabling Interrupts"; vol. 3B, 17.3 "Debug Exceptions". */
#include "apic.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "debugging.h"
#include "descriptors.h"
#include "paging.h"

void open_with_sti(void), open_and_close(void), step_over_mov_ss(void), watch_mov_ss(const uint16_t *);
void step_through(void *bytes), step_from_iret(void), undefined(void *), breakpoint(void *);
extern const uint8_t behind_sti_shadow[], behind_mov_ss_shadow[], behind_watched_mov_ss[], step_over_end[];
extern const uint8_t stepped_1[], stepped_int[], stepped_rep[], stepped_end[], stepped_after_iret[];

#define LOCAL_ICR ((volatile uint32_t *)0xfee00300)
#define SELF 0x40000
#define VECTOR_SELF 0x55

static uint64_t interrupted_rip;
static unsigned interrupts;

static struct interrupt_frame *on_interrupt(struct interrupt_frame *frame)
{
	interrupted_rip = frame->rip;
	interrupts++;
	apic_end();
	return frame;
}

static void send_to_self(void)
{
	*LOCAL_ICR = SELF | VECTOR_SELF;
	for (unsigned i = 0; i < 1000; i++)
		pause();
}

void check_sti_shadow(void)
{
	interrupts = 0;
	interrupts_handle(VECTOR_SELF, on_interrupt);
	send_to_self();
	open_and_close();
	expect("interrupts between STI and CLI", interrupts, 0);
	open_with_sti();
	expect("interrupts", interrupts, 1);
	expect("where", interrupted_rip, (uint64_t)behind_sti_shadow);
	interrupts_handle(VECTOR_SELF, 0);
}

void check_mov_ss_shadow(void)
{
	static const uint16_t selector __attribute__((aligned(2))) = KERNEL_DATA;

	debugging_begin();
	step_over_mov_ss();
	expect("traps", debug_hit_count, 4);
	expect_hit("first trap", 0, behind_mov_ss_shadow, DR6_BS);
	expect_hit("last trap", 3, step_over_end, DR6_BS);
	debug_hit_count = 0;
	write_dr0((uint64_t)&selector);
	write_dr7(DR7_ALWAYS | DR7_ENTRY(0, DR7_KIND_ACCESS, DR7_LENGTH_2));
	watch_mov_ss(&selector);
	debugging_end();
	if (under_tcg())
		return;
	expect("traps of the watched load", debug_hit_count, 1);
	expect_hit("where", 0, behind_watched_mov_ss, DR6_B0);
}

static struct interrupt_frame *on_int51(struct interrupt_frame *frame)
{
	expect("TF in the frame", frame->rflags & RFLAGS_TF, RFLAGS_TF);
	expect("TF in the handler", read_flags() & RFLAGS_TF, 0);
	return frame;
}

/* Three iterations of STOSB are three traps, the first two at the instruction itself. */
void check_trap_flag(void)
{
	uint8_t bytes[3];

	interrupts_handle(0x51, on_int51);
	debugging_begin();
	step_through(bytes);
	if (!under_tcg()) {
		expect("traps", debug_hit_count, 8);
		expect_hit("the end", 7, stepped_end, DR6_BS);
	}
	expect_hit("after POPF and one more", 0, stepped_1, DR6_BS);
	expect_hit("after INT and one more", 1, stepped_rep, DR6_BS);
	expect_hit("first iteration", 2, stepped_rep, DR6_BS);
	expect_hit("second iteration", 3, stepped_rep, DR6_BS);
	debug_hit_count = 0;
	step_from_iret();
	expect_hit("after IRET and one more", 0, stepped_after_iret, DR6_BS);
	debugging_end();
	interrupts_handle(0x51, 0);
}

/* Faults push RF set, so that the instruction's breakpoint does not come twice; traps do not. */
void check_resume_flag(void)
{
	if (under_tcg()) {
		skip("TCG does not push RF");
		return;
	}
	expect("RF of a fault", catch(undefined, 0).rflags & RFLAGS_RF, RFLAGS_RF);
	expect("RF of a trap", catch(breakpoint, 0).rflags & RFLAGS_RF, 0);
}

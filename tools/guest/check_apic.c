/* The local APIC's timer and messages, the I/O APIC, and the other processors. */
#include "acpi.h"
#include "apic.h"
#include "check.h"
#include "checks.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupts.h"
#include "pic.h"
#include "pit.h"
#include "smp.h"

#define PATIENCE_TICKS 100

static volatile unsigned interrupts;

static struct interrupt_frame *on_apic_timer(struct interrupt_frame *frame)
{
	interrupts++;
	apic_end();
	return frame;
}

static void wait_for(unsigned wanted)
{
	uint64_t flags = interrupts_off();

	for (uint64_t end = pit_ticks() + PATIENCE_TICKS; interrupts < wanted && pit_ticks() < end;)
		wait_for_interrupt();
	write_flags(flags);
}

static bool have_apic(void)
{
	if (cpu_has(1, 3, 9))
		return true;
	skip("no local APIC");
	return false;
}

/* Timer counts in one tick of the PIT. */
static uint32_t calibrate(void)
{
	uint32_t start;

	pit_sleep(0);
	start = apic_timer_count();
	pit_sleep(0);
	return start - apic_timer_count();
}

void check_apic_timer(void)
{
	uint32_t per_tick;

	if (!have_apic())
		return;
	interrupts = 0;
	interrupts_handle(VECTOR_APIC_TIMER, on_apic_timer);
	apic_timer_start(APIC_TIMER_ONE_SHOT, 0xffffffff);
	per_tick = calibrate();
	expect("interrupts before the end of the count", interrupts, 0);
	apic_timer_start(APIC_TIMER_ONE_SHOT, per_tick / 10);
	wait_for(1);
	pit_sleep(1);
	expect("interrupts of one shot", interrupts, 1);
	expect("count after it", apic_timer_count(), 0);
	apic_timer_start(APIC_TIMER_PERIODIC, per_tick / 2);
	wait_for(9);
	apic_timer_stop();
	expect_true("periodic interrupts came", interrupts >= 9);
	note("%u kHz", per_tick * TICK_HZ / 1000 * 16);
}

void check_tsc_deadline(void)
{
	uint64_t deadline;

	if (!cpu_has(1, 2, 24)) {
		skip("not in this CPU");
		return;
	}
	interrupts = 0;
	interrupts_handle(VECTOR_APIC_TIMER, on_apic_timer);
	apic_timer_start(APIC_TIMER_DEADLINE, 0);
	deadline = rdtsc() + 3000000;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	wait_for(1);
	expect("interrupts", interrupts, 1);
	expect_true("not before the deadline", rdtsc() >= deadline);
	expect("the register after it", rdmsr(MSR_TSC_DEADLINE), 0);
	apic_timer_stop();
}

static uint64_t nmi_stack;

static struct interrupt_frame *on_nmi(struct interrupt_frame *frame)
{
	interrupts++;
	nmi_stack = (uint64_t)frame;
	return frame;
}

/* It comes although interrupts are closed, and on its own stack. */
void check_nmi(void)
{
	uint64_t flags;

	if (!have_apic())
		return;
	interrupts = 0;
	interrupts_handle(VECTOR_NMI, on_nmi);
	flags = interrupts_off();
	apic_send_nmi(apic_id());
	for (unsigned i = 0; i < 100000 && !interrupts; i++)
		pause();
	write_flags(flags);
	interrupts_handle(VECTOR_NMI, 0);
	expect("NMIs", interrupts, 1);
	expect_true("on the IST stack", on_ist_stack(IST_NMI, nmi_stack));
}

static struct interrupt_frame *on_ioapic_tick(struct interrupt_frame *frame)
{
	interrupts++;
	apic_end();
	return pit_tick(frame);
}

/* The tick takes the other way: PIC closed, I/O APIC open. */
void check_ioapic(void)
{
	uint16_t masks;
	unsigned entry = acpi.timer_gsi - acpi.ioapic_base;

	if (!acpi.ioapic) {
		skip("no I/O APIC");
		return;
	}
	expect_range("redirection entries", ioapic_entries(), entry + 1, 240);
	interrupts = 0;
	interrupts_handle(VECTOR_IOAPIC, on_ioapic_tick);
	masks = pic_masks();
	pic_set_masks(0xffff);
	ioapic_route(entry, VECTOR_IOAPIC);
	pit_sleep(4);
	ioapic_mask(entry);
	pic_set_masks(masks);
	expect_true("five ticks came this way", interrupts >= 5);
	note("%u entries, timer on %u", ioapic_entries(), acpi.timer_gsi);
}

void check_smp(void)
{
	unsigned others = 0;

	if (acpi.cpus > 1)
		others = smp_start();
	if (acpi.cpus)
		expect("processors", others + 1, acpi.cpus);
	expect("sum of all additions", smp_count_together(), others * SMP_ADDITIONS);
	note("%u cpus", others + 1);
}

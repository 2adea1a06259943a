#include "smp.h"

#include <stdbool.h>

#include "acpi.h"
#include "apic.h"
#include "bytes.h"
#include "cpu.h"
#include "memory.h"
#include "pit.h"
#include "trampoline.h"

#define EFER_LMA (1ul << 10)
#define PATIENCE_TICKS 200

static unsigned arrived, finished, counter;
static bool go;

void ap_main(void);

void ap_main(void)
{
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		pause();
	for (unsigned i = 0; i < SMP_ADDITIONS; i++)
		__atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

static bool wait_until(unsigned *value, unsigned wanted)
{
	uint64_t end = pit_ticks() + PATIENCE_TICKS;

	while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < wanted) {
		if (pit_ticks() > end)
			return false;
		pause();
	}
	return true;
}

static void start(uint32_t id)
{
	unsigned before = arrived;

	ap_stack = (uint64_t)page_alloc() + PAGE_SIZE;
	apic_send_startup(id, TRAMPOLINE);
	wait_until(&arrived, before + 1);
}

unsigned smp_start(void)
{
	uint32_t self = apic_id();

	memcpy((void *)TRAMPOLINE, trampoline_start, trampoline_end - trampoline_start);
	ap_efer = rdmsr(MSR_EFER) & ~EFER_LMA;
	for (unsigned i = 0; i < acpi.cpus; i++)
		if (acpi.apic_ids[i] != self)
			apic_send_init(acpi.apic_ids[i]);
	pit_sleep(1);
	for (unsigned i = 0; i < acpi.cpus; i++)
		if (acpi.apic_ids[i] != self)
			start(acpi.apic_ids[i]);
	return arrived;
}

unsigned smp_count_together(void)
{
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	wait_until(&finished, arrived);
	return counter;
}

#include "apic.h"

#include "acpi.h"
#include "cpu.h"
#include "interrupts.h"

enum local_register {
	LOCAL_ID = 0x020,
	LOCAL_TPR = 0x080,
	LOCAL_EOI = 0x0b0,
	LOCAL_SVR = 0x0f0,
	LOCAL_ICR_LOW = 0x300,
	LOCAL_ICR_HIGH = 0x310,
	LOCAL_LVT_TIMER = 0x320,
	LOCAL_LVT_LINT0 = 0x350,
	LOCAL_LVT_LINT1 = 0x360,
	LOCAL_TIMER_INITIAL = 0x380,
	LOCAL_TIMER_CURRENT = 0x390,
	LOCAL_TIMER_DIVIDE = 0x3e0,
};

#define APIC_BASE_ENABLE (1ul << 11)
#define APIC_BASE_ADDRESS 0xffffff000ul
#define SVR_ENABLE 0x100
#define LVT_NMI 0x400
#define LVT_EXTINT 0x700
#define LVT_MASKED 0x10000
#define TIMER_DIVIDE_BY_16 0x3
#define ICR_NMI 0x04400
#define ICR_INIT 0x04500
#define ICR_STARTUP 0x04600
#define ICR_PENDING 0x01000

#define IOAPIC_VERSION 0x01
#define IOAPIC_REDIRECTION(entry) (0x10 + 2 * (entry))
#define IOAPIC_MASKED 0x10000

static volatile uint32_t *local;

static void write_local(enum local_register at, uint32_t value)
{
	local[at / 4] = value;
}

static uint32_t read_local(enum local_register at)
{
	return local[at / 4];
}

static uint32_t read_io(unsigned index)
{
	volatile uint32_t *io = (volatile uint32_t *)(uint64_t)acpi.ioapic;

	io[0] = index;
	return io[4];
}

static void write_io(unsigned index, uint32_t value)
{
	volatile uint32_t *io = (volatile uint32_t *)(uint64_t)acpi.ioapic;

	io[0] = index;
	io[4] = value;
}

/* A spurious interrupt has no in-service bit to end. */
static struct interrupt_frame *on_spurious(struct interrupt_frame *frame)
{
	return frame;
}

bool apic_init(void)
{
	if (!cpu_has(1, 3, 9))
		return false;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
	local = (volatile uint32_t *)(rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS);
	interrupts_handle(VECTOR_SPURIOUS, on_spurious);
	write_local(LOCAL_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	write_local(LOCAL_TPR, 0);
	write_local(LOCAL_LVT_TIMER, LVT_MASKED);
	write_local(LOCAL_LVT_LINT0, LVT_EXTINT);
	write_local(LOCAL_LVT_LINT1, LVT_NMI);
	return true;
}

uint32_t apic_id(void)
{
	return read_local(LOCAL_ID) >> 24;
}

void apic_end(void)
{
	write_local(LOCAL_EOI, 0);
}

void apic_timer_start(uint32_t mode, uint32_t count)
{
	write_local(LOCAL_TIMER_DIVIDE, TIMER_DIVIDE_BY_16);
	write_local(LOCAL_LVT_TIMER, mode | VECTOR_APIC_TIMER);
	write_local(LOCAL_TIMER_INITIAL, count);
}

void apic_timer_stop(void)
{
	write_local(LOCAL_LVT_TIMER, LVT_MASKED);
	write_local(LOCAL_TIMER_INITIAL, 0);
}

uint32_t apic_timer_count(void)
{
	return read_local(LOCAL_TIMER_CURRENT);
}

static void send(uint32_t id, uint32_t command)
{
	write_local(LOCAL_ICR_HIGH, id << 24);
	write_local(LOCAL_ICR_LOW, command);
	while (read_local(LOCAL_ICR_LOW) & ICR_PENDING)
		pause();
}

void apic_send_init(uint32_t id)
{
	send(id, ICR_INIT);
}

void apic_send_startup(uint32_t id, uint32_t address)
{
	send(id, ICR_STARTUP | address >> 12);
}

void apic_send_nmi(uint32_t id)
{
	send(id, ICR_NMI);
}

unsigned ioapic_entries(void)
{
	return (read_io(IOAPIC_VERSION) >> 16 & 0xff) + 1;
}

void ioapic_route(unsigned entry, unsigned vector)
{
	write_io(IOAPIC_REDIRECTION(entry) + 1, apic_id() << 24);
	write_io(IOAPIC_REDIRECTION(entry), vector);
}

void ioapic_mask(unsigned entry)
{
	write_io(IOAPIC_REDIRECTION(entry), IOAPIC_MASKED);
}

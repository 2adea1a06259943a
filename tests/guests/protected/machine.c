#include "machine.h"

#include "bytes.h"
#include "check.h"
#include "cpu.h"

#define STACK_SIZE 4096

struct tss tss;

extern uint64_t gdt[];
extern const uint32_t interrupt_entries[256];
extern uint32_t catch_esp;
uint32_t catch_run(void (*body)(uint32_t), uint32_t argument);
_Noreturn void catch_resume(void);
_Noreturn void enter_outer(const struct entry *entry);
void interrupt_dispatch(struct frame *frame);

static uint64_t idt[256];
static uint8_t ring0_stack[STACK_SIZE], ring1_stack[STACK_SIZE], user_stack[STACK_SIZE];
static struct caught caught;

/* Intel SDM vol. 3A, figure 3-8 "Segment Descriptor". */
void set_segment(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	gdt[selector / 8] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
			    (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 |
			    (uint64_t)(base >> 24) << 56;
}

/* Intel SDM vol. 3A, figures 5-8 "Call-Gate Descriptor" and 6-2 "IDT Gate Descriptors". */
static uint64_t gate(unsigned target, uint32_t offset, unsigned access, unsigned parameters)
{
	return (offset & 0xffff) | (uint64_t)target << 16 | (uint64_t)parameters << 32 | (uint64_t)access << 40 |
	       (uint64_t)(offset >> 16) << 48;
}

void set_gate(unsigned selector, unsigned target, uint32_t offset, unsigned access, unsigned parameters)
{
	gdt[selector / 8] = gate(target, offset, access, parameters);
}

uint64_t get_descriptor(unsigned selector)
{
	return gdt[selector / 8];
}

void set_descriptor(unsigned selector, uint64_t value)
{
	gdt[selector / 8] = value;
}

void set_idt_gate(unsigned vector, unsigned access)
{
	set_idt_target(vector, KERNEL_CODE, interrupt_entries[vector], access);
}

void set_idt_task(unsigned vector, unsigned selector)
{
	set_idt_target(vector, selector, 0, ACCESS_PRESENT | SYSTEM_TASK_GATE);
}

void set_idt_target(unsigned vector, unsigned selector, uint32_t offset, unsigned access)
{
	idt[vector] = gate(selector, offset, access, 0);
}

static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = { sizeof idt - 1, (uint32_t)idt };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/* No device is to interrupt: whatever the firmware left running stays outside. */
static void close_pic(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

void machine_init(void)
{
	close_pic();
	for (unsigned vector = 0; vector < 256; vector++)
		set_idt_gate(vector, ACCESS_PRESENT | SYSTEM_INTERRUPT_GATE);
	set_idt_gate(VECTOR_EXIT, ACCESS_PRESENT | ACCESS_RING(3) | SYSTEM_INTERRUPT_GATE);
	load_idt();
	tss.ss0 = KERNEL_DATA;
	tss.esp0 = (uint32_t)ring0_stack + STACK_SIZE;
	tss.ss1 = RING1_DATA;
	tss.esp1 = (uint32_t)ring1_stack + STACK_SIZE;
	tss.iomap_base = (uint16_t)(uint32_t)&((struct tss *)0)->iomap;
	memset(tss.iomap, 0xff, sizeof tss.iomap);
	set_segment(TSS_SELECTOR, (uint32_t)&tss, sizeof tss - 1, ACCESS_PRESENT | SYSTEM_TSS, 0);
	__asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
}

/* Every interrupt ends the body that runs; none is returned from. */
void interrupt_dispatch(struct frame *frame)
{
	if (!catch_esp)
		die("unexpected vector %x, error %x, at %x:%x", frame->vector, frame->error, frame->cs, frame->eip);
	caught.frame = *frame;
	caught.handler_esp = (uint32_t)frame;
	__asm__ volatile("movl %%cr2, %0" : "=r"(caught.cr2));
	__asm__ volatile("movl %%ss, %0" : "=r"(caught.handler_ss));
	catch_resume();
}

struct caught catch(void (*body)(uint32_t), uint32_t argument)
{
	if (!catch_run(body, argument)) {
		memset(&caught, 0, sizeof caught);
		caught.frame.vector = VECTOR_NONE;
	}
	return caught;
}

uint32_t outer_stack(void)
{
	return (uint32_t)user_stack + STACK_SIZE;
}

static void enter_body(uint32_t entry)
{
	enter_outer((const struct entry *)entry);
}

struct caught enter(const struct entry *entry)
{
	return catch(enter_body, (uint32_t)entry);
}

struct caught ring_run(unsigned ring, void (*code)(void), uint32_t argument, uint32_t eflags)
{
	uint32_t data = ring == 1 ? RING1_DATA : USER_DATA;
	struct entry entry = {
		.eip = (uint32_t)code,
		.cs = ring == 1 ? RING1_CODE : USER_CODE,
		.eflags = eflags | 2,
		.esp = outer_stack(),
		.ss = data,
		.es = data,
		.ds = data,
		.eax = argument,
	};

	return enter(&entry);
}

bool under_tcg(void)
{
	uint32_t regs[4];

	cpuid(1, 0, regs);
	if (!(regs[2] >> 31))
		return false;
	cpuid(0x40000000, 0, regs);
	return !memcmp(&regs[1], "TCGTCGTCGTCG", 12);
}

void expect_fault(const char *what, struct caught caught, uint32_t vector, uint32_t error)
{
	expect(what, (uint64_t)caught.frame.vector << 32 | caught.frame.error, (uint64_t)vector << 32 | error);
}

#include "interrupts.h"

#include "check.h"
#include "cpu.h"
#include "descriptors.h"

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

#define INTERRUPT_GATE 0x8e
#define INTERRUPT_GATE_USER 0xee

static struct gate idt[256] __attribute__((aligned(16)));
static interrupt_handler handlers[256];

extern const uint64_t interrupt_entries[256];
extern uint64_t catch_rsp;
uint64_t catch_run(void (*body)(void *), void *argument);
void catch_resume(void);
struct interrupt_frame *interrupt_dispatch(struct interrupt_frame *frame);

static struct caught caught;
static uint64_t catch_rflags;

static void set_gate(unsigned vector, uint64_t address)
{
	idt[vector] = (struct gate){
		.offset_low = address,
		.selector = KERNEL_CODE,
		.type = INTERRUPT_GATE,
		.offset_middle = address >> 16,
		.offset_high = address >> 32,
	};
}

void interrupts_init(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof idt - 1, (uint64_t)idt };

	for (unsigned vector = 0; vector < 256; vector++)
		set_gate(vector, interrupt_entries[vector]);
	interrupts_use_ist(VECTOR_DF, IST_DOUBLE_FAULT);
	interrupts_use_ist(VECTOR_NMI, IST_NMI);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void interrupts_handle(unsigned vector, interrupt_handler handler)
{
	handlers[vector] = handler;
	idt[vector].type = INTERRUPT_GATE;
}

void interrupts_handle_user(unsigned vector, interrupt_handler handler)
{
	handlers[vector] = handler;
	idt[vector].type = INTERRUPT_GATE_USER;
}

void interrupts_use_ist(unsigned vector, unsigned ist)
{
	idt[vector].ist = ist;
}

struct interrupt_frame *interrupts_abandon(struct interrupt_frame *frame)
{
	caught = (struct caught){
		.vector = frame->vector,
		.error = frame->error,
		.cr2 = read_cr2(),
		.rip = frame->rip,
		.cs = frame->cs,
		.rflags = frame->rflags,
		.rsp = frame->rsp,
		.ss = frame->ss,
		.rax = frame->rax,
		.handler_stack = (uint64_t)frame,
	};
	frame->rip = (uint64_t)catch_resume;
	frame->cs = KERNEL_CODE;
	frame->rflags = catch_rflags;
	frame->rsp = catch_rsp;
	frame->ss = KERNEL_DATA;
	catch_rsp = 0;
	return frame;
}

struct interrupt_frame *interrupt_dispatch(struct interrupt_frame *frame)
{
	interrupt_handler handler = handlers[frame->vector];

	if (handler)
		return handler(frame);
	if (catch_rsp && frame->vector < 32)
		return interrupts_abandon(frame);
	die("unexpected vector %x, error %lx, at %lx, stack %lx, cr2 %lx", (uint32_t)frame->vector,
	    frame->error, frame->rip, frame->rsp, read_cr2());
}

struct caught catch(void (*body)(void *), void *argument)
{
	catch_rflags = read_flags();
	if (!catch_run(body, argument))
		caught = (struct caught){ .vector = VECTOR_NONE };
	return caught;
}

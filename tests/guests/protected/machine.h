/* The protected-mode test kernel's tables, exception catching, and the way into outer rings.
   Intel SDM vol. 3A, chapters 3 "Protected-Mode Memory Management" and 5 "Protection". */
#ifndef MACHINE_H
#define MACHINE_H

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define RING1_CODE 0x29
#define RING1_DATA 0x31
#define TSS_SELECTOR 0x38
#define LDT_SELECTOR 0x40
#define CODE16 0x48
#define DATA16 0x50
#define USER_CODE16 0x5b
/* Entries that checks fill as they like. */
#define SCRATCH 0x60
#define SCRATCH_ENTRIES 16
#define BEYOND_GDT (SCRATCH + 8 * SCRATCH_ENTRIES)

/* Leaves the ring or mode under test; eax is its result. */
#define VECTOR_EXIT 0x80
#define VECTOR_NONE 0x100
#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17

/* Descriptor access bytes; the low four bits of a segment's are its type. */
#define ACCESS_PRESENT 0x80
#define ACCESS_RING(ring) ((ring) << 5)
#define ACCESS_SEGMENT 0x10
#define ACCESS_ACCESSED 0x01
#define DATA_READ_ONLY 0x0
#define DATA_WRITABLE 0x2
#define DATA_EXPAND_DOWN 0x6
#define CODE_EXECUTE_ONLY 0x8
#define CODE_READABLE 0xa
#define CODE_CONFORMING 0xe
#define SYSTEM_TSS16 0x1
#define SYSTEM_LDT 0x2
#define SYSTEM_CALL_GATE16 0x4
#define SYSTEM_TASK_GATE 0x5
#define SYSTEM_INTERRUPT_GATE16 0x6
#define SYSTEM_TSS 0x9
#define SYSTEM_CALL_GATE 0xc
#define SYSTEM_INTERRUPT_GATE 0xe
#define SYSTEM_TRAP_GATE 0xf
#define FLAG_PAGES 0x8
#define FLAG_32 0x4

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

struct tss {
	uint32_t link;
	uint32_t esp0, ss0, esp1, ss1, esp2, ss2;
	uint32_t cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt;
	uint16_t trap, iomap_base;
	uint8_t iomap[0x1000 / 8 + 1];
} __attribute__((packed));

struct frame {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, esp_unused, ebx, edx, ecx, eax;
	uint32_t vector, error;
	/* pushed by the processor; the last two if it changed rings, */
	uint32_t eip, cs, eflags, esp, ss;
	/* and these if it left virtual-8086 mode */
	uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

struct caught {
	struct frame frame;
	uint32_t cr2;
	uint32_t handler_esp, handler_ss;
};

extern struct tss tss;

void machine_init(void);
void set_segment(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags);
void set_gate(unsigned selector, unsigned target, uint32_t offset, unsigned access, unsigned parameters);
uint64_t get_descriptor(unsigned selector);
void set_descriptor(unsigned selector, uint64_t value);
/* Makes an IDT gate of a type; the target is the common handler. */
void set_idt_gate(unsigned vector, unsigned access);
void set_idt_task(unsigned vector, unsigned selector);
/* Points an IDT gate at code of one's own. */
void set_idt_target(unsigned vector, unsigned selector, uint32_t offset, unsigned access);

/* Runs body(argument); `frame.vector` of the result says what ended it. */
struct caught catch(void (*body)(uint32_t), uint32_t argument);
/* Runs `code` in ring 1 or 3 with its argument in eax. */
struct caught ring_run(unsigned ring, void (*code)(void), uint32_t argument, uint32_t eflags);
/* The same with every selector chosen, down to virtual-8086 mode. */
struct entry {
	uint32_t eip, cs, eflags, esp, ss;
	uint32_t es, ds, fs, gs;
	uint32_t eax;
};
struct caught enter(const struct entry *entry);
uint32_t outer_stack(void);

/* Whether the machine is QEMU's TCG, which checks neither segment limits, nor segment types, nor
   alignment: those checks are for other machines. */
bool under_tcg(void);

void expect_fault(const char *what, struct caught caught, uint32_t vector, uint32_t error);
#endif

#endif

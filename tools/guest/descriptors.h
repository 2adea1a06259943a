/* Segment selectors and the task state segment.
   Intel SDM vol. 3A, 3.4.5 "Segment Descriptors", 8.7 "Task Management in 64-bit Mode". */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
/* SYSRET wants 32-bit code, data and 64-bit code in this order. */
#define USER_CODE32 0x1b
#define USER_DATA 0x23
#define USER_CODE 0x2b
#define TSS_SELECTOR 0x30
#define ABSENT_DATA 0x40
#define BOOT_CODE32 0x48
/* The first selector past the table's limit. */
#define BEYOND_GDT 0x50

#define IST_DOUBLE_FAULT 1
#define IST_NMI 2

#ifndef __ASSEMBLER__
#include <stdint.h>

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t ist[8]; /* ist[0] is reserved */
	uint64_t reserved1;
	uint16_t reserved2;
	uint16_t iomap_base;
} __attribute__((packed));

extern struct tss tss;

/* Builds the TSS with its stacks, loads TR, and leaves LDTR without a table. */
void descriptors_init(void);
/* Whether `address` lies on the stack that interrupt stack table entry `index` names. */
int on_ist_stack(unsigned index, uint64_t address);
/* Whether `address` lies on the stack for interrupts taken in user mode. */
int on_rsp0_stack(uint64_t address);
#endif

#endif

/* Where `trampoline.S` runs: a page below 1 MiB, named by the start-up interrupt. */
#ifndef TRAMPOLINE_H
#define TRAMPOLINE_H

#define TRAMPOLINE 0x8000

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t trampoline_start[], trampoline_end[];
/* What the processor that comes next is to use. */
extern uint64_t ap_stack, ap_efer;
#endif

#endif

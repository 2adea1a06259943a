/* Where `real.S` runs, and what it leaves behind. */
#ifndef REAL_H
#define REAL_H

#define REAL_CODE 0x8000
#define REAL_RESULTS 0x7000
#define REAL_SCRATCH 0x6000
#define REAL_STACK 0x5ff0

#define NO_FAULT 0xffff

/* Indices of 32-bit results; a fault's is its vector in the low and its IP in the high half. */
#define R_SEGMENT_BASE 0
#define R_HIGH_MEMORY 1
#define R_FAR_CALL16 2
#define R_FAR_CALL32 3
#define R_FAR_CALL_DEPTH16 4
#define R_FAR_CALL_DEPTH32 5
#define R_INT_FLAGS 6
#define R_INT_RESULT 7
#define R_IRET_FLAGS 8
#define R_DE 9
#define R_UD 10
#define R_BP 11
#define R_OF 12
#define R_BR 13
#define R_WORD_AT_LIMIT 14
#define R_STACK_AT_LIMIT 15
#define R_BEYOND_LIMIT 16
#define R_UNREAL 17
#define R_STRING_WRAP 18
#define R_STRING_SI 19
#define R_LOOP 20
#define R_PUSH_SP 21
#define R_PUSHA 22
#define R_LES 23
#define R_RELOCATED_IVT 24
#define R_MSW 25
#define R_ENTER 26
#define R_PROTECTED_ONLY 27
#define R_SEGMENT_LOAD 28
#define R_COUNT 29

#ifndef __ASSEMBLER__
#include <stdint.h>

/* Goes to real mode, runs everything there, and comes back. */
void real_run(void);
extern const uint8_t real_start[], real_end[];
/* Linked addresses inside the code that is copied. */
extern const uint8_t real_de[], real_ud[], real_bp_after[], real_of_after[], real_br[], real_protected_only[];
#endif

#endif

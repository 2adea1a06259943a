/* Selectors that the programs in `rings.S` use. */
#ifndef RINGS_H
#define RINGS_H

#define GATE (SCRATCH + 3)
#define INNER_GATE (SCRATCH + 8 + 1)
#define CONFORMING (SCRATCH + 16 + 3)
#define TARGET16 (SCRATCH + 40)
#define CALLER16 (SCRATCH + 48 + 3)
#define STACK16 (SCRATCH + 56 + 3)
#define TASK (SCRATCH + 24)
#define TASK_GATE (SCRATCH + 32)

#endif

/* The other processors; Intel SDM vol. 3A, 8.4 "Multiple-Processor (MP) Initialization". */
#ifndef SMP_H
#define SMP_H

#define SMP_ADDITIONS 1000

/* Starts every other processor that the MADT lists, and returns how many came. */
unsigned smp_start(void);
/* Lets them all add one to a counter SMP_ADDITIONS times, and returns the counter; they halt. */
unsigned smp_count_together(void);

#endif

/* Preemptive threads, switched by the tick and by VECTOR_YIELD, round robin. */
#ifndef THREADS_H
#define THREADS_H

#include <stdbool.h>

struct lock {
	unsigned taken;
};

/* Runs `body(0)` to `body(count - 1)` as threads, with ticks at `hz`, and returns when all have
   returned. */
void threads_run(void (*body)(unsigned), unsigned count, unsigned hz);
void thread_yield(void);
/* Switches that a tick has forced, so far. */
unsigned threads_preempted(void);

void lock_take(struct lock *lock);
void lock_release(struct lock *lock);

#endif

/* Threads that only the tick takes the processor from, and two counters that need their locks. */
#include "check.h"
#include "checks.h"
#include "threads.h"

#define THREADS 4
#define THREAD_TICK_HZ 2000
#define WANTED_SWITCHES 10
#define LEAST_ROUNDS 100
#define MOST_ROUNDS 10000000
#define WINDOW 50

static struct {
	struct lock lock;
	volatile uint64_t value;
} counters[2];
static uint64_t rounds[THREADS];
static unsigned preempted_before;

/* Adds one so slowly that a tick may well come between reading and writing. */
static void add_one(volatile uint64_t *value)
{
	uint64_t old = *value;

	for (volatile unsigned i = 0; i < WINDOW; i++)
		;
	*value = old + 1;
}

static bool enough(unsigned index)
{
	return rounds[index] >= MOST_ROUNDS ||
	       (rounds[index] >= LEAST_ROUNDS && threads_preempted() - preempted_before >= WANTED_SWITCHES);
}

static void count(unsigned index)
{
	while (!enough(index)) {
		for (unsigned i = 0; i < 2; i++) {
			lock_take(&counters[i].lock);
			add_one(&counters[i].value);
			lock_release(&counters[i].lock);
		}
		rounds[index]++;
	}
}

void check_threads(void)
{
	uint64_t sum = 0;

	preempted_before = threads_preempted();
	threads_run(count, THREADS, THREAD_TICK_HZ);
	for (unsigned i = 0; i < THREADS; i++) {
		expect_true("every thread ran", rounds[i] >= LEAST_ROUNDS);
		sum += rounds[i];
	}
	expect("first counter", counters[0].value, sum);
	expect("second counter", counters[1].value, sum);
	expect_true("ticks switched threads", threads_preempted() - preempted_before >= WANTED_SWITCHES);
	note("%u threads", THREADS);
}

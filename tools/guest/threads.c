#include "threads.h"

#include "bytes.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupts.h"
#include "memory.h"
#include "pit.h"

#define MAX_THREADS 8
#define STACK_PAGES 2
#define RFLAGS_ALWAYS 0x2

struct thread {
	struct interrupt_frame *frame;
	void *stack;
	volatile bool running;
};

/* The caller of `threads_run` is thread 0. */
static struct thread threads[MAX_THREADS + 1];
static unsigned thread_count, current;
static volatile unsigned preempted;
static void (*thread_body)(unsigned);

static struct interrupt_frame *switch_threads(struct interrupt_frame *frame)
{
	threads[current].frame = frame;
	do
		current = (current + 1) % thread_count;
	while (!threads[current].running);
	return threads[current].frame;
}

static struct interrupt_frame *on_tick(struct interrupt_frame *frame)
{
	preempted++;
	return switch_threads(frame);
}

void thread_yield(void)
{
	__asm__ volatile("int %0" : : "i"(VECTOR_YIELD) : "memory");
}

static void thread_main(unsigned index)
{
	thread_body(index);
	threads[index + 1].running = false;
	for (;;)
		thread_yield();
}

/* The new thread begins as if it had been interrupted at the start of `thread_main`. */
static void start(unsigned index)
{
	struct thread *thread = &threads[index + 1];
	uint64_t top;

	thread->stack = pages_alloc(STACK_PAGES, 1);
	top = (uint64_t)thread->stack + STACK_PAGES * PAGE_SIZE;
	thread->frame = (struct interrupt_frame *)(top - 16) - 1;
	memset(thread->frame, 0, sizeof *thread->frame);
	thread->frame->rip = (uint64_t)thread_main;
	thread->frame->rdi = index;
	thread->frame->cs = KERNEL_CODE;
	thread->frame->ss = KERNEL_DATA;
	thread->frame->rsp = top - 8;
	thread->frame->rflags = RFLAGS_IF | RFLAGS_ALWAYS;
	thread->running = true;
}

static bool any_running(void)
{
	for (unsigned i = 1; i < thread_count; i++)
		if (threads[i].running)
			return true;
	return false;
}

void threads_run(void (*body)(unsigned), unsigned count, unsigned hz)
{
	thread_body = body;
	current = 0;
	threads[0].running = true;
	for (unsigned i = 0; i < count; i++)
		start(i);
	thread_count = count + 1;
	interrupts_handle(VECTOR_YIELD, switch_threads);
	pit_hook(on_tick);
	pit_set_rate(hz);
	while (any_running())
		thread_yield();
	pit_hook(0);
	pit_set_rate(TICK_HZ);
	for (unsigned i = 1; i < thread_count; i++)
		pages_free(threads[i].stack, STACK_PAGES);
}

unsigned threads_preempted(void)
{
	return preempted;
}

void lock_take(struct lock *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE))
		thread_yield();
}

void lock_release(struct lock *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

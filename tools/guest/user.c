#include "user.h"

#include "bytes.h"
#include "cpu.h"
#include "descriptors.h"
#include "memory.h"
#include "paging.h"
#include "pit.h"

void syscall_entry(void);
void user_enter(void *argument);
uint64_t syscall_dispatch(uint64_t rdi, uint64_t rsi, uint64_t number);

static struct {
	uint64_t kernel_stack, user_stack;
} syscall_area;

static void *code_page;

uint64_t syscall_dispatch(uint64_t rdi, uint64_t rsi, uint64_t number)
{
	switch (number) {
	case SYSCALL_ADD:
		return rdi + rsi;
	case SYSCALL_STACK:
		return (uint64_t)__builtin_frame_address(0);
	case SYSCALL_TICKS:
		return pit_ticks();
	default:
		return -1;
	}
}

static struct interrupt_frame *on_int80(struct interrupt_frame *frame)
{
	switch (frame->rax) {
	case INT80_INCREMENT:
		frame->rax = frame->rdi + 1;
		return frame;
	default:
		frame->rax = frame->rdi;
		return interrupts_abandon(frame);
	}
}

/* SYSRET's CS is STAR[63:48] + 16 and its SS is STAR[63:48] + 8. */
static void enable_syscall(void)
{
	syscall_area.kernel_stack = (uint64_t)page_alloc() + PAGE_SIZE;
	wrmsr(MSR_STAR, (uint64_t)USER_CODE32 << 48 | (uint64_t)KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
	wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_CF);
	wrmsr(MSR_KERNEL_GS_BASE, (uint64_t)&syscall_area);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

void user_init(void)
{
	code_page = page_alloc();
	page_map(USER_CODE_PAGE, code_page, PAGE_USER);
	page_map(USER_DATA_PAGE, page_alloc(), PAGE_USER | PAGE_WRITABLE | (cpu_has_nx() ? PAGE_NX : 0));
	interrupts_handle_user(VECTOR_SYSCALL, on_int80);
	enable_syscall();
}

struct caught user_run(struct program program, uint64_t argument)
{
	memcpy(code_page, program.start, program.end - program.start);
	return catch(user_enter, &argument);
}

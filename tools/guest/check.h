/* Checks: each prints one line, `guest: <name>: ok`, `skip` or `FAIL`. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* What every line of the report starts with; each kernel defines its own. */
extern const char kernel_name[];

struct check {
	const char *name;
	void (*body)(void);
};

/* Takes a command line: checks that it names as `without=<name>` are not run, but reported. */
void leave_out_checks(const char *command_line);
/* Runs the checks in order. */
void run_checks(const struct check *checks, unsigned count);
/* Prints the verdict and leaves: by power-off or isa-debug-exit, as `kernel_exit` does. */
_Noreturn void finish_checks(void);
/* Prints a message as failure of the running check, and leaves. */
_Noreturn void die(const char *format, ...);

/* Inside a check: the first expectation that does not hold is what the line reports. */
void expect(const char *what, uint64_t got, uint64_t wanted);
void expect_range(const char *what, uint64_t got, uint64_t low, uint64_t high);
void expect_true(const char *what, bool holds);
/* Adds words to the line of a check that passes. */
void note(const char *format, ...);
/* Reports the check as skipped, unless it has failed. */
void skip(const char *reason);

#endif

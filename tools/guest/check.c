#include "check.h"

#include "bytes.h"
#include "power.h"
#include "print.h"

static struct {
	const char *name;
	const char *skipped;
	bool failed;
	struct text detail;
} current;
static unsigned failures;
static const char *left_out = "";

void expect(const char *what, uint64_t got, uint64_t wanted)
{
	if (got == wanted || current.failed)
		return;
	current.failed = true;
	text_clear(&current.detail);
	text_add(&current.detail, "%s is %lx, not %lx", what, got, wanted);
}

void expect_range(const char *what, uint64_t got, uint64_t low, uint64_t high)
{
	if ((got >= low && got <= high) || current.failed)
		return;
	current.failed = true;
	text_clear(&current.detail);
	text_add(&current.detail, "%s is %lu, not within %lu to %lu", what, got, low, high);
}

void expect_true(const char *what, bool holds)
{
	if (holds || current.failed)
		return;
	current.failed = true;
	text_clear(&current.detail);
	text_add(&current.detail, "not so: %s", what);
}

void note(const char *format, ...)
{
	va_list arguments;

	if (current.failed)
		return;
	va_start(arguments, format);
	text_add_list(&current.detail, format, arguments);
	va_end(arguments);
}

void skip(const char *reason)
{
	current.skipped = reason;
}

static void report(void)
{
	if (current.failed)
		print("%s: %s: FAIL %s\n", kernel_name, current.name, current.detail.bytes);
	else if (current.skipped)
		print("%s: %s: skip (%s)\n", kernel_name, current.name, current.skipped);
	else
		print("%s: %s: ok%s%s\n", kernel_name, current.name, current.detail.length ? " " : "",
		      current.detail.bytes);
}

void leave_out_checks(const char *command_line)
{
	left_out = command_line;
}

static unsigned length(const char *string)
{
	unsigned count = 0;

	while (string[count])
		count++;
	return count;
}

/* Whether `line` begins with `prefix`; neither is read beyond its end. */
static bool begins(const char *line, const char *prefix)
{
	return length(line) >= length(prefix) && !memcmp(line, prefix, length(prefix));
}

static bool is_left_out(const char *name)
{
	for (const char *at = left_out; *at; at++) {
		const char *end;

		if (!begins(at, "without="))
			continue;
		at += length("without=");
		end = at + length(name);
		if (begins(at, name) && (*end == 0 || *end == ' '))
			return true;
	}
	return false;
}

static void run(const struct check *check)
{
	current.name = check->name;
	current.skipped = 0;
	current.failed = false;
	text_clear(&current.detail);
	if (is_left_out(check->name))
		skip("left out");
	else
		check->body();
	failures += current.failed;
	report();
}

void run_checks(const struct check *checks, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		run(&checks[i]);
}

void finish_checks(void)
{
	if (failures) {
		print("%s: FAILED %u\n", kernel_name, failures);
		exit_failed();
	}
	print("%s: all checks passed\n", kernel_name);
	power_off();
}

void die(const char *format, ...)
{
	va_list arguments;

	text_clear(&current.detail);
	va_start(arguments, format);
	text_add_list(&current.detail, format, arguments);
	va_end(arguments);
	current.failed = true;
	failures++;
	report();
	finish_checks();
}

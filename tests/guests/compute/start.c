/* A guest for the benchmark: the last word of its command line names one of `works` below, plain computing that
   touches no device. Prints a checksum, and leaves by isa-debug-exit: with 0 if it is the right one. */
#include "bytes.h"
#include "multiboot.h"
#include "power.h"
#include "print.h"
#include "serial.h"
#include "works.h"

void kernel_main(uint32_t magic, const struct multiboot_info *info);

static const struct work {
	const char *name;
	uint64_t (*run)(void);
	uint64_t result;
} works[] = {
	{ "hash", hash, 0x21d0658f45b06639 },
	{ "sort", sort, 0x48dacf2f5bf63309 },
	{ "calls", calls, 0x2c2ad6eee6d0e618 },
	{ "float", floating, 0x87446b8484a3ee6c },
};

static unsigned length(const char *string)
{
	unsigned count = 0;

	while (string[count])
		count++;
	return count;
}

static const char *last_word(const char *line)
{
	const char *word = line;

	for (; *line; line++)
		if (*line == ' ' && line[1] && line[1] != ' ')
			word = line + 1;
	return word;
}

static const struct work *find(const char *name)
{
	for (unsigned i = 0; i < sizeof works / sizeof *works; i++)
		if (!memcmp(works[i].name, name, length(works[i].name) + 1))
			return &works[i];
	return 0;
}

void kernel_main(uint32_t magic, const struct multiboot_info *info)
{
	const char *line = "";
	const struct work *work;
	uint64_t result;

	if (magic == MULTIBOOT_BOOT_MAGIC && info->flags & MULTIBOOT_INFO_CMDLINE)
		line = (const char *)(uintptr_t)info->cmdline;
	serial_init();
	work = find(last_word(line));
	if (!work) {
		print("compute: no such work: %s\n", line);
		exit_failed();
	}
	print("compute: %s begins\n", work->name);
	result = work->run();
	print("compute: %s: %016lx\n", work->name, result);
	if (result != work->result)
		exit_failed();
	power_off();
}

#include "print.h"

#include <stdbool.h>

#include "serial.h"

void text_clear(struct text *text)
{
	text->length = 0;
	text->bytes[0] = 0;
}

static void add_byte(struct text *text, char byte)
{
	if (text->length + 1 == sizeof text->bytes)
		return;
	text->bytes[text->length++] = byte;
	text->bytes[text->length] = 0;
}

static void add_string(struct text *text, const char *string)
{
	while (*string)
		add_byte(text, *string++);
}

/* Divides by ten bit by bit on 32-bit machines, where the compiler would call a library. */
static unsigned divide(uint64_t *value, unsigned base)
{
	uint64_t remainder = 0;

	if (base == 16) {
		remainder = *value & 15;
		*value >>= 4;
		return remainder;
	}
	for (int bit = 0; bit < 64; bit++) {
		remainder = remainder << 1 | *value >> 63;
		*value <<= 1;
		if (remainder >= base) {
			remainder -= base;
			*value |= 1;
		}
	}
	return remainder;
}

static void add_number(struct text *text, uint64_t value, unsigned base, unsigned width)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[divide(&value, base)];
	while (value);
	for (; width > count; width--)
		add_byte(text, '0');
	while (count)
		add_byte(text, digits[--count]);
}

static const char *read_width(const char *format, unsigned *width)
{
	for (*width = 0; *format >= '0' && *format <= '9'; format++)
		*width = *width * 10 + (*format - '0');
	return format;
}

void text_add_list(struct text *text, const char *format, va_list arguments)
{
	for (; *format; format++) {
		unsigned width;
		bool is_long;

		if (*format != '%') {
			add_byte(text, *format);
			continue;
		}
		format = read_width(format + 1, &width);
		is_long = *format == 'l';
		format += is_long;
		if (*format == 's')
			add_string(text, va_arg(arguments, const char *));
		else if (*format == 'c')
			add_byte(text, va_arg(arguments, int));
		else if (*format == '%')
			add_byte(text, '%');
		else
			add_number(text, is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, uint32_t),
				   *format == 'x' ? 16 : 10, width);
	}
}

void text_add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_add_list(text, format, arguments);
	va_end(arguments);
}

void print(const char *format, ...)
{
	struct text text;
	va_list arguments;

	text_clear(&text);
	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	for (unsigned i = 0; i < text.length; i++) {
		if (text.bytes[i] == '\n')
			serial_put('\r');
		serial_put(text.bytes[i]);
	}
}

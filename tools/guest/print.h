/* Formatted text, and printing it on the console. */
#ifndef PRINT_H
#define PRINT_H

#include <stdarg.h>
#include <stdint.h>

/* A line under construction; what does not fit is cut off. Always ends in a zero byte. */
struct text {
	unsigned length;
	char bytes[200];
};

void text_clear(struct text *text);
/* Directives: %s, %c, %u and %x with an optional l and an optional zero-padded width as in
   %02u; %% for a percent sign. */
void text_add(struct text *text, const char *format, ...);
void text_add_list(struct text *text, const char *format, va_list arguments);

void print(const char *format, ...);

#endif

#include "bytes.h"

void *memcpy(void *to, const void *from, size_t count)
{
	void *target = to;

	__asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(count) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t count)
{
	char *target = to;
	const char *source = from;

	if (target <= source)
		return memcpy(to, from, count);
	target += count - 1;
	source += count - 1;
	__asm__ volatile("std; rep movsb; cld" : "+D"(target), "+S"(source), "+c"(count) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t count)
{
	void *target = to;

	__asm__ volatile("rep stosb" : "+D"(target), "+c"(count) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
	const unsigned char *a = left, *b = right;

	for (; count; count--, a++, b++)
		if (*a != *b)
			return *a < *b ? -1 : 1;
	return 0;
}

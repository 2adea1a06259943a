/* The four functions that a freestanding compiler may call. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);

#endif

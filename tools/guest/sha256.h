/* FIPS 180-4, 6.2 "SHA-256". */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>

void sha256(const void *bytes, uint64_t count, uint8_t digest[32]);

#endif

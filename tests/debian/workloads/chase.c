// Follows pointers through 16 MiB in an order without pattern: caches and TLBs are of little help.
//
// Usage: chase STEPS

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINES = 1 << 18 };

static struct line {
    struct line *next;
    uint64_t number, unused[6];
} lines[LINES];

// One cycle through all of them (Sattolo's algorithm).
static void make_cycle(void) {
    static uint32_t order[LINES];
    uint64_t random = 88172645463325252;
    for (uint32_t i = 0; i < LINES; i++)
        order[i] = i;
    for (uint32_t i = LINES - 1; i > 0; i--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t other = (uint32_t)(random % i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (uint32_t i = 0; i < LINES; i++) {
        lines[order[i]].next = &lines[order[(i + 1) % LINES]];
        lines[order[i]].number = i;
    }
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? atol(argv[1]) : 1;
    make_cycle();
    const struct line *line = lines;
    uint64_t sum = 0;
    while (steps-- > 0) {
        sum += line->number;
        line = line->next;
    }
    printf("chase %llu %llu\n", (unsigned long long)sum, (unsigned long long)line->number);
    return 0;
}

// Integer work as CoreMark does it: a linked list is searched, reversed and sorted, small matrices are multiplied, a
// state machine reads numbers, and a CRC goes over all results.
//
// Usage: integer ROUNDS

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES = 400, SIDE = 24, TEXT = 512 };

struct node {
    struct node *next;
    int16_t value, place;
};

static struct node nodes[NODES];
static int32_t left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];
static char text[TEXT];
static uint32_t seed = 12345;

static uint32_t random_bits(void) {
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static uint16_t crc16(uint16_t crc, uint32_t value) {
    for (int bit = 0; bit < 32; bit++) {
        unsigned carry = (crc ^ value >> bit) & 1;
        crc = (uint16_t)(crc >> 1 ^ (carry ? 0xa001 : 0));
    }
    return crc;
}

static struct node *reversed(struct node *list) {
    struct node *result = NULL;
    while (list) {
        struct node *next = list->next;
        list->next = result;
        result = list;
        list = next;
    }
    return result;
}

static struct node *find(struct node *list, int16_t value) {
    while (list && list->value != value)
        list = list->next;
    return list;
}

typedef int compare(const struct node *, const struct node *);

static int by_value(const struct node *a, const struct node *b) {
    return a->value != b->value ? a->value - b->value : a->place - b->place;
}

static int by_place(const struct node *a, const struct node *b) {
    return a->place - b->place;
}

static struct node *merged(struct node *a, struct node *b, compare *order) {
    struct node head, *last = &head;
    while (a && b) {
        struct node **smaller = order(a, b) <= 0 ? &a : &b;
        last->next = *smaller;
        last = *smaller;
        *smaller = last->next;
    }
    last->next = a ? a : b;
    return head.next;
}

static struct node *sorted(struct node *list, int length, compare *order) {
    if (length < 2)
        return list;
    struct node *last = list;
    for (int i = 1; i < length / 2; i++)
        last = last->next;
    struct node *rest = last->next;
    last->next = NULL;
    return merged(sorted(list, length / 2, order), sorted(rest, length - length / 2, order), order);
}

static uint16_t list_round(uint16_t crc) {
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : NULL, (int16_t)(random_bits() % 300), (int16_t)i};
    struct node *list = sorted(nodes, NODES, by_value);
    for (int i = 0; i < 40; i++) {
        struct node *found = find(list, (int16_t)i);
        crc = crc16(crc, found ? (uint32_t)found->place : 0xffff);
        list = reversed(list);
    }
    list = sorted(list, NODES, by_place);
    return crc16(crc, (uint32_t)list->value);
}

static uint16_t matrix_round(uint16_t crc) {
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            left[i][j] = (int32_t)(random_bits() & 0xff);
            right[i][j] = (int32_t)(random_bits() & 0xff) - 128;
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int32_t sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += left[i][k] * right[k][j];
            product[i][j] = sum;
        }
    uint32_t trace = 0;
    for (int i = 0; i < SIDE; i++)
        trace += (uint32_t)product[i][SIDE - 1 - i] >> 3;
    return crc16(crc, trace);
}

// What a number may be made of: it decides how far one reads.
enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, POWER, INVALID, STATES };

static enum state next_state(enum state state, char c) {
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : INVALID;
    case SIGN:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
    case POINT:
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT:
        return digit || c == '+' || c == '-' ? POWER : INVALID;
    case POWER:
        return digit ? POWER : INVALID;
    case INVALID:
    case STATES:
        break;
    }
    return INVALID;
}

static uint16_t state_round(uint16_t crc) {
    static const char alphabet[] = "0123456789012345+-.e,,,,,x";
    uint32_t ends[STATES] = {0};
    for (int i = 0; i < TEXT; i++)
        text[i] = alphabet[random_bits() % (sizeof alphabet - 1)];
    enum state state = START;
    for (int i = 0; i < TEXT; i++) {
        if (text[i] == ',') {
            ends[state]++;
            state = START;
        } else {
            state = next_state(state, text[i]);
        }
    }
    for (int i = 0; i < STATES; i++)
        crc = crc16(crc, ends[i]);
    return crc;
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 1;
    uint16_t crc = 0;
    while (rounds-- > 0)
        crc = state_round(matrix_round(list_round(crc)));
    printf("integer %04x\n", crc);
    return 0;
}

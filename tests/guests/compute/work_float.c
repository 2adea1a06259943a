/* The benchmark's floating-point work. */
#include "bytes.h"
#include "works.h"

#define BODIES 5
#define STEPS 400000

struct body {
	double place[3], speed[3], mass;
};

static struct body bodies[BODIES];

static double square_root(double x)
{
	__asm__("sqrtsd %0, %0" : "+x"(x));
	return x;
}

static void place(void)
{
	for (unsigned i = 0; i < BODIES; i++) {
		bodies[i].mass = 1.0 / (1 + i);
		for (unsigned axis = 0; axis < 3; axis++) {
			bodies[i].place[axis] = (double)((i * 7 + axis * 5) % 11) - 5.0;
			bodies[i].speed[axis] = (double)((i * 3 + axis * 2) % 5) * 0.01;
		}
	}
}

static void attract(struct body *a, struct body *b)
{
	double apart[3], squared = 0.01, pull;

	for (unsigned axis = 0; axis < 3; axis++) {
		apart[axis] = a->place[axis] - b->place[axis];
		squared += apart[axis] * apart[axis];
	}
	pull = 0.001 / (squared * square_root(squared));
	for (unsigned axis = 0; axis < 3; axis++) {
		a->speed[axis] -= apart[axis] * b->mass * pull;
		b->speed[axis] += apart[axis] * a->mass * pull;
	}
}

static void step(void)
{
	for (unsigned i = 0; i < BODIES; i++)
		for (unsigned j = i + 1; j < BODIES; j++)
			attract(&bodies[i], &bodies[j]);
	for (unsigned i = 0; i < BODIES; i++)
		for (unsigned axis = 0; axis < 3; axis++)
			bodies[i].place[axis] += bodies[i].speed[axis] * 0.001;
}

uint64_t floating(void)
{
	uint64_t sum = 0, bits;

	place();
	for (unsigned i = 0; i < STEPS; i++)
		step();
	for (unsigned i = 0; i < BODIES; i++) {
		memcpy(&bits, &bodies[i].place[i % 3], sizeof bits);
		sum = sum * 31 + bits;
	}
	return sum;
}

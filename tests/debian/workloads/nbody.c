// The planets around the Sun, in steps of a hundredth of a year: double precision in SSE2, or, compiled with
// -mfpmath=387, in x87.
//
// Usage: nbody STEPS

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODIES = 5 };

struct body {
    double place[3], speed[3], mass;
};

// Astronomical units, units a year, and masses where the Sun's is 4 pi^2: the Sun, and bodies like the four giants.
static struct body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 39.4784176043574},
    {{4.84, -1.16, -0.10}, {0.606, 2.812, -0.025}, 0.0377},
    {{8.34, 4.12, -0.40}, {-1.010, 1.825, 0.008}, 0.0113},
    {{12.89, -15.11, -0.22}, {1.083, 0.868, -0.011}, 0.0017},
    {{15.38, -25.92, 0.18}, {0.979, 0.595, -0.035}, 0.0020},
};

static void advance(double step) {
    for (struct body *a = bodies; a < bodies + BODIES; a++)
        for (struct body *b = a + 1; b < bodies + BODIES; b++) {
            double apart[3], square = 0;
            for (int i = 0; i < 3; i++) {
                apart[i] = a->place[i] - b->place[i];
                square += apart[i] * apart[i];
            }
            double pull = step / (square * sqrt(square));
            for (int i = 0; i < 3; i++) {
                a->speed[i] -= apart[i] * b->mass * pull;
                b->speed[i] += apart[i] * a->mass * pull;
            }
        }
    for (struct body *a = bodies; a < bodies + BODIES; a++)
        for (int i = 0; i < 3; i++)
            a->place[i] += step * a->speed[i];
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? atol(argv[1]) : 1;
    while (steps-- > 0)
        advance(0.01);
    for (int i = 0; i < BODIES; i++)
        printf("nbody %a %a %a\n", bodies[i].place[0], bodies[i].place[1], bodies[i].place[2]);
    return 0;
}

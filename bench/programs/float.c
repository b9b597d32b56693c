// Scalar and vector floating point beyond sums and products: square roots, quotients, comparisons, conversions.
#include <math.h>
#include "bench.h"

enum { BODIES = 8, STEPS = 180000 };

struct body {
  double position[3], velocity[3], mass;
};

static struct body bodies[BODIES];

static void attract(struct body *a, struct body *b, double step) {
  double delta[3], square = 0;
  for (int k = 0; k < 3; k++) {
    delta[k] = a->position[k] - b->position[k];
    square += delta[k] * delta[k];
  }
  const double force = step / (square * sqrt(square) + 1e-3);
  for (int k = 0; k < 3; k++) {
    a->velocity[k] -= delta[k] * b->mass * force;
    b->velocity[k] += delta[k] * a->mass * force;
  }
}

/** Bodies that attract one another. */
uint64_t nbody(void) {
  uint64_t seed = 2;
  for (int i = 0; i < BODIES; i++) {
    for (int k = 0; k < 3; k++) {
      bodies[i].position[k] = (double)(int64_t)next_random(&seed) / (double)INT64_MAX * 10;
      bodies[i].velocity[k] = (double)(int64_t)next_random(&seed) / (double)INT64_MAX;
    }
    bodies[i].mass = 1 + (double)(next_random(&seed) >> 32) / 4294967296.0;
  }
  for (int step = 0; step < STEPS; step++) {
    for (int i = 0; i < BODIES; i++)
      for (int j = i + 1; j < BODIES; j++) attract(&bodies[i], &bodies[j], 1e-3);
    for (int i = 0; i < BODIES; i++)
      for (int k = 0; k < 3; k++) bodies[i].position[k] += bodies[i].velocity[k] * 1e-3;
  }
  return digest(DIGEST_START, bodies, sizeof bodies);
}

enum { WIDTH = 256, HEIGHT = 192, LIMIT = 96, LANES = 8, FRAMES = 12 };

static int32_t image[HEIGHT][WIDTH];

/** Iterations until the points of a row leave the circle, eight points at a time, without branches. */
static void mandelbrot_row(int32_t *row, float y0, float scale) {
  for (int x = 0; x < WIDTH; x += LANES) {
    float cx[LANES], zx[LANES] = {0}, zy[LANES] = {0};
    int32_t count[LANES] = {0};
    for (int l = 0; l < LANES; l++) cx[l] = (float)(x + l) * scale - 2.0f;
    for (int n = 0; n < LIMIT; n++) {
      for (int l = 0; l < LANES; l++) {
        const float xx = zx[l] * zx[l], yy = zy[l] * zy[l];
        const int inside = xx + yy < 4.0f;
        const float next = xx - yy + cx[l];
        zy[l] = inside ? 2.0f * zx[l] * zy[l] + y0 : zy[l];
        zx[l] = inside ? next : zx[l];
        count[l] += inside;
      }
    }
    for (int l = 0; l < LANES; l++) row[x + l] = count[l];
  }
}

uint64_t mandelbrot(void) {
  uint64_t hash = DIGEST_START;
  for (int frame = 0; frame < FRAMES; frame++) {
    for (int y = 0; y < HEIGHT; y++)
      mandelbrot_row(image[y], (float)y / 96.0f - 1.0f, (3.0f - (float)frame * 0.25f) / WIDTH);
    hash = digest(hash, image, sizeof image);
  }
  return hash;
}

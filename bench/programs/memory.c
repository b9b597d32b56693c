// Memory: copies that are and are not aligned, and a walk along a random chain.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

enum { SIZE = 1 << 20, COPIES = 1500, LINKS = 1 << 16, STEPS = 60000000 };

static uint8_t from[SIZE + 64], to[SIZE + 64];

uint64_t copy(void) {
  uint64_t seed = 4;
  for (int i = 0; i < SIZE; i++) from[i] = (uint8_t)next_random(&seed);
  for (int i = 0; i < COPIES; i++) {
    memcpy(to + (i & 31), from + (i * 7 & 31), SIZE - 64);
    memcpy(from + (i & 0xffff), to + (i * 37 & 0xffff), 5000 + (size_t)(i & 1023));
    for (int n = 0; n < 64; n++) memcpy(to + n * 512, from + n * 500, 40 + (size_t)n * 4);
  }
  return digest(DIGEST_START, to, SIZE);
}

struct link {
  struct link *next;
  uint64_t value;
};

static struct link links[LINKS];
static uint32_t order[LINKS];

uint64_t chase(void) {
  uint64_t seed = 5, sum = 0;
  for (uint32_t i = 0; i < LINKS; i++) order[i] = i;
  for (uint32_t i = LINKS - 1; i > 0; i--) {
    const uint32_t j = (uint32_t)(next_random(&seed) % (i + 1)), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  for (uint32_t i = 0; i < LINKS; i++) {
    links[order[i]].next = &links[order[(i + 1) % LINKS]];
    links[order[i]].value = next_random(&seed);
  }
  const struct link *at = links;
  for (int i = 0; i < STEPS; i++) {
    sum += at->value;
    at = at->next;
  }
  return sum;
}

// What the benchmark programs share: each computes for a while and returns a digest of its results.
#pragma once
#include <stdint.h>
#include <stddef.h>

typedef uint64_t (*program)(void);

uint64_t matrix_float(void);
uint64_t matrix_double(void);
uint64_t nbody(void);
uint64_t mandelbrot(void);
uint64_t filter(void);
uint64_t copy(void);
uint64_t sha256(void);
uint64_t aes(void);
uint64_t zlib(void);
uint64_t sort(void);
uint64_t interpreter(void);
uint64_t chase(void);

/** Pseudo-random numbers (splitmix64). */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/** FNV-1a. */
static inline uint64_t digest(uint64_t hash, const void *data, size_t size) {
  const uint8_t *p = data;
  for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
  return hash;
}

#define DIGEST_START 0xcbf29ce484222325u

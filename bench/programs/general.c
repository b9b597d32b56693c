// Branches, calls and table look-ups: sorting, a byte-code interpreter, zlib.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

enum { ELEMENTS = 200000, SORTS = 8 };

static int32_t elements[ELEMENTS];

static int compare(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

uint64_t sort(void) {
  uint64_t seed = 7, hash = DIGEST_START;
  for (int round = 0; round < SORTS; round++) {
    for (int i = 0; i < ELEMENTS; i++) elements[i] = (int32_t)next_random(&seed);
    qsort(elements, ELEMENTS, sizeof *elements, compare);
    hash = digest(hash, elements, sizeof elements / 16);
  }
  return hash;
}

enum operation { PUSH, LOAD, STORE, ADD, MUL, XOR, SHIFT, LESS, JUMP_IF, LOOP, HALT };

/** x = 12345; for (i = 0; i < n; i++) { x = x * 31 + i; if (x < y) y ^= x >> 3; } on a stack machine. */
static const int32_t code[] = {
    LOAD, 0, PUSH, 31, MUL, LOAD, 1, ADD, STORE, 0,       // x = x * 31 + i
    LOAD, 0, LOAD, 2, LESS, JUMP_IF, 25,                  // if (x < y) skip to 25
    LOAD, 2, LOAD, 0, SHIFT, XOR, STORE, 2,               // y ^= x >> 3
    LOAD, 1, PUSH, 1, ADD, STORE, 1,                      // i++
    LOAD, 1, LOAD, 3, LESS, LOOP, 0, HALT,
};

static uint64_t interpret(int32_t limit) {
  int32_t variables[4] = {12345, 0, 99991, limit}, stack[16], *top = stack;
  for (const int32_t *pc = code;;) {
    switch ((enum operation)*pc++) {
      case PUSH: *top++ = *pc++; break;
      case LOAD: *top++ = variables[*pc++]; break;
      case STORE: variables[*pc++] = *--top; break;
      case ADD: top--; top[-1] = (int32_t)((uint32_t)top[-1] + (uint32_t)*top); break;
      case MUL: top--; top[-1] = (int32_t)((uint32_t)top[-1] * (uint32_t)*top); break;
      case XOR: top--; top[-1] ^= *top; break;
      case SHIFT: top[-1] >>= 3; break;
      case LESS: top--; top[-1] = top[-1] < *top; break;
      case JUMP_IF: if (*--top) pc = code + *pc; else pc++; break;
      case LOOP: if (*--top) pc = code + *pc; else pc++; break;
      case HALT: return (uint64_t)(uint32_t)variables[0] << 32 | (uint32_t)variables[2];
    }
  }
}

uint64_t interpreter(void) { return interpret(5000000); }

#ifdef WITH_ZLIB
#include <zlib.h>

enum { TEXT = 1 << 20, ZLIB_ROUNDS = 3 };

static uint8_t plain[TEXT], packed[TEXT * 2], again[TEXT];

/** Words of a small vocabulary, deflated and inflated. */
uint64_t zlib(void) {
  uint64_t seed = 8, hash = DIGEST_START;
  size_t at = 0;
  while (at < TEXT - 16) {
    uint64_t word = (next_random(&seed) & next_random(&seed) & 0x3ff) * 0x9e3779b97f4a7c15u;
    const int length = 2 + (int)(word >> 61);
    for (int i = 0; i < length; i++, word >>= 5) plain[at++] = (uint8_t)('a' + (word & 15));
    plain[at++] = ' ';
  }
  for (int round = 0; round < ZLIB_ROUNDS; round++) {
    uLongf size = sizeof packed, back = sizeof again;
    if (compress2(packed, &size, plain, TEXT, 6) != Z_OK) return 1;
    for (int i = 0; i < 8; i++) {
      back = sizeof again;
      if (uncompress(again, &back, packed, size) != Z_OK) return 2;
    }
    if (back != TEXT || memcmp(plain, again, TEXT)) return 3;
    hash = digest(hash, packed, size);
    plain[(size_t)round * 1000] ^= 1;
  }
  return hash;
}
#endif

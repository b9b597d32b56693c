// Matrix products in float and double, in an order of loops that compilers vectorise.
#include "bench.h"

enum { N = 256, ROUNDS_FLOAT = 12, ROUNDS_DOUBLE = 8 };

#define MULTIPLY(NAME, TYPE, ROUNDS)                                              \
  static TYPE NAME##_a[N][N], NAME##_b[N][N], NAME##_c[N][N];                      \
  uint64_t NAME(void) {                                                           \
    uint64_t seed = 1;                                                            \
    for (int i = 0; i < N; i++)                                                   \
      for (int j = 0; j < N; j++) {                                               \
        NAME##_a[i][j] = (TYPE)(int64_t)(next_random(&seed) >> 40) / (1 << 20);   \
        NAME##_b[i][j] = (TYPE)(int64_t)(next_random(&seed) >> 40) / (1 << 22);   \
        NAME##_c[i][j] = 0;                                                       \
      }                                                                           \
    for (int round = 0; round < ROUNDS; round++)                                  \
      for (int i = 0; i < N; i++)                                                 \
        for (int k = 0; k < N; k++) {                                             \
          const TYPE factor = NAME##_a[i][k];                                     \
          for (int j = 0; j < N; j++) NAME##_c[i][j] += factor * NAME##_b[k][j];  \
        }                                                                         \
    return digest(DIGEST_START, NAME##_c, sizeof NAME##_c);                       \
  }

MULTIPLY(matrix_float, float, ROUNDS_FLOAT)
MULTIPLY(matrix_double, double, ROUNDS_DOUBLE)

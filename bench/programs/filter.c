// Integer vectors: brightness, blur and threshold of an 8-bit picture.
#include "bench.h"

enum { WIDTH = 1024, HEIGHT = 256, ROUNDS = 300 };

static uint8_t source[HEIGHT][WIDTH], target[HEIGHT][WIDTH];

static void blur(const uint8_t *above, const uint8_t *row, const uint8_t *below, uint8_t *out) {
  for (int x = 1; x < WIDTH - 1; x++) {
    const uint16_t sum = above[x - 1] + 2 * above[x] + above[x + 1] + 2 * row[x - 1] + 4 * row[x] + 2 * row[x + 1] +
                         below[x - 1] + 2 * below[x] + below[x + 1];
    out[x] = (uint8_t)(sum >> 4);
  }
}

static void adjust(uint8_t *row, int gain, int offset) {
  for (int x = 0; x < WIDTH; x++) {
    int value = ((row[x] * gain) >> 7) + offset;
    value = value < 0 ? 0 : value;
    row[x] = (uint8_t)(value > 255 ? 255 : value);
  }
}

uint64_t filter(void) {
  uint64_t seed = 3, total = 0;
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) source[y][x] = (uint8_t)next_random(&seed);
  for (int round = 0; round < ROUNDS; round++) {
    for (int y = 1; y < HEIGHT - 1; y++) {
      blur(source[y - 1], source[y], source[y + 1], target[y]);
      adjust(target[y], 120 + (round & 31), (y & 15) - 8);
    }
    uint32_t sum = 0;
    for (int x = 0; x < WIDTH; x++) sum += target[round & 127][x] > 100 ? target[HEIGHT / 2][x] : 3u;
    total = total * 31 + sum;
    source[1 + (round & 63)][round] ^= (uint8_t)sum;
  }
  return digest(DIGEST_START ^ total, target, sizeof target);
}

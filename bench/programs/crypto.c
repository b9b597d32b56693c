// SHA-256 (FIPS 180-4) and AES-128 in counter mode (FIPS 197, by tables), in portable C.
#include <string.h>
#include "bench.h"

enum { SHA_BYTES = 1 << 20, SHA_ROUNDS = 48, AES_BLOCKS = 1 << 16, AES_ROUNDS = 36 };

static uint8_t text[SHA_BYTES];

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/** The first 32 bits of the fractional part of a root of the n-th prime, by bisection on integers. */
static uint32_t root_bits(int prime, int cube) {
  // the largest r with r^k <= prime << (32 k)
  uint64_t low = 0, high = 1ull << 37;
  while (high - low > 1) {
    const uint64_t middle = (low + high) / 2;
    const unsigned __int128 square = (unsigned __int128)middle * middle;
    // for the cube, what lies above its low 32 bits: never equal to the limit, as no prime is a cube
    const unsigned __int128 cubed = (square >> 32) * middle + ((square & 0xffffffff) * middle >> 32);
    const int above = (cube ? cubed : square) >= (unsigned __int128)prime << 64;
    if (above) high = middle;
    else low = middle;
  }
  return (uint32_t)low;
}

static uint32_t constants[64], start[8];

static void sha_constants(void) {
  int found = 0;
  for (int n = 2; found < 64; n++) {
    int divisor = 2;
    while (divisor * divisor <= n && n % divisor) divisor++;
    if (divisor * divisor <= n) continue;
    if (found < 8) start[found] = root_bits(n, 0);
    constants[found++] = root_bits(n, 1);
  }
}

static void sha_block(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64], s[8];
  for (int t = 0; t < 16; t++) {
    memcpy(&w[t], block + t * 4, 4);
    w[t] = __builtin_bswap32(w[t]);
  }
  for (int t = 16; t < 64; t++) {
    const uint32_t a = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
    const uint32_t b = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = w[t - 16] + a + w[t - 7] + b;
  }
  memcpy(s, state, sizeof s);
  for (int t = 0; t < 64; t++) {
    const uint32_t sum1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
    const uint32_t t1 = s[7] + sum1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[t] + w[t];
    const uint32_t sum0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
    const uint32_t t2 = sum0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    for (int i = 7; i > 0; i--) s[i] = s[i - 1];
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

uint64_t sha256(void) {
  uint64_t seed = 6;
  uint32_t state[8];
  sha_constants();
  memcpy(state, start, sizeof state);
  for (int i = 0; i < SHA_BYTES; i++) text[i] = (uint8_t)next_random(&seed);
  for (int round = 0; round < SHA_ROUNDS; round++)
    for (int i = 0; i < SHA_BYTES; i += 64) sha_block(state, text + i);
  return digest(DIGEST_START, state, sizeof state);
}

static uint8_t box[256];
static uint32_t table[4][256], keys[44];

static uint8_t times2(uint8_t x) { return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0)); }

/** The S-box by powers of the generator 3, then the tables that join it with MixColumns. */
static void aes_tables(void) {
  uint8_t p = 1, q = 1;
  do {
    p ^= times2(p);
    q ^= (uint8_t)(q << 1);
    q ^= (uint8_t)(q << 2);
    q ^= (uint8_t)(q << 4);
    if (q & 0x80) q ^= 9;
    const uint8_t x = q ^ (uint8_t)(q << 1 | q >> 7) ^ (uint8_t)(q << 2 | q >> 6) ^ (uint8_t)(q << 3 | q >> 5) ^
                      (uint8_t)(q << 4 | q >> 4);
    box[p] = x ^ 0x63;
  } while (p != 1);
  box[0] = 0x63;
  for (int i = 0; i < 256; i++) {
    const uint8_t s = box[i], s2 = times2(s);
    table[0][i] = (uint32_t)s2 | (uint32_t)s << 8 | (uint32_t)s << 16 | (uint32_t)(uint8_t)(s2 ^ s) << 24;
    for (int t = 1; t < 4; t++) table[t][i] = table[t - 1][i] << 8 | table[t - 1][i] >> 24;
  }
}

static uint32_t substitute(uint32_t w) {
  return box[w & 255] | (uint32_t)box[w >> 8 & 255] << 8 | (uint32_t)box[w >> 16 & 255] << 16 |
         (uint32_t)box[w >> 24] << 24;
}

static void aes_key(const uint32_t key[4]) {
  uint8_t constant = 1;
  memcpy(keys, key, 16);
  for (int i = 4; i < 44; i++) {
    uint32_t w = keys[i - 1];
    if (i % 4 == 0) {
      w = substitute(w >> 8 | w << 24) ^ constant;
      constant = times2(constant);
    }
    keys[i] = keys[i - 4] ^ w;
  }
}

static void aes_encrypt(uint32_t block[4]) {
  uint32_t s[4], n[4];
  for (int i = 0; i < 4; i++) s[i] = block[i] ^ keys[i];
  for (int round = 1; round < 10; round++) {
    for (int i = 0; i < 4; i++)
      n[i] = table[0][s[i] & 255] ^ table[1][s[(i + 1) & 3] >> 8 & 255] ^ table[2][s[(i + 2) & 3] >> 16 & 255] ^
             table[3][s[(i + 3) & 3] >> 24] ^ keys[round * 4 + i];
    memcpy(s, n, sizeof s);
  }
  for (int i = 0; i < 4; i++)
    block[i] = (box[s[i] & 255] | (uint32_t)box[s[(i + 1) & 3] >> 8 & 255] << 8 |
                (uint32_t)box[s[(i + 2) & 3] >> 16 & 255] << 16 | (uint32_t)box[s[(i + 3) & 3] >> 24] << 24) ^
               keys[40 + i];
}

uint64_t aes(void) {
  const uint32_t key[4] = {0x16157e2b, 0xa6d2ae28, 0x8815f7ab, 0x3c4fcf09};
  uint32_t state[4] = {0};
  aes_tables();
  aes_key(key);
  for (int round = 0; round < AES_ROUNDS; round++)
    for (uint32_t i = 0; i < AES_BLOCKS; i++) {
      uint32_t block[4] = {i, (uint32_t)round, 0x1234567, 0x89abcdef};
      aes_encrypt(block);
      for (int k = 0; k < 4; k++) state[k] ^= rotate(block[k], k + 1) + state[(k + 1) & 3];
    }
  return digest(DIGEST_START, state, sizeof state);
}

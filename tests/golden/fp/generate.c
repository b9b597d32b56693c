// Records how a real processor executes x87 and SSE floating-point instructions, for src/runtime/x86/*.test.ts.
//
//   gcc -O1 -mno-red-zone -o /tmp/generate tests/golden/fp/generate.c
//   /tmp/generate > tests/golden/fp/vectors.bin          16-bit digests of all sections
//   /tmp/generate dump <section> <first> <count>         operands and results, for debugging
//
// Operands come from a generator that fp-vectors.ts repeats, so only digests of the results are stored.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;
typedef struct { u64 m; u16 se; u16 pad[3]; } f80;

static u64 state;
static u64 next(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1DULL;
}

static const f80 special80[16] = {
  {0, 0}, {0, 0x8000}, {1ULL << 63, 0x3fff}, {1ULL << 63, 0xbfff}, {1ULL << 63, 0x7fff}, {1ULL << 63, 0xffff},
  {0xc000000000000000ULL, 0xffff}, {0xc000000000001234ULL, 0x7fff}, {0x8000000000000001ULL, 0x7fff},
  {0xa000000000000000ULL, 0xffff}, {~0ULL, 0x7ffe}, {1ULL << 63, 1}, {1, 0}, {1ULL << 63, 0},
  {0x4000000000000000ULL, 0x3fff}, {0x0000000000000001ULL, 0x7fff},
};

static f80 gen80(void) {
  u64 r = next();
  u64 m = next();
  f80 x = {0};
  u16 sign = (u16)((r >> 8) & 1) << 15;
  u32 e = (u32)(r >> 16) & 0x7fff;
  switch (r & 15) {
    case 0: case 1: x = special80[(r >> 12) & 15]; return x;
    case 2: x.m = m >> ((r >> 32) & 63); x.se = sign; return x;
    case 3: x.m = ~0ULL << ((r >> 32) & 63); x.se = sign | (0x3fff - 3 + (e & 7)); break;
    case 4: x.m = (m >> 60) << 60; x.se = sign | (0x3fff - 4 + (e & 15)); break;
    case 5: case 6: case 7: x.m = m; x.se = sign | (0x3fff - 4 + (e & 7)); break;
    case 8: case 9: x.m = m; x.se = sign | (0x3fff - 64 + (e & 127)); break;
    case 10: x.m = m; x.se = sign | (0x7ffe - (e & 63)); break;
    case 11: x.m = m; x.se = sign | (1 + (e & 127)); break;
    case 12: x.m = m; x.se = sign | (e == 0x7fff ? 0x7ffe : e ? e : 1); break;
    case 13: x.m = (m & 1023) << 54; x.se = sign | (0x3fff + (e & 63)); break;
    case 14: x.m = m; x.se = sign | (0x3fff - 1100 + (e % 2200)); break;
    default: x.m = m; x.se = sign | (0x3fff - 160 + (e % 320)); break;
  }
  x.m |= 1ULL << 63;
  return x;
}

static u64 gen64(void) {
  u64 r = next();
  u64 m = next();
  u64 sign = ((r >> 8) & 1) << 63;
  u64 f = m & 0xfffffffffffffULL;
  u64 e = (r >> 16) & 0x7ff;
  static const u64 special[8] = {
    0, 0x3ff0000000000000ULL, 0x7ff0000000000000ULL, 0x7ff8000000000123ULL, 0x7ff0000000000001ULL,
    0x7fefffffffffffffULL, 0x0010000000000000ULL, 1,
  };
  switch (r & 15) {
    case 0: case 1: return sign | special[(r >> 12) & 7];
    case 2: return sign | (f >> ((r >> 32) & 31));
    case 3: return sign | ((1020 + (e & 7)) << 52) | (0xfffffffffffffULL << ((r >> 32) & 31) & 0xfffffffffffffULL);
    case 4: return sign | ((1020 + (e & 63)) << 52) | ((f >> 46) << 46);
    case 5: case 6: case 7: case 8: return sign | ((1019 + (e & 7)) << 52) | f;
    case 9: case 10: return sign | ((1023 - 60 + (e & 127)) << 52) | f;
    case 11: return sign | ((0x7fe - (e & 31)) << 52) | f;
    case 12: return sign | ((1 + (e & 63)) << 52) | f;
    case 13: return sign | (512 + (e & 15)) << 52 | f;
    case 14: return sign | ((1023 - 160 + (e % 320)) << 52) | f;
    default: return sign | (e << 52) | f;
  }
}

static u32 gen32(void) {
  u64 r = next();
  u64 m = next();
  u32 sign = (u32)((r >> 8) & 1) << 31;
  u32 f = (u32)m & 0x7fffff;
  u32 e = (u32)(r >> 16) & 0xff;
  static const u32 special[8] = { 0, 0x3f800000, 0x7f800000, 0x7fc00123, 0x7f800001, 0x7f7fffff, 0x00800000, 1 };
  switch (r & 15) {
    case 0: case 1: return sign | special[(r >> 12) & 7];
    case 2: return sign | (f >> ((r >> 32) & 15));
    case 3: return sign | ((124 + (e & 7)) << 23) | ((0x7fffff << ((r >> 32) & 15)) & 0x7fffff);
    case 4: return sign | ((124 + (e & 31)) << 23) | ((f >> 18) << 18);
    case 5: case 6: case 7: case 8: return sign | ((123 + (e & 7)) << 23) | f;
    case 9: case 10: return sign | ((127 - 30 + (e & 63)) << 23) | f;
    case 11: return sign | ((0xfe - (e & 15)) << 23) | f;
    case 12: return sign | ((1 + (e & 31)) << 23) | f;
    case 13: return sign | (64 + (e & 7)) << 23 | f;
    default: return sign | (e << 23) | f;
  }
}

static u64 genInt(void) {
  u64 r = next();
  u64 m = next();
  u64 v = m >> (r & 63);
  return (r >> 8) & 1 ? 0 - v : v;
}

// --- one record: bytes that describe the outcome -------------------------------------------------------------

static u8 out[256];
static int outLen;
static int dumping;
static void put(u64 v, int n) { for (int i = 0; i < n; i++) out[outLen++] = (u8)(v >> (8 * i)); }
static u16 digest(void) {
  u32 h = 0x811c9dc5;
  for (int i = 0; i < outLen; i++) h = (h ^ out[i]) * 0x01000193;
  return (u16)(h ^ (h >> 16));
}
static void say80(const char *n, f80 x) { if (dumping) printf(" %s=%04x:%016llx", n, x.se, (unsigned long long)x.m); }
static void say(const char *n, u64 x) { if (dumping) printf(" %s=%llx", n, (unsigned long long)x); }

// --- x87 -----------------------------------------------------------------------------------------------------

static u16 genCw(void) {
  u64 r = next();
  u16 pc = (u16[]){0, 2, 3, 3}[(r >> 4) & 3];
  u16 masks = (r & 15) < 11 ? 63 : (u16)(r >> 20) & 63;
  return (u16)(0x40 | masks | (pc << 8) | (((r >> 8) & 3) << 10));
}

typedef struct { u16 cw, r0, sw, r1, tw, r2; u32 ip, cs, dp, ds; u8 st[80]; } __attribute__((packed)) fsave;
static fsave image;

static void recordFpu(int values) {
  u16 sw = image.sw;
  put(sw, 2);
  put(image.tw, 2);
  say("sw", sw);
  say("tw", image.tw);
  for (int i = 0; i < values; i++) {
    f80 x = {0};
    memcpy(&x, image.st + i * 10, 10);
    put(x.m, 8);
    put(x.se, 2);
    say80(i ? "r1" : "r0", x);
  }
}

#define BIN(NAME, TEXT) static void NAME(f80 *a, f80 *b, u16 *cw) { \
  __asm__ volatile("fninit\nfldt (%1)\nfldt (%0)\nfldcw (%2)\n" TEXT "\nfnsave (%3)\n" :: "r"(a), "r"(b), "r"(cw), "r"(&image) : "memory"); }
#define UN(NAME, TEXT) static void NAME(f80 *a, f80 *b, u16 *cw) { \
  __asm__ volatile("fninit\nfldt (%0)\nfldcw (%1)\n" TEXT "\nfnsave (%2)\n" :: "r"(a), "r"(cw), "r"(&image) : "memory"); }

BIN(x_add, "fadd %%st(1),%%st") BIN(x_mul, "fmul %%st(1),%%st") BIN(x_sub, ".byte 0xd8,0xe1") BIN(x_subr, ".byte 0xd8,0xe9")
BIN(x_div, ".byte 0xd8,0xf1") BIN(x_divr, ".byte 0xd8,0xf9") BIN(x_faddp, ".byte 0xde,0xc1") BIN(x_fsubp, ".byte 0xde,0xe9")
BIN(x_fdivrp, ".byte 0xde,0xf1") BIN(x_prem, "fprem") BIN(x_prem1, "fprem1") BIN(x_scale, "fscale")
BIN(x_com, "fcom %%st(1)") BIN(x_ucompp, "fucompp") BIN(x_compp, "fcompp")
UN(x_sqrt, "fsqrt") UN(x_rndint, "frndint") UN(x_xtract, "fxtract") UN(x_tst, "ftst") UN(x_xam, "fxam") UN(x_chs, "fchs") UN(x_abs, "fabs")

typedef void (*fpuFn)(f80 *, f80 *, u16 *);
static const fpuFn fpuFns[] = { x_add, x_mul, x_sub, x_subr, x_div, x_divr, x_faddp, x_fsubp, x_fdivrp, x_prem, x_prem1, x_scale,
  x_com, x_compp, x_ucompp, x_sqrt, x_rndint, x_xtract, x_tst, x_xam, x_chs, x_abs };

static void fpuCase(int op) {
  f80 a = gen80(), b = gen80();
  u16 cw = genCw();
  say("cw", cw);
  say80("a", a);
  say80("b", b);
  fpuFns[op](&a, &b, &cw);
  recordFpu(2);
}

/** Comparisons into EFLAGS, all masked. */
static void comiCase(int op) {
  f80 a = gen80(), b = gen80();
  u64 f;
  u16 cw = 0x37f;
  say80("a", a);
  say80("b", b);
  if (op == 0)
    __asm__ volatile("fninit\nfldt (%2)\nfldt (%1)\nfldcw (%3)\nfcomi %%st(1),%%st\npushfq\npop %0\nfnsave (%4)\n" : "=&r"(f) : "r"(&a), "r"(&b), "r"(&cw), "r"(&image) : "memory");
  else
    __asm__ volatile("fninit\nfldt (%2)\nfldt (%1)\nfldcw (%3)\nfucomip %%st(1),%%st\npushfq\npop %0\nfnsave (%4)\n" : "=&r"(f) : "r"(&a), "r"(&b), "r"(&cw), "r"(&image) : "memory");
  put(f & 0x8d5, 2);
  say("f", f & 0x8d5);
  recordFpu(2);
}

/** Memory forms: 0 fadds 1 fiaddl 2 faddl 3 fiadds 4 fcoms 5 fldl 6 flds 7 fildll 8 fildl 9 filds */
static void memCase(int op) {
  f80 a = gen80();
  u16 cw = genCw();
  u64 v = op == 0 || op == 4 || op == 6 ? gen32() : op == 2 || op == 5 ? gen64() : genInt();
  say("cw", cw);
  say80("a", a);
  say("v", v);
#define M(TEXT) __asm__ volatile("fninit\nfldt (%0)\nfldcw (%1)\n" TEXT "\nfnsave (%3)\n" :: "r"(&a), "r"(&cw), "r"(&v), "r"(&image) : "memory")
  switch (op) {
    case 0: M("fadds (%2)"); break;
    case 1: M("fiaddl (%2)"); break;
    case 2: M("faddl (%2)"); break;
    case 3: M("fiadds (%2)"); break;
    case 4: M("fcoms (%2)"); break;
    case 5: M("fldl (%2)"); break;
    case 6: M("flds (%2)"); break;
    case 7: M("fildll (%2)"); break;
    case 8: M("fildl (%2)"); break;
    default: M("filds (%2)"); break;
  }
  recordFpu(2);
}

/** Stores: 0 fstps 1 fistpl 2 fstpl 3 fistps 4 fistpll 5 fisttpl 6 fisttps 7 fisttpll 8 fbstp 9 fstpt */
static void storeCase(int op) {
  f80 a = gen80();
  u16 cw = genCw();
  u8 mem[16];
  memset(mem, 0xcc, 16);
  say("cw", cw);
  say80("a", a);
#define S(TEXT) __asm__ volatile("fninit\nfldt (%0)\nfldcw (%1)\n" TEXT "\nfnsave (%3)\n" :: "r"(&a), "r"(&cw), "r"(mem), "r"(&image) : "memory")
  switch (op) {
    case 0: S("fstps (%2)"); break;
    case 1: S("fistpl (%2)"); break;
    case 2: S("fstpl (%2)"); break;
    case 3: S("fistps (%2)"); break;
    case 4: S("fistpll (%2)"); break;
    case 5: S("fisttpl (%2)"); break;
    case 6: S("fisttps (%2)"); break;
    case 7: S("fisttpll (%2)"); break;
    case 8: S("fbstp (%2)"); break;
    default: S("fstpt (%2)"); break;
  }
  recordFpu(1);
  for (int i = 0; i < 10; i++) put(mem[i], 1);
  if (dumping) { printf(" mem="); for (int i = 9; i >= 0; i--) printf("%02x", mem[i]); }
}

/** Stack faults: op on a stack with only `op & 1 ? 8 : 0` registers in use. */
static void stackCase(int op) {
  u16 cw = next() & 1 ? 0x37f : 0x37e;
  __asm__ volatile("fninit\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\n");
  u32 v = 0x3f800000;
  u64 mem[2] = { 0, 0 };
  say("cw", cw);
#define K(TEXT) __asm__ volatile("fninit\nfldcw (%0)\n" TEXT "\nfnsave (%3)\n" :: "r"(&cw), "r"(&v), "r"(mem), "r"(&image) : "memory")
#define FULL "fld1\nfldz\nfld1\nfldz\nfld1\nfldz\nfld1\nfldz\n"
  switch (op) {
    case 0: K("fadd %%st(1),%%st"); break;
    case 1: K("fld %%st(3)"); break;
    case 2: K("faddp"); break;
    case 3: K("fcompp"); break;
    case 4: K("fxch %%st(2)"); break;
    case 5: K("fsqrt"); break;
    case 6: K("fst %%st(2)"); break;
    case 7: K("fxtract"); break;
    case 8: K("fld1\nfincstp\nfstps (%2)"); break;
    case 9: K(FULL "flds (%1)"); break;
    case 10: K(FULL "fld1"); break;
    case 11: K(FULL "fildl (%1)"); break;
    case 12: K(FULL "fxtract"); break;
    case 13: K(FULL "fptan"); break;
    case 14: K("fsincos"); break;
    case 15: K("fpatan"); break;
    case 16: K("fchs"); break;
    case 17: K("ftst"); break;
    case 18: K("fld1\nfxch %%st(1)"); break;
    case 19: K("fld1\nfcmove %%st(1),%%st"); break;
    case 20: K("fprem"); break;
    case 21: K("fistpl (%2)"); break;
    case 22: K("fbstp (%2)"); break;
    case 23: K("fyl2x"); break;
    case 24: K("fscale"); break;
    case 25: K(FULL "fld %%st(0)"); break;
    default: K("fxam"); break;
  }
  recordFpu(8);
  put(mem[0], 8);
  put(mem[1], 2);
  say("mem", mem[0]);
}

/** Constants under every rounding. */
static void constCase(int op) {
  u16 cw = (u16)(0x33f | ((next() & 3) << 10));
  say("cw", cw);
  switch (op) {
#define C(N, TEXT) case N: __asm__ volatile("fninit\nfldcw (%0)\n" TEXT "\nfnsave (%1)\n" :: "r"(&cw), "r"(&image) : "memory"); break;
    C(0, "fld1") C(1, "fldl2t") C(2, "fldl2e") C(3, "fldpi") C(4, "fldlg2") C(5, "fldln2") C(6, "fldz")
  }
  recordFpu(1);
}

/** FBLD of valid digits. */
static void bcdCase(int op) {
  u8 mem[10];
  u64 r = next(), s = next();
  for (int i = 0; i < 9; i++) {
    u8 x = (u8)(i < 8 ? r >> (8 * i) : s);
    mem[i] = (u8)((((x >> 4) % 10) << 4) | ((x & 15) % 10));
  }
  mem[9] = s >> 8 & 1 ? 0x80 : 0;
  __asm__ volatile("fninit\nfbld (%0)\nfnsave (%1)\n" :: "r"(mem), "r"(&image) : "memory");
  recordFpu(1);
}

/** Transcendental functions: the values themselves, compared with a tolerance. */
BIN(x_atan, "fpatan") BIN(x_yl2x, "fyl2x") BIN(x_yl2xp1, "fyl2xp1")
UN(x_2xm1, "f2xm1") UN(x_sin, "fsin") UN(x_cos, "fcos") UN(x_tan, "fptan") UN(x_sincos, "fsincos")
static const fpuFn transFns[] = { x_atan, x_yl2x, x_yl2xp1, x_2xm1, x_sin, x_cos, x_tan, x_sincos };
static void transCase(int op) {
  f80 a = gen80(), b = gen80();
  u16 cw = 0x37f;
  if (op == 2 || op == 3) if ((a.se & 0x7fff) > 0x3ffd && (a.se & 0x7fff) != 0x7fff) a.se = (a.se & 0x8000) | 0x3ffc;
  say80("a", a);
  say80("b", b);
  transFns[op](&a, &b, &cw);
  recordFpu(2);
}

#include "generate-sse.h"
#include "generate-x87.h"

// --- sections ------------------------------------------------------------------------------------------------

typedef struct { const char *name; void (*fn)(int); int ops, count, full; } section;
static const section sections[] = {
  { "fpu", fpuCase, 22, 1500, 0 }, { "comi", comiCase, 2, 500, 0 }, { "mem", memCase, 10, 600, 0 },
  { "store", storeCase, 10, 1000, 0 }, { "stack", stackCase, 27, 4, 0 }, { "const", constCase, 7, 12, 0 },
  { "bcd", bcdCase, 1, 100, 0 }, { "trans", transCase, 8, 200, 1 }
};

int main(int argc, char **argv) {
  int n = sizeof sections / sizeof sections[0];
  for (int s = 0; s < n; s++) {
    if (argc > 2 && strcmp(argv[2], sections[s].name)) continue;
    for (int op = 0; op < sections[s].ops; op++) {
      if (argc > 3 && atoi(argv[3]) != op) continue;
      state = 0x9E3779B97F4A7C15ULL * (u64)(s * 256 + op + 1);
      int first = argc > 4 ? atoi(argv[4]) : 0, count = argc > 5 ? atoi(argv[5]) : 1;
      for (int i = 0; i < sections[s].count; i++) {
        outLen = 0;
        dumping = argc > 1 && i >= first && i < first + count;
        if (dumping) printf("%s %d %d:", sections[s].name, op, i);
        sections[s].fn(op);
        if (dumping) printf(" digest=%04x\n", digest());
        if (argc == 1) {
          if (sections[s].full) fwrite(out, 1, outLen, stdout);
          else { u16 d = digest(); fwrite(&d, 2, 1, stdout); }
        }
      }
    }
  }
  if (argc < 3 || !strcmp(argv[2], "simd")) simdSection(argc, argv, 64, "tests/golden/fp/simd-instructions.txt", simdCase);
  if (argc < 3 || !strcmp(argv[2], "x87")) simdSection(argc, argv, 65, "tests/golden/fp/x87-instructions.txt", x87Case);
  return 0;
}

// Part of generate.c: single MMX and SSE instructions, listed in simd-instructions.txt as "class encoding text".
// Registers: xmm0–xmm2, mm1, mm2, rax, rcx, rdx random by class, rdi = a 32-byte buffer that starts with xmm2's value.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef struct {
  u64 xmm[6], mm[2], rax, rcx, rdx, flags;
  u32 mxcsr, pad[3];
  u8 mem[32];
  u8 fx[512];
} __attribute__((aligned(16))) simdState;

static simdState simd;
static u8 *simdCode;
static sigjmp_buf simdFault;
static char simdClass;

static void onFault(int sig, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  simd.mxcsr = uc->uc_mcontext.fpregs->mxcsr;
  memcpy(simd.xmm + 2, &uc->uc_mcontext.fpregs->_xmm[1], 16);
  siglongjmp(simdFault, 1);
}

static const u8 t8[8] = { 0, 1, 0x7f, 0x80, 0x81, 0xff, 0xfe, 0x40 };
static const u16 t16[8] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0xfffe, 0x4000 };
static const u32 t32[8] = { 0, 1, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 0x40000000 };
static const u8 text[16] = { 0, 'a', 'b', 'c', 'A', 'z', 0x80, 0xff, 'a', 'b', 'c', 'a', 'b', 'a', 'm', '0' };

static u64 genLanes(int mode, u64 a) {
  u64 r = 0;
  if (mode == 0) return a;
  if (mode == 1) for (int i = 0; i < 8; i++) r |= (u64)t8[(a >> (8 * i)) & 7] << (8 * i);
  if (mode == 2) for (int i = 0; i < 4; i++) r |= (u64)t16[(a >> (16 * i)) & 7] << (16 * i);
  if (mode == 3) for (int i = 0; i < 2; i++) r |= (u64)t32[(a >> (32 * i)) & 7] << (32 * i);
  if (mode == 4) for (int i = 0; i < 8; i++) r |= (u64)text[(a >> (8 * i)) & 15] << (8 * i);
  return r;
}

static u64 genHalf(char c) {
  switch (c) {
    case 'S': case 'P': { u64 lo = gen32(); return lo | (u64)gen32() << 32; }
    case 'D': case 'Q': return gen64();
    case 'J': case 'O': return genInt();
    case 'T': return genLanes(4, next());
    default: { int mode = (int)(next() & 3); return genLanes(mode, next()); }
  }
}

static u32 genMxcsr(char c) {
  u64 r = next();
  if (!strchr("SDJPQO", c)) return 0x1f80;
  u32 flags = (r >> 16 & 1 ? 0x20 : 0) | ((r >> 17 & 3) == 0 ? (u32)(r >> 20) & 63 : 0);
  if (r >> 26 & 1) return 0x1f80 | flags;
  u32 masks = (r & 7) < 6 ? 63 : (u32)(r >> 32) & 63;
  return masks << 7 | ((u32)(r >> 8) & 3) << 13 | ((r >> 12 & 3) == 0 ? 0x40 : 0) | ((r >> 14 & 3) == 0 ? 0x8000 : 0) | flags;
}

static void runSimd(void) {
  u32 normal = 0x1f80;
  __asm__ volatile(
    "emms\n"
    "movq 48(%0),%%mm1\nmovq 56(%0),%%mm2\n"
    "movups 0(%0),%%xmm0\nmovups 16(%0),%%xmm1\nmovups 32(%0),%%xmm2\n"
    "movq %0,%%r10\nmovq %1,%%r11\nleaq 112(%0),%%rdi\n"
    "movq 64(%%r10),%%rax\nmovq 72(%%r10),%%rcx\nmovq 80(%%r10),%%rdx\n"
    "pushq $0x202\npopfq\nldmxcsr 96(%%r10)\n"
    "call *%%r11\n"
    "stmxcsr 96(%%r10)\npushfq\npopq 88(%%r10)\n"
    "movups %%xmm0,0(%%r10)\nmovups %%xmm1,16(%%r10)\nmovups %%xmm2,32(%%r10)\n"
    "movq %%rax,64(%%r10)\nmovq %%rcx,72(%%r10)\n"
    "fxsave 144(%%r10)\nmovq %%mm1,48(%%r10)\nemms\nldmxcsr %2\n"
    :: "r"(&simd), "r"(simdCode), "m"(normal)
    : "rax", "rcx", "rdx", "rdi", "r10", "r11", "xmm0", "xmm1", "xmm2", "memory", "cc");
}

static void simdCase(int op) {
  char c = simdClass;
  memset(&simd, 0, sizeof simd);
  for (int i = 0; i < 6; i++) simd.xmm[i] = genHalf(c);
  for (int i = 0; i < 2; i++) simd.mm[i] = genHalf(c == 'P' || c == 'Q' ? 'I' : c);
  simd.rax = genInt();
  simd.rcx = next();
  simd.rdx = genInt();
  u64 count = next();
  if (c == 'H') simd.xmm[4] = count % 70;
  if (c == 'N') simd.mm[1] = count % 70;
  if (c == 'T') { simd.rax = count % 41 - 20; simd.rdx = (count >> 32) % 41 - 20; }
  simd.mxcsr = genMxcsr(c);
  memcpy(simd.mem, c == 'M' || c == 'N' || c == 'O' ? simd.mm + 1 : simd.xmm + 4, 8);
  memcpy(simd.mem + 8, simd.xmm + 5, 8);
  for (int i = 16; i < 32; i++) simd.mem[i] = (u8)(i * 37);
  if (dumping) {
    for (int i = 0; i < 6; i++) printf(" %llx", (unsigned long long)simd.xmm[i]);
    printf(" mm %llx %llx rax %llx rdx %llx mxcsr %x ->", (unsigned long long)simd.mm[0], (unsigned long long)simd.mm[1], (unsigned long long)simd.rax, (unsigned long long)simd.rdx, simd.mxcsr);
  }
  if (sigsetjmp(simdFault, 1)) {
    put(1, 1);
    put(simd.xmm[2], 8);
    put(simd.xmm[3], 8);
    put(simd.mxcsr, 2);
    say("fault", simd.mxcsr);
    say("lo", simd.xmm[2]);
    say("hi", simd.xmm[3]);
    __asm__ volatile("emms");
    return;
  }
  runSimd();
  put(0, 1);
  for (int i = 0; i < 4; i++) put(simd.xmm[i], 8);
  put(simd.rax, 8);
  put(simd.rcx, 8);
  put(simd.flags & 0x8d5, 2);
  put(simd.mxcsr, 2);
  for (int i = 0; i < 32; i++) put(simd.mem[i], 1);
  if (strchr("MNPQO", c)) {
    put(simd.mm[0], 8);
    put(simd.fx[4], 1);
    say("mm1", simd.mm[0]);
    say("tags", simd.fx[4]);
  }
  say("lo", simd.xmm[2]);
  say("hi", simd.xmm[3]);
  say("xmm0", simd.xmm[0]);
  say("rax", simd.rax);
  say("rcx", simd.rcx);
  say("flags", simd.flags & 0x8d5);
  say("mxcsr", simd.mxcsr);
  say("mem", *(u64 *)simd.mem);
  say("mem1", *(u64 *)(simd.mem + 8));
}

/** Vectors per instruction of a class. */
static int simdCount(char c) {
  return strchr("SDPQ", c) ? 150 : strchr("JOX", c) ? 60 : c == 'T' ? 40 : 16;
}

static void simdSection(int argc, char **argv, int section, const char *list, void (*fn)(int)) {
  FILE *f = fopen(list, "r");
  char line[256];
  if (!f) { perror(list); exit(1); }
  struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_NODEFER };
  sa.sa_sigaction = onFault;
  sigaction(SIGFPE, &sa, 0);
  simdCode = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int op = 0; fgets(line, sizeof line, f); op++) {
    char *hex = line + 2;
    int n = 0;
    unsigned byte;
    simdClass = line[0];
    for (; hex[0] != ' ' && sscanf(hex, "%2x", &byte) == 1; hex += 2) simdCode[n++] = (u8)byte;
    simdCode[n] = 0xc3;
    if (argc > 3 && atoi(argv[3]) != op) continue;
    state = 0x9E3779B97F4A7C15ULL * (u64)(section * 256 + op + 1);
    int first = argc > 4 ? atoi(argv[4]) : 0, count = argc > 5 ? atoi(argv[5]) : 1;
    for (int i = 0; i < simdCount(simdClass); i++) {
      outLen = 0;
      dumping = argc > 1 && i >= first && i < first + count;
      if (dumping) printf("%.*s %d:", (int)strcspn(line, "\n"), line, i);
      fn(op);
      if (dumping) printf(" digest=%04x\n", digest());
      if (argc == 1) { u16 d = digest(); fwrite(&d, 2, 1, stdout); }
    }
  }
  fclose(f);
}

/*
 * Runs VEX-encoded instructions on the host's processor and prints a digest of the state they leave, for avx.test.ts.
 * Input on stdin, one case per line: kind of operands (I, S, D, G) and code bytes (hex). Output: one line of INPUTS digests each.
 * Layout and inputs are the same in the test: code at 0x200000, data at 0x301000, rdi = 0x301400.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define INPUTS 16
#define CODE 0x200000
#define STATE 0x300000
#define DATA 0x301000
#define BASE 0x301400

struct state {
  uint64_t gpr[4], flags, sp, mxcsr, host_mxcsr;
  uint8_t ymm[16][32];
};
static struct state *const st = (struct state *)STATE;
static sigjmp_buf faulted;
static uint32_t fault_mxcsr;

extern void enter_code(void);
extern char leave_code[];
__asm__(".text\n.globl enter_code\nenter_code:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, 0x300000+40\nstmxcsr 0x300000+56\nldmxcsr 0x300000+48\n"
        "vmovdqu 0x300000+64, %ymm0\n"
        "vmovdqu 0x300000+96, %ymm1\n"
        "vmovdqu 0x300000+128, %ymm2\n"
        "vmovdqu 0x300000+160, %ymm3\n"
        "vmovdqu 0x300000+192, %ymm4\n"
        "vmovdqu 0x300000+224, %ymm5\n"
        "vmovdqu 0x300000+256, %ymm6\n"
        "vmovdqu 0x300000+288, %ymm7\n"
        "vmovdqu 0x300000+320, %ymm8\n"
        "vmovdqu 0x300000+352, %ymm9\n"
        "vmovdqu 0x300000+384, %ymm10\n"
        "vmovdqu 0x300000+416, %ymm11\n"
        "vmovdqu 0x300000+448, %ymm12\n"
        "vmovdqu 0x300000+480, %ymm13\n"
        "vmovdqu 0x300000+512, %ymm14\n"
        "vmovdqu 0x300000+544, %ymm15\n"
        "pushq $0x202\npopfq\nmov $0x301400, %edi\n"
        "mov 0x300000+0, %rax\nmov 0x300000+8, %rcx\nmov 0x300000+16, %rdx\nmov 0x300000+24, %rbx\n"
        "mov $0x200000, %esi\njmp *%rsi\n"
        ".globl leave_code\nleave_code:\n"
        "mov %rax, 0x300000+0\nmov %rcx, 0x300000+8\nmov %rdx, 0x300000+16\nmov %rbx, 0x300000+24\n"
        "pushfq\npopq 0x300000+32\nstmxcsr 0x300000+48\nldmxcsr 0x300000+56\n"
        "vmovdqu %ymm0, 0x300000+64\n"
        "vmovdqu %ymm1, 0x300000+96\n"
        "vmovdqu %ymm2, 0x300000+128\n"
        "vmovdqu %ymm3, 0x300000+160\n"
        "vmovdqu %ymm4, 0x300000+192\n"
        "vmovdqu %ymm5, 0x300000+224\n"
        "vmovdqu %ymm6, 0x300000+256\n"
        "vmovdqu %ymm7, 0x300000+288\n"
        "vmovdqu %ymm8, 0x300000+320\n"
        "vmovdqu %ymm9, 0x300000+352\n"
        "vmovdqu %ymm10, 0x300000+384\n"
        "vmovdqu %ymm11, 0x300000+416\n"
        "vmovdqu %ymm12, 0x300000+448\n"
        "vmovdqu %ymm13, 0x300000+480\n"
        "vmovdqu %ymm14, 0x300000+512\n"
        "vmovdqu %ymm15, 0x300000+544\n"
        "mov 0x300000+40, %rsp\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

static uint32_t seed;
static uint32_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static uint32_t f32(void) {
  static const uint32_t special[16] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00123, 0xffc00456,
                                       0x7f800001, 0x00800000, 1, 0x807fffff, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x3f000000};
  uint32_t k = next() & 7, r = next(), m = next();
  if (k == 0) return special[r & 15];
  if (k == 1) return m;
  if (k == 2) return (r & 0x80000000) | (127 + (r & 7)) << 23 | (m & 7) << 20;
  if (k == 3) return (r & 0x80000000) | (100 + r % 50) << 23 | (m & 0x7fffff);
  return (r & 0x80000000) | (123 + (r & 7)) << 23 | (m & 0x7fffff);
}

static uint64_t f64(void) {
  static const uint32_t special[16] = {0, 0x80000000, 0x3ff00000, 0xbff00000, 0x7ff00000, 0xfff00000, 0x7ff80123, 0xfff80456,
                                       0x7ff00001, 0x00100000, 1, 0x800fffff, 0x7fefffff, 0x41e00000, 0xc1e00000, 0x3fe00000};
  uint32_t k = next() & 7, r = next(), m = next(), l = next();
  if (k == 0) return (uint64_t)special[r & 15] << 32;
  if (k == 1) return (uint64_t)m << 32 | l;
  if (k == 2) return (uint64_t)((r & 0x80000000) | (1023 + (r & 7)) << 20 | (m & 7) << 17) << 32;
  if (k == 3) return (uint64_t)((r & 0x80000000) | (900 + r % 250) << 20 | (m & 0xfffff)) << 32 | l;
  return (uint64_t)((r & 0x80000000) | (1019 + (r & 7)) << 20 | (m & 0xfffff)) << 32 | l;
}

static void fill(char kind, uint8_t *p) {
  uint32_t w[8];
  if (kind == 'S') {
    for (int i = 0; i < 8; i++) w[i] = f32();
  } else if (kind == 'D') {
    for (int i = 0; i < 8; i += 2) {
      uint64_t x = f64();
      w[i] = x;
      w[i + 1] = x >> 32;
    }
  } else if (kind == 'G') {
    for (int i = 0; i < 8; i++) {
      uint32_t r = next();
      w[i] = r & 1 ? r >> 26 : -(r >> 26);
    }
    if (next() & 1) /* 64-bit indexes */
      for (int i = 0; i < 8; i += 2) w[i + 1] = (int32_t)w[i] >> 31;
  } else {
    uint32_t mode = next() & 3;
    for (int i = 0; i < 8; i++) {
      uint32_t r = next();
      w[i] = mode == 0 ? r & 0x0f0f0f0f : mode == 1 ? (r & 0x80808080) | (r & 0x01010101) * 0x7f : r;
    }
  }
  memcpy(p, w, 32);
}

static uint32_t mxcsr(char kind) {
  uint32_t r = next(), q = next(), m = 0x1f80;
  if (kind != 'S' && kind != 'D') return m;
  if (r & 3) m |= 0x20;
  if ((r >> 2 & 7) == 0) m |= (q & 3) << 13;
  if ((r >> 5 & 7) == 0) m |= (q >> 2 & 1) << 6 | (q >> 3 & 1) << 15;
  if ((r >> 8 & 7) == 0) m = (m & ~0x1f80) | (q >> 4 & 63) << 7;
  return m;
}

static uint32_t fnv(uint32_t h, const void *data, size_t n) {
  const unsigned char *p = data;
  while (n--) h = (h ^ *p++) * 16777619u;
  return h;
}

static void on_signal(int sig, siginfo_t *info, void *context) {
  fault_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(faulted, sig);
}

static uint32_t run(char kind) {
  for (int i = 0; i < 16; i++) fill(kind, st->ymm[i]);
  if (kind == 'G') /* the mask */
    for (int i = 0; i < 32; i += 4) st->ymm[2][i + 3] = next() >> 24;
  for (int i = 0; i < 4; i++) st->gpr[i] = (uint64_t)next() << 32 | next();
  if (next() & 1) st->gpr[0] &= 15, st->gpr[2] &= 15;
  st->mxcsr = mxcsr(kind);
  uint8_t *data = (uint8_t *)DATA;
  memset(data, 0, 0x1000);
  for (int i = 0; i < 1024; i += 4) *(uint32_t *)(data + 0x200 + i) = next();
  for (int i = 0; i < 4; i++) fill(kind == 'G' ? 'I' : kind, data + 0x400 + i * 32);
  int sig = sigsetjmp(faulted, 1);
  if (sig == 0) enter_code();
  uint32_t h = 2166136261u;
  if (sig == 0) {
    st->flags &= 0x8d5;
    h = fnv(h, st->gpr, 40);
    h = fnv(h, &st->mxcsr, 4);
    h = fnv(h, st->ymm, 512);
  } else {
    h = fnv(h, &fault_mxcsr, 4);
  }
  if (getenv("TRACE")) {
    printf("sig %d mxcsr %x flags %llx\n", sig, sig ? fault_mxcsr : (unsigned)st->mxcsr, (long long)st->flags);
    for (int r = 0; r < 16; r++) {
      printf("ymm%d ", r);
      for (int i = 31; i >= 0; i--) printf("%02x", st->ymm[r][i]);
      printf("\n");
    }
  }
  h = fnv(h, data + 0x400, 128);
  return (h ^ h >> 16) & 0xffff;
}

int main(void) {
  static char line[4096], alt[65536];
  mmap((void *)CODE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap((void *)STATE, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  sigaltstack(&ss, 0);
  struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};
  sigaction(SIGFPE, &sa, 0);
  sigaction(SIGILL, &sa, 0);
  sigaction(SIGSEGV, &sa, 0);
  while (fgets(line, sizeof line, stdin)) {
    char kind, hex[256];
    if (sscanf(line, "%c %255s", &kind, hex) != 2) return 1;
    unsigned char *code = (unsigned char *)CODE;
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
      unsigned b;
      sscanf(hex + 2 * i, "%2x", &b);
      code[i] = b;
    }
    uint64_t back = (uint64_t)leave_code;
    memcpy(code + n, "\xff\x25\0\0\0\0", 6);
    memcpy(code + n + 6, &back, 8);
    seed = 0x12345678;
    for (int i = 0; i < INPUTS; i++) printf("%s%04x", i ? " " : "", run(kind));
    printf("\n");
  }
  return 0;
}

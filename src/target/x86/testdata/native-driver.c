/*
 * Runs short instruction sequences on the host's processor and prints a hash of the state they leave, for comparison with the
 * translator (native.test.ts). Input on stdin, one case per line: flag mask (hex) and code bytes (hex). Output: INPUTS hashes per line.
 * With the argument 32 the code runs in compatibility mode.
 *
 * Fixed layout, the same in the test: code at 0x200000, data page at 0x301000 (rdi), rsi = rdi + 0x100, stack top 0x302000.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define INPUTS 12
#define CODE 0x200000
#define STATE 0x300000
#define DATA 0x301000
#define DATA_SIZE 0x1000

struct state {
  uint64_t in[16], in_flags, out[16], out_flags, host_sp, entry, back;
};

static struct state *const st = (struct state *)STATE;
static sigjmp_buf faulted;
static int bits = 64;

extern void enter_code(void), enter_code32(void);
extern char leave_code[];
__asm__(
    ".text\n.globl enter_code\nenter_code:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, 0x300000+272\n"
    "pushq 0x300000+128\npopfq\n"
    "mov 0x300000+8, %rcx\nmov 0x300000+16, %rdx\nmov 0x300000+24, %rbx\nmov 0x300000+32, %rsp\nmov 0x300000+40, %rbp\n"
    "mov 0x300000+48, %rsi\nmov 0x300000+56, %rdi\nmov 0x300000+64, %r8\nmov 0x300000+72, %r9\nmov 0x300000+80, %r10\n"
    "mov 0x300000+88, %r11\nmov 0x300000+96, %r12\nmov 0x300000+104, %r13\nmov 0x300000+112, %r14\nmov 0x300000+120, %r15\n"
    "mov 0x300000+0, %rax\n"
    "jmp *0x300000+280\n"
    ".globl leave_code\nleave_code:\n"
    "mov %rax, 0x300000+136\nmov %rcx, 0x300000+144\nmov %rdx, 0x300000+152\nmov %rbx, 0x300000+160\nmov %rsp, 0x300000+168\n"
    "mov %rbp, 0x300000+176\nmov %rsi, 0x300000+184\nmov %rdi, 0x300000+192\nmov %r8, 0x300000+200\nmov %r9, 0x300000+208\n"
    "mov %r10, 0x300000+216\nmov %r11, 0x300000+224\nmov %r12, 0x300000+232\nmov %r13, 0x300000+240\nmov %r14, 0x300000+248\n"
    "mov %r15, 0x300000+256\n"
    "mov 0x300000+272, %rsp\npushfq\npopq 0x300000+264\ncld\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"
    ".globl enter_code32\nenter_code32:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, 0x300000+272\n"
    "mov $0x2b, %eax\nmov %eax, %ds\nmov %eax, %es\n"
    "pushq $0x23\npushq $compat\nlretq\n"
    ".code32\ncompat:\n"
    "mov $0x300800, %esp\npushl 0x300000+128\npopfl\n"
    "mov 0x300000+8, %ecx\nmov 0x300000+16, %edx\nmov 0x300000+24, %ebx\nmov 0x300000+32, %esp\nmov 0x300000+40, %ebp\n"
    "mov 0x300000+48, %esi\nmov 0x300000+56, %edi\nmov 0x300000+0, %eax\n"
    "jmp *0x300000+280\n.code64\n");

static uint32_t seed;
static uint32_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static uint64_t value(void) {
  static const uint64_t edge[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000u, 0xffffffffu,
                                  0x7fffffffffffffffu, 0x8000000000000000u, ~0ull, ~1ull};
  uint32_t kind = next() & 3;
  if (kind == 0) return edge[next() & 15];
  if (kind == 1) return next() & 0xff;
  uint64_t high = next();
  return high << 32 | next();
}

static uint32_t fnv(uint32_t h, const void *data, size_t n) {
  const unsigned char *p = data;
  while (n--) h = (h ^ *p++) * 16777619u;
  return h;
}

static void on_signal(int sig) { siglongjmp(faulted, sig); }

static uint32_t run(uint64_t mask) {
  for (int i = 0; i < 16; i++) st->in[i] = bits == 64 ? value() : i < 8 ? (uint32_t)value() : 0;
  st->in[7] = DATA;
  st->in[6] = DATA + 0x100;
  st->in[4] = DATA + DATA_SIZE;
  st->in_flags = (next() & 0x8d5) | 0x202;
  uint32_t *data = (uint32_t *)DATA;
  for (int i = 0; i < 0x200 / 4; i++) data[i] = next();
  memset((char *)DATA + 0x200, 0, DATA_SIZE - 0x200);
  int sig = sigsetjmp(faulted, 1);
  if (sig == 0) bits == 64 ? enter_code() : enter_code32();
  if (bits == 32) {
    for (int i = 0; i < 16; i++) st->out[i] = i < 8 ? (uint32_t)st->out[i] : 0;
  }
  uint32_t h = 2166136261u;
  if (sig == 0) {
    st->out_flags &= mask;
    h = fnv(h, st->out, sizeof st->out);
    h = fnv(h, &st->out_flags, 8);
  } else {
    h = fnv(h, "fault", 5);
  }
  if (getenv("TRACE")) {
    for (int i = 0; i < 16; i++) printf("%d: %016llx -> %016llx\n", i, (long long)st->in[i], (long long)st->out[i]);
    printf("flags %llx -> %llx sig %d\n", (long long)st->in_flags, (long long)st->out_flags, sig);
  }
  return fnv(h, (void *)DATA, DATA_SIZE);
}

int main(int argc, char **argv) {
  static char line[4096], alt[65536];
  if (argc > 1) bits = atoi(argv[1]);
  mmap((void *)CODE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap((void *)STATE, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  sigaltstack(&ss, 0);
  struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};
  sigaction(SIGFPE, &sa, 0);
  sigaction(SIGILL, &sa, 0);
  sigaction(SIGSEGV, &sa, 0);
  while (fgets(line, sizeof line, stdin)) {
    unsigned long long mask;
    char hex[4000];
    if (sscanf(line, "%llx %3999s", &mask, hex) != 2) return 1;
    unsigned char *code = (unsigned char *)CODE;
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
      unsigned b;
      sscanf(hex + 2 * i, "%2x", &b);
      code[i] = b;
    }
    uint64_t back = (uint64_t)leave_code;
    if (bits == 64) { /* jmp [rip+0]; .quad leave_code */
      memcpy(code + n, "\xff\x25\0\0\0\0", 6);
      memcpy(code + n + 6, &back, 8);
    } else { /* jmp 0x33:leave_code */
      code[n] = 0xea;
      memcpy(code + n + 1, &back, 4);
      memcpy(code + n + 5, "\x33\0", 2);
    }
    st->entry = CODE;
    seed = 0x12345678;
    for (int i = 0; i < INPUTS; i++) printf("%s%08x", i ? " " : "", run(mask));
    printf("\n");
  }
  return 0;
}

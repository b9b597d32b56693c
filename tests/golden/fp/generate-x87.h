// Part of generate.c: single x87 instructions, listed in x87-instructions.txt. ST(0)–ST(3) are loaded, ST(4)–ST(7) free but
// not cleared; rdi = a 32-byte buffer of random bytes; random arithmetic flags.

typedef struct {
  f80 st[8];
  u64 rax, flags;
  u16 cw, pad[7];
  u8 mem[32];
} __attribute__((aligned(16))) x87State;

static x87State x87;

static void runX87(void) {
  __asm__ volatile(
    "movq %0,%%r10\nmovq %1,%%r11\nleaq 160(%0),%%rdi\n"
    "fninit\nfldt 112(%0)\nfldt 96(%0)\nfldt 80(%0)\nfldt 64(%0)\nfldt 48(%0)\nfldt 32(%0)\nfldt 16(%0)\nfldt 0(%0)\n"
    "ffree %%st(4)\nffree %%st(5)\nffree %%st(6)\nffree %%st(7)\nfnclex\nfldcw 144(%0)\n"
    "movq 128(%%r10),%%rax\npushq 136(%%r10)\npopfq\n"
    "call *%%r11\n"
    "movq %%rax,128(%%r10)\npushfq\npopq 136(%%r10)\nfnsave %2\n"
    :: "r"(&x87), "r"(simdCode), "m"(image) : "rax", "rdi", "r10", "r11", "memory", "cc");
}

static void x87Case(int op) {
  (void)op;
  memset(&x87, 0, sizeof x87);
  for (int i = 0; i < 8; i++) x87.st[i] = gen80();
  x87.rax = next();
  x87.flags = (next() & 0x8d5) | 0x202;
  x87.cw = 0x37f | (next() & 3) << 10;
  for (int i = 0; i < 4; i++) {
    u64 v = i == 0 ? next() & 1 ? gen64() : genInt() : next();
    memcpy(x87.mem + i * 8, &v, 8);
  }
  if (next() & 1) { u32 f = gen32(); memcpy(x87.mem, &f, 4); }
  // A packed decimal at +16, whose low word is a fine control word too.
  static const u8 digits[10] = { 0x7f, 0x03, 0x65, 0x43, 0x21, 0x98, 0x76, 0x54, 0x32, 0x80 };
  x87.mem[16] = 0x7f;
  memcpy(x87.mem + 17, digits + 1, 9);
  x87.mem[16] = 0x72;
  runX87();
  put(x87.rax, 8);
  put(x87.flags & 0x8d5, 2);
  put(image.cw, 2);
  recordFpu(8);
  for (int i = 0; i < 32; i++) put(x87.mem[i], 1);
  say("rax", x87.rax);
  say("flags", x87.flags & 0x8d5);
  say("mem", *(u64 *)x87.mem);
}

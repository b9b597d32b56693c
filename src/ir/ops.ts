/**
 * The IR: one row per operation. Builder, printer, parser, verifier, passes, interpreter, compiler and docs/ir.md derive from it.
 *
 * Values are 64 bits wide and live in *slots*: byte offsets into the vCPU's register file (guest state below TEMP_BASE,
 * temporaries above, see the target's layout). An `i32` operation reads the low 32 bits of its operands and writes its result
 * zero-extended to 64 bits; an `i64` operation uses all 64. `f32`/`f64` operations use the low 4/8 bytes of a slot and, as they
 * write only those, may name any byte offset outside the promoted slots (an XMM lane). `v128` operands are 16 bytes.
 * Integer results always write 8 bytes; `put8/16/32` write less, to state that is never promoted.
 *
 * Encoding: little-endian units of 8 bytes, the first is `op:u16 d:u16 a:u16 b:u16`; the second depends on the format.
 * A block is straight-line code that ends with exactly one terminator.
 */

/** Encoding formats and the meaning of their fields. */
export type Format =
  /** d, a, b slots; 8 bytes. */
  | 'dab'
  /** d, a slots, i64 immediate in the second unit; 16 bytes. Every `imm: true` operation has this form, named `…_imm`. */
  | 'dai'
  /** d, a, b slots, second unit c:u16 x:u16 imm:i32; 16 bytes. */
  | 'dabc'
  /** Guest memory access: d = value slot (loaded or stored), a = address slot, b = MEM_* info; second unit disp:i32 restore:u32. */
  | 'mem'
  /** Two 16-byte vectors and a 16-byte constant: d, a, b; then two units of constant; 24 bytes. */
  | 'dab128'
  /** Call: d = result slot, a, b, c = arguments; x = helper index; imm = restore word; 16 bytes (as 'dabc'). */
  | 'call'
  /** Terminators. goto: i64 rip. br: a = condition slot, i64 rip if non-zero, i64 rip if zero. */
  | 'goto'
  | 'br'
  | 'end';

export type IntType = 'i32' | 'i64';
export type FloatType = 'f32' | 'f64';
export type OpType = IntType | FloatType | 'v128';

export interface OpRow {
  /** Which operands the operation has, in field order. `d` is written unless `reads: 'd'`. */
  readonly format: Format;
  /** Type suffixes the row expands to (`add` → `add_i32`, `add_i64`); absent: the name stands alone. */
  readonly types?: readonly OpType[];
  /** Has an `_imm` form in which an i64 immediate replaces operand b (format 'dai'). */
  readonly imm?: true;
  /** Operand count actually used among a, b, c (default by format). */
  readonly args?: 0 | 1 | 2 | 3;
  /** Type of the result where it differs from the operation's type. */
  readonly result?: OpType | 'none';
  /** Effects that keep the operation alive and in order. */
  readonly effect?: 'memory-read' | 'memory-write' | 'state' | 'call' | 'control';
  readonly doc: string;
}

const II = ['i32', 'i64'] as const;
const FF = ['f32', 'f64'] as const;

export const OPS = {
  // ---- moves and constants
  mov: { format: 'dab', args: 1, doc: 'd = a, all 64 bits' },
  movi: { format: 'dai', args: 0, doc: 'd = immediate' },
  select: { format: 'dabc', args: 3, doc: 'd = (low 32 bits of a are non-zero) ? b : c, all 64 bits' },

  // ---- integer arithmetic
  add: { format: 'dab', types: II, imm: true, doc: 'd = a + b' },
  sub: { format: 'dab', types: II, imm: true, doc: 'd = a - b' },
  mul: { format: 'dab', types: II, imm: true, doc: 'd = low half of a * b' },
  and: { format: 'dab', types: II, imm: true, doc: 'd = a & b' },
  or: { format: 'dab', types: II, imm: true, doc: 'd = a | b' },
  xor: { format: 'dab', types: II, imm: true, doc: 'd = a ^ b' },
  shl: { format: 'dab', types: II, imm: true, doc: 'd = a << (b mod width)' },
  shr: { format: 'dab', types: II, imm: true, doc: 'd = a >> (b mod width), zero fill' },
  sar: { format: 'dab', types: II, imm: true, doc: 'd = a >> (b mod width), sign fill' },
  rotl: { format: 'dab', types: II, imm: true, doc: 'd = a rotated left by b mod width' },
  rotr: { format: 'dab', types: II, imm: true, doc: 'd = a rotated right by b mod width' },
  neg: { format: 'dab', types: II, args: 1, doc: 'd = -a' },
  not: { format: 'dab', types: II, args: 1, doc: 'd = ~a' },
  clz: { format: 'dab', types: II, args: 1, doc: 'd = leading zero bits of a (width if zero)' },
  ctz: { format: 'dab', types: II, args: 1, doc: 'd = trailing zero bits of a (width if zero)' },
  popcnt: { format: 'dab', types: II, args: 1, doc: 'd = one bits of a' },
  bswap: { format: 'dab', types: II, args: 1, doc: 'd = a with its bytes reversed' },
  mulhu: { format: 'dab', types: ['i64'], doc: 'd = high 64 bits of the unsigned 128-bit product' },
  mulhs: { format: 'dab', types: ['i64'], doc: 'd = high 64 bits of the signed 128-bit product' },

  // ---- comparisons: result 0 or 1
  eq: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a == b' },
  ne: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a != b' },
  ltu: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a < b, unsigned' },
  lts: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a < b, signed' },
  leu: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a <= b, unsigned' },
  les: { format: 'dab', types: II, imm: true, result: 'i32', doc: 'd = a <= b, signed' },

  // ---- parts of a register
  ext8u: { format: 'dab', args: 1, doc: 'd = bits 7..0 of a, zero-extended to 64' },
  ext8hu: { format: 'dab', args: 1, doc: 'd = bits 15..8 of a, zero-extended to 64' },
  ext16u: { format: 'dab', args: 1, doc: 'd = bits 15..0 of a, zero-extended to 64' },
  ext32u: { format: 'dab', args: 1, doc: 'd = bits 31..0 of a, zero-extended to 64' },
  ext8s: { format: 'dab', types: II, args: 1, doc: 'd = bits 7..0 of a, sign-extended to the width' },
  ext16s: { format: 'dab', types: II, args: 1, doc: 'd = bits 15..0 of a, sign-extended to the width' },
  ext32s: { format: 'dab', args: 1, doc: 'd = bits 31..0 of a, sign-extended to 64' },
  dep8: { format: 'dab', doc: 'd = a with bits 7..0 replaced by those of b' },
  dep8h: { format: 'dab', doc: 'd = a with bits 15..8 replaced by bits 7..0 of b' },
  dep16: { format: 'dab', doc: 'd = a with bits 15..0 replaced by those of b' },

  // ---- addresses
  lea: { format: 'dabc', types: II, args: 2, doc: 'd = a + (b << x) + imm (sign-extended); x = 0..3' },

  // ---- guest state that is never promoted (offset >= LOCAL_SLOT_LIMIT), any byte offset
  get8u: { format: 'dab', args: 1, doc: 'd = byte at state offset a' },
  get16u: { format: 'dab', args: 1, doc: 'd = 16 bits at state offset a' },
  get32u: { format: 'dab', args: 1, doc: 'd = 32 bits at state offset a, zero-extended' },
  put8: { format: 'dab', args: 1, result: 'none', effect: 'state', doc: 'byte at state offset d = a' },
  put16: { format: 'dab', args: 1, result: 'none', effect: 'state', doc: '16 bits at state offset d = a' },
  put32: { format: 'dab', args: 1, result: 'none', effect: 'state', doc: '32 bits at state offset d = a' },

  // ---- guest memory (virtual, already linear addresses); address = a + disp
  ld8u: { format: 'mem', effect: 'memory-read', doc: 'd = byte, zero-extended' },
  ld8s: { format: 'mem', effect: 'memory-read', doc: 'd = byte, sign-extended to 64' },
  ld16u: { format: 'mem', effect: 'memory-read', doc: 'd = 16 bits, zero-extended' },
  ld16s: { format: 'mem', effect: 'memory-read', doc: 'd = 16 bits, sign-extended to 64' },
  ld32u: { format: 'mem', effect: 'memory-read', doc: 'd = 32 bits, zero-extended' },
  ld32s: { format: 'mem', effect: 'memory-read', doc: 'd = 32 bits, sign-extended to 64' },
  ld64: { format: 'mem', effect: 'memory-read', doc: 'd = 64 bits' },
  ld128: { format: 'mem', effect: 'memory-read', result: 'v128', doc: 'd (16 bytes) = 128 bits' },
  ld256: {
    format: 'mem',
    effect: 'memory-read',
    result: 'v128',
    doc: 'd (16 bytes) = low 128 bits, the 16 bytes VECTOR_HI behind d = high 128 bits',
  },
  chkaddr: {
    format: 'mem',
    effect: 'memory-read',
    doc: 'd = a + disp, all 64 bits, if that is a sign-extended 48-bit value; else a slow load of size 0, which may fault',
  },
  st8: { format: 'mem', result: 'none', effect: 'memory-write', doc: 'byte = d' },
  st16: { format: 'mem', result: 'none', effect: 'memory-write', doc: '16 bits = d' },
  st32: { format: 'mem', result: 'none', effect: 'memory-write', doc: '32 bits = d' },
  st64: { format: 'mem', result: 'none', effect: 'memory-write', doc: '64 bits = d' },
  st128: { format: 'mem', result: 'none', effect: 'memory-write', doc: '128 bits = d (16 bytes)' },

  st256: {
    format: 'mem',
    result: 'none',
    effect: 'memory-write',
    doc: '256 bits = d and the 16 bytes VECTOR_HI behind it',
  },

  // ---- floating point under the guest's environment: inline when FP_FAST is set and the result is normal (or an exact zero),
  // ---- otherwise the runtime's soft-float of the same name (`fadd_f32` … (dOffset, aOffset, bOffset))
  fadd: {
    format: 'dabc',
    types: FF,
    args: 2,
    effect: 'state',
    doc: 'low lane of d = a + b; imm: restore word as in call; x unused',
  },
  fsub: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'low lane of d = a - b' },
  fmul: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'low lane of d = a * b' },
  fdiv: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'low lane of d = a / b' },
  // ---- the same on all lanes of 128 bits, and on those of the 128 bits VECTOR_HI behind d, a and b too
  vfadd: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a + b' },
  vfsub: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a - b' },
  vfmul: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a * b' },
  vfdiv: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a / b' },
  vfadd256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a + b' },
  vfsub256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a - b' },
  vfmul256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a * b' },
  vfdiv256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a / b' },
  // ---- square roots, minimum and maximum as x86 defines them: b unless a is less (greater)
  fsqrt: { format: 'dabc', types: FF, args: 1, effect: 'state', doc: 'low lane of d = square root of a' },
  fmin: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'low lane of d = a < b ? a : b' },
  fmax: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'low lane of d = a > b ? a : b' },
  vfsqrt: { format: 'dabc', types: FF, args: 1, effect: 'state', doc: 'd = square roots of a' },
  vfmin: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a < b ? a : b' },
  vfmax: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a > b ? a : b' },
  vfsqrt256: { format: 'dabc', types: FF, args: 1, effect: 'state', doc: 'd = square roots of a' },
  vfmin256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a < b ? a : b' },
  vfmax256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'd = a > b ? a : b' },
  // ---- a × b + c, rounded once; x: the target's code for the signs of product and sum
  ffma: { format: 'dabc', types: FF, args: 3, effect: 'state', doc: 'low lane of d = ±(a * b) ± c' },
  vffma: { format: 'dabc', types: FF, args: 3, effect: 'state', doc: 'd = ±(a * b) ± c' },
  vffma256: { format: 'dabc', types: FF, args: 3, effect: 'state', doc: 'd = ±(a * b) ± c' },
  // ---- comparisons
  fcmp: {
    format: 'dabc',
    types: FF,
    args: 2,
    effect: 'state',
    doc: 'low lane of d = all ones if predicate x (as in the target’s compare instruction) holds for a and b, else 0',
  },
  vfcmp: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'the same on all lanes' },
  vfcmp256: { format: 'dabc', types: FF, args: 2, effect: 'state', doc: 'the same on all lanes' },
  fcomi: {
    format: 'dabc',
    types: FF,
    args: 2,
    result: 'i32',
    effect: 'state',
    doc: 'd = the arithmetic flags of a comparison; x: quiet NaNs signal',
  },
  // ---- conversions and roundings; the type is that of the floating-point operand, of the result in fcvt
  ffromint: {
    format: 'dabc',
    types: FF,
    args: 1,
    effect: 'state',
    doc: 'low lane of d = integer slot a, of 64 bits if x has bit 1, else 32',
  },
  ftoint: {
    format: 'dabc',
    types: FF,
    args: 1,
    result: 'i64',
    effect: 'state',
    doc: 'integer slot d = low lane of a; x: bit 1 = 64 bits (else 32, zero-extended), bit 2 = truncated (else rounded)',
  },
  fcvt: {
    format: 'dabc',
    types: FF,
    args: 1,
    effect: 'state',
    doc: 'low lane of d = low lane of a, which is of the other type',
  },
  vfcvt: {
    format: 'dabc',
    args: 1,
    effect: 'state',
    result: 'v128',
    doc: 'd = a converted, kind x of the target',
  },
  fround: {
    format: 'dabc',
    types: FF,
    args: 1,
    effect: 'state',
    doc: 'low lane of d = that of a as an integer; x = the mode in the target’s encoding',
  },
  vfround: { format: 'dabc', types: FF, args: 1, effect: 'state', doc: 'the same on all lanes' },

  // ---- vectors, bitwise
  vmov: { format: 'dab', args: 1, result: 'v128', doc: 'd = a' },
  vconst: { format: 'dab128', args: 0, result: 'v128', doc: 'd = 128-bit constant' },
  vand: { format: 'dab', result: 'v128', doc: 'd = a & b' },
  vor: { format: 'dab', result: 'v128', doc: 'd = a | b' },
  vxor: { format: 'dab', result: 'v128', doc: 'd = a ^ b' },
  vandnot: { format: 'dab', result: 'v128', doc: 'd = a & ~b' },
  vnot: { format: 'dab', args: 1, result: 'v128', doc: 'd = ~a' },
  vbitselect: { format: 'dabc', args: 3, result: 'v128', doc: 'd = (a & c) | (b & ~c)' },
  vshuffle: { format: 'dab128', result: 'v128', doc: 'd byte i = byte const[i] of a (0..15) and b (16..31)' },
  vswizzle: { format: 'dab', result: 'v128', doc: 'd byte i = b[i] < 16 ? a[b[i]] : 0' },
  // ---- vectors, integer lanes (suffix = lane width in bits)
  vadd8: { format: 'dab', result: 'v128', doc: 'lane-wise sum' },
  vadd16: { format: 'dab', result: 'v128', doc: 'lane-wise sum' },
  vadd32: { format: 'dab', result: 'v128', doc: 'lane-wise sum' },
  vadd64: { format: 'dab', result: 'v128', doc: 'lane-wise sum' },
  vsub8: { format: 'dab', result: 'v128', doc: 'lane-wise difference' },
  vsub16: { format: 'dab', result: 'v128', doc: 'lane-wise difference' },
  vsub32: { format: 'dab', result: 'v128', doc: 'lane-wise difference' },
  vsub64: { format: 'dab', result: 'v128', doc: 'lane-wise difference' },
  vadds8: { format: 'dab', result: 'v128', doc: 'saturating signed sum' },
  vaddu8: { format: 'dab', result: 'v128', doc: 'saturating unsigned sum' },
  vadds16: { format: 'dab', result: 'v128', doc: 'saturating signed sum' },
  vaddu16: { format: 'dab', result: 'v128', doc: 'saturating unsigned sum' },
  vsubs8: { format: 'dab', result: 'v128', doc: 'saturating signed difference' },
  vsubu8: { format: 'dab', result: 'v128', doc: 'saturating unsigned difference' },
  vsubs16: { format: 'dab', result: 'v128', doc: 'saturating signed difference' },
  vsubu16: { format: 'dab', result: 'v128', doc: 'saturating unsigned difference' },
  vmul16: { format: 'dab', result: 'v128', doc: 'low half of the lane product' },
  vmul32: { format: 'dab', result: 'v128', doc: 'low half of the lane product' },
  vmuleu32: {
    format: 'dab',
    result: 'v128',
    doc: '64-bit lanes: products of the unsigned 32-bit lanes 0 and 2',
  },
  vmules32: {
    format: 'dab',
    result: 'v128',
    doc: '64-bit lanes: products of the signed 32-bit lanes 0 and 2',
  },
  vdot16: {
    format: 'dab',
    result: 'v128',
    doc: '32-bit lanes: sums of adjacent products of signed 16-bit lanes',
  },
  vavgu8: { format: 'dab', result: 'v128', doc: 'unsigned rounded average' },
  vavgu16: { format: 'dab', result: 'v128', doc: 'unsigned rounded average' },
  vmins8: { format: 'dab', result: 'v128', doc: 'signed minimum' },
  vminu8: { format: 'dab', result: 'v128', doc: 'unsigned minimum' },
  vmins16: { format: 'dab', result: 'v128', doc: 'signed minimum' },
  vminu16: { format: 'dab', result: 'v128', doc: 'unsigned minimum' },
  vmins32: { format: 'dab', result: 'v128', doc: 'signed minimum' },
  vminu32: { format: 'dab', result: 'v128', doc: 'unsigned minimum' },
  vmaxs8: { format: 'dab', result: 'v128', doc: 'signed maximum' },
  vmaxu8: { format: 'dab', result: 'v128', doc: 'unsigned maximum' },
  vmaxs16: { format: 'dab', result: 'v128', doc: 'signed maximum' },
  vmaxu16: { format: 'dab', result: 'v128', doc: 'unsigned maximum' },
  vmaxs32: { format: 'dab', result: 'v128', doc: 'signed maximum' },
  vmaxu32: { format: 'dab', result: 'v128', doc: 'unsigned maximum' },
  vabs8: { format: 'dab', args: 1, result: 'v128', doc: 'lane-wise absolute value' },
  vabs16: { format: 'dab', args: 1, result: 'v128', doc: 'lane-wise absolute value' },
  vabs32: { format: 'dab', args: 1, result: 'v128', doc: 'lane-wise absolute value' },
  veq8: { format: 'dab', result: 'v128', doc: 'all ones where equal' },
  veq16: { format: 'dab', result: 'v128', doc: 'all ones where equal' },
  veq32: { format: 'dab', result: 'v128', doc: 'all ones where equal' },
  veq64: { format: 'dab', result: 'v128', doc: 'all ones where equal' },
  vgts8: { format: 'dab', result: 'v128', doc: 'all ones where a > b, signed' },
  vgts16: { format: 'dab', result: 'v128', doc: 'all ones where a > b, signed' },
  vgts32: { format: 'dab', result: 'v128', doc: 'all ones where a > b, signed' },
  vgts64: { format: 'dab', result: 'v128', doc: 'all ones where a > b, signed' },
  vpacks16: { format: 'dab', result: 'v128', doc: 'signed 16-bit lanes of a, b to signed saturated 8-bit' },
  vpacku16: { format: 'dab', result: 'v128', doc: 'signed 16-bit lanes of a, b to unsigned saturated 8-bit' },
  vpacks32: { format: 'dab', result: 'v128', doc: 'signed 32-bit lanes of a, b to signed saturated 16-bit' },
  vpacku32: {
    format: 'dab',
    result: 'v128',
    doc: 'signed 32-bit lanes of a, b to unsigned saturated 16-bit',
  },
  vexts8: { format: 'dab', args: 1, result: 'v128', doc: 'low 8 lanes of 8 bits sign-extended to 16' },
  vextu8: { format: 'dab', args: 1, result: 'v128', doc: 'low 8 lanes of 8 bits zero-extended to 16' },
  vexts16: { format: 'dab', args: 1, result: 'v128', doc: 'low 4 lanes of 16 bits sign-extended to 32' },
  vextu16: { format: 'dab', args: 1, result: 'v128', doc: 'low 4 lanes of 16 bits zero-extended to 32' },
  vexts32: { format: 'dab', args: 1, result: 'v128', doc: 'low 2 lanes of 32 bits sign-extended to 64' },
  vextu32: { format: 'dab', args: 1, result: 'v128', doc: 'low 2 lanes of 32 bits zero-extended to 64' },
  vshl16: {
    format: 'dai',
    args: 1,
    result: 'v128',
    doc: 'lanes shifted left by the immediate (less than the lane width)',
  },
  vshl32: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted left' },
  vshl64: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted left' },
  vshr16: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted right, zero fill' },
  vshr32: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted right, zero fill' },
  vshr64: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted right, zero fill' },
  vsar16: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted right, sign fill' },
  vsar32: { format: 'dai', args: 1, result: 'v128', doc: 'lanes shifted right, sign fill' },
  vmask8: { format: 'dab', args: 1, result: 'i32', doc: 'd = top bits of the 16 byte lanes' },
  vmask32: { format: 'dab', args: 1, result: 'i32', doc: 'd = top bits of the 4 lanes of 32 bits' },
  vmask64: { format: 'dab', args: 1, result: 'i32', doc: 'd = top bits of the 2 lanes of 64 bits' },
  vsplat64: { format: 'dab', args: 1, result: 'v128', doc: 'both 64-bit lanes of d = 64-bit slot a' },
  vzext64: {
    format: 'dab',
    args: 1,
    result: 'v128',
    doc: 'low 64 bits of d = 64-bit slot a, upper half zero',
  },
  vzext32: {
    format: 'dab',
    args: 1,
    result: 'v128',
    doc: 'low 32 bits of d = low 32 bits of slot a, rest zero',
  },

  // ---- calls into the runtime
  call: {
    format: 'call',
    args: 3,
    effect: 'call',
    doc: 'd = helper x (a, b, c); unused arguments and an unused result are slot NO_SLOT',
  },

  // ---- terminators
  goto: { format: 'goto', effect: 'control', doc: 'continue at the constant RIP, same key' },
  br: {
    format: 'br',
    effect: 'control',
    doc: 'continue at one of two constant RIPs, same key; condition = low 32 bits of a',
  },
  goto_ind: {
    format: 'end',
    effect: 'control',
    doc: 'continue at the RIP and KEY slots (both up to date in memory), by the jump cache',
  },
  exit: {
    format: 'end',
    effect: 'control',
    doc: 'return to the dispatcher; RIP and KEY slots are up to date (used after FAULT or EXIT_REQUEST may have been set)',
  },
} as const satisfies Record<string, OpRow>;

export type BaseOp = keyof typeof OPS;

type Suffixed<N extends string, R> = R extends { readonly types: readonly (infer T extends string)[] }
  ? `${N}_${T}`
  : N;
type WithImm<N extends string, R> = R extends { readonly imm: true } ? N | `${N}_imm` : N;
/** Names of all expanded operations: `add_i32`, `add_i32_imm`, `mov`, … */
export type OpName = { [N in BaseOp]: WithImm<Suffixed<N, (typeof OPS)[N]>, (typeof OPS)[N]> }[BaseOp];

/** One expanded operation. */
export interface OpInfo {
  readonly opcode: number;
  readonly name: OpName;
  readonly base: BaseOp;
  readonly type: OpType | undefined;
  readonly isImm: boolean;
  readonly format: Format;
  readonly args: number;
  readonly writesD: boolean;
  readonly resultType: OpType | 'none';
  readonly effect: OpRow['effect'];
  /** Size in bytes. */
  readonly size: number;
}

const FORMAT_SIZE: Readonly<Record<Format, number>> = {
  dab: 8,
  dai: 16,
  dabc: 16,
  mem: 16,
  dab128: 24,
  call: 16,
  goto: 16,
  br: 24,
  end: 8,
};
const FORMAT_ARGS: Readonly<Record<Format, number>> = {
  dab: 2,
  dai: 1,
  dabc: 3,
  mem: 1,
  dab128: 2,
  call: 3,
  goto: 0,
  br: 1,
  end: 0,
};

function expand(): OpInfo[] {
  const out: OpInfo[] = [];
  for (const [base, row] of Object.entries(OPS) as [BaseOp, OpRow][]) {
    for (const type of row.types ?? [undefined]) {
      for (const isImm of row.imm ? [false, true] : [false]) {
        const format = isImm ? 'dai' : row.format;
        const resultType = row.result ?? type ?? (row.effect === 'control' ? 'none' : 'i64');
        out.push({
          opcode: out.length,
          name: `${base}${type ? `_${type}` : ''}${isImm ? '_imm' : ''}` as OpName,
          base,
          type,
          isImm,
          format,
          resultType,
          args: isImm ? FORMAT_ARGS.dai : (row.args ?? FORMAT_ARGS[row.format]),
          writesD: resultType !== 'none',
          effect: row.effect,
          size: FORMAT_SIZE[format],
        });
      }
    }
  }
  return out;
}

/** All operations, indexed by opcode. */
export const OP_INFO: readonly OpInfo[] = expand();
/** Opcode numbers by name. They are not stable across versions: never store them. */
export const OP = Object.fromEntries(OP_INFO.map((i) => [i.name, i.opcode])) as Readonly<
  Record<OpName, number>
>;

/**
 * Slot that means "none" in a call. It lies behind the last temporary: the interpreter may read and write it without looking,
 * the values are garbage.
 */
export const NO_SLOT = 0xfff8;

/** Info field of a memory operation. */
export const MEM_MMU_MASK = 0x3;
/** Read of a read-modify-write: checked and faulted as a write. */
export const MEM_RMW = 0x4;
/** Stack-segment access: a non-canonical address raises #SS instead of #GP (x86). */
export const MEM_STACK = 0x8;
/** 16- and 32-byte accesses only: a misaligned address takes the slow path, which raises the target's alignment exception (x86: #GP(0)). */
export const MEM_ALIGN = 0x10;

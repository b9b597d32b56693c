import { NO_SLOT, OP } from '../../ir/ops.ts';
import { SS, VECTOR_HI, XMM } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { READ, RMW, WRITE } from './operands.ts';
import { testBits } from './translate-sse-int.ts';
import type { Handler, Translator } from './translator.ts';
import {
  eachLane,
  lanes,
  lanewise,
  registers,
  shuffle,
  source,
  splatWord,
  upper,
  zeroUpper,
  zeroVector,
} from './vector-operands.ts';

/** VZEROUPPER, VZEROALL: outside 64-bit code only registers 0–7. */
function zeroRegisters(all: boolean): Handler {
  return (t: Translator) => {
    if (t.avxUnavailable()) return;
    for (let n = 0; n < (t.code64 ? 16 : 8); n++) {
      zeroUpper(t, XMM + n * 16);
      if (all) t.ir.op128(OP.vconst, XMM + n * 16, 0, 0, 0, 0, 0, 0);
    }
  };
}

// ---- permutations

/** Byte indexes of 32-bit elements from their numbers in slot x, modulo mask + 1: n times 4, and 0 to 3. */
function dwordIndexes(t: Translator, x: number, mask: number): void {
  const { ir } = t;
  ir.op(OP.vand, x, x, splatWord(t, mask));
  ir.op(OP.vmul32, x, x, splatWord(t, 0x04040404));
  ir.op(OP.vadd8, x, x, splatWord(t, 0x03020100));
}

/** VPERMILPS by a vector. */
const permuteInLane = lanewise((t, d, a, b) => {
  const x = t.temp();
  t.ir.op(OP.vmov, x, b);
  dwordIndexes(t, x, 3);
  t.ir.op(OP.vswizzle, d, a, x);
});

/** VPERMILPD by a vector: bit 1 of each element chooses. */
const permutePairs = lanewise((t, d, a, b) => {
  const { ir } = t;
  const high = t.temp();
  const low = t.temp();
  const chosen = t.temp();
  ir.imm(OP.vshl64, chosen, b, 62);
  ir.op(OP.vgts64, chosen, zeroVector(t), chosen);
  shuffle(t, high, a, a, (i) => 8 + (i & 7));
  shuffle(t, low, a, a, (i) => i & 7);
  ir.op4(OP.vbitselect, d, high, low, chosen);
});

/** VPERMD, VPERMPS: each element of the last operand by the index in VEX.vvvv, across the lanes. */
function permuteDwords(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 2);
  const low = permuted(t, s, t.xmmV);
  const high = permuted(t, s, upper(t.xmmV));
  t.ir.op(OP.vmov, t.xmmReg, low);
  t.ir.op(OP.vmov, upper(t.xmmReg), high);
}

/** Four elements of the 256 bits at s by the indexes at `by`: a swizzle gives zero for bytes of the other half. */
function permuted(t: Translator, s: number, by: number): number {
  const { ir } = t;
  const x = t.temp();
  const d = t.temp();
  ir.op(OP.vmov, x, by);
  dwordIndexes(t, x, 7);
  ir.op(OP.vswizzle, d, s, x);
  ir.op(OP.vsub8, x, x, splatWord(t, 0x10101010));
  ir.op(OP.vswizzle, x, upper(s), x);
  ir.op(OP.vor, d, d, x);
  return d;
}

/** VPERMQ, VPERMPD by immediate. */
function permuteQwords(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 1);
  const d = t.xmmReg;
  const x = t.vectorTemp();
  const half = (to: number, imm: number): void =>
    shuffle(t, to, s, upper(s), (i) => (((imm >> (i & 8 ? 2 : 0)) & 3) << 3) + (i & 7));
  half(x, t.immLo);
  half(upper(d), t.immLo >> 4);
  t.ir.op(OP.vmov, d, x);
}

/** VPERM2F128, VPERM2I128: two bits choose among the four lanes of both sources, a third clears. */
function permuteLanes(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 2);
  const x = t.vectorTemp();
  const choose = (d: number, imm: number): void => {
    const from = (imm & 2 ? s : t.xmmV) + (imm & 1 ? VECTOR_HI : 0);
    t.ir.op(OP.vmov, d, imm & 8 ? zeroVector(t) : from);
  };
  choose(x, t.immLo);
  choose(upper(x), t.immLo >> 4);
  t.ir.op(OP.vmov, t.xmmReg, x);
  t.ir.op(OP.vmov, upper(t.xmmReg), upper(x));
}

function insertLane(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 2);
  const d = t.xmmReg;
  const chosen = t.immLo & 1 ? VECTOR_HI : 0;
  const other = VECTOR_HI - chosen;
  t.ir.op(OP.vmov, d + chosen, s);
  if (t.xmmV !== d) t.ir.op(OP.vmov, d + other, t.xmmV + other);
}

function extractLane(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = t.xmmReg + (t.immLo & 1 ? VECTOR_HI : 0);
  if (t.isMem) {
    t.ea(16, WRITE);
    t.st(OP.st128, s);
  } else t.ir.op(OP.vmov, t.xmmRm, s);
}

// ---- broadcasts

function broadcast(t: Translator): void {
  if (t.avxUnavailable()) return;
  const size = t.size(1);
  const s = source(t, 1);
  const d = t.xmmReg;
  if (size === 8) t.ir.op(OP.vsplat64, d, s);
  else shuffle(t, d, s, s, (i) => i & (size - 1));
  if (lanes(t) === 2) t.ir.op(OP.vmov, upper(d), d);
}

function broadcastLane(t: Translator): void {
  if (t.avxUnavailable()) return;
  t.ir.op(OP.vmov, upper(t.xmmReg), source(t, 1));
  t.ir.op(OP.vmov, t.xmmReg, upper(t.xmmReg));
}

// ---- shifts, masks, gathers

/** VPSLLVD … VPSRAVD. */
function shiftVariable(t: Translator): void {
  if (t.avxUnavailable()) return;
  const kind = (t.opcode === 0x47 ? 0 : t.opcode === 0x45 ? 1 : 2) | (t.vexW ? 4 : 0);
  eachLane(t, source(t, 2), (d, a, b) =>
    t.call(HELPER.avx_shift_variable, NO_SLOT, t.constant(kind), registers(t, d, a, b)),
  );
}

/** Element and vector bytes as the helpers of masked moves take them, and whether it is the stack's segment. */
function maskedSize(t: Translator, bytes: number): number {
  const wide = t.opcode >= 0x8c ? t.vexW : (t.opcode & 1) !== 0;
  return (wide ? 8 : 4) | (bytes << 8) | (t.segment() === SS ? 1 << 16 : 0);
}

function maskedLoad(t: Translator): void {
  if (t.avxUnavailable()) return;
  const bytes = t.size(2);
  t.ea(bytes, READ);
  const size = t.constant(maskedSize(t, bytes));
  t.call(HELPER.avx_masked_load, NO_SLOT, t.eaValue(), registers(t, t.xmmReg, t.xmmV), size);
}

function maskedStore(t: Translator): void {
  if (t.avxUnavailable()) return;
  const bytes = t.size(0);
  t.ea(bytes, WRITE);
  const size = t.constant(maskedSize(t, bytes));
  t.call(HELPER.avx_masked_store, NO_SLOT, t.eaValue(), registers(t, t.xmmReg, t.xmmV), size);
}

/** Destination, index and mask must be three registers (SDM Vol. 2 VPGATHERDD). */
function gather(t: Translator): void {
  const index = XMM + (t.sibIndex << 4);
  if (t.xmmReg === index || t.xmmReg === t.xmmV || index === t.xmmV) return t.raiseUd();
  if (t.avxUnavailable()) return;
  const base = t.temp();
  t.offset(base);
  const kind =
    (t.vexW ? 1 : 0) |
    ((t.opcode & 1) << 1) |
    (t.vexL << 2) |
    (t.addrSize === 4 ? 8 : 0) |
    (t.sibScale << 4) |
    (t.segment() << 6);
  t.call(HELPER.avx_gather, NO_SLOT, base, registers(t, t.xmmReg, index, t.xmmV, kind));
}

// ---- arithmetic

const FMA_SCALAR = 2;
const FMA_NEGATE_PRODUCT = 4;
const FMA_NEGATE_EVEN = 8;
const FMA_NEGATE_ODD = 16;
const FMA_256 = 32;

/** Operation by the low opcode nibble; the scalar forms are odd from 9 on. */
function fmaKind(opcode: number): number {
  switch (opcode & 15) {
    case 6:
      return FMA_NEGATE_EVEN;
    case 7:
      return FMA_NEGATE_ODD;
    default: {
      const scalar = opcode & 1 ? FMA_SCALAR : 0;
      const product = opcode & 4 ? FMA_NEGATE_PRODUCT : 0;
      return scalar | product | (opcode & 2 ? FMA_NEGATE_EVEN | FMA_NEGATE_ODD : 0);
    }
  }
}

function fmaOperation(wide: boolean, kind: number): number {
  if (kind & FMA_SCALAR) return wide ? OP.ffma_f64 : OP.ffma_f32;
  if (kind & FMA_256) return wide ? OP.vffma256_f64 : OP.vffma256_f32;
  return wide ? OP.vffma_f64 : OP.vffma_f32;
}

/** 132: d × b + a; 213: a × d + b; 231: a × b + d, where d is the destination, a VEX.vvvv, b the last operand. */
function fma(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 2);
  const d = t.xmmReg;
  const v = t.xmmV;
  const order = (t.opcode >> 4) - 9;
  const kind = (t.vexW ? 1 : 0) | fmaKind(t.opcode) | (lanes(t) === 2 ? FMA_256 : 0) | (order << 6);
  const [a, b, c] = [
    [d, s, v],
    [v, d, s],
    [v, s, d],
  ][order] as [number, number, number];
  t.flushFlags();
  t.ir.op4(fmaOperation(t.vexW, kind), d, a, b, c, kind, t.ir.restore);
}

function fromHalf(t: Translator): void {
  if (t.avxUnavailable()) return;
  const s = source(t, 1);
  const x = t.vectorTemp();
  const wide = lanes(t) === 2;
  const convert = (d: number, from: number): void =>
    t.call(HELPER.f16c_from_half, NO_SLOT, t.constant(d), t.constant(from));
  if (!wide) return convert(t.xmmReg, s);
  t.call(HELPER.sse_collect);
  convert(x, s);
  convert(upper(x), s + 8);
  t.call(HELPER.sse_report);
  t.ir.op(OP.vmov, t.xmmReg, x);
  t.ir.op(OP.vmov, upper(t.xmmReg), upper(x));
}

function toHalf(t: Translator): void {
  if (t.avxUnavailable()) return;
  const x = t.vectorTemp();
  const s = t.xmmReg;
  const wide = lanes(t, 1) === 2;
  if (t.isMem) {
    // a fault comes before the exception flags
    t.ea(t.size(0), RMW);
    t.ld(wide ? OP.ld128 : OP.ld64, t.temp());
  }
  const convert = (d: number, from: number): void =>
    t.call(HELPER.f16c_to_half, NO_SLOT, t.constant(d), t.constant(from), t.constant(t.immLo & 255));
  if (wide) t.call(HELPER.sse_collect);
  convert(x, s);
  if (wide) {
    convert(x + 8, upper(s));
    t.call(HELPER.sse_report);
  }
  if (!t.isMem) t.ir.op(wide ? OP.vmov : OP.vzext64, t.xmmRm, x);
  else t.st(wide ? OP.st128 : OP.st64, x);
}

const TOP = 0x8000_0000 | 0;

/** VTESTPS, VTESTPD: sign bits of elements of 4 or 8 bytes. */
function signTest(size: number): Handler {
  return (t) => {
    if (t.avxUnavailable()) return;
    const signs = t.temp();
    const low = size === 4 ? TOP : 0;
    t.ir.op128(OP.vconst, signs, 0, 0, low, TOP, low, TOP);
    testBits(t, (x) => t.ir.op(OP.vand, x, x, signs));
  };
}

export const avxHandlers = {
  vzeroupper: zeroRegisters(false),
  vzeroall: zeroRegisters(true),
  vpermilps: permuteInLane,
  vpermilpd: permutePairs,
  vpermilpsImm: lanewise((t, d, _, b) =>
    shuffle(t, d, b, b, (i) => (((t.immLo >> ((i >> 2) * 2)) & 3) << 2) + (i & 3)),
  ),
  vpermilpdImm: lanewise((t, d, _, b, lane) =>
    shuffle(t, d, b, b, (i) => (((t.immLo >> (lane * 2 + (i >> 3))) & 1) << 3) + (i & 7)),
  ),
  vpermd: permuteDwords,
  vpermq: permuteQwords,
  vperm2f128: permuteLanes,
  vinsertf128: insertLane,
  vextractf128: extractLane,
  broadcast,
  vbroadcastf128: broadcastLane,
  shiftVariable,
  maskedLoad,
  maskedStore,
  gather,
  fma,
  vcvtph2ps: fromHalf,
  vcvtps2ph: toHalf,
  vtestps: signTest(4),
  vtestpd: signTest(8),
} as const satisfies Record<string, Handler>;

import { NO_SLOT, OP } from '../../ir/ops.ts';
import { RAX, RDX, VECTOR_HI, XMM } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import type { Handler, Translator } from './translator.ts';
import {
  callOffsets,
  concat,
  eachLane,
  enterMmx,
  first,
  halves,
  inPlace,
  isMmx,
  lanes,
  lanewise,
  lastSource,
  mmxSlot,
  shuffle,
  source,
  splatWord,
  unavailable,
  upper,
  widen,
  writeMmx,
  zeroUpper,
  zeroVector,
} from './vector-operands.ts';

/** d = a op b with one wasm operation. */
function direct(op: number): Handler {
  return lanewise((t, d, a, b) => t.ir.op(op, d, a, b));
}

/** d = op(b). */
function unary(op: number): Handler {
  return lanewise((t, d, _, b) => t.ir.op(op, d, b));
}

/** Packs: the low half of the result from a, the high half from b. */
function pack(op: number): Handler {
  return halves((t, d, a, b) => t.ir.op(op, d, a, b));
}

/** Operation `n` of sse_int. */
function byHelper(n: number) {
  return (t: Translator, d: number, a: number, b: number): void =>
    inPlace(t, d, a, b, (x, s) => callOffsets(t, HELPER.sse_int, n, x, s));
}

function helper(n: number): Handler {
  return lanewise(byHelper(n));
}

/** PHADDW … PHSUBSW: the elements of even number op those of odd number. */
function horizontal(size: number, op: number): Handler {
  return halves((t, d, a, b) => {
    const even = t.temp();
    const odd = t.temp();
    const element = (i: number): number => 2 * size * Math.floor(i / size) + (i % size);
    shuffle(t, even, a, b, element);
    shuffle(t, odd, a, b, (i) => element(i) + size);
    t.ir.op(op, d, even, odd);
  });
}

/** PSIGNB, PSIGNW, PSIGND: a, negated where b is negative, zero where b is. */
function applySign(subtract: number, greater: number, equal: number): Handler {
  return lanewise((t, d, a, b) => {
    const { ir } = t;
    const zero = zeroVector(t);
    const negative = t.temp();
    const isNegative = t.temp();
    const isZero = t.temp();
    ir.op(subtract, negative, zero, a);
    ir.op(greater, isNegative, zero, b);
    ir.op(equal, isZero, b, zero);
    ir.op4(OP.vbitselect, d, negative, a, isNegative);
    ir.op(OP.vandnot, d, d, isZero);
  });
}

/** PMADDUBSW: unsigned bytes of a times signed ones of b; 16 bits hold every product, the sum of two saturates. */
function multiplyAddBytes(t: Translator, d: number, a: number, b: number): void {
  const { ir } = t;
  const x = t.temp();
  const y = t.temp();
  const even = t.temp();
  ir.op(OP.vand, x, a, splatWord(t, 0x00ff_00ff));
  ir.imm(OP.vshl16, y, b, 8);
  ir.imm(OP.vsar16, y, y, 8);
  ir.op(OP.vmul16, even, x, y);
  ir.imm(OP.vshr16, x, a, 8);
  ir.imm(OP.vsar16, y, b, 8);
  ir.op(OP.vmul16, x, x, y);
  ir.op(OP.vadds16, d, even, x);
}

/** Interleaves elements of `size` bytes from the low (or high) halves. */
function unpack(size: number, high: boolean): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const s = source(t, lastSource(t));
    const mmx = isMmx(t);
    const from = high ? (mmx ? 4 : 8) : 0;
    const index = (i: number): number => {
      const element = Math.floor(i / (2 * size));
      return (from + element * size + (i % size) + (Math.floor(i / size) & 1 ? 16 : 0)) & 31;
    };
    if (!mmx) return eachLane(t, s, (d, a, b) => shuffle(t, d, a, b, index));
    enterMmx(t);
    const x = widen(t, mmxSlot(t.reg));
    shuffle(t, x, x, widen(t, s), index);
    writeMmx(t, t.reg, x);
  };
}

// ---- shifts

const SHIFT_LEFT = [OP.vshl16, OP.vshl32, OP.vshl64] as const;
const SHIFT_RIGHT = [OP.vshr16, OP.vshr32, OP.vshr64] as const;
const SHIFT_ARITHMETIC = [OP.vsar16, OP.vsar32] as const;

/** Groups 12, 13, 14: shift of a register by imm8; reg 2 right, 4 arithmetic, 6 left. */
function shiftImm(t: Translator): void {
  if (unavailable(t)) return;
  const log = t.opcode - 0x71;
  const width = 16 << log;
  const kind = t.reg & 7;
  const count = t.immLo & 255;
  const op = kind === 2 ? SHIFT_RIGHT[log]! : kind === 4 ? SHIFT_ARITHMETIC[log]! : SHIFT_LEFT[log]!;
  const shift = (d: number, from: number): void => {
    if (count >= width && kind !== 4) t.ir.op(OP.vmov, d, zeroVector(t));
    else t.ir.imm(op, d, from, Math.min(count, width - 1));
  };
  if (!isMmx(t)) return eachShifted(t, shift);
  enterMmx(t);
  const d = widen(t, mmxSlot(t.rm));
  shift(d, d);
  writeMmx(t, t.rm, d);
}

/** Immediate shifts: the destination is VEX.vvvv, or the register itself. */
function eachShifted(t: Translator, shift: (d: number, from: number) => void): void {
  const d = t.vex ? t.xmmV : t.xmmRm;
  for (let lane = 0, at = 0; lane < lanes(t); lane++, at += VECTOR_HI) shift(d + at, t.xmmRm + at);
}

/** Shift by the low 64 bits of the second operand: low opcode nibble 1..3 = width, high nibble D right, E arithmetic, F left. */
function shiftCount(t: Translator): void {
  const log = (t.opcode & 3) - 1;
  const kind = t.opcode >= 0xf0 ? 0 : t.opcode >= 0xe0 ? 2 : 1;
  shiftBy(t, kind | (log << 4));
}

/** The count is the same for all lanes: in the low 64 bits of the last operand. */
function shiftBy(t: Translator, code: number): void {
  if (unavailable(t)) return;
  const count = source(t, lastSource(t));
  const shift = (x: number): void => callOffsets(t, HELPER.sse_shift, code, x, count);
  if (isMmx(t)) {
    enterMmx(t);
    const x = widen(t, mmxSlot(t.reg));
    callOffsets(t, HELPER.sse_shift, code, x, widen(t, count));
    return writeMmx(t, t.reg, x);
  }
  const d = t.xmmReg;
  // the lower lane last: the destination may be the count
  for (let at = (lanes(t) - 1) * VECTOR_HI; at >= 0; at -= VECTOR_HI)
    inPlace(t, d + at, first(t) + at, at === 0 ? count : NO_SLOT, shift);
}

/** PSRLDQ, PSLLDQ: byte shifts of whole lanes. */
function shiftBytes(left: boolean): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const n = Math.min(t.immLo & 255, 16);
    const zero = zeroVector(t);
    eachShifted(t, (d, from) =>
      shuffle(t, d, from, zero, (i) => {
        const k = left ? i - n : i + n;
        return k >= 0 && k < 16 ? k : 16;
      }),
    );
  };
}

// ---- shuffles

/** d byte i = byte index(i) of the source, lane by lane. */
function permute(index: (t: Translator) => (i: number) => number): Handler {
  return lanewise((t, d, _, b) => shuffle(t, d, b, b, index(t)));
}

const pshufd = permute((t) => (i) => (((t.immLo >> ((i >> 2) * 2)) & 3) << 2) + (i & 3));

/** Words of one half chosen by imm8; `base` = first byte of that half. */
function wordIndex(imm: number, base: number): (i: number) => number {
  return (i) => ((i & 8) === base ? base + (((imm >> (((i >> 1) & 3) * 2)) & 3) << 1) + (i & 1) : i);
}

function shuffleWords(base: number): Handler {
  return permute((t) => wordIndex(t.immLo, base));
}

function pshufw(t: Translator): void {
  if (t.mmxUnavailable()) return;
  const s = source(t, 1);
  enterMmx(t);
  const x = widen(t, s);
  shuffle(t, x, x, x, wordIndex(t.immLo, 0));
  writeMmx(t, t.reg, x);
}

/** PSHUFB: a set top bit clears the byte, otherwise the low bits select (SDM Vol. 2). */
const pshufb = lanewise((t, d, a, b) => {
  const index = splatWord(t, isMmx(t) ? 0x87878787 | 0 : 0x8f8f8f8f | 0);
  t.ir.op(OP.vand, index, index, b);
  t.ir.op(OP.vswizzle, d, a, index);
});

function palignr(t: Translator): void {
  if (unavailable(t)) return;
  const s = source(t, lastSource(t));
  const n = t.immLo & 255;
  if (isMmx(t)) {
    enterMmx(t);
    const both = concat(t, s, mmxSlot(t.reg));
    shuffle(t, both, both, zeroVector(t), (i) => Math.min(i + n, 16));
    return writeMmx(t, t.reg, both);
  }
  const zero = zeroVector(t);
  eachLane(t, s, (d, a, b) => {
    if (n <= 16) shuffle(t, d, b, a, (i) => i + n);
    else shuffle(t, d, a, zero, (i) => Math.min(i + n - 16, 16));
  });
}

// ---- blends

/** BLENDPS, BLENDPD, PBLENDW, VPBLENDD: elements of 4, 8, 2 bytes whose imm bit is set come from the source. */
const blendImm = lanewise((t, d, a, b, lane) => {
  const log = t.opcode === 0x0d ? 3 : t.opcode === 0x0e ? 1 : 2;
  // PBLENDW has eight elements in a lane and the same bits for both
  const imm = t.immLo >> (lane === 1 && log > 1 ? 16 >> log : 0);
  shuffle(t, d, a, b, (i) => ((imm >> (i >> log)) & 1 ? 16 + i : i));
});

/** `mask` turns the sign bits of a selector (XMM0, or a register of its own) into full element masks in slot m. */
function blendBySign(mask: (t: Translator, m: number, selector: number) => void): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, lastSource(t));
    const selector = source(t, lastSource(t) + 1);
    const m = t.temp();
    eachLane(t, s, (d, a, b, lane) => {
      mask(t, m, selector + lane * VECTOR_HI);
      t.ir.op4(OP.vbitselect, d, b, a, m);
    });
  };
}

/** Sign or zero extension by one, two or three steps; the upper lane of 256 bits first, as the source may be the destination. */
function extend(...ops: number[]): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    const d = t.xmmReg;
    if (lanes(t) === 2) {
      const bytes = 16 >> ops.length;
      const x = t.temp();
      shuffle(t, x, s, s, (i) => (i + bytes) & 15);
      extendLane(t, upper(d), x, ops);
    }
    extendLane(t, d, s, ops);
  };
}

function extendLane(t: Translator, d: number, source: number, ops: readonly number[]): void {
  let s = source;
  for (const op of ops) {
    t.ir.op(op, d, s);
    s = d;
  }
}

/** ZF of an AND and CF of an AND NOT (SDM Vol. 2 PTEST). */
function ptest(t: Translator): void {
  testBits(t, () => undefined);
}

/** ZF and CF of what `pick` leaves of the bits. */
export function testBits(t: Translator, pick: (x: number) => void): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const zf = t.temp();
  const cf = t.temp();
  isZero(t, OP.vand, s, pick, zf);
  isZero(t, OP.vandnot, s, pick, cf);
  t.ir.imm(OP.shl_i32_imm, zf, zf, 6);
  t.ir.op(OP.or_i32, zf, zf, cf);
  t.flagsValue(zf);
}

function isZero(t: Translator, op: number, s: number, pick: (x: number) => void, d: number): void {
  const x = t.temp();
  t.ir.op(op, x, s, t.xmmReg);
  if (lanes(t) === 2) {
    const y = t.temp();
    t.ir.op(op, y, upper(s), upper(t.xmmReg));
    t.ir.op(OP.vor, x, x, y);
  }
  pick(x);
  t.ir.op(OP.or_i64, x, x, x + 8);
  t.ir.imm(OP.eq_i64_imm, d, x, 0);
}

// ---- strings, AES

/** After the comparison: ECX or XMM0 by opcode (odd: index), and the flags. */
function stringResult(t: Translator, flags: number): void {
  const imm = t.constant(t.immLo & 255);
  if (t.opcode & 1) t.call(HELPER.sse_pcmpstr_index, t.gprDst(1), imm);
  else {
    t.call(HELPER.sse_pcmpstr_mask, NO_SLOT, imm);
    if (t.vex) zeroUpper(t, XMM);
  }
  t.flagsValue(flags);
}

function pcmpistr(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const imm = t.constant(t.immLo & 255);
  stringResult(t, t.callValue(HELPER.sse_pcmpistr, t.constant(t.xmmReg), t.constant(s), imm));
}

function pcmpestr(t: Translator): void {
  if (t.sseUnavailable()) return;
  const s = source(t, 1);
  const size = t.opSize === 8 ? 8 : 4;
  t.call(HELPER.sse_pcmpestr_lengths, NO_SLOT, t.sext(RAX, size), t.sext(RDX, size));
  const imm = t.constant(t.immLo & 255);
  stringResult(t, t.callValue(HELPER.sse_pcmpestr, t.constant(t.xmmReg), t.constant(s), imm));
}

function aes(op: number): Handler {
  return lanewise((t, d, a, b) => inPlace(t, d, a, b, (x, s) => callOffsets(t, HELPER.aes_round, op, x, s)));
}

/** helper(d, s, imm8); `immOf` gives the bits of a lane. */
function withImm(index: number, immOf = (imm: number, _lane: number): number => imm): Handler {
  return lanewise((t, d, a, b, lane) =>
    inPlace(t, d, a, b, (x, s) => callOffsets(t, index, x, s, immOf(t.immLo & 255, lane))),
  );
}

export const simdIntHandlers = {
  // ---- one wasm operation
  paddb: direct(OP.vadd8),
  paddw: direct(OP.vadd16),
  paddd: direct(OP.vadd32),
  paddq: direct(OP.vadd64),
  psubb: direct(OP.vsub8),
  psubw: direct(OP.vsub16),
  psubd: direct(OP.vsub32),
  psubq: direct(OP.vsub64),
  paddsb: direct(OP.vadds8),
  paddsw: direct(OP.vadds16),
  paddusb: direct(OP.vaddu8),
  paddusw: direct(OP.vaddu16),
  psubsb: direct(OP.vsubs8),
  psubsw: direct(OP.vsubs16),
  psubusb: direct(OP.vsubu8),
  psubusw: direct(OP.vsubu16),
  pmullw: direct(OP.vmul16),
  pmulld: direct(OP.vmul32),
  pmaddwd: direct(OP.vdot16),
  pavgb: direct(OP.vavgu8),
  pavgw: direct(OP.vavgu16),
  pminsb: direct(OP.vmins8),
  pminub: direct(OP.vminu8),
  pminsw: direct(OP.vmins16),
  pminuw: direct(OP.vminu16),
  pminsd: direct(OP.vmins32),
  pminud: direct(OP.vminu32),
  pmaxsb: direct(OP.vmaxs8),
  pmaxub: direct(OP.vmaxu8),
  pmaxsw: direct(OP.vmaxs16),
  pmaxuw: direct(OP.vmaxu16),
  pmaxsd: direct(OP.vmaxs32),
  pmaxud: direct(OP.vmaxu32),
  pabsb: unary(OP.vabs8),
  pabsw: unary(OP.vabs16),
  pabsd: unary(OP.vabs32),
  pcmpeqb: direct(OP.veq8),
  pcmpeqw: direct(OP.veq16),
  pcmpeqd: direct(OP.veq32),
  pcmpeqq: direct(OP.veq64),
  pcmpgtb: direct(OP.vgts8),
  pcmpgtw: direct(OP.vgts16),
  pcmpgtd: direct(OP.vgts32),
  pcmpgtq: direct(OP.vgts64),
  pand: direct(OP.vand),
  por: direct(OP.vor),
  pxor: direct(OP.vxor),
  pandn: lanewise((t, d, a, b) => t.ir.op(OP.vandnot, d, b, a)),
  packsswb: pack(OP.vpacks16),
  packuswb: pack(OP.vpacku16),
  packssdw: pack(OP.vpacks32),
  packusdw: pack(OP.vpacku32),

  pmuludq: direct(OP.vmuleu32),
  pmuldq: direct(OP.vmules32),
  pmaddubsw: lanewise(multiplyAddBytes),
  phaddw: horizontal(2, OP.vadd16),
  phaddd: horizontal(4, OP.vadd32),
  phaddsw: horizontal(2, OP.vadds16),
  phsubw: horizontal(2, OP.vsub16),
  phsubd: horizontal(4, OP.vsub32),
  phsubsw: horizontal(2, OP.vsubs16),
  psignb: applySign(OP.vsub8, OP.vgts8, OP.veq8),
  psignw: applySign(OP.vsub16, OP.vgts16, OP.veq16),
  psignd: applySign(OP.vsub32, OP.vgts32, OP.veq32),

  // ---- helpers
  pmulhw: helper(0),
  pmulhuw: helper(1),
  pmulhrsw: helper(4),
  psadbw: helper(15),
  phminposuw: helper(16),
  mpsadbw: withImm(HELPER.sse_mpsadbw, (imm, lane) => (imm >> (lane * 3)) & 7),
  pclmulqdq: withImm(HELPER.sse_pclmul),

  // ---- shifts and shuffles
  shiftImm,
  shiftCount,
  psrldq: shiftBytes(false),
  pslldq: shiftBytes(true),
  punpcklbw: unpack(1, false),
  punpcklwd: unpack(2, false),
  punpckldq: unpack(4, false),
  punpcklqdq: unpack(8, false),
  punpckhbw: unpack(1, true),
  punpckhwd: unpack(2, true),
  punpckhdq: unpack(4, true),
  punpckhqdq: unpack(8, true),
  pshufd,
  pshuflw: shuffleWords(0),
  pshufhw: shuffleWords(8),
  pshufw,
  pshufb,
  palignr,
  blendImm,
  pblendvb: blendBySign((t, m, x) => t.ir.op(OP.vgts8, m, zeroVector(t), x)),
  blendvps: blendBySign((t, m, x) => t.ir.imm(OP.vsar32, m, x, 31)),
  blendvpd: blendBySign((t, m, x) => t.ir.op(OP.vgts64, m, zeroVector(t), x)),
  pmovsxbw: extend(OP.vexts8),
  pmovsxbd: extend(OP.vexts8, OP.vexts16),
  pmovsxbq: extend(OP.vexts8, OP.vexts16, OP.vexts32),
  pmovsxwd: extend(OP.vexts16),
  pmovsxwq: extend(OP.vexts16, OP.vexts32),
  pmovsxdq: extend(OP.vexts32),
  pmovzxbw: extend(OP.vextu8),
  pmovzxbd: extend(OP.vextu8, OP.vextu16),
  pmovzxbq: extend(OP.vextu8, OP.vextu16, OP.vextu32),
  pmovzxwd: extend(OP.vextu16),
  pmovzxwq: extend(OP.vextu16, OP.vextu32),
  pmovzxdq: extend(OP.vextu32),
  ptest,

  // ---- strings, AES
  pcmpistr,
  pcmpestr,
  aesenc: aes(0),
  aesenclast: aes(1),
  aesdec: aes(2),
  aesdeclast: aes(3),
  aesimc: aes(4),
  gf2p8mulb: lanewise((t, d, a, b) => inPlace(t, d, a, b, (x, s) => callOffsets(t, HELPER.gf2p8_mul, x, s))),
  gf2p8affine: lanewise((t, d, a, b) =>
    inPlace(t, d, a, b, (x, s) =>
      callOffsets(t, HELPER.gf2p8_affine, x, s, (t.immLo & 255) | (t.opcode === 0xcf ? 0x100 : 0)),
    ),
  ),
  aeskeygenassist: withImm(HELPER.aes_keygen),
} as const satisfies Record<string, Handler>;

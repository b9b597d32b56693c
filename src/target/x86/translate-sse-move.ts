import { NO_SLOT, OP } from '../../ir/ops.ts';
import { DS, MXCSR, RDI } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { READ, WRITE } from './operands.ts';
import type { Handler, Translator } from './translator.ts';
import {
  enterMmx,
  first,
  isMmx,
  lanes,
  lanewise,
  lastSource,
  mmxSlot,
  shuffle,
  source,
  unavailable,
  upper,
  writeMmx,
} from './vector-operands.ts';

/** MOVUPS, MOVUPD, MOVDQU, LDDQU; the other full moves want alignment. */
function isUnaligned(t: Translator): boolean {
  return t.opcode === 0x10 || t.opcode === 0x11 || t.opcode === 0xf0 || t.repPrefix === 0xf3;
}

/** Full load or register move. */
function movVW(t: Translator): void {
  if (t.sseUnavailable()) return;
  const wide = lanes(t) === 2;
  if (t.isMem) {
    t.ea(t.size(1), READ);
    if (isUnaligned(t)) t.ld(wide ? OP.ld256 : OP.ld128, t.xmmReg);
    else t.aligned(wide ? OP.ld256 : OP.ld128, t.xmmReg);
  } else moveRegister(t, t.xmmReg, t.xmmRm);
}

function movWV(t: Translator): void {
  if (t.sseUnavailable()) return;
  const wide = lanes(t) === 2;
  if (t.isMem) {
    t.ea(t.size(0), WRITE);
    if (isUnaligned(t)) t.st(wide ? OP.st256 : OP.st128, t.xmmReg);
    else t.aligned(wide ? OP.st256 : OP.st128, t.xmmReg);
  } else moveRegister(t, t.xmmRm, t.xmmReg);
}

function moveRegister(t: Translator, d: number, s: number): void {
  t.ir.op(OP.vmov, d, s);
  if (lanes(t) === 2) t.ir.op(OP.vmov, upper(d), upper(s));
}

/** MOVSS, MOVSD: a load clears the rest of the register, a register move keeps it. */
function movScalar(t: Translator): void {
  if (t.sseUnavailable()) return;
  const wide = t.size(0) === 8;
  const s = source(t, 1);
  if (t.isMem) t.ir.op(wide ? OP.vzext64 : OP.vzext32, t.xmmReg, s);
  else t.ir.op(wide ? OP.mov : OP.put32, t.xmmReg, s);
}

function movScalarStore(t: Translator): void {
  if (t.sseUnavailable()) return;
  const wide = t.size(0) === 8;
  if (t.isMem) {
    t.ea(wide ? 8 : 4, WRITE);
    t.st(wide ? OP.st64 : OP.st32, t.xmmReg);
  } else t.ir.op(wide ? OP.mov : OP.put32, t.xmmRm, t.xmmReg);
}

/** VMOVSS, VMOVSD between registers: the low lane of b, the rest of a (opcode 10 to reg, 11 to rm). */
function mergeScalar(t: Translator): void {
  if (t.sseUnavailable()) return;
  const store = t.opcode === 0x11;
  const d = store ? t.xmmRm : t.xmmReg;
  const b = store ? t.xmmReg : t.xmmRm;
  if (t.size(0) === 8) {
    t.ir.op(OP.mov, d, b);
  } else {
    const low = t.temp();
    t.ir.op(OP.get32u, low, b);
    t.ir.op(OP.mov, d, t.xmmV);
    t.ir.op(OP.put32, d, low);
  }
  t.ir.op(OP.mov, d + 8, t.xmmV + 8);
}

/** MOVLPS, MOVLPD: a new low half beside the high half of the first source. */
function loadLow(t: Translator): void {
  if (t.sseUnavailable()) return;
  const d = t.xmmReg;
  t.ir.op(OP.mov, d, source(t, lastSource(t)));
  if (first(t) !== d) t.ir.op(OP.mov, d + 8, first(t) + 8);
}

function loadHigh(t: Translator): void {
  if (t.sseUnavailable()) return;
  const d = t.xmmReg;
  t.ir.op(OP.mov, d + 8, source(t, lastSource(t)));
  if (first(t) !== d) t.ir.op(OP.mov, d, first(t));
}

function storeHalf(offset: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    t.ea(8, WRITE);
    t.st(OP.st64, t.xmmReg + offset);
  };
}

function duplicate(index: (i: number) => number): Handler {
  return lanewise((t, d, _, b) => shuffle(t, d, b, b, index));
}

/** MOVD, MOVQ from a general register or memory. */
function movdLoad(t: Translator): void {
  if (unavailable(t)) return;
  const size = t.size(1);
  if (isMmx(t) && t.isMem) t.call(HELPER.fpu_wait);
  const value = t.load(1);
  if (!isMmx(t)) {
    t.ir.op(size === 8 ? OP.vzext64 : OP.vzext32, t.xmmReg, value);
    return;
  }
  enterMmx(t);
  writeMmx(t, t.reg, t.zext(value, size));
}

function movdStore(t: Translator): void {
  if (unavailable(t)) return;
  const mmx = isMmx(t, 1);
  if (mmx) t.call(HELPER.fpu_wait);
  t.store(0, mmx ? mmxSlot(t.reg) : t.xmmReg);
  if (mmx) enterMmx(t);
}

function movqStore(t: Translator): void {
  if (t.sseUnavailable()) return;
  if (t.isMem) {
    t.ea(8, WRITE);
    t.st(OP.st64, t.xmmReg);
  } else t.ir.op(OP.vzext64, t.xmmRm, t.xmmReg);
}

function movPQ(t: Translator): void {
  if (t.mmxUnavailable()) return;
  const s = source(t, 1);
  enterMmx(t);
  writeMmx(t, t.reg, s);
}

function movQP(t: Translator): void {
  if (t.mmxUnavailable()) return;
  if (!t.isMem) {
    enterMmx(t);
    return writeMmx(t, t.rm, mmxSlot(t.reg));
  }
  t.call(HELPER.fpu_wait);
  t.ea(8, WRITE);
  t.st(OP.st64, mmxSlot(t.reg));
  enterMmx(t);
}

/** Sign bits of the elements, `count` of them in a lane. */
function mask(op: number, count: number): Handler {
  return (t) => {
    if (unavailable(t)) return;
    const s = source(t, 1);
    const d = t.gprDst(t.reg);
    if (!isMmx(t, 1)) {
      t.ir.op(op, d, s);
      if (lanes(t, 1) === 1) return;
      const high = t.temp();
      t.ir.op(op, high, upper(s));
      t.ir.imm(OP.shl_i32_imm, high, high, count);
      t.ir.op(OP.or_i32, d, d, high);
      return;
    }
    enterMmx(t);
    const x = t.temp();
    t.ir.op(OP.vzext64, x, s);
    t.ir.op(op, d, x);
  };
}

/** MASKMOVQ, MASKMOVDQU: to DS:rDI. */
function maskmov(t: Translator): void {
  if (unavailable(t)) return;
  const mmx = isMmx(t);
  if (mmx) enterMmx(t);
  const size = mmx ? 8 : 16;
  const address = t.linearSlot(t.zext(RDI, t.addrSize), t.segOverride >= 0 ? t.segOverride : DS, size, WRITE);
  const value = mmx ? mmxSlot(t.reg) : t.xmmReg;
  const selector = mmx ? mmxSlot(t.rm) : t.xmmRm;
  t.call(HELPER.sse_maskmov, NO_SLOT, address, t.constant(value), t.constant(selector | (size << 16)));
}

/** PINSRB, PINSRW, PINSRD, PINSRQ: `log` = log2 of the element size. */
function insert(t: Translator, log: number): void {
  if (unavailable(t)) return;
  const mmx = isMmx(t);
  if (mmx && t.isMem) t.call(HELPER.fpu_wait);
  const value = t.load(lastSource(t));
  if (mmx) enterMmx(t);
  if (t.vex && first(t) !== t.xmmReg) t.ir.op(OP.vmov, t.xmmReg, first(t));
  const count = (mmx ? 8 : 16) >> log;
  const d = (mmx ? mmxSlot(t.reg) : t.xmmReg) + ((t.immLo & (count - 1)) << log);
  t.ir.op([OP.put8, OP.put16, OP.put32, OP.mov][log]!, d, value);
  if (mmx) writeMmx(t, t.reg, mmxSlot(t.reg));
}

function extract(t: Translator, log: number): void {
  if (t.sseUnavailable()) return;
  const s = t.xmmReg + ((t.immLo & ((16 >> log) - 1)) << log);
  if (log >= 2) return t.store(0, s);
  const value = t.temp();
  t.ir.op(log === 0 ? OP.get8u : OP.get16u, value, s);
  t.store(0, value);
}

/** PEXTRW to a general register from a register (0F C5). */
function pextrwReg(t: Translator): void {
  if (unavailable(t)) return;
  const mmx = isMmx(t, 1);
  if (mmx) enterMmx(t);
  const s = mmx ? mmxSlot(t.rm) + ((t.immLo & 3) << 1) : t.xmmRm + ((t.immLo & 7) << 1);
  t.ir.op(OP.get16u, t.gprDst(t.reg), s);
}

/** INSERTPS (SDM Vol. 2): imm bits 7..6 source lane (registers only), 5..4 destination lane, 3..0 lanes to clear. */
function insertps(t: Translator): void {
  if (t.sseUnavailable()) return;
  const { ir } = t;
  let value = source(t, lastSource(t));
  if (!t.isMem) {
    const lane = value + (((t.immLo >> 6) & 3) << 2);
    value = t.temp();
    ir.op(OP.get32u, value, lane);
  }
  if (first(t) !== t.xmmReg) ir.op(OP.vmov, t.xmmReg, first(t));
  ir.op(OP.put32, t.xmmReg + (((t.immLo >> 4) & 3) << 2), value);
  if ((t.immLo & 15) === 0) return;
  const zero = t.constant(0);
  for (let i = 0; i < 4; i++) if ((t.immLo >> i) & 1) ir.op(OP.put32, t.xmmReg + (i << 2), zero);
}

function fxState(helper: number, access: number): Handler {
  return (t) => {
    if (t.fpuUnavailable()) return;
    t.ea(512, access);
    t.call(helper, NO_SLOT, t.eaValue(), t.constant(t.opSize === 8 ? 1 : 0));
  };
}

export const simdMoveHandlers = {
  movVW,
  movWV,
  movss: movScalar,
  movsdXmm: movScalar,
  movssStore: movScalarStore,
  movsdStore: movScalarStore,
  mergeScalar,
  loadLow,
  loadHigh,
  storeLow: storeHalf(0),
  storeHigh: storeHalf(8),
  movhlps: (t: Translator) => {
    if (t.sseUnavailable()) return;
    t.ir.op(OP.mov, t.xmmReg, t.xmmRm + 8);
    if (t.vex) t.ir.op(OP.mov, t.xmmReg + 8, t.xmmV + 8);
  },
  movlhps: (t: Translator) => {
    if (t.sseUnavailable()) return;
    t.ir.op(OP.mov, t.xmmReg + 8, t.xmmRm);
    if (t.vex) t.ir.op(OP.mov, t.xmmReg, t.xmmV);
  },
  movsldup: duplicate((i) => i & 11),
  movshdup: duplicate((i) => i | 4),
  movddup: lanewise((t, d, _, b) => t.ir.op(OP.vsplat64, d, b)),
  movdLoad,
  movdStore,
  movqLoad: (t: Translator) => {
    if (!t.sseUnavailable()) t.ir.op(OP.vzext64, t.xmmReg, source(t, 1));
  },
  movqStore,
  movPQ,
  movQP,
  movq2dq: (t: Translator) => {
    if (unavailable(t)) return;
    enterMmx(t);
    t.ir.op(OP.vzext64, t.xmmReg, mmxSlot(t.rm));
  },
  movdq2q: (t: Translator) => {
    if (unavailable(t)) return;
    enterMmx(t);
    writeMmx(t, t.reg, t.xmmRm);
  },
  movmskps: mask(OP.vmask32, 4),
  movmskpd: mask(OP.vmask64, 2),
  pmovmskb: mask(OP.vmask8, 16),
  maskmov,
  pinsrb: (t: Translator) => insert(t, 0),
  pinsrw: (t: Translator) => insert(t, 1),
  pinsrd: (t: Translator) => insert(t, t.size(lastSource(t)) === 8 ? 3 : 2),
  pextrb: (t: Translator) => extract(t, 0),
  pextrw: (t: Translator) => extract(t, 1),
  pextrd: (t: Translator) => extract(t, t.size(0) === 8 ? 3 : 2),
  pextrwReg,
  insertps,
  emms: (t: Translator) => {
    if (!t.mmxUnavailable()) t.call(HELPER.mmx_emms);
  },
  fxsave: fxState(HELPER.fpu_fxsave, WRITE),
  fxrstor: fxState(HELPER.fpu_fxrstor, READ),
  ldmxcsr: (t: Translator) => {
    if (!t.sseUnavailable()) t.call(HELPER.sse_ldmxcsr, NO_SLOT, t.load(0));
  },
  stmxcsr: (t: Translator) => {
    if (!t.sseUnavailable()) t.store(0, MXCSR);
  },
} as const satisfies Record<string, Handler>;

import { NO_SLOT, OP } from '../../ir/ops.ts';
import {
  CS,
  DS,
  FPU_CS,
  FPU_CW,
  FPU_DP,
  FPU_DS,
  FPU_IP,
  FPU_OPCODE,
  HF_MP,
  HF_TS,
  RAX,
  SEG_SELECTOR,
} from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import type { HandlerNames } from './insn-row.ts';
import { loadOp, READ, RMW, segSlot, storeOp, WRITE } from './operands.ts';
import type { x87Table } from './table-x87.ts';
import type { Handler, Translator } from './translator.ts';

/** Kinds of memory operands, see helpers-fpu.ts. */
const INT64 = 4;
const TRUNCATE = 8;

/** Notes the last instruction pointer, opcode and data pointer (SDM Vol. 1 8.1.8) once the instruction is certain to complete. */
function note(t: Translator): void {
  const { ir } = t;
  ir.movi64(FPU_IP, t.ripLo, t.ripHi);
  ir.movi(FPU_OPCODE, ((t.opcode & 7) << 8) | (t.mod << 6) | ((t.reg & 7) << 3) | (t.rm & 7));
  if (t.isMem) noteOperand(t);
  if (t.code64) return;
  ir.op(OP.mov, FPU_CS, segSlot(CS, SEG_SELECTOR));
  if (t.isMem) ir.op(OP.mov, FPU_DS, segSlot(t.segOverride >= 0 ? t.segOverride : DS, SEG_SELECTOR));
}

/** The data pointer is the offset in the segment. */
function noteOperand(t: Translator): void {
  if (t.code64 && t.segOverride < 0) return t.ir.op(OP.mov, FPU_DP, t.eaValue());
  const offset = t.temp();
  t.offset(offset);
  t.ir.op(OP.mov, FPU_DP, offset);
}

function raiseNm(t: Translator): void {
  t.call(HELPER.raise_nm);
  t.endFault();
}

/** Calls a helper with constant arguments and ends the instruction. */
function run(t: Translator, helper: number, a?: number, b?: number, c?: number): void {
  const slot = (x: number | undefined): number => (x === undefined ? NO_SLOT : t.constant(x));
  t.call(helper, NO_SLOT, slot(a), slot(b), slot(c));
  note(t);
}

/** An instruction without operands. */
function plain(helper: number): Handler {
  return (t) => {
    if (!t.fpuUnavailable()) run(t, helper);
  };
}

/** Bits 2..1 of D8..DF choose f32, i32, f64, i16. */
function memoryKind(t: Translator): number {
  return (t.opcode >> 1) & 3;
}

function arithMem(t: Translator): void {
  if (t.fpuUnavailable()) return;
  t.call(HELPER.fpu_wait); // a pending exception comes before a fault of the operand
  const value = t.load(0);
  const op = t.reg & 7;
  if (op === 2 || op === 3)
    t.call(HELPER.fpu_com_mem, NO_SLOT, t.constant(memoryKind(t)), value, t.constant(op & 1));
  else t.call(HELPER.fpu_arith_mem, NO_SLOT, t.constant(op), t.constant(memoryKind(t)), value);
  note(t);
}

/** DC and DE name the reversed operations the other way round (SDM Vol. 2 FSUB, FSUBR). */
function arithSti(t: Translator): void {
  if (t.fpuUnavailable()) return;
  const reg = t.reg & 7;
  run(t, HELPER.fpu_arith_sti, reg >= 4 ? reg ^ 1 : reg, t.rm & 7, t.opcode === 0xde ? 1 : 0);
}

/** Kind of the operand of a load or store: D9, DB, DD, DF, the last with 64-bit integers for reg 5 and 7, DD reg 1 (FISTTP m64). */
function moveKind(t: Translator): number {
  if (t.opcode === 0xdf && (t.reg & 5) === 5) return INT64;
  if (t.opcode === 0xdd && (t.reg & 7) === 1) return INT64;
  return memoryKind(t);
}

function load(t: Translator): void {
  if (t.fpuUnavailable()) return;
  t.call(HELPER.fpu_wait);
  const value = t.load(0);
  t.call(HELPER.fpu_load, NO_SLOT, t.constant(moveKind(t)), value);
  note(t);
}

function store(t: Translator): void {
  if (t.fpuUnavailable()) return;
  const reg = t.reg & 7;
  const size = t.size(0);
  // The operand must be writable even if an unmasked exception then keeps the instruction from writing.
  t.call(HELPER.fpu_wait);
  t.ea(size, RMW);
  const old = t.temp();
  t.ld(loadOp(size), old);
  note(t);
  const kind = moveKind(t) | (reg === 1 ? TRUNCATE : 0);
  const value = t.callValue(HELPER.fpu_store, t.constant(kind), old);
  t.st(storeOp(size), value);
  t.call(HELPER.fpu_stored, NO_SLOT, t.constant(reg === 2 ? 0 : 1));
}

/** Loads the ten bytes of the memory operand: the low eight, the high two. */
function loadTen(t: Translator): [number, number] {
  const lo = t.temp();
  const hi = t.temp();
  t.call(HELPER.fpu_wait);
  t.ea(10, READ);
  t.ld(OP.ld64, lo);
  t.ld(OP.ld16u, hi, 8);
  return [lo, hi];
}

/** Stores ten bytes; all are tried first, so that a fault leaves memory and stack alone. */
function storeTen(t: Translator, first: number, second: number): void {
  if (t.fpuUnavailable()) return;
  t.call(HELPER.fpu_wait);
  t.ea(10, RMW);
  const oldLo = t.temp();
  const oldHi = t.temp();
  t.ld(OP.ld64, oldLo);
  t.ld(OP.ld16u, oldHi, 8);
  note(t);
  const lo = t.callValue(first, oldLo);
  const hi = t.callValue(second, oldHi);
  t.st(OP.st64, lo);
  t.st(OP.st16, hi, 8);
  t.call(HELPER.fpu_stored, NO_SLOT, t.constant(1));
}

function loadPair(helper: number): Handler {
  return (t) => {
    if (t.fpuUnavailable()) return;
    const [lo, hi] = loadTen(t);
    t.call(helper, NO_SLOT, lo, hi);
    note(t);
  };
}

/** FCMOVcc: DA has B, E, BE, U in reg order, DB their negations (SDM Vol. 2 FCMOVcc). */
const FCMOV_CONDITIONS = [2, 4, 6, 10];

function cmov(t: Translator): void {
  if (t.fpuUnavailable()) return;
  const cc = FCMOV_CONDITIONS[t.reg & 3]! | (t.opcode === 0xdb ? 1 : 0);
  const holds = t.cond01(cc);
  t.call(HELPER.fpu_cmov, NO_SLOT, t.constant(t.rm & 7), holds);
  note(t);
}

function comi(t: Translator): void {
  if (t.fpuUnavailable()) return;
  const quiet = (t.reg & 7) === 5 ? 1 : 0;
  const mode = quiet | (t.opcode === 0xdf ? 2 : 0);
  const flags = t.callValue(HELPER.fpu_comi, t.constant(t.rm & 7), t.constant(mode));
  t.flagsValue(flags);
  note(t);
}

/** Images of 14/28 or 94/108 bytes by operand size; the helper accesses memory. */
function image(t: Translator, environment: number, whole: number, access: number): void {
  if (t.fpuUnavailable()) return;
  const wide = t.opSize !== 2;
  const isWhole = t.opcode === 0xdd;
  t.ea((wide ? 28 : 14) + (isWhole ? 80 : 0), access);
  t.call(isWhole ? whole : environment, NO_SLOT, t.eaValue(), t.constant(wide ? 1 : 0));
}

export const x87Handlers: Record<HandlerNames<typeof x87Table>, Handler> = {
  fwait: (t) => {
    // WAIT asks for TS and MP, FNOP for TS or EM (SDM Vol. 3A table 2-2).
    if (t.opcode === 0x9b ? (t.flags & (HF_MP | HF_TS)) === (HF_MP | HF_TS) : (t.flags & HF_TS) !== 0)
      raiseNm(t);
    else t.call(HELPER.fpu_wait);
  },
  x87ArithMem: arithMem,
  x87ArithSt0: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_arith_st0, t.reg & 7, t.rm & 7);
  },
  x87ArithSti: arithSti,
  x87Com: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_com, t.rm & 7, 0, t.reg & 1);
  },
  x87Ucom: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_com, t.rm & 7, 1, t.reg & 1);
  },
  x87Compp: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_com, 1, t.opcode === 0xda ? 1 : 0, 2);
  },
  x87Comi: comi,
  x87Cmov: cmov,
  x87Load: load,
  x87Load80: loadPair(HELPER.fpu_load80),
  x87LoadSt: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_load_st, t.rm & 7);
  },
  x87Store: store,
  x87Store80: (t) => storeTen(t, HELPER.fpu_store80, HELPER.fpu_store80_se),
  x87StoreSt: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_store_st, t.rm & 7, t.reg & 1);
  },
  fbld: loadPair(HELPER.fpu_load_bcd),
  fbstp: (t) => storeTen(t, HELPER.fpu_store_bcd, HELPER.fpu_store_bcd_high),
  fxch: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_xch, t.rm & 7);
  },
  x87Sign: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_sign, (t.rm & 7) === 0 ? 1 : 0);
  },
  x87Const: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_const, t.rm & 7);
  },
  x87Rem: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_prem, (t.rm & 7) === 5 ? 1 : 0);
  },
  x87Step: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_step, (t.rm & 7) === 7 ? 1 : -1);
  },
  x87Free: (t) => {
    if (!t.fpuUnavailable()) run(t, HELPER.fpu_free, t.rm & 7, t.opcode === 0xdf ? 1 : 0);
  },
  ftst: plain(HELPER.fpu_tst),
  fxam: plain(HELPER.fpu_xam),
  f2xm1: plain(HELPER.fpu_2xm1),
  fyl2x: plain(HELPER.fpu_yl2x),
  fyl2xp1: plain(HELPER.fpu_yl2xp1),
  fptan: plain(HELPER.fpu_ptan),
  fpatan: plain(HELPER.fpu_patan),
  fxtract: plain(HELPER.fpu_xtract),
  fsqrt: plain(HELPER.fpu_sqrt),
  fsincos: plain(HELPER.fpu_sincos),
  fsin: plain(HELPER.fpu_sin),
  fcos: plain(HELPER.fpu_cos),
  frndint: plain(HELPER.fpu_rndint),
  fscale: plain(HELPER.fpu_scale),
  fldcw: (t) => {
    if (t.fpuUnavailable()) return;
    t.call(HELPER.fpu_wait);
    t.call(HELPER.fpu_ldcw, NO_SLOT, t.load(0));
  },
  fnstcw: (t) => {
    if (!t.fpuUnavailable()) t.store(0, FPU_CW);
  },
  fnstsw: (t) => {
    if (t.fpuUnavailable()) return;
    const value = t.callValue(HELPER.fpu_stsw);
    if (t.isMem) t.store(0, value);
    else t.ir.op(OP.dep16, t.gprDst(0), RAX, value);
  },
  fnclex: (t) => {
    if (!t.fpuUnavailable()) t.call(HELPER.fpu_clex);
  },
  fninit: (t) => {
    if (!t.fpuUnavailable()) t.call(HELPER.fpu_init);
  },
  x87Nop: (t) => {
    t.fpuUnavailable();
  },
  x87Ldenv: (t) => image(t, HELPER.fpu_ldenv, HELPER.fpu_rstor, READ),
  x87Stenv: (t) => image(t, HELPER.fpu_stenv, HELPER.fpu_save, WRITE),
};

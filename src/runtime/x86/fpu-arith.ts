// x87 arithmetic, comparison and remainder instructions (SDM Vol. 1 8.3.5–8.3.7, Vol. 2 per instruction).
// Helpers take and return i64; register operands are stack indexes.

import {
  FINITE, IE, INF, PE, QNAN, SNAN, ZE, ZERO,
  aCls, aExp, aSig, aSign, bCls, bExp, bSig, bSign, denormal, flags, rCls, rExp,
  add, compare, div, fromSigned, invalid, mul, resultFromA, roundIntegral, setFinite, setResult, sqrtA, swapOperands,
} from '../softfloat/core';
import { loadA32, loadA64 } from '../softfloat/binary';
import {
  finish80, loadASlot, loadBSlot, moveAToB, partial, quotient, remainder, specialBinary, specialUnary, storeSlot,
} from '../softfloat/extended';
import {
  SW_C0, SW_C1, SW_C2, SW_C3, blocked, complete, copySlot, enterFpu, isEmpty, popStack, precision, pushStack, setEmpty,
  setStatusWord, signal, signalResult, st, stackOverflow, stackUnderflow, statusWord, storeIndefinite,
} from './fpu-state';

// Operation numbers are those of the reg field of D8 (SDM Vol. 2 table A-7): 2 and 3 are the comparisons.
const OP_ADD: i32 = 0;
const OP_MUL: i32 = 1;
const OP_SUB: i32 = 4;
const OP_SUBR: i32 = 5;
const OP_DIV: i32 = 6;
const OP_DIVR: i32 = 7;

/** Computes a op b on the unpacked operands. */
function binary(op: i32): void {
  if (specialBinary()) return;
  switch (op) {
    case OP_ADD: return add();
    case OP_MUL: return mul();
    case OP_SUB:
      bSign = bSign ^ 1;
      return add();
    case OP_SUBR:
      aSign = aSign ^ 1;
      return addSwapped();
    case OP_DIV: return div();
    default:
      swapOperands();
      return div();
  }
}

/** b + (-a), after a's sign was flipped. */
@inline
function addSwapped(): void {
  swapOperands();
  add();
}

/** ST(0) ← ST(0) op ST(i). */
export function fpu_arith_st0(op: i64, i: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  loadBSlot(st(i32(i)));
  loadASlot(st(0));
  binary(i32(op));
  complete(precision(), st(0));
}

/** ST(i) ← ST(i) op ST(0), where op counts as for ST(0) op ST(i): the encoding's reversed forms are the decoder's matter. */
export function fpu_arith_sti(op: i64, i: i64, pop: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (stackUnderflow()) {
      storeIndefinite(st(i32(i)));
      setEmpty(i32(i), 0);
      if (pop != 0) popStack();
    }
    return;
  }
  loadBSlot(st(0));
  loadASlot(st(i32(i)));
  binary(i32(op));
  if (complete(precision(), st(i32(i))) && pop != 0) popStack();
}

/** Kinds of memory operands: 0 = f32, 1 = i32, 2 = f64, 3 = i16 (bits 2..1 of the opcode byte). */
function loadMemory(kind: i32, value: i64): void {
  if (kind == 0) loadA32(u32(value));
  else if (kind == 2) loadA64(u64(value));
  else loadInteger(kind == 1 ? i64(i32(value)) : i64(i16(value)));
}

function loadInteger(x: i64): void {
  fromSigned(x);
  aCls = rCls;
  aSign = i32(x < 0);
  if (x == 0) return;
  const magnitude = x < 0 ? 0 - u64(x) : u64(x);
  const n = i32(clz(magnitude));
  aExp = 63 - n;
  aSig = magnitude << n;
}

/** ST(0) ← ST(0) op memory operand. */
export function fpu_arith_mem(op: i64, kind: i64, value: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  loadMemory(i32(kind), value);
  moveAToB();
  loadASlot(st(0));
  binary(i32(op));
  complete(precision(), st(0));
}

// --- comparisons -------------------------------------------------------------------------------------------

/** Order of the unpacked operands: -1, 0, 1 or 2 for unordered; sets `flags`. */
function order(quiet: bool): i32 {
  if (aCls >= QNAN || bCls >= QNAN) {
    if (!quiet || aCls >= SNAN || bCls >= SNAN) flags |= IE;
    return 2;
  }
  flags |= denormal;
  return compare();
}

/** Condition codes of FCOM (SDM Vol. 1 table 8-6). */
@inline
function codes(o: i32): i32 {
  return o == 1 ? 0 : o == -1 ? SW_C0 : o == 0 ? SW_C3 : SW_C0 | SW_C2 | SW_C3;
}

function setCodes(o: i32): void {
  setStatusWord((statusWord() & ~(SW_C0 | SW_C2 | SW_C3)) | codes(o));
}

/** Finishes a comparison into C3 C2 C0. Returns false when an unmasked exception stopped it. */
function finishCompare(o: i32): bool {
  signal(flags, 0);
  setCodes(o);
  return !blocked();
}

/** FCOM, FCOMP, FCOMPP (quiet = 0) and FUCOM… (quiet = 1) with ST(i), popping `pops` times. */
export function fpu_com(i: i64, quiet: i64, pops: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (!stackUnderflow()) return;
    setCodes(2);
  } else {
    loadBSlot(st(i32(i)));
    loadASlot(st(0));
    if (!finishCompare(order(quiet != 0))) return;
  }
  if (pops > 0) popStack();
  if (pops > 1) popStack();
}

/** FCOM and FCOMP (pop = 1) with a memory operand. */
export function fpu_com_mem(kind: i64, value: i64, pop: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (!stackUnderflow()) return;
    setCodes(2);
  } else {
    loadMemory(i32(kind), value);
    moveAToB();
    loadASlot(st(0));
    if (!finishCompare(order(false))) return;
  }
  if (pop != 0) popStack();
}

/**
 * FCOMI, FUCOMI and their popping forms (SDM Vol. 2 FCOMI); mode bit 0 = quiet, bit 1 = pop. Returns the arithmetic
 * flags: ZF PF CF, and OF SF AF clear.
 */
export function fpu_comi(i: i64, mode: i64): i64 {
  if (!enterFpu()) return 0;
  let o = 2;
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (!stackUnderflow()) return orderFlags(2);
  } else {
    loadBSlot(st(i32(i)));
    loadASlot(st(0));
    o = order((mode & 1) != 0);
    signal(flags, 0);
    if (blocked()) return orderFlags(o);
  }
  if ((mode & 2) != 0) popStack();
  return orderFlags(o);
}

/** ZF PF CF for an order (2 = unordered): the result of FCOMI and COMISD. */
@inline
export function orderFlags(o: i32): i64 {
  return o == 1 ? 0 : o == -1 ? 1 : o == 0 ? 0x40 : 0x45;
}

export function fpu_tst(): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (stackUnderflow()) setCodes(2);
    return;
  }
  loadASlot(st(0));
  bCls = ZERO;
  bSign = 0;
  finishCompare(order(false));
}

/** FXAM: class of ST(0) in C3 C2 C0 and its sign in C1 (SDM Vol. 2 table 3-44). */
export function fpu_xam(): void {
  if (!enterFpu()) return;
  const p = st(0);
  let c = (load<u16>(p, 8) & 0x8000) != 0 ? SW_C1 : 0;
  if (isEmpty(0)) c |= SW_C3 | SW_C0;
  else {
    denormal = 0;
    loadASlot(p);
    if (aCls == QNAN || aCls == SNAN) c |= SW_C0;
    else if (aCls == INF) c |= SW_C2 | SW_C0;
    else if (aCls == ZERO) c |= SW_C3;
    else if (aCls == FINITE) c |= denormal != 0 ? SW_C3 | SW_C2 : SW_C2;
  }
  setStatusWord((statusWord() & ~(SW_C0 | SW_C1 | SW_C2 | SW_C3)) | c);
}

// --- unary operations --------------------------------------------------------------------------------------

/** Common entry of an operation on ST(0): false when the stack was empty. */
export function unaryOperand(): bool {
  if (!enterFpu()) return false;
  if (!isEmpty(0)) {
    loadASlot(st(0));
    return true;
  }
  if (stackUnderflow()) {
    storeIndefinite(st(0));
    setEmpty(0, 0);
  }
  return false;
}

export function fpu_sqrt(): void {
  if (!unaryOperand()) return;
  if (!specialUnary()) sqrtA();
  complete(precision(), st(0));
}

/** FRNDINT. */
export function fpu_rndint(): void {
  if (!unaryOperand()) return;
  if (!specialUnary()) {
    flags |= denormal;
    if (aCls == FINITE) {
      if (!blocked() && roundIntegral()) flags |= PE;
    } else resultFromA();
  }
  if (blocked()) return signal(flags, 0);
  storeSlot(st(0));
  signalResult();
}

/** FABS (set = 0) and FCHS (set = 1). */
export function fpu_sign(chs: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  const p = st(0);
  const se = load<u16>(p, 8);
  store<u16>(p, chs != 0 ? se ^ 0x8000 : se & 0x7fff, 8);
  setStatusWord(statusWord() & ~SW_C1);
}

/** FXTRACT: ST(0) ← exponent, then the significand is pushed (SDM Vol. 2). */
export function fpu_xtract(): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (!stackUnderflow()) return;
    storeIndefinite(st(0));
    setEmpty(0, 0);
    pushStack();
    storeIndefinite(st(0));
    return;
  }
  if (!isEmpty(-1)) {
    if (!stackOverflow()) return;
    storeIndefinite(st(0));
    pushStack();
    storeIndefinite(st(0));
    return;
  }
  loadASlot(st(0));
  if (specialUnary()) {
    if (blocked()) return signal(flags, 0);
    storeSlot(st(0));
    copySlot(st(-1), st(0));
  } else if (!extractParts()) return;
  signal(flags, 0);
  pushStack();
}

/** Exponent to ST(0) and significand to the slot above. Returns false when an unmasked exception stopped it. */
function extractParts(): bool {
  flags |= aCls == ZERO ? ZE : denormal;
  if (blocked()) {
    signal(flags, 0);
    return false;
  }
  const sign = aSign;
  const sig = aSig;
  const exp = aExp;
  const cls = aCls;
  if (cls == FINITE) fromSigned(exp);
  else setResult(INF, i32(cls == ZERO));
  finish80(64);
  storeSlot(st(0));
  if (cls == FINITE) setFinite(sign, 0, sig, 0);
  else setResult(cls, sign);
  storeSlot(st(-1));
  return true;
}

/** FSCALE: ST(0) × 2^trunc(ST(1)). */
export function fpu_scale(): void {
  if (!enterFpu()) return;
  if (isEmpty(0) || isEmpty(1)) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  loadBSlot(st(1));
  loadASlot(st(0));
  if (!specialBinary()) scale();
  complete(64, st(0));
}

function scale(): void {
  if (bCls == INF) {
    if (bSign != 0 ? aCls == INF : aCls == ZERO) return invalid();
    flags |= denormal;
    return setResult(bSign != 0 ? ZERO : INF, aSign);
  }
  flags |= denormal;
  resultFromA();
  if (aCls != FINITE || bCls != FINITE || bExp < 0) return;
  let n: i32 = 0x10000;
  if (bExp < 16) n = i32(bSig >> (63 - bExp));
  rExp += bSign != 0 ? -n : n;
}

/** FPREM (nearest = 0) and FPREM1 (nearest = 1). */
export function fpu_prem(nearest: i64): void {
  if (!enterFpu()) return;
  setStatusWord(statusWord() & ~SW_C2);
  if (isEmpty(0) || isEmpty(1)) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  loadBSlot(st(1));
  loadASlot(st(0));
  quotient = 0;
  partial = false;
  const special = specialBinary();
  if (!special) remainder(nearest != 0);
  if (!complete(64, st(0))) return;
  // without a quotient C0 and C3 stay
  if (special || (flags & IE) != 0) return;
  let c = partial ? SW_C2 : 0;
  if ((quotient & 1) != 0) c |= SW_C1;
  if ((quotient & 2) != 0) c |= SW_C3;
  if ((quotient & 4) != 0) c |= SW_C0;
  setStatusWord((statusWord() & ~(SW_C0 | SW_C1 | SW_C2 | SW_C3)) | c);
}

// x87 loads, stores, constants and stack management (SDM Vol. 1 8.3.3, 8.3.4).
//
// A store runs in two steps so that a page fault on the write leaves the x87 untouched: `fpu_store_…` converts ST(0)
// and returns the bits to write, the front end writes them, `fpu_stored` then reports the exceptions and pops.

import {
  IE, PE, UE, OE, RC_ZERO, aSign, denormal, flags, fromSigned, masks, rSign, rc, resultFromA, roundedUp, toSigned,
  wrap,
} from '../softfloat/core';
import { loadA32, loadA64, pack32, pack64 } from '../softfloat/binary';
import { finish80, loadASlot, specialUnary, storeSlot } from '../softfloat/extended';
import {
  INDEFINITE_SE, INDEFINITE_SIG, SW_C1, SW_SF, controlWord, copySlot, enterFpu, isEmpty, popStack, pushStack,
  setEmpty, setStatusWord, setTop, signal, st, stackOverflow, stackUnderflow, statusWord,
  storeIndefinite, top,
} from './fpu-state';

/** Checks for room and reports a stack overflow. Returns false when nothing more is to be done. */
function room(): bool {
  if (!enterFpu()) return false;
  if (isEmpty(-1)) {
    setStatusWord(statusWord() & ~SW_C1);
    return true;
  }
  if (stackOverflow()) {
    pushStack();
    storeIndefinite(st(0));
  }
  return false;
}

/** Pushes unpacked operand a after a load that may have met a signalling NaN or a denormal. */
function pushLoaded(): void {
  if (!specialUnary()) {
    flags |= denormal;
    resultFromA();
  }
  // An unmasked denormal exception does not keep FLD from completing.
  if ((flags & IE & ~masks) != 0) return signal(flags, 0);
  finish80(64);
  pushStack();
  storeSlot(st(0));
  signal(flags, 0);
}

/** FLD m32fp (kind 0), FILD m32 (1), FLD m64fp (2), FILD m16 (3), FILD m64 (4). */
export function fpu_load(kind: i64, value: i64): void {
  if (!room()) return;
  if (kind == 0) {
    loadA32(u32(value));
    return pushLoaded();
  }
  if (kind == 2) {
    loadA64(u64(value));
    return pushLoaded();
  }
  fromSigned(kind == 1 ? i64(i32(value)) : kind == 3 ? i64(i16(value)) : value);
  pushStack();
  storeSlot(st(0));
}

/** FLD m80fp: no conversion, no exception but stack overflow. */
export function fpu_load80(sig: i64, se: i64): void {
  if (!room()) return;
  pushStack();
  store<i64>(st(0), sig);
  store<u16>(st(0), u16(se), 8);
}

/** FLD ST(i). */
export function fpu_load_st(i: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(i32(i))) {
    if (stackUnderflow()) {
      pushStack();
      storeIndefinite(st(0));
    }
    return;
  }
  const from = st(i32(i));
  if (!room()) return;
  pushStack();
  copySlot(st(0), from);
}

/** FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ, by the low three bits of the opcode (SDM Vol. 2 FLD1). */
export function fpu_const(which: i64): void {
  if (!room()) return;
  pushStack();
  const p = st(0);
  // The 65-bit and longer values, truncated; the flag says that round-to-nearest (or up) adds one unit.
  let sig: u64 = 0;
  let se: u16 = 0;
  let nearestUp = false;
  switch (i32(which)) {
    case 0: sig = 0x8000000000000000; se = 0x3fff; break;
    case 1: sig = 0xd49a784bcd1b8afe; se = 0x4000; break;
    case 2: sig = 0xb8aa3b295c17f0bb; se = 0x3fff; nearestUp = true; break;
    case 3: sig = 0xc90fdaa22168c234; se = 0x4000; nearestUp = true; break;
    case 4: sig = 0x9a209a84fbcff798; se = 0x3ffd; nearestUp = true; break;
    case 5: sig = 0xb17217f7d1cf79ab; se = 0x3ffe; nearestUp = true; break;
    default: break;
  }
  if (which != 0 && which != 6 && (rc == 2 || (rc == 0 && nearestUp))) sig++;
  store<u64>(p, sig);
  store<u16>(p, se, 8);
}

/** FST ST(i), FSTP ST(i). */
export function fpu_store_st(i: i64, pop: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0)) {
    if (!stackUnderflow()) return;
    storeIndefinite(st(i32(i)));
  } else {
    copySlot(st(i32(i)), st(0));
    setStatusWord(statusWord() & ~SW_C1);
  }
  setEmpty(i32(i), 0);
  if (pop != 0) popStack();
}

/** FXCH ST(i). An empty register counts as the indefinite. */
export function fpu_xch(i: i64): void {
  if (!enterFpu()) return;
  const a = st(0);
  const b = st(i32(i));
  setStatusWord(statusWord() & ~SW_C1);
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (!stackUnderflow()) return;
    if (isEmpty(0)) storeIndefinite(a);
    if (isEmpty(i32(i))) storeIndefinite(b);
    setEmpty(0, 0);
    setEmpty(i32(i), 0);
  }
  const t = v128.load(a);
  v128.store(a, v128.load(b));
  v128.store(b, t);
}

/** FCMOVcc once the condition held: ST(0) ← ST(i). With the condition false only the stack is checked. */
export function fpu_cmov(i: i64, condition: i64): void {
  if (!enterFpu()) return;
  if (isEmpty(0) || isEmpty(i32(i))) {
    if (stackUnderflow()) {
      storeIndefinite(st(0));
      setEmpty(0, 0);
    }
    return;
  }
  if (i32(condition) != 0) copySlot(st(0), st(i32(i)));
}

export function fpu_free(i: i64, pop: i64): void {
  if (!enterFpu()) return;
  setEmpty(i32(i), 1);
  if (pop != 0) popStack();
}

/** FINCSTP (+1), FDECSTP (-1). */
export function fpu_step(delta: i64): void {
  if (!enterFpu()) return;
  setTop(top() + i32(delta));
  setStatusWord(statusWord() & ~SW_C1);
}

// --- stores to memory --------------------------------------------------------------------------------------

let pendingFlags: i32 = 0;
let pendingExtra: i32 = 0;
/** An unmasked exception keeps the instruction from writing and popping: the old contents are written again. */
let suppressed: bool = false;

/** Notes the outcome; reports an unmasked exception that suppresses the write. */
function pend(extra: i32, suppressing: i32): void {
  pendingFlags = flags;
  pendingExtra = extra | ((flags & PE) != 0 && roundedUp ? SW_C1 : 0);
  suppressed = (flags & ~masks & suppressing) != 0;
  if (suppressed) signal(flags & ~PE, extra);
}

/**
 * FST(P) m32fp (kind 0) and m64fp (2), FIST(P) m32 (1), m16 (3), m64 (4); kinds 1, 3, 4 + 8: FISTTP.
 * Returns the bits to write: `old`, what is there, when an unmasked exception suppresses the write.
 */
export function fpu_store(kind: i64, old: i64): i64 {
  if (!enterFpu()) return 0;
  const bits = storeBits(kind);
  return suppressed ? old : bits;
}

function storeBits(kind: i64): i64 {
  const k = i32(kind) & 7;
  const bits = k == 1 ? 32 : k == 3 ? 16 : 64;
  const isFloat = k == 0 || k == 2;
  if (isEmpty(0)) {
    flags = IE;
    pend(SW_SF, IE);
    return k == 0 ? 0xffc00000 : k == 2 ? <i64>0xfff8000000000000 : i64(-1) << (bits - 1);
  }
  loadASlot(st(0));
  if (!isFloat) {
    if ((kind & 8) != 0) rc = RC_ZERO;
    const r = toSigned(bits);
    pend(0, IE);
    return r;
  }
  if (!specialUnary()) {
    // A denormal extended operand underflows either format; DE is not reported by FST.
    resultFromA();
  }
  wrap = 0;
  const r: i64 = k == 0 ? i64(pack32()) : i64(pack64());
  pend(0, IE | OE | UE);
  return r;
}

/** FSTP m80fp: the significand; sign and exponent come from `fpu_store80_se`. `old`: what is there. */
export function fpu_store80(old: i64): i64 {
  if (!enterFpu()) return 0;
  if (isEmpty(0)) {
    flags = IE;
    pend(SW_SF, IE);
    return suppressed ? old : INDEFINITE_SIG;
  }
  suppressed = false;
  pendingFlags = 0;
  pendingExtra = 0;
  return load<i64>(st(0));
}

export function fpu_store80_se(old: i64): i64 {
  if (suppressed) return old;
  return isEmpty(0) ? INDEFINITE_SE : load<u16>(st(0), 8);
}

/** Ends a store after the write: reports and pops. */
export function fpu_stored(pop: i64): void {
  if (suppressed) return;
  masks = controlWord() & 63;
  signal(pendingFlags, pendingExtra);
  if (pop != 0) popStack();
}

// --- packed decimal ----------------------------------------------------------------------------------------

/** FBLD: `lo` holds the 16 low digits, `hi` two digits and the sign byte. */
export function fpu_load_bcd(lo: i64, hi: i64): void {
  if (!room()) return;
  let value: i64 = 0;
  for (let shift: i64 = 4; shift >= 0; shift -= 4) value = value * 10 + ((hi >> shift) & 15);
  for (let shift: i64 = 60; shift >= 0; shift -= 4) value = value * 10 + ((lo >> shift) & 15);
  const sign = i32(hi >> 15) & 1;
  fromSigned(value);
  rSign = sign;
  pushStack();
  storeSlot(st(0));
}

let bcdHigh: i64 = 0;

/** FBSTP: the 16 low digits; the rest comes from `fpu_store_bcd_high`. */
export function fpu_store_bcd(old: i64): i64 {
  if (!enterFpu()) return 0;
  const digits = storeDigits();
  return suppressed ? old : digits;
}

function storeDigits(): i64 {
  bcdHigh = 0xffff;
  if (isEmpty(0)) {
    flags = IE;
    pend(SW_SF, IE);
    return <i64>0xc000000000000000;
  }
  loadASlot(st(0));
  const sign = i64(aSign) << 15;
  let v = toSigned(64);
  if (v < 0) v = -v;
  if ((flags & IE) != 0 || u64(v) >= 1000000000000000000) {
    flags = IE;
    pend(0, IE);
    return <i64>0xc000000000000000;
  }
  pend(0, IE);
  let digits: i64 = 0;
  for (let shift: i64 = 0; shift < 64; shift += 4) {
    const q = v / 10;
    digits |= (v - q * 10) << shift;
    v = q;
  }
  bcdHigh = (v % 10) | ((v / 10) << 4) | sign;
  return digits;
}

export function fpu_store_bcd_high(old: i64): i64 {
  if (suppressed) return old;
  return bcdHigh;
}

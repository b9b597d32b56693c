// Helpers of integer instructions: division, rotates through carry, decimal adjust, BOUND, CMPXCHG16B, ENTER
// (SDM Vol. 2).

import { V_BR, V_DE } from './bits';
import { ccAll, setArith } from './flags';
import { RAX, RBP, RBX, RCX, RDX, RSP, SCRATCH, SS } from './layout';
import { ld16, ld32, ld64, st64, stackInfo, dataInfo } from './memory';
import { raise, raiseGp, raiseSs } from './raise';
import { checkTop, commitSp, push, release, sp, spMask, useCurrentStack, withinLimit } from './stack';
import { faulted, get, segAttr, segBase, segLimit, set } from './state';
import { random32 } from '../softmmu/host';
import { MEM_RMW } from '../softmmu/mem-info';
import { hostForWrite } from '../softmmu/slow';

function divideError(): i64 {
  raise(V_DE, 0, 0);
  return 0;
}

export function div8(dividend: i64, divisor: i64): i64 {
  const n = <u32>dividend & 0xffff;
  const d = <u32>divisor & 0xff;
  if (d == 0 || n / d > 0xff) return divideError();
  return ((n % d) << 8) | (n / d);
}
export function div16(dividend: i64, divisor: i64): i64 {
  const n = <u32>dividend;
  const d = <u32>divisor & 0xffff;
  if (d == 0 || n / d > 0xffff) return divideError();
  return ((n % d) << 16) | (n / d);
}
export function div32(dividend: i64, divisor: i64): i64 {
  const n = <u64>dividend;
  const d = <u64>divisor & 0xffff_ffff;
  if (d == 0 || n / d > 0xffff_ffff) return divideError();
  return ((n % d) << 32) | (n / d);
}
export function idiv8(dividend: i64, divisor: i64): i64 {
  const n = <i32>(<i16>dividend);
  const d = <i32>(<i8>divisor);
  if (d == 0) return divideError();
  const q = n / d;
  if (q != <i32>(<i8>q)) return divideError();
  return ((n % d) & 0xff) << 8 | (q & 0xff);
}
export function idiv16(dividend: i64, divisor: i64): i64 {
  const n = <i64>(<i32>dividend);
  const d = <i64>(<i16>divisor);
  if (d == 0) return divideError();
  const q = n / d;
  if (q != <i64>(<i16>q)) return divideError();
  return ((n % d) & 0xffff) << 16 | (q & 0xffff);
}
export function idiv32(dividend: i64, divisor: i64): i64 {
  const d = <i64>(<i32>divisor);
  if (d == 0 || (d == -1 && dividend == i64.MIN_VALUE)) return divideError();
  const q = dividend / d;
  if (q != <i64>(<i32>q)) return divideError();
  return (dividend % d) << 32 | (q & 0xffff_ffff);
}

/**
 * 128 by 64 bits, high < divisor. The quotient; the remainder is left in `remainder`. Knuth, TAOCP 4.3.1,
 * with 32-bit digits.
 */
let remainder: u64 = 0;
function divide128(low: u64, high: u64, divisor: u64): u64 {
  if (high == 0) {
    remainder = low % divisor;
    return low / divisor;
  }
  const s = clz(divisor);
  const d = divisor << s;
  const d1 = d >> 32;
  const d0 = d & 0xffff_ffff;
  const n32 = s == 0 ? high : (high << s) | (low >> (64 - s));
  const n10 = low << s;
  const n1 = n10 >> 32;
  const n0 = n10 & 0xffff_ffff;
  let q1 = n32 / d1;
  let r = n32 - q1 * d1;
  while (q1 >> 32 != 0 || q1 * d0 > ((r << 32) | n1)) {
    q1--;
    r += d1;
    if (r >> 32 != 0) break;
  }
  const n21 = (n32 << 32) + n1 - q1 * d;
  let q0 = n21 / d1;
  r = n21 - q0 * d1;
  while (q0 >> 32 != 0 || q0 * d0 > ((r << 32) | n0)) {
    q0--;
    r += d1;
    if (r >> 32 != 0) break;
  }
  remainder = ((n21 << 32) + n0 - q0 * d) >> s;
  return (q1 << 32) + q0;
}

export function div64(low: i64, high: i64, divisor: i64): i64 {
  if (<u64>high >= <u64>divisor) return divideError();
  const q = divide128(low, high, divisor);
  set(SCRATCH, remainder);
  return q;
}

export function idiv64(low: i64, high: i64, divisor: i64): i64 {
  if (divisor == 0) return divideError();
  const negative = high < 0;
  let lo = <u64>low;
  let hi = <u64>high;
  if (negative) {
    lo = 0 - lo;
    hi = ~hi + <u64>(lo == 0);
  }
  const d = divisor < 0 ? 0 - <u64>divisor : <u64>divisor;
  if (hi >= d) return divideError();
  const q = divide128(lo, hi, d);
  const minus = negative != divisor < 0;
  if (q > (minus ? <u64>1 << 63 : (<u64>1 << 63) - 1)) return divideError();
  set(SCRATCH, negative ? 0 - remainder : remainder);
  return minus ? 0 - q : q;
}

/** Leaves flags with CF and OF replaced in SCRATCH. */
function rotateFlags(flags: u64, carry: u64, overflow: u64): void {
  set(SCRATCH, (flags & ~<u64>0x801) | carry | (overflow << 11));
}

/** Count of a rotate through carry, masked and reduced. */
// @ts-ignore: decorator
@inline function rotateCount(count: i64, bits: u64): u64 {
  return (<u64>count & (bits == 64 ? 63 : 31)) % (bits + 1);
}

export function rcl(value: i64, count: i64, flagsAndSize: i64): i64 {
  const bits = <u64>(flagsAndSize & 0xff) << 3;
  const flags = <u64>flagsAndSize >> 8;
  const mask = ~(<u64>0) >> (64 - bits);
  const n = rotateCount(count, bits);
  const v = <u64>value & mask;
  if (n == 0) {
    // A multiple of the width rotates nothing but still defines OF for a non-zero count; the flags stay as
    // for count 0.
    set(SCRATCH, flags);
    return v;
  }
  const carry = flags & 1;
  let result = (carry << (n - 1)) | (n == 64 ? 0 : v << n);
  if (n > 1) result |= v >> (bits + 1 - n);
  result &= mask;
  const out = (v >> (bits - n)) & 1;
  rotateFlags(flags, out, out ^ (result >> (bits - 1)));
  return result;
}

export function rcr(value: i64, count: i64, flagsAndSize: i64): i64 {
  const bits = <u64>(flagsAndSize & 0xff) << 3;
  const flags = <u64>flagsAndSize >> 8;
  const mask = ~(<u64>0) >> (64 - bits);
  const n = rotateCount(count, bits);
  const v = <u64>value & mask;
  if (n == 0) {
    set(SCRATCH, flags);
    return v;
  }
  const carry = flags & 1;
  let result = (carry << (bits - n)) | (n == 64 ? 0 : v >> n);
  if (n > 1) result |= v << (bits + 1 - n);
  result &= mask;
  const out = (v >> (n - 1)) & 1;
  rotateFlags(flags, out, ((result >> (bits - 1)) ^ (result >> (bits - 2))) & 1);
  return result;
}

// @ts-ignore: decorator
@inline function setAx(value: u64): void { set(RAX, (get(RAX) & ~0xffff) | (value & 0xffff)); }
// @ts-ignore: decorator
@inline function setAl(value: u64): void { set(RAX, (get(RAX) & ~0xff) | (value & 0xff)); }

/** SF, ZF and PF of a byte. */
function byteFlags(value: u64): u64 {
  const v = value & 0xff;
  return (v & 0x80) | (v == 0 ? 0x40 : 0) | (<u64>((popcnt<u32>(<u32>v) & 1) ^ 1) << 2);
}

export function daa(): void {
  const old = ccAll();
  const al = get(RAX) & 0xff;
  let result = al;
  let flags: u64 = 0;
  if ((al & 15) > 9 || (old & 0x10) != 0) {
    result += 6;
    flags |= 0x10;
  }
  if (al > 0x99 || (old & 1) != 0) {
    result += 0x60;
    flags |= 1;
  }
  setAl(result);
  setArith(flags | byteFlags(result));
}

export function das(): void {
  const old = ccAll();
  const al = get(RAX) & 0xff;
  let result = al;
  let flags: u64 = 0;
  if ((al & 15) > 9 || (old & 0x10) != 0) {
    flags |= 0x10 | (old & 1) | <u64>(al < 6);
    result -= 6;
  }
  if (al > 0x99 || (old & 1) != 0) {
    result -= 0x60;
    flags |= 1;
  }
  setAl(result);
  setArith(flags | byteFlags(result));
}

export function aaa(): void { adjust(0x106); }
export function aas(): void { adjust(-0x106); }

function adjust(delta: i64): void {
  const old = ccAll();
  let ax = get(RAX) & 0xffff;
  let flags: u64 = 0;
  if ((ax & 15) > 9 || (old & 0x10) != 0) {
    ax += delta;
    flags = 0x11;
  }
  ax &= 0xff0f;
  setAx(ax);
  // SF, ZF, PF are undefined
  setArith(flags | byteFlags(ax));
}

export function aam(base: i64): void {
  const b = <u64>base & 0xff;
  if (b == 0) {
    divideError();
    return;
  }
  const al = get(RAX) & 0xff;
  setAx(((al / b) << 8) | (al % b));
  setArith(byteFlags(al % b));
}

export function aad(base: i64): void {
  const ax = get(RAX);
  const result = ((ax & 0xff) + ((ax >> 8) & 0xff) * (<u64>base & 0xff)) & 0xff;
  setAx(result);
  setArith(byteFlags(result));
}

export function bound(index: i64, lower: i64, upper: i64): void {
  if (index < lower || index > upper) raise(V_BR, 0, 0);
}

export function cmpxchg16b(address: i64): i64 {
  if ((address & 15) != 0) {
    raiseGp(0);
    return 0;
  }
  const info = dataInfo();
  const host = hostForWrite(address, 16, info | MEM_RMW);
  if (faulted()) return 0;
  const lo = host != 0 ? load<u64>(host) : ld64(address, info | MEM_RMW);
  const hi = host != 0 ? load<u64>(host, 8) : ld64(address + 8, info | MEM_RMW);
  if (faulted()) return 0;
  const equal = lo == get(RAX) && hi == get(RDX);
  const newLo = equal ? get(RBX) : lo;
  const newHi = equal ? get(RCX) : hi;
  if (host != 0) {
    store<u64>(host, newLo);
    store<u64>(host, newHi, 8);
  } else {
    st64(address, newLo, info);
    st64(address + 8, newHi, info);
    if (faulted()) return 0;
  }
  if (!equal) {
    set(RAX, lo);
    set(RDX, hi);
  }
  return equal ? 1 : 0;
}

/** Reads a frame pointer of an outer procedure. */
function frameWord(offset: u64, size: i32): u64 {
  if (spMask == ~<u64>0) return ld64Sized(offset, size);
  if (!withinLimit(offset, size, segLimit(SS), segAttr(SS))) raiseSs(0);
  return ld64Sized((segBase(SS) + offset) & 0xffff_ffff, size);
}

function ld64Sized(at: u64, size: i32): u64 {
  if (size == 8) return ld64(at, stackInfo());
  return size == 4 ? <u64>ld32(at, stackInfo()) : <u64>ld16(at, stackInfo());
}

export function enter(allocation: i64, level: i64, opsize: i64): void {
  const size = <i32>opsize;
  useCurrentStack();
  let frame = get(RBP) & spMask;
  push(get(RBP), size);
  // FrameTemp is the whole of ESP even when the stack uses only SP.
  const top = spMask == 0xffff ? (get(RSP) & 0xffff_0000) | sp : sp;
  for (let i = 1; i < <i32>level; i++) {
    frame = (frame - size) & spMask;
    push(frameWord(frame, size), size);
  }
  if (level != 0) push(top, size);
  release(0 - <u64>allocation);
  checkTop(size);
  if (faulted()) return;
  const mask: u64 = size == 8 ? ~<u64>0 : size == 4 ? 0xffff_ffff : 0xffff;
  set(RBP, size == 2 ? (get(RBP) & ~mask) | (top & mask) : top & mask);
  commitSp();
}

export function rdrand(size: i64): i64 {
  const value = <u64>(<u32>random32()) | (<u64>(<u32>random32()) << 32);
  return value & (~(<u64>0) >> (64 - (<u64>size << 3)));
}

export function rdseed(size: i64): i64 { return rdrand(size); }

/** CRC-32C, bit by bit (SDM Vol. 2A CRC32). */
export function crc32(crc: i64, data: i64, size: i64): i64 {
  let value = <u32>crc;
  for (let i: i64 = 0; i < size; i++, data >>= 8) {
    value ^= <u32>(data & 0xff);
    for (let bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0x82f6_3b78 & (0 - (value & 1)));
  }
  return value;
}

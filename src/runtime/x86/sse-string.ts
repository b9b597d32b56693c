// PCMPESTRM, PCMPESTRI, PCMPISTRM, PCMPISTRI (SDM Vol. 2 4.1, "Imm8 Control Byte Operation").

import { CPU } from './state';
import { XMM } from './layout';

/** Operands under comparison. */
let pa: i32 = 0;
let pb: i32 = 0;
let words: bool = false;
let signed: bool = false;

@inline
function element(p: i32, i: i32): i32 {
  if (words) return signed ? i32(load<i16>(p + (i << 1))) : i32(load<u16>(p + (i << 1)));
  return signed ? i32(load<i8>(p + i)) : i32(load<u8>(p + i));
}

/** Elements before the first zero. */
function implicitLength(p: i32, n: i32): i32 {
  for (let i = 0; i < n; i++) if (element(p, i) == 0) return i;
  return n;
}

/** Absolute value of a length register, saturated to the number of elements. */
@inline
function explicitLength(x: i64, n: i32): i32 {
  const a = x < 0 ? -x : x;
  return a > i64(n) || a < 0 ? n : i32(a);
}

/** IntRes1 of the four aggregations, elements beyond a length being invalid (SDM Vol. 2 4.1.6). */
function aggregate(kind: i32, n: i32, la: i32, lb: i32): u32 {
  let r: u32 = 0;
  for (let j = 0; j < n; j++) {
    let hit = false;
    if (kind == 0) hit = j < lb && equalAny(la, element(pb, j));
    else if (kind == 1) hit = j < lb && inRanges(la, element(pb, j));
    else if (kind == 2) hit = j < la && j < lb ? element(pa, j) == element(pb, j) : j >= la && j >= lb;
    else hit = startsAt(n, la, lb, j);
    if (hit) r |= 1 << j;
  }
  return r;
}

function equalAny(la: i32, c: i32): bool {
  for (let i = 0; i < la; i++) if (element(pa, i) == c) return true;
  return false;
}

function inRanges(la: i32, c: i32): bool {
  for (let i = 0; i + 1 < la; i += 2) if (element(pa, i) <= c && c <= element(pa, i + 1)) return true;
  return false;
}

/** Equal ordered: the substring a occurs in b at j, as far as the register reaches. */
function startsAt(n: i32, la: i32, lb: i32, j: i32): bool {
  for (let i = 0; i < la && i + j < n; i++) {
    if (i + j >= lb || element(pa, i) != element(pb, i + j)) return false;
  }
  return true;
}

let result: u32 = 0;
let stringFlags: i64 = 0;

/** IntRes2 in `result`; CF ZF SF OF in `stringFlags`, AF and PF clear. */
function compareStrings(imm: i32, n: i32, la: i32, lb: i32): void {
  let r = aggregate((imm >> 2) & 3, n, la, lb);
  const all: u32 = (1 << n) - 1;
  if ((imm & 0x10) != 0) r ^= (imm & 0x20) != 0 ? (u32(1) << lb) - 1 : all;
  result = r & all;
  stringFlags = i64(result != 0) | (i64(lb < n) << 6) | (i64(la < n) << 7) | (i64(result & 1) << 11);
}

function setUp(a: i32, b: i32, imm: i32): i32 {
  pa = CPU + a;
  pb = CPU + b;
  words = (imm & 1) != 0;
  signed = (imm & 2) != 0;
  return words ? 8 : 16;
}

/**
 * Compares strings of implicit length at offsets a and b. Returns the flags; index or mask come from
 * `sse_pcmpstr_index` and `sse_pcmpstr_mask`.
 */
export function sse_pcmpistr(a: i64, b: i64, imm: i64): i64 {
  const n = setUp(i32(a), i32(b), i32(imm));
  compareStrings(i32(imm), n, implicitLength(pa, n), implicitLength(pb, n));
  return stringFlags;
}

let lengthA: i64 = 0;
let lengthB: i64 = 0;

/** Lengths (rAX, rDX; sign-extended) for the following `sse_pcmpestr`. */
export function sse_pcmpestr_lengths(a: i64, b: i64): void {
  lengthA = a;
  lengthB = b;
}

export function sse_pcmpestr(a: i64, b: i64, imm: i64): i64 {
  const n = setUp(i32(a), i32(b), i32(imm));
  compareStrings(i32(imm), n, explicitLength(lengthA, n), explicitLength(lengthB, n));
  return stringFlags;
}

/** ECX of PCMPxSTRI: first (imm bit 6 clear) or last set element of the last comparison. */
export function sse_pcmpstr_index(imm: i64): i64 {
  if (result == 0) return words ? 8 : 16;
  return (imm & 0x40) != 0 ? i64(31 - clz(result)) : i64(ctz(result));
}

/** XMM0 of PCMPxSTRM: bits (imm bit 6 clear) or element masks. */
export function sse_pcmpstr_mask(imm: i64): void {
  const p = CPU + XMM;
  if ((imm & 0x40) == 0) {
    store<u64>(p, u64(result));
    store<u64>(p, 0, 8);
    return;
  }
  const n = words ? 8 : 16;
  for (let i = 0; i < n; i++) {
    const bit = (result >> i) & 1;
    if (words) store<u16>(p + (i << 1), u16(0 - bit));
    else store<u8>(p + i, u8(0 - bit));
  }
}

// GFNI: bytes as elements of GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1 (SDM Vol. 2 GF2P8MULB, GF2P8AFFINEQB,
// GF2P8AFFINEINVQB).

import { CPU } from './state';

/** Every byte times x. */
@inline
function double(x: v128): v128 {
  return v128.xor(i8x16.shl(x, 1), v128.and(i8x16.shr_s(x, 7), i8x16.splat(0x1b)));
}

function multiply(a: v128, b: v128): v128 {
  let r = i64x2.splat(0);
  for (let i = 0; i < 8; i++) {
    r = v128.xor(r, v128.and(a, i8x16.shr_s(i8x16.shl(b, 7 - i), 7)));
    a = double(a);
  }
  return r;
}

export function gf2p8_mul(d: i64, s: i64): void {
  const pd = CPU + i32(d);
  v128.store(pd, multiply(v128.load(pd), v128.load(CPU + i32(s))));
}

/** x^254: the inverse, 0 for 0. */
function invert(x: v128): v128 {
  let r = multiply(x, x);
  let power = r;
  for (let i = 0; i < 6; i++) {
    power = multiply(power, power);
    r = multiply(r, power);
  }
  return r;
}

/** Bit i of each byte of a qword's result is the parity of byte 7 - i of the matrix and the byte, xor bit i of imm8. */
function affine(x: u64, matrix: u64, imm: u32): u64 {
  let r: u64 = 0;
  for (let k = 0; k < 64; k += 8) {
    const byte = u32(x >> k) & 255;
    let out = imm & 255;
    for (let i = 0; i < 8; i++) {
      out ^= (u32(popcnt<u32>(u32(matrix >> ((7 - i) << 3)) & byte)) & 1) << i;
    }
    r |= u64(out) << k;
  }
  return r;
}

/** d ← affine(d, matrices of s, imm); bit 8 of imm: of the inverses of d's bytes. */
export function gf2p8_affine(d: i64, s: i64, imm: i64): void {
  const pd = CPU + i32(d);
  const ps = CPU + i32(s);
  let x = v128.load(pd);
  if ((imm & 0x100) != 0) x = invert(x);
  const lo = affine(i64x2.extract_lane(x, 0), load<u64>(ps), u32(imm));
  const hi = affine(i64x2.extract_lane(x, 1), load<u64>(ps, 8), u32(imm));
  store<u64>(pd, lo);
  store<u64>(pd, hi, 8);
}

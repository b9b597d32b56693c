// 128-bit integer steps for the soft-float core. Results wider than 64 bits come back in globals: AssemblyScript
// has no multiple results, and globals of a wasm instance are private to its thread.

/** High word of the last `mulWide`; remainder of the last `divWide`. */
export let wideHi: u64 = 0;
export let wideRem: u64 = 0;

/** a × b: returns the low 64 bits, leaves the high 64 bits in `wideHi`. */
@inline
export function mulWide(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const ll = al * bl;
  const lh = al * bh;
  const hl = ah * bl;
  const mid = (ll >> 32) + (lh & 0xffffffff) + hl;
  wideHi = ah * bh + (lh >> 32) + (mid >> 32);
  return (mid << 32) | (ll & 0xffffffff);
}

/** High 64 bits of a × b. */
@inline
export function mulHigh(a: u64, b: u64): u64 {
  mulWide(a, b);
  return wideHi;
}

/**
 * (hi:lo) / d for hi < d and d with its top bit set: returns the 64-bit quotient, remainder in `wideRem`.
 * Knuth, TAOCP Vol. 2, 4.3.1 algorithm D with 32-bit digits.
 */
export function divWide(hi: u64, lo: u64, d: u64): u64 {
  const dh = d >> 32;
  const dl = d & 0xffffffff;
  let q1 = hi / dh;
  let r = hi - q1 * dh;
  const lo1 = lo >> 32;
  while (q1 >> 32 != 0 || q1 * dl > ((r << 32) | lo1)) {
    q1--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  const mid = ((hi << 32) | lo1) - q1 * d;
  let q0 = mid / dh;
  r = mid - q0 * dh;
  const lo0 = lo & 0xffffffff;
  while (q0 >> 32 != 0 || q0 * dl > ((r << 32) | lo0)) {
    q0--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  wideRem = ((mid << 32) | lo0) - q0 * d;
  return (q1 << 32) | q0;
}

/** x >> n for any n ≥ 0; every bit shifted out is kept as a 1 in bit 0 ("jamming"). */
@inline
export function shiftRightJam(x: u64, n: i32): u64 {
  if (n == 0) return x;
  if (n > 63) return u64(x != 0);
  return (x >> n) | u64(x << (64 - n) != 0);
}

// Parallel deposit and extract (SDM Vol. 2B PDEP, PEXT): one step per bit of the mask.

export function pdep(source: i64, mask: i64): i64 {
  let result: u64 = 0;
  let from = <u64>source;
  for (let m = <u64>mask; m != 0; m &= m - 1, from >>= 1) {
    if ((from & 1) != 0) result |= m & (0 - m);
  }
  return result;
}

export function pext(source: i64, mask: i64): i64 {
  let result: u64 = 0;
  let to: u64 = 1;
  for (let m = <u64>mask; m != 0; m &= m - 1, to <<= 1) {
    if ((<u64>source & m & (0 - m)) != 0) result |= to;
  }
  return result;
}

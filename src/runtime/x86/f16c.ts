// VCVTPH2PS and VCVTPS2PH (SDM Vol. 1 14.4). Four elements at a time.

import { isSnan32, loadA32 } from '../softfloat/binary';
import {
  DE, IE, INF, QNAN, SNAN, ZERO, aCls, finish, flags, ftz, rCls, rExp, rSig, rc, resultFromA,
} from '../softfloat/core';
import { enterSse, report } from './sse-env';
import { CPU } from './state';

/** Exact; a signalling NaN raises IE and becomes quiet, denormals are taken whatever DAZ says and raise nothing. */
function fromHalf(h: u32): u32 {
  const sign = (h & 0x8000) << 16;
  const e = (h >> 10) & 31;
  const f = h & 0x3ff;
  if (e == 31) {
    if (f != 0 && (f & 0x200) == 0) flags |= IE;
    return sign | 0x7f800000 | (f << 13) | (f != 0 ? 0x400000 : 0);
  }
  if (e != 0) return sign | ((e + 112) << 23) | (f << 13);
  if (f == 0) return sign;
  const n = u32(clz(f)) - 21;
  return sign | ((113 - n) << 23) | (((f << n) & 0x3ff) << 13);
}

export function f16c_from_half(d: i64, s: i64): void {
  const h = load<u64>(CPU + i32(s));
  enterSse();
  let r = i32x4.splat(fromHalf(u32(h) & 0xffff));
  r = i32x4.replace_lane(r, 1, fromHalf(u32(h >> 16) & 0xffff));
  r = i32x4.replace_lane(r, 2, fromHalf(u32(h >> 32) & 0xffff));
  r = i32x4.replace_lane(r, 3, fromHalf(u32(h >> 48)));
  if (report()) v128.store(CPU + i32(d), r);
}

function toHalf(x: u32): u64 {
  const sign = (x >> 16) & 0x8000;
  loadA32(x);
  if (aCls == QNAN || aCls == SNAN) {
    if (isSnan32(x)) flags |= IE;
    return sign | 0x7e00 | ((x >> 13) & 0x1ff);
  }
  if (aCls == INF) return sign | 0x7c00;
  if (aCls == ZERO) return sign;
  if (((x >> 23) & 255) == 0) flags |= DE;
  resultFromA();
  finish(11, -14, 15);
  if (rCls == INF) return sign | 0x7c00;
  if (rCls == ZERO) return sign;
  const biased = rSig >> 63 != 0 ? u64(rExp + 15) << 10 : 0;
  return sign | biased | ((rSig >> 53) & 0x3ff);
}

/** imm8: bit 2 selects MXCSR.RC, otherwise bits 1..0 are the rounding; MXCSR.FTZ has no effect. */
export function f16c_to_half(d: i64, s: i64, imm: i64): void {
  const p = CPU + i32(s);
  enterSse();
  if ((imm & 4) == 0) rc = i32(imm) & 3;
  ftz = false;
  const r = toHalf(load<u32>(p)) | (toHalf(load<u32>(p, 4)) << 16) | (toHalf(load<u32>(p, 8)) << 32)
    | (toHalf(load<u32>(p, 12)) << 48);
  if (report()) store<u64>(CPU + i32(d), r);
}

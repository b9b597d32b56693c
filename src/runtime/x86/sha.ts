// SHA extensions (SDM Vol. 2B SHA1*, SHA256*; FIPS 180-4 for the functions). Operands are state offsets.

import { CPU } from './state';
import { XMM } from './layout';

const SHA1_NEXTE: i32 = 0;
const SHA1_MSG1: i32 = 1;
const SHA1_MSG2: i32 = 2;
const SHA256_RNDS2: i32 = 3;
const SHA256_MSG1: i32 = 4;
const SHA256_MSG2: i32 = 5;

/** 32-bit lane n of a vector. */
// @ts-ignore: decorator
@inline function lane(at: i32, n: i32): u32 { return load<u32>(CPU + at + (n << 2)); }

/** Lane 3 first, as the manual writes vectors. */
function put(at: i32, w3: u32, w2: u32, w1: u32, w0: u32): void {
  store<u32>(CPU + at, w0);
  store<u32>(CPU + at, w1, 4);
  store<u32>(CPU + at, w2, 8);
  store<u32>(CPU + at, w3, 12);
}

// @ts-ignore: decorator
@inline function choose(x: u32, y: u32, z: u32): u32 { return z ^ (x & (y ^ z)); }
// @ts-ignore: decorator
@inline function majority(x: u32, y: u32, z: u32): u32 { return (x & y) | (z & (x | y)); }

// @ts-ignore: decorator
@inline function bigSigma0(x: u32): u32 { return rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22); }
// @ts-ignore: decorator
@inline function bigSigma1(x: u32): u32 { return rotr<u32>(x, 6) ^ rotr<u32>(x, 11) ^ rotr<u32>(x, 25); }
// @ts-ignore: decorator
@inline function sigma0(x: u32): u32 { return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3); }
// @ts-ignore: decorator
@inline function sigma1(x: u32): u32 { return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10); }

/** SHA1RNDS4: `kind` chooses function and constant. */
function sha1Rounds(kind: i32, d: i32, s: i32): void {
  let a = lane(d, 3);
  let b = lane(d, 2);
  let c = lane(d, 1);
  let e = lane(d, 0);
  let last: u32 = 0;
  for (let i = 3; i >= 0; i--) {
    let f: u32;
    let k: u32;
    switch (kind) {
      case 0: f = choose(b, c, e); k = 0x5a82_7999; break;
      case 1: f = b ^ c ^ e; k = 0x6ed9_eba1; break;
      case 2: f = majority(b, c, e); k = 0x8f1b_bcdc; break;
      default: f = b ^ c ^ e; k = 0xca62_c1d6;
    }
    const next = f + rotl<u32>(a, 5) + lane(s, i) + last + k;
    last = e;
    e = c;
    c = rotl<u32>(b, 30);
    b = a;
    a = next;
  }
  put(d, a, b, c, e);
}

function sha256Rounds(d: i32, s: i32): void {
  let a = lane(s, 3);
  let b = lane(s, 2);
  let c = lane(d, 3);
  let w = lane(d, 2);
  let e = lane(s, 1);
  let f = lane(s, 0);
  let g = lane(d, 1);
  let h = lane(d, 0);
  for (let i = 0; i < 2; i++) {
    const t = choose(e, f, g) + bigSigma1(e) + lane(XMM, i) + h;
    const next = t + majority(a, b, c) + bigSigma0(a);
    h = g;
    g = f;
    f = e;
    e = t + w;
    w = c;
    c = b;
    b = a;
    a = next;
  }
  put(d, a, b, e, f);
}

function sha1Message2(d: i32, s: i32): void {
  const w16 = rotl<u32>(lane(d, 3) ^ lane(s, 2), 1);
  const w17 = rotl<u32>(lane(d, 2) ^ lane(s, 1), 1);
  const w18 = rotl<u32>(lane(d, 1) ^ lane(s, 0), 1);
  put(d, w16, w17, w18, rotl<u32>(lane(d, 0) ^ w16, 1));
}

function sha256Message1(d: i32, s: i32): void {
  const w3 = lane(d, 3);
  const w2 = lane(d, 2);
  const w1 = lane(d, 1);
  put(d, w3 + sigma0(lane(s, 0)), w2 + sigma0(w3), w1 + sigma0(w2), lane(d, 0) + sigma0(w1));
}

function sha256Message2(d: i32, s: i32): void {
  const w16 = lane(d, 0) + sigma1(lane(s, 2));
  const w17 = lane(d, 1) + sigma1(lane(s, 3));
  const w18 = lane(d, 2) + sigma1(w16);
  put(d, lane(d, 3) + sigma1(w17), w18, w17, w16);
}

/** op: 0…5 as above, 8 + kind for SHA1RNDS4. */
export function sha(op: i64, first: i64, second: i64): void {
  const d = <i32>first;
  const s = <i32>second;
  switch (<i32>op) {
    case SHA1_NEXTE: put(d, lane(s, 3) + rotl<u32>(lane(d, 3), 30), lane(s, 2), lane(s, 1), lane(s, 0)); break;
    case SHA1_MSG1:
      put(d, lane(d, 1) ^ lane(d, 3), lane(d, 0) ^ lane(d, 2), lane(s, 3) ^ lane(d, 1), lane(s, 2) ^ lane(d, 0));
      break;
    case SHA1_MSG2: sha1Message2(d, s); break;
    case SHA256_RNDS2: sha256Rounds(d, s); break;
    case SHA256_MSG1: sha256Message1(d, s); break;
    case SHA256_MSG2: sha256Message2(d, s); break;
    default: sha1Rounds(<i32>op & 3, d, s);
  }
}

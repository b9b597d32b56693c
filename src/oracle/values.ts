import type { Random } from './random.ts';

// Operand values: boundaries, special floating-point numbers and random bits, written into a DataView.

/** 64-bit boundary values as [low, high]. */
const EDGES: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0],
  [2, 0],
  [0x7f, 0],
  [0x80, 0],
  [0xff, 0],
  [0x7fff, 0],
  [0x8000, 0],
  [0xffff, 0],
  [0x7fff_ffff, 0],
  [0x8000_0000, 0],
  [0xffff_ffff, 0],
  [0xffff_ffff, 0x7fff_ffff],
  [0, 0x8000_0000],
  [0xffff_ffff, 0xffff_ffff],
  [0xffff_fffe, 0xffff_ffff],
  [0xffff_ff80, 0xffff_ffff],
  [0, 1],
];

/** A value for a general register or an integer in memory. */
export function putInteger(view: DataView, at: number, random: Random): void {
  const kind = random.below(4);
  let low = random.u32();
  let high = random.u32();
  if (kind === 0) [low, high] = random.pick(EDGES);
  else if (kind === 1) {
    low &= 0xff;
    high = 0;
  } else if (kind === 2 && random.chance(50)) high = 0;
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}

const EXPONENTS64 = [0, 1, 2, 0x3fe, 0x3ff, 0x400, 0x41e, 0x43e, 0x7fd, 0x7fe, 0x7ff];
const EXPONENTS32 = [0, 1, 2, 0x7e, 0x7f, 0x80, 0x9e, 0xbe, 0xfd, 0xfe, 0xff];

/** A double: zero, denormal, near one, huge, infinity, quiet and signalling NaN with payload, or any bits. */
export function putDouble(view: DataView, at: number, random: Random): void {
  let low = random.u32();
  let high = random.u32();
  const kind = random.below(8);
  if (kind < 5) {
    const exponent = kind < 2 ? random.pick(EXPONENTS64) : 0x3ff - 8 + random.below(20);
    high = ((high & 0x800f_ffff) | (exponent << 20)) >>> 0;
    if (random.chance(40)) low = 0;
    if (random.chance(30)) high &= 0xfff0_0000;
    if (random.chance(10)) low = 1;
    if (random.chance(10)) [low, high] = [0xffff_ffff, (high | 0xf_ffff) >>> 0];
  } else if (kind === 5) {
    view.setFloat64(at, random.below(2000) - 1000, true);
    return;
  }
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}

export function putSingle(view: DataView, at: number, random: Random): void {
  let bits = random.u32();
  const kind = random.below(8);
  if (kind < 5) {
    const exponent = kind < 2 ? random.pick(EXPONENTS32) : 0x7f - 8 + random.below(20);
    bits = ((bits & 0x807f_ffff) | (exponent << 23)) >>> 0;
    if (random.chance(30)) bits &= 0xffff_0000;
    if (random.chance(15)) bits &= 0xff80_0000;
    if (random.chance(10)) bits |= 0x007f_ffff;
  } else if (kind === 5) {
    view.setFloat32(at, random.below(2000) - 1000, true);
    return;
  }
  view.setUint32(at, bits, true);
}

const EXPONENTS80 = [
  0,
  1,
  0x3ffe,
  0x3fff,
  0x4000,
  0x401e,
  0x403e,
  0x7ffd,
  0x7ffe,
  0x7fff,
  0x3fff - 1074,
  0x3fff + 1023,
];

/** An 80-bit extended number, unsupported encodings among them. */
export function putExtended(view: DataView, at: number, random: Random): void {
  let low = random.u32();
  let high = (random.u32() | 0x8000_0000) >>> 0;
  let exponent = 0x3fff - 10 + random.below(20);
  const kind = random.below(8);
  if (kind < 3) exponent = random.pick(EXPONENTS80);
  else if (kind === 3) exponent = random.below(0x8000);
  if (random.chance(30)) low = 0;
  if (random.chance(20)) high = 0x8000_0000;
  if (random.chance(8)) high = 0;
  if (random.chance(6)) high &= 0x7fff_ffff;
  if (exponent === 0 && random.chance(70)) high &= 0x7fff_ffff;
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
  view.setUint16(at + 8, exponent | (random.chance(50) ? 0x8000 : 0), true);
}

export type VectorKind = 'integer' | 'single' | 'double' | 'any';

/** `bytes` bytes (a multiple of 8) of a vector. */
export function putVector(view: DataView, at: number, bytes: number, kind: VectorKind, random: Random): void {
  const chosen = kind === 'any' ? random.pick(['integer', 'single', 'double'] as const) : kind;
  if (chosen === 'integer' && random.chance(15)) {
    const low = random.u32();
    for (let i = 0; i < bytes; i += 4) view.setUint32(at + i, low, true);
    return;
  }
  for (let i = 0; i < bytes; i += 8) {
    if (chosen === 'double') putDouble(view, at + i, random);
    else if (chosen === 'single') {
      putSingle(view, at + i, random);
      putSingle(view, at + i + 4, random);
    } else if (random.chance(30)) putBytes(view, at + i, random);
    else putInteger(view, at + i, random);
  }
}

/** Eight bytes, each at a boundary. */
function putBytes(view: DataView, at: number, random: Random): void {
  for (let i = 0; i < 8; i++) view.setUint8(at + i, random.pick([0, 1, 0x7f, 0x80, 0xff, 0x81, 0x40, 0xfe]));
}

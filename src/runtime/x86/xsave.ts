// XSAVE, XSAVEOPT, XSAVEC, XSAVES and XRSTOR, XRSTORS (SDM Vol. 1 chapter 13). State components: 0 x87, 1 SSE, 2 AVX,
// 9 PKRU.
// There are no supervisor components: IA32_XSS is always 0.

import { fpu_init, loadVectors, loadX87Image, read, storeMxcsr, storeVectors, storeX87Image, writable, write } from './fpu-env';
import {
  FPR, FPU_CS, FPU_CW, FPU_DP, FPU_DS, FPU_IP, FPU_OPCODE, FPU_SW, FPU_TAGS, FPU_TOP, HF_CS64, MXCSR, PKRU, XCR0,
  XCR0_MASK, XMM,
  YMM_HI,
} from './layout';
import { writePkru } from './control';
import { updateHflags } from './hflags';
import { raiseGp } from './raise';
import { CPU, faulted, get, hflags, set } from './state';
import { MXCSR_RESERVED, setMxcsr } from './sse-env';

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
const PKRU_STATE: u64 = 0x200;
/** Byte offsets in the image: XSTATE_BV, XCOMP_BV, AVX state (the first extended component: the same in both formats). */
const HEADER: i32 = 512;
const COMP: i32 = 520;
const AVX_OFFSET: i32 = 576;
/** PKRU in the standard format; in the compacted one it follows the components before it. */
const PKRU_OFFSET: i32 = 2688;
const COMPACTED: u64 = 0x8000000000000000;

/** Kinds of `xsave`. */
const OPT: i32 = 1;
const COMPACT: i32 = 2;
const SUPERVISOR: i32 = 4;

function allZero(state: i32, bytes: i32): bool {
  for (let i = 0; i < bytes; i += 16) if (v128.any_true(v128.load(CPU + state + i))) return false;
  return true;
}

function x87InUse(): bool {
  return get(FPU_CW) != 0x37f || (get(FPU_SW) | get(FPU_TOP) | get(FPU_IP) | get(FPU_DP) | get(FPU_OPCODE)
    | get(FPU_CS) | get(FPU_DS)) != 0 || get(FPU_TAGS) != 0x0101010101010101 || !allZero(FPR, 128);
}

/** XINUSE: components that are not in their initial configuration (SDM Vol. 1 13.6). */
function inUse(): u64 {
  return (x87InUse() ? X87 : 0) | (allZero(XMM, 256) ? 0 : SSE) | (allZero(YMM_HI, 256) ? 0 : AVX)
    | (get(PKRU) != 0 ? PKRU_STATE : 0);
}

/** Where PKRU is in an image with these components. */
function pkruOffset(components: u64, compact: bool): i32 {
  return compact ? AVX_OFFSET + ((components & AVX) != 0 ? 256 : 0) : PKRU_OFFSET;
}

/** Bytes of an image with these components. */
function imageSize(components: u64, compact: bool): i32 {
  if ((components & PKRU_STATE) != 0) return pkruOffset(components, compact) + 8;
  return (components & AVX) != 0 ? AVX_OFFSET + 256 : AVX_OFFSET;
}

/** XSAVE (0), XSAVEOPT (1), XSAVEC (2), XSAVES (6) to the linear address `base`; requested: EDX:EAX; bit 8 of kind: REX.W. */
export function xsave(base: i64, requested: i64, kind: i64): void {
  if ((base & 63) != 0) return raiseGp(0);
  const rfbm = get(XCR0) & u64(requested);
  const compact = (i32(kind) & COMPACT) != 0;
  const wide = (kind >> 8) & 1;
  if (!writable(base, imageSize(rfbm, compact))) return;
  let used = inUse();
  // SDM Vol. 1 13.10: with a MXCSR that is not initial, SSE state counts as in use
  if (compact && get(MXCSR) != 0x1f80) used |= SSE;
  const what = (i32(kind) & (OPT | COMPACT)) != 0 ? rfbm & used : rfbm;
  const old: u64 = compact ? 0 : u64(read(base, HEADER, 8));
  if ((what & X87) != 0) storeX87Image(base, wide);
  if (((compact ? what & SSE : rfbm & (SSE | AVX))) != 0) storeMxcsr(base);
  if ((what & SSE) != 0) storeVectors(base, 160, XMM);
  if ((what & AVX) != 0) storeVectors(base, AVX_OFFSET, YMM_HI);
  if ((what & PKRU_STATE) != 0) write(base, pkruOffset(rfbm, compact), 8, i64(get(PKRU)));
  write(base, HEADER, 8, i64((old & ~rfbm) | (rfbm & used)));
  if (compact) write(base, COMP, 8, i64(rfbm | COMPACTED));
}

/** SDM Vol. 1 13.8.1, 13.12: what an image's header may hold. */
function headerFits(base: i64, bv: u64, comp: u64, compactOnly: bool): bool {
  const xcr0 = get(XCR0);
  if ((comp & COMPACTED) == 0) {
    return !compactOnly && (bv & ~xcr0) == 0 && comp == 0 && read(base, 528, 8) == 0;
  }
  if ((comp & ~(xcr0 | COMPACTED)) != 0 || (bv & ~comp) != 0) return false;
  for (let i = 528; i < AVX_OFFSET; i += 8) if (read(base, i, 8) != 0) return false;
  return true;
}

/** XRSTOR (kind 0), XRSTORS (4); bit 8 of kind: REX.W. */
export function xrstor(base: i64, requested: i64, kind: i64): void {
  if ((base & 63) != 0) return raiseGp(0);
  const rfbm = get(XCR0) & u64(requested);
  const wide = (kind >> 8) & 1;
  read(base, 0, 1);
  if (faulted()) return;
  const bv = u64(read(base, HEADER, 8));
  if (faulted()) return;
  const comp = u64(read(base, COMP, 8));
  read(base, AVX_OFFSET - 1, 1);
  if (faulted()) return;
  if (!headerFits(base, bv, comp, (i32(kind) & SUPERVISOR) != 0)) return raiseGp(0);
  const compact = (comp & COMPACTED) != 0;
  const pkruAt = pkruOffset(comp, compact);
  read(base, (rfbm & bv & PKRU_STATE) != 0 ? pkruAt + 7 : imageSize(rfbm & bv & ~PKRU_STATE, compact) - 1, 1);
  if (faulted()) return;
  const mxcsr = u32(read(base, 24, 4));
  const loadsMxcsr = compact ? (rfbm & bv & SSE) != 0 : (rfbm & (SSE | AVX)) != 0;
  if (loadsMxcsr && (mxcsr & MXCSR_RESERVED) != 0) return raiseGp(0);
  if ((rfbm & X87) != 0) {
    if ((bv & X87) != 0) loadX87Image(base, wide);
    else initX87();
  }
  if (loadsMxcsr) setMxcsr(mxcsr);
  else if ((rfbm & SSE) != 0) setMxcsr(0x1f80);
  restoreVectors(base, rfbm, bv, SSE, 160, XMM);
  restoreVectors(base, rfbm, bv, AVX, AVX_OFFSET, YMM_HI);
  if ((rfbm & PKRU_STATE) != 0) writePkru((bv & PKRU_STATE) != 0 ? u64(read(base, pkruAt, 4)) : 0);
}

function initX87(): void {
  fpu_init();
  memory.fill(CPU + FPR, 0, 128);
}

function restoreVectors(base: i64, rfbm: u64, bv: u64, component: u64, offset: i32, state: i32): void {
  if ((rfbm & component) == 0) return;
  if ((bv & component) != 0) loadVectors(base, offset, state);
  else memory.fill(CPU + state, 0, (hflags() & HF_CS64) != 0 ? 256 : 128);
}

/** XGETBV: XCR0, or the components in use (index 1) where that is offered. */
export function xgetbv(index: i64, extended: i64): i64 {
  if (index == 0) return get(XCR0);
  if (index == 1 && extended != 0) return get(XCR0) & inUse();
  raiseGp(0);
  return 0;
}

/** XSETBV; CPL is checked. x87 state is always on, AVX needs SSE (SDM Vol. 1 13.3). */
export function xsetbv(index: i64, value: i64): void {
  const v = u64(value);
  if (index != 0 || (v & ~get(XCR0_MASK)) != 0 || (v & X87) == 0 || (v & (SSE | AVX)) == AVX) return raiseGp(0);
  set(XCR0, v);
  updateHflags();
}

/** CPUID leaf 0DH EBX: bytes of an image with the components that XCR0 enables. */
export function xsaveSize(compact: bool): i32 {
  return imageSize(get(XCR0), compact);
}

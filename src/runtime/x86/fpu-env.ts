// x87 control instructions and state images: FNINIT, FNCLEX, FLDCW, FLDENV, FNSTENV, FNSAVE, FRSTOR (SDM Vol. 1
// 8.1.10, figures 8-9 to 8-12), FXSAVE and FXRSTOR (SDM Vol. 1 10.5), LDMXCSR, EMMS.

import {
  FPR, FPU_CS, FPU_CW, FPU_DP, FPU_DS, FPU_IP, FPU_OPCODE, FPU_SW, FPU_TAGS, FPU_TOP, HF_CS64, HF_PE, HF_VM,
  MXCSR, XMM,
} from './layout';
import { MEM_RMW } from '../softmmu/mem-info';
import { ld_slow } from '../softmmu/slow';
import { dataInfo, ldSized, stSized } from './memory';
import { raiseGp } from './raise';
import { CPU, faulted, get, hflags, set } from './state';
import { MXCSR_RESERVED, setMxcsr } from './sse-env';
import { SW_BUSY, SW_ES, controlWord, enterFpu, newError, setStatusWord, setTop, statusWord, top } from './fpu-state';

// --- guest memory ------------------------------------------------------------------------------------------

/** Linear address of an image's byte; wraps at 4 GiB outside 64-bit mode. */
@inline
function at(base: i64, offset: i32): u64 {
  const a = u64(base) + offset;
  return (hflags() & HF_CS64) != 0 ? a : a & 0xffffffff;
}

@inline
export function read(base: i64, offset: i32, size: i32): i64 {
  return ldSized(at(base, offset), size, dataInfo());
}

@inline
export function write(base: i64, offset: i32, size: i32, value: i64): void {
  stSized(at(base, offset), value, size, dataInfo());
}

/** Makes sure that an image can be written as a whole before any of it is. */
export function writable(base: i64, size: i32): bool {
  ld_slow(at(base, 0), 1 | ((dataInfo() | MEM_RMW) << 8));
  if (faulted()) return false;
  ld_slow(at(base, size - 1), 1 | ((dataInfo() | MEM_RMW) << 8));
  return !faulted();
}

// --- control words -----------------------------------------------------------------------------------------

export function fpu_init(): void {
  set(FPU_CW, 0x37f);
  set(FPU_SW, 0);
  set(FPU_TOP, 0);
  set(FPU_TAGS, 0x0101010101010101);
  set(FPU_IP, 0);
  set(FPU_DP, 0);
  set(FPU_CS, 0);
  set(FPU_DS, 0);
  set(FPU_OPCODE, 0);
}

/** WAIT: delivers a pending exception. */
export function fpu_wait(): void {
  enterFpu();
}

export function fpu_clex(): void {
  setStatusWord(statusWord() & 0x7f00);
}

/** Recomputes ES and B after a load of control or status word. */
function refreshSummary(): void {
  const sw = statusWord() & ~(SW_ES | SW_BUSY);
  if ((sw & ~controlWord() & 63) == 0) {
    setStatusWord(sw);
    return;
  }
  newError();
  setStatusWord(sw | SW_ES | SW_BUSY);
}

export function fpu_ldcw(value: i64): void {
  if (!enterFpu()) return;
  set(FPU_CW, (value & 0x1f7f) | 0x40);
  refreshSummary();
}

/** FNSTSW: the status word with TOP. */
export function fpu_stsw(): i64 {
  return statusWord() | (top() << 11);
}

/** Full tag word (SDM Vol. 1 figure 8-7): 0 valid, 1 zero, 2 special, 3 empty. */
export function fpu_tag_word(): i32 {
  let w = 0;
  for (let i = 7; i >= 0; i--) {
    w <<= 2;
    if (load<u8>(CPU + FPU_TAGS + i) != 0) {
      w |= 3;
      continue;
    }
    const p = CPU + FPR + (i << 4);
    const e = load<u16>(p, 8) & 0x7fff;
    const m = load<u64>(p);
    if (e == 0 && m == 0) w |= 1;
    else if (e == 0 || e == 0x7fff || m >> 63 == 0) w |= 2;
  }
  return w;
}

function setTagWord(w: i32): void {
  for (let i = 0; i < 8; i++) store<u8>(CPU + FPU_TAGS + i, u8(((w >> (i << 1)) & 3) == 3));
}

function setStatusAndTop(sw: i32): void {
  setStatusWord(sw & 0x47ff & ~SW_ES);
  setTop(sw >> 11);
  refreshSummary();
}

// --- environment -------------------------------------------------------------------------------------------

@inline
function realFormat(): bool {
  const h = hflags();
  return (h & HF_PE) == 0 || (h & HF_VM) != 0;
}

/** Writes the environment of 14 (wide = 0) or 28 bytes. */
function storeEnvironment(base: i64, wide: bool): void {
  const s = wide ? 4 : 2;
  // The upper halves of 32-bit fields are reserved; hardware writes ones there.
  const fill: i64 = wide ? 0xffff0000 : 0;
  write(base, 0, s, controlWord() | fill);
  write(base, s, s, fpu_stsw() | fill);
  write(base, 2 * s, s, i64(fpu_tag_word()) | fill);
  const ip = i64(get(FPU_IP));
  const dp = i64(get(FPU_DP));
  const op = i64(get(FPU_OPCODE) & 0x7ff);
  if (realFormat()) {
    const mask: i64 = wide ? 0x0ffff000 : 0xf000;
    write(base, 3 * s, s, (ip & 0xffff) | fill);
    write(base, 4 * s, s, ((ip >> 4) & mask) | op);
    write(base, 5 * s, s, (dp & 0xffff) | fill);
    write(base, 6 * s, s, (dp >> 4) & mask);
    return;
  }
  write(base, 3 * s, s, ip);
  write(base, 4 * s, s, i64(get(FPU_CS) & 0xffff) | (wide ? op << 16 : 0));
  write(base, 5 * s, s, dp);
  write(base, 6 * s, s, i64(get(FPU_DS) & 0xffff) | fill);
}

function loadEnvironment(base: i64, wide: bool): bool {
  const s = wide ? 4 : 2;
  const cw = read(base, 0, 2);
  if (faulted()) return false;
  const last = read(base, 6 * s, s);
  if (faulted()) return false;
  const sw = i32(read(base, s, 2));
  const tw = i32(read(base, 2 * s, 2));
  let ip = read(base, 3 * s, s);
  const cs = read(base, 4 * s, s);
  let dp = read(base, 5 * s, s);
  set(FPU_CW, (cw & 0x1f7f) | 0x40);
  setStatusAndTop(sw);
  setTagWord(tw);
  if (realFormat()) {
    const mask: i64 = wide ? 0x0ffff000 : 0xf000;
    ip = (ip & 0xffff) | ((cs & mask) << 4);
    dp = (dp & 0xffff) | ((last & mask) << 4);
    set(FPU_OPCODE, cs & 0x7ff);
  } else {
    set(FPU_CS, cs & 0xffff);
    set(FPU_DS, last & 0xffff);
    if (wide) set(FPU_OPCODE, (cs >> 16) & 0x7ff);
  }
  set(FPU_IP, ip);
  set(FPU_DP, dp);
  return true;
}

/** FNSTENV. */
export function fpu_stenv(base: i64, wide: i64): void {
  if (!writable(base, wide != 0 ? 28 : 14)) return;
  storeEnvironment(base, wide != 0);
  set(FPU_CW, controlWord() | 63);
  refreshSummary();
}

export function fpu_ldenv(base: i64, wide: i64): void {
  if (enterFpu()) loadEnvironment(base, wide != 0);
}

/** FNSAVE: environment and ST(0)–ST(7), then FNINIT. */
export function fpu_save(base: i64, wide: i64): void {
  const n = wide != 0 ? 28 : 14;
  if (!writable(base, n + 80)) return;
  storeEnvironment(base, wide != 0);
  for (let i = 0; i < 8; i++) {
    const p = CPU + FPR + (((top() + i) & 7) << 4);
    write(base, n + i * 10, 8, load<i64>(p));
    write(base, n + i * 10 + 8, 2, load<u16>(p, 8));
  }
  if (faulted()) return; // #AC
  fpu_init();
}

export function fpu_rstor(base: i64, wide: i64): void {
  if (!enterFpu()) return;
  const n = wide != 0 ? 28 : 14;
  read(base, n + 79, 1);
  if (faulted() || !loadEnvironment(base, wide != 0)) return;
  for (let i = 0; i < 8; i++) {
    const p = CPU + FPR + (((top() + i) & 7) << 4);
    store<i64>(p, read(base, n + i * 10, 8));
    store<u16>(p, u16(read(base, n + i * 10 + 8, 2)), 8);
  }
}

// --- FXSAVE ------------------------------------------------------------------------------------------------

/** XMM registers that exist in this mode. */
@inline
export function xmmCount(): i32 {
  return (hflags() & HF_CS64) != 0 ? 16 : 8;
}

/** Bytes 0–23 and ST(0)–ST(7) of an FXSAVE image; wide64 = REX.W: 64-bit instruction and data pointers. */
export function storeX87Image(base: i64, wide64: i64): void {
  let tags: i64 = 0;
  for (let i = 0; i < 8; i++) if (load<u8>(CPU + FPU_TAGS + i) == 0) tags |= 1 << i;
  write(base, 0, 8, i64(controlWord()) | (fpu_stsw() << 16) | (tags << 32) | (i64(get(FPU_OPCODE) & 0x7ff) << 48));
  if (wide64 != 0) {
    write(base, 8, 8, i64(get(FPU_IP)));
    write(base, 16, 8, i64(get(FPU_DP)));
  } else {
    write(base, 8, 8, i64((get(FPU_IP) & 0xffffffff) | ((get(FPU_CS) & 0xffff) << 32)));
    write(base, 16, 8, i64((get(FPU_DP) & 0xffffffff) | ((get(FPU_DS) & 0xffff) << 32)));
  }
  for (let i = 0; i < 8; i++) {
    const p = CPU + FPR + (((top() + i) & 7) << 4);
    write(base, 32 + i * 16, 8, load<i64>(p));
    write(base, 40 + i * 16, 8, load<u16>(p, 8));
  }
}

/** MXCSR and its mask. */
export function storeMxcsr(base: i64): void {
  write(base, 24, 8, i64(get(MXCSR)) | (0xffff << 32));
}

/** 16-byte halves of vector registers: those at `state` to the image's byte `offset`. */
export function storeVectors(base: i64, offset: i32, state: i32): void {
  for (let i = 0; i < xmmCount() * 2; i++) write(base, offset + i * 8, 8, load<i64>(CPU + state + (i << 3)));
}

export function loadVectors(base: i64, offset: i32, state: i32): void {
  for (let i = 0; i < xmmCount() * 2; i++) store<i64>(CPU + state + (i << 3), read(base, offset + i * 8, 8));
}

export function loadX87Image(base: i64, wide64: i64): void {
  const head = read(base, 0, 8);
  set(FPU_CW, (head & 0x1f7f) | 0x40);
  setStatusAndTop(i32(head >> 16));
  for (let i = 0; i < 8; i++) store<u8>(CPU + FPU_TAGS + i, u8(((head >> (32 + i)) & 1) == 0));
  set(FPU_OPCODE, (head >> 48) & 0x7ff);
  const ip = read(base, 8, 8);
  const dp = read(base, 16, 8);
  if (wide64 != 0) {
    set(FPU_IP, ip);
    set(FPU_DP, dp);
  } else {
    set(FPU_IP, ip & 0xffffffff);
    set(FPU_DP, dp & 0xffffffff);
    set(FPU_CS, (ip >> 32) & 0xffff);
    set(FPU_DS, (dp >> 32) & 0xffff);
  }
  for (let i = 0; i < 8; i++) {
    const p = CPU + FPR + (((top() + i) & 7) << 4);
    store<i64>(p, read(base, 32 + i * 16, 8));
    store<u16>(p, u16(read(base, 40 + i * 16, 2)), 8);
  }
}

export function fpu_fxsave(base: i64, wide64: i64): void {
  if ((base & 15) != 0) return raiseGp(0);
  if (!writable(base, 160 + xmmCount() * 16)) return;
  storeX87Image(base, wide64);
  storeMxcsr(base);
  storeVectors(base, 160, XMM);
}

export function fpu_fxrstor(base: i64, wide64: i64): void {
  if ((base & 15) != 0) return raiseGp(0);
  const mxcsr = u32(read(base, 24, 4));
  if (faulted()) return;
  read(base, 159 + xmmCount() * 16, 1);
  if (faulted()) return;
  if ((mxcsr & MXCSR_RESERVED) != 0) return raiseGp(0);
  loadX87Image(base, wide64);
  setMxcsr(mxcsr);
  loadVectors(base, 160, XMM);
}

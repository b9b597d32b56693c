// AVX and AVX2 instructions without a one-to-one wasm operation (SDM Vol. 2). `regs` packs offsets in the register file, 16 bits
// each; the upper 128 bits of an operand lie VECTOR_HI behind the lower.

import { dataInfo, ld32, ld64, st32, st64 } from './memory';
import { HF_CS64, SS, VECTOR_HI } from './layout';
import { MEM_RMW, MEM_STACK, tableOf } from '../softmmu/mem-info';
import { ld_slow } from '../softmmu/slow';
import { CPU, faulted, hflags, segBase } from './state';

@inline
function first(regs: i64): i32 { return CPU + (i32(regs) & 0xffff); }

@inline
function second(regs: i64): i32 { return CPU + (i32(regs >> 16) & 0xffff); }

@inline
function third(regs: i64): i32 { return CPU + (i32(regs >> 32) & 0xffff); }

/** Address of byte i of the operand at p. */
@inline
function byteAt(p: i32, i: i32): i32 { return i < 16 ? p + i : p + i + (VECTOR_HI - 16); }

/** Linear addresses wrap at 4 GiB outside 64-bit code. */
@inline
function wrapped(address: u64): u64 {
  return (hflags() & HF_CS64) != 0 ? address : address & 0xffffffff;
}

@inline
function shift32(op: i32, x: u32, n: u32): u32 {
  if (op == 2) return u32(i32(x) >> i32(min<u32>(n, 31)));
  if (n > 31) return 0;
  return op == 0 ? x << n : x >> n;
}

export function avx_shift_variable(kind: i64, regs: i64): void {
  const d = first(regs);
  const a = second(regs);
  const b = third(regs);
  const op = i32(kind) & 3;
  if ((kind & 4) != 0) {
    for (let i = 0; i < 16; i += 8) {
      const n = load<u64>(b + i);
      const x = load<u64>(a + i);
      store<u64>(d + i, n > 63 ? 0 : op == 0 ? x << n : x >> n);
    }
    return;
  }
  for (let i = 0; i < 16; i += 4) store<u32>(d + i, shift32(op, load<u32>(a + i), load<u32>(b + i)));
}

// --- masked moves ------------------------------------------------------------------------------------------

@inline
function selected(mask: i32, i: i32, size: i32): bool {
  return (load<u8>(byteAt(mask, i + size - 1)) & 0x80) != 0;
}

/** Masked moves report no #AC (SDM Vol. 2 table 2-23, VMASKMOV). */
function maskedInfo(sizes: i64): i32 {
  return tableOf(dataInfo()) | (sizes >> 16 != 0 ? MEM_STACK : 0);
}

/** Loads the elements whose mask has its sign bit set; the others become zero. Faults leave d alone. */
export function avx_masked_load(address: i64, regs: i64, sizes: i64): void {
  const d = first(regs);
  const mask = second(regs);
  const size = i32(sizes) & 15;
  const bytes = i32(sizes >> 8) & 0xff;
  const info = maskedInfo(sizes);
  let r0 = i64x2.splat(0);
  let r1 = r0;
  const buffer = memory.data(32, 16);
  v128.store(buffer, r0);
  v128.store(buffer, r1, 16);
  for (let i = 0; i < bytes; i += size) {
    if (!selected(mask, i, size)) continue;
    const at = wrapped(u64(address) + i);
    if (size == 8) store<u64>(buffer + i, ld64(at, info));
    else store<u32>(buffer + i, ld32(at, info));
    if (faulted()) return;
  }
  r0 = v128.load(buffer);
  r1 = v128.load(buffer, 16);
  v128.store(d, r0);
  if (bytes == 32) v128.store(d + VECTOR_HI, r1);
}

/** Nothing is stored unless all selected elements can be. */
export function avx_masked_store(address: i64, regs: i64, sizes: i64): void {
  const s = first(regs);
  const mask = second(regs);
  const size = i32(sizes) & 15;
  const bytes = i32(sizes >> 8) & 0xff;
  const info = maskedInfo(sizes);
  for (let i = 0; i < bytes; i += size) {
    if (!selected(mask, i, size)) continue;
    ld_slow(wrapped(u64(address) + i), size | ((info | MEM_RMW) << 8));
    if (faulted()) return;
  }
  for (let i = 0; i < bytes; i += size) {
    if (!selected(mask, i, size)) continue;
    const at = wrapped(u64(address) + i);
    if (size == 8) st64(at, load<u64>(byteAt(s, i)), info);
    else st32(at, load<u32>(byteAt(s, i)), info);
    if (faulted()) return;
  }
}

/**
 * VPGATHERDD … VGATHERQPD. A fault leaves the elements before it loaded and their masks clear, so that the instruction goes on
 * where it was (SDM Vol. 2 VPGATHERDD). The mask ends as zero. As in masked moves there is no #AC.
 */
export function avx_gather(base: i64, regs: i64): void {
  const d = first(regs);
  const index = second(regs);
  const mask = third(regs);
  const kind = i32(regs >> 48) & 0x3ff;
  const size = (kind & 1) != 0 ? 8 : 4;
  const indexSize = (kind & 2) != 0 ? 8 : 4;
  const count = ((kind & 4) != 0 ? 32 : 16) / max(size, indexSize);
  const segment = kind >> 6;
  const segBase64: u64 = (hflags() & HF_CS64) != 0 && segment < 4 ? 0 : segBase(segment);
  const info = tableOf(dataInfo()) | (segment == SS ? MEM_STACK : 0);
  spreadMask(mask, size, count);
  for (let i = 0; i < count; i++) {
    const element = byteAt(mask, i * size);
    if ((load<u8>(element + size - 1) & 0x80) == 0) continue;
    const pi = byteAt(index, i * indexSize);
    const n: i64 = indexSize == 8 ? load<i64>(pi) : i64(load<i32>(pi));
    let at = u64(base) + (u64(n) << ((kind >> 4) & 3));
    if ((kind & 8) != 0) at &= 0xffffffff;
    at = wrapped(at + segBase64);
    if (size == 8) {
      const x = ld64(at, info);
      if (faulted()) return;
      store<u64>(byteAt(d, i * 8), x);
      store<u64>(element, 0);
    } else {
      const x = ld32(at, info);
      if (faulted()) return;
      store<u32>(byteAt(d, i * 4), x);
      store<u32>(element, 0);
    }
  }
  clearAbove(d, size * count);
  clearAbove(mask, 0);
}

/** Elements of the mask become all ones or zero by their sign bits. */
function spreadMask(mask: i32, size: i32, count: i32): void {
  for (let i = 0; i < count; i++) {
    const p = byteAt(mask, i * size);
    if (size == 8) store<i64>(p, load<i64>(p) >> 63);
    else store<i32>(p, load<i32>(p) >> 31);
  }
}

/** Zeroes the bytes of a 256-bit register from `from` on. */
function clearAbove(p: i32, from: i32): void {
  for (let i = from; i < 32; i += 8) store<u64>(byteAt(p, i), 0);
}

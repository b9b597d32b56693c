// String instructions with REP (SDM Vol. 2B REP, MOVS, STOS, LODS, CMPS, SCAS; Vol. 2A INS, OUTS): whole
// pages at a time where memory is plain, one element at a time elsewhere. The registers are up to date at
// every point where a fault can happen.

import {
  CC_DST, CC_OP, CC_SRC, CC_SUB8, DF_STEP, DS, ES, EXIT_REQUEST, FS, HF_CS64, HF_DR7, HF_FLAT, HF_SHADOW,
  HF_TF, MMU_USER_ALIGN, RAX, RCX, RDI, RESTORE, RSI, SS,
} from './layout';
import { TLB_AUX, TLB_READ } from '../tcg/layout';
import { dataInfo, ldSized, stSized } from './memory';
import { CPU, faulted, get, hflags, segAttr, segLimit, set } from './state';
import { withinLimit } from './stack';
import { checkPortAccess, portIn, portOut } from './io';
import { seg_read, seg_write } from './segments';
import { MEM_RMW, MEM_STACK, tableOf } from '../softmmu/mem-info';
import { hostForWrite } from '../softmmu/slow';
import { tlbEntry } from '../softmmu/tlb';
import { ACCESS_READ, ACCESS_WRITE } from './page-walk';

/** The instruction under way. */
let size: i32 = 0;
let mask: u64 = 0;
let segment: i32 = 0;
let step: i64 = 0;
let count: u64 = 0;
let sourceInfo: i32 = 0;
let destinationInfo: i32 = 0;
let sourceFlat: bool = false;
let destinationFlat: bool = false;
/** One iteration per call: tracing, breakpoints, interrupt shadow. */
let single: bool = false;

const INFO_REPNE: i32 = 0x1000;
const INFO_REP: i32 = 0x2000;

function begin(info: i32): void {
  // The CC_OP slot is valid on entry and may change before a fault.
  set(RESTORE, 0);
  size = info & 15;
  const width = (info >> 4) & 15;
  mask = width == 8 ? ~<u64>0 : width == 4 ? 0xffff_ffff : 0xffff;
  segment = (info >> 8) & 15;
  step = load<i64>(CPU, DF_STEP) * size;
  count = get(RCX) & mask;
  const h = hflags();
  single = (h & (HF_TF | HF_SHADOW | HF_DR7)) != 0;
  destinationInfo = dataInfo();
  sourceInfo = destinationInfo | (segment == SS ? MEM_STACK : 0);
  const long = (h & HF_CS64) != 0;
  destinationFlat = long || (h & HF_FLAT) != 0;
  sourceFlat = long ? segment < FS : (h & HF_FLAT) != 0 && (segment == DS || segment == ES || segment == SS);
}

/** Writes a register in the width of the address size. */
function put(slot: i32, value: u64): void {
  set(slot, mask == 0xffff ? (get(slot) & ~0xffff) | (value & 0xffff) : value & mask);
}

/** Linear address of one element; 0 with FAULT set if the segment forbids it. */
function sourceAddress(): u64 {
  const offset = get(RSI) & mask;
  return sourceFlat ? offset : seg_read(offset, segment | (size << 8));
}
function destinationAddress(): u64 {
  const offset = get(RDI) & mask;
  return destinationFlat ? offset : seg_write(offset, ES | (size << 8));
}
function destinationReadAddress(): u64 {
  const offset = get(RDI) & mask;
  return destinationFlat ? offset : seg_read(offset, ES | (size << 8));
}

/**
 * Elements that follow at `linear` within its page, the segment limit and the offset's width, going up; 0:
 * take them singly.
 */
function run(linear: u64, offset: u64, n: i32, flat: bool): u64 {
  let bytes = 0x1000 - (linear & 0xfff);
  if (mask - offset < bytes) bytes = mask - offset;
  if (!flat && (hflags() & HF_CS64) == 0 && !withinLimit(offset, bytes, segLimit(n), segAttr(n))) return 0;
  return bytes / <u64>size;
}

/** Address of `bytes` bytes of plain memory for reading, 0 if it is not plain or faults. */
function hostForRead(va: u64, info: i32): i32 {
  if ((info & 3) == MMU_USER_ALIGN) return 0;
  const entry = tlbEntry(va, info & 3, ACCESS_READ, info);
  if (entry == 0 || (load<u32>(entry, TLB_READ) & 0xfff) != 0) return 0;
  return load<i32>(entry, TLB_AUX) + (<i32>va & 0xfff);
}

/** After some iterations: 1 = complete, 0 = to be continued, -1 = go on. */
// @ts-ignore: decorator
@inline function status(): i32 {
  if (count == 0) return 1;
  return single || atomic.load<i32>(CPU + EXIT_REQUEST) != 0 ? 0 : -1;
}

function advance(n: u64, source: bool, destination: bool): void {
  const bytes = <u64>step * n;
  if (source) put(RSI, (get(RSI) & mask) + bytes);
  if (destination) put(RDI, (get(RDI) & mask) + bytes);
  count -= n;
  put(RCX, count);
}

/** Forward copy as the processor does it: overlapping bytes repeat. */
function copyForward(to: i32, from: i32, bytes: i32): void {
  if (<u32>(to - from) >= <u32>bytes) {
    memory.copy(to, from, bytes);
    return;
  }
  for (let i = 0; i < bytes; i += size) {
    if (size == 8) store<u64>(to + i, load<u64>(from + i));
    else if (size == 4) store<u32>(to + i, load<u32>(from + i));
    else if (size == 2) store<u16>(to + i, load<u16>(from + i));
    else store<u8>(to + i, load<u8>(from + i));
  }
}

/** Elements from `linear` downwards within its page and above offset 0, in a flat segment; 0: take them singly. */
function runDown(linear: u64, offset: u64, flat: bool): u64 {
  const inPage = linear & 0xfff;
  if (!flat || inPage + <u64>size > 0x1000) return 0;
  return min(inPage, offset) / <u64>size + 1;
}

/** As moveRun with DF set: both runs end at the given elements and go down. */
function moveRunDown(from: u64, to: u64): bool {
  let n = min(runDown(from, get(RSI) & mask, sourceFlat), runDown(to, get(RDI) & mask, destinationFlat));
  n = min(n, count);
  if (n < 2) return false;
  const bytes = <i32>n * size;
  const back = <u64>(bytes - size);
  // a fault names the first element, not the lowest
  let source = hostForRead(from, sourceInfo);
  if (source == 0) return false;
  source -= <i32>back;
  if (hostForWrite(to, size, destinationInfo) == 0) return false;
  const target = hostForWrite(to - back, bytes, destinationInfo);
  if (target == 0) return false;
  // A target just below its source would see copied elements again: one by one then.
  if (<u32>(source - target) < <u32>bytes && source != target) return false;
  memory.copy(target, source, bytes);
  advance(n, true, true);
  return true;
}

/** Moves a run of elements; false: take one singly. */
function moveRun(from: u64, to: u64): bool {
  if (single) return false;
  if (step < 0) return moveRunDown(from, to);
  let n = min(run(from, get(RSI) & mask, segment, sourceFlat), run(to, get(RDI) & mask, ES, destinationFlat));
  n = min(n, count);
  if (n == 0) return false;
  const source = hostForRead(from, sourceInfo);
  if (source == 0) return false;
  const bytes = <i32>n * size;
  const target = hostForWrite(to, bytes, destinationInfo);
  if (target == 0) return false;
  copyForward(target, source, bytes);
  advance(n, true, true);
  return true;
}

export function rep_movs(info: i64): i64 {
  begin(<i32>info);
  while (count != 0) {
    const from = sourceAddress();
    const to = destinationAddress();
    if (faulted()) return 0;
    if (!moveRun(from, to)) {
      if (faulted()) return 0;
      const value = ldSized(from, size, sourceInfo);
      if (faulted()) return 0;
      stSized(to, value, size, destinationInfo);
      if (faulted()) return 0;
      advance(1, true, true);
    }
    const s = status();
    if (s >= 0) return s;
  }
  return 1;
}

function fillRun(to: u64, value: u64): bool {
  if (step < 0 || single) return false;
  const n = min(run(to, get(RDI) & mask, ES, destinationFlat), count);
  if (n == 0) return false;
  const bytes = <i32>n * size;
  const target = hostForWrite(to, bytes, destinationInfo);
  if (target == 0) return false;
  fill(target, value, bytes);
  advance(n, false, true);
  return true;
}

function fill(to: i32, value: u64, bytes: i32): void {
  const byte = value & 0xff;
  const repeated = byte * 0x0101_0101_0101_0101;
  const used = ~(<u64>0) >> (64 - (<u64>size << 3));
  if (((value ^ repeated) & used) == 0) {
    memory.fill(to, <u8>byte, bytes);
    return;
  }
  for (let i = 0; i < bytes; i += size) {
    if (size == 8) store<u64>(to + i, value);
    else if (size == 4) store<u32>(to + i, <u32>value);
    else store<u16>(to + i, <u16>value);
  }
}

export function rep_stos(info: i64): i64 {
  begin(<i32>info);
  const value = get(RAX);
  while (count != 0) {
    const to = destinationAddress();
    if (faulted()) return 0;
    if (!fillRun(to, value)) {
      if (faulted()) return 0;
      stSized(to, value, size, destinationInfo);
      if (faulted()) return 0;
      advance(1, false, true);
    }
    const s = status();
    if (s >= 0) return s;
  }
  return 1;
}

function putAccumulator(value: u64): void {
  if (size == 8) set(RAX, value);
  else if (size == 4) set(RAX, value & 0xffff_ffff);
  else {
    const part: u64 = size == 2 ? 0xffff : 0xff;
    set(RAX, (get(RAX) & ~part) | (value & part));
  }
}

export function rep_lods(info: i64): i64 {
  begin(<i32>info);
  while (count != 0) {
    const from = sourceAddress();
    if (faulted()) return 0;
    const value = ldSized(from, size, sourceInfo);
    if (faulted()) return 0;
    putAccumulator(value);
    advance(1, true, false);
    const s = status();
    if (s >= 0) return s;
  }
  return 1;
}

/** log2 of the element size. */
// @ts-ignore: decorator
@inline function sizeLog(): u64 { return <u64>ctz<i32>(size); }

function compareFlags(left: u64, right: u64): void {
  set(CC_OP, <u64>CC_SUB8 + sizeLog());
  set(CC_DST, left - right);
  set(CC_SRC, right);
}

// @ts-ignore: decorator
@inline function element(at: i32): u64 {
  if (size == 1) return load<u8>(at);
  if (size == 8) return load<u64>(at);
  return size == 4 ? <u64>load<u32>(at) : <u64>load<u16>(at);
}

/** Elements compared by the last run, and its last pair. */
let lastLeft: u64 = 0;
let lastRight: u64 = 0;

/**
 * Compares up to n elements; stops behind the first whose equality differs from `whileEqual`. Elements looked
 * at.
 */
function compareRun(left: i32, right: i32, n: i32, whileEqual: bool): i32 {
  let i = 0;
  while (i < n) {
    lastLeft = element(left + i * size);
    lastRight = element(right + i * size);
    i++;
    if ((lastLeft == lastRight) != whileEqual) break;
  }
  return i;
}

export function rep_cmps(info: i64): i64 {
  begin(<i32>info);
  const whileEqual = (<i32>info & INFO_REPNE) == 0;
  while (count != 0) {
    const left = sourceAddress();
    const right = destinationReadAddress();
    if (faulted()) return 0;
    let n: u64 = 0;
    if (step > 0 && !single) {
      n = min(count, run(left, get(RSI) & mask, segment, sourceFlat));
      n = min(n, run(right, get(RDI) & mask, ES, destinationFlat));
    }
    const leftHost = n == 0 ? 0 : hostForRead(left, sourceInfo);
    const rightHost = leftHost == 0 ? 0 : hostForRead(right, destinationInfo);
    if (faulted()) return 0;
    if (rightHost != 0) n = compareRun(leftHost, rightHost, <i32>n, whileEqual);
    else {
      lastLeft = ldSized(left, size, sourceInfo);
      if (faulted()) return 0;
      lastRight = ldSized(right, size, destinationInfo);
      if (faulted()) return 0;
      n = 1;
    }
    advance(n, true, true);
    compareFlags(lastLeft, lastRight);
    if ((lastLeft == lastRight) != whileEqual) return 1;
    const s = status();
    if (s >= 0) return s;
  }
  return 1;
}

/** Scans up to n elements for (in)equality with the accumulator. Elements looked at. */
function scanRun(at: i32, n: i32, value: u64, whileEqual: bool): i32 {
  let i = 0;
  while (i < n) {
    lastRight = element(at + i * size);
    i++;
    if ((value == lastRight) != whileEqual) break;
  }
  return i;
}

export function rep_scas(info: i64): i64 {
  begin(<i32>info);
  const whileEqual = (<i32>info & INFO_REPNE) == 0;
  const value = get(RAX) & (~(<u64>0) >> (64 - (<u64>size << 3)));
  while (count != 0) {
    const at = destinationReadAddress();
    if (faulted()) return 0;
    let n = step < 0 || single ? 0 : min(run(at, get(RDI) & mask, ES, destinationFlat), count);
    const host = n == 0 ? 0 : hostForRead(at, destinationInfo);
    if (faulted()) return 0;
    if (host != 0) n = scanRun(host, <i32>n, value, whileEqual);
    else {
      lastRight = ldSized(at, size, destinationInfo);
      if (faulted()) return 0;
      n = 1;
    }
    advance(n, false, true);
    compareFlags(value, lastRight);
    if ((value == lastRight) != whileEqual) return 1;
    const s = status();
    if (s >= 0) return s;
  }
  return 1;
}

export function io_ins(info: i64): i64 {
  begin(<i32>info);
  const repeated = (<i32>info & INFO_REP) != 0;
  if (!repeated) count = 1;
  const port = <i32>load<u16>(CPU, 2 * 8);
  if (count == 0) return 1;
  if (!checkPortAccess(port, size)) return 0;
  for (;;) {
    const to = destinationAddress();
    if (faulted()) return 0;
    // The destination is checked before the device is read. A crossing store is checked as a read-modify-
    // write.
    if ((to & 0xfff) + size > 0x1000) ldSized(to, size, destinationInfo | MEM_RMW);
    else tlbEntry(to, tableOf(destinationInfo), ACCESS_WRITE, destinationInfo);
    if (faulted()) return 0;
    stSized(to, portIn(port, size), size, destinationInfo);
    if (faulted()) return 0;
    advanceIo(repeated, false);
    const s = repeated ? status() : 1;
    if (s >= 0) return s;
  }
  return 1;
}

export function io_outs(info: i64): i64 {
  begin(<i32>info);
  const repeated = (<i32>info & INFO_REP) != 0;
  if (!repeated) count = 1;
  const port = <i32>load<u16>(CPU, 2 * 8);
  if (count == 0) return 1;
  if (!checkPortAccess(port, size)) return 0;
  for (;;) {
    const from = sourceAddress();
    if (faulted()) return 0;
    const value = ldSized(from, size, sourceInfo);
    if (faulted()) return 0;
    portOut(port, <u32>value, size);
    advanceIo(repeated, true);
    const s = repeated ? status() : 1;
    if (s >= 0) return s;
  }
  return 1;
}

function advanceIo(repeated: bool, source: bool): void {
  const slot = source ? RSI : RDI;
  put(slot, (get(slot) & mask) + step);
  if (!repeated) return;
  count--;
  put(RCX, count);
}

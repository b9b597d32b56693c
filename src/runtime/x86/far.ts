// Far jumps, calls and returns (SDM Vol. 2A CALL, JMP, RET; Vol. 3A 5.8).

import { AT_DB, AT_L, V_GP } from './bits';
import {
  descAttr, descBase, descDpl, descHi, descLimit, descLo, descPresent, descUpper, isCode, isConformingCode,
  isWritableData, markAccessed, readDescriptor, readSystemDescriptor, setDescriptor, setSegFromDescriptor,
  setSegNull,
} from './descriptor';
import { rflags } from './flags';
import { updateHflags } from './hflags';
import { readNewStack } from './interrupts';
import { CS, DS, ES, FS, GS, HF_CS32, HF_CS64, HF_LMA, HF_PE, HF_VM, RIP, RSP, SS } from './layout';
import { ld16, ld32, stackInfo, stackInfoAt } from './memory';
import { isCanonical } from './page-walk';
import { raiseGp, raiseNp, raiseSs } from './raise';
import { dropPrivilegedSegment, setSegReal } from './segments';
import { commitSp, pop, push, release, useCurrentStack, useFlatStack, useSegment } from './stack';
import { cpl, faulted, get, hflags, segAttr, segBase, segLimit, segSelector, set } from './state';
import { SWITCH_CALL, SWITCH_JMP, switchTask } from './tasks';
import { innerSp, innerSs, readRsp } from './tss';

// @ts-ignore: decorator
@inline function isReal(): bool { return (hflags() & (HF_PE | HF_VM)) != HF_PE; }

/** Truncates an instruction pointer to the width of the current code. */
export function truncateRip(rip: u64): u64 {
  const h = hflags();
  if ((h & HF_CS64) != 0) return rip;
  return (h & HF_CS32) != 0 ? rip & 0xffff_ffff : rip & 0xffff;
}

// @ts-ignore: decorator
@inline function truncateTo(value: u64, size: i32): u64 {
  return size == 8 ? value : size == 4 ? value & 0xffff_ffff : value & 0xffff;
}

/** Loads CS with the descriptor last read and continues at `offset`; `level` becomes the RPL. */
function enterCode(selector: i32, level: i32, offset: u64): void {
  setSegFromDescriptor(CS, (selector & ~3) | level);
  set(RIP, offset);
}

/**
 * The offset fits the code segment last read: canonical in 64-bit code, else within the limit. Raises #GP(0).
 */
function offsetOk(offset: u64): bool {
  const long = (hflags() & HF_LMA) != 0 && (descAttr() & AT_L) != 0;
  const ok = long ? isCanonical(offset) : offset <= <u64>descLimit();
  if (!ok) raiseGp(0);
  return ok;
}

/** Real and virtual-8086 mode. */
function enterReal(selector: i32, offset: u64): void {
  if (offset > <u64>segLimit(CS)) {
    raiseGp(0);
    return;
  }
  setSegReal(CS, selector);
  set(RIP, offset);
}

/**
 * Checks a code segment as target of a direct far transfer: DPL, RPL, presence, L and D. False with a fault
 * raised.
 */
function checkDirectTarget(selector: i32): bool {
  const attr = descAttr();
  const dpl = descDpl();
  const level = cpl();
  const allowed = isConformingCode(attr) ? dpl <= level : (selector & 3) <= level && dpl == level;
  if (!allowed) raiseGp(selector);
  else if (!descPresent()) raiseNp(selector);
  else if (!codeKindOk()) raiseGp(selector);
  return !faulted();
}

/** In long mode L and D must not both be set. */
// @ts-ignore: decorator
@inline function codeKindOk(): bool {
  return (hflags() & HF_LMA) == 0 || (descAttr() & (AT_L | AT_DB)) != (AT_L | AT_DB);
}

/** Descriptor type of a far target that is not code: 0 = none that may be a target. */
function systemType(): i32 {
  const attr = descAttr();
  return (attr & 0x10) != 0 ? 0 : attr & 0xf;
}

export function jmp_far(selector: i64, offset: i64, sizes: i64): void {
  const target = <i32>selector & 0xffff;
  const size = <i32>sizes & 0xff;
  const to = truncateTo(offset, size);
  const next = truncateRip(get(RIP) + (<u64>sizes >> 8));
  if (isReal()) {
    enterReal(target, to);
    if (!faulted()) updateHflags();
    return;
  }
  if ((target & 0xfffc) == 0) {
    raiseGp(0);
    return;
  }
  if (!readDescriptor(target, V_GP)) return;
  if (isCode(descAttr())) {
    if (!checkDirectTarget(target) || !offsetOk(to)) return;
    markAccessed(target);
    if (faulted()) return;
    enterCode(target, cpl(), to);
    updateHflags();
    return;
  }
  jumpSystem(target, next);
}

/** JMP through a call gate, task gate or TSS. */
function jumpSystem(selector: i32, next: u64): void {
  const type = systemType();
  if (isTaskType(type)) {
    toTask(selector, type, SWITCH_JMP, next);
    return;
  }
  if (!readCallGate(selector, type)) return;
  const attr = descAttr();
  const ok = isConformingCode(attr) ? descDpl() <= cpl() : descDpl() == cpl();
  if (!ok) raiseGp(gateSelector);
  else if (!descPresent()) raiseNp(gateSelector);
  else if (offsetOk(gateOffset)) markAccessed(gateSelector);
  if (faulted()) return;
  enterCode(gateSelector, cpl(), gateOffset);
  updateHflags();
}

/** TSS (16 or 32 bits) or task gate, outside long mode. */
// @ts-ignore: decorator
@inline function isTaskType(type: i32): bool {
  return (hflags() & HF_LMA) == 0 && (type == 5 || (type & ~8) == 1 || (type & ~8) == 3);
}

function toTask(selector: i32, type: i32, kind: i32, next: u64): void {
  const dpl = descDpl();
  if (dpl < cpl() || dpl < (selector & 3)) {
    raiseGp(selector);
    return;
  }
  if (type == 5) {
    if (!descPresent()) {
      raiseNp(selector);
      return;
    }
    selector = <i32>(descLo >> 16);
  }
  switchTask(selector, kind, next, rflags());
}

let gateSelector: i32 = 0;
let gateOffset: u64 = 0;
let gateWide: i32 = 0;
let gateParameters: i32 = 0;

/** Reads a call gate and then its code segment. False with a fault raised. */
function readCallGate(selector: i32, type: i32): bool {
  const long = (hflags() & HF_LMA) != 0;
  const ok = type == 12 || (type == 4 && !long);
  if (!ok || descDpl() < cpl() || descDpl() < (selector & 3)) {
    raiseGp(selector);
    return false;
  }
  if (!descPresent()) {
    raiseNp(selector);
    return false;
  }
  if (long && !readSystemDescriptor(selector, V_GP)) return false;
  gateSelector = <i32>(descLo >> 16);
  gateOffset = (descLo & 0xffff) | (type == 12 ? descHi & 0xffff_0000 : 0);
  if (long) gateOffset |= <u64>descUpper << 32;
  gateParameters = <i32>(descHi & 0x1f);
  gateWide = long ? 8 : type == 12 ? 4 : 2;
  if ((gateSelector & 0xfffc) == 0) {
    raiseGp(0);
    return false;
  }
  if (!readDescriptor(gateSelector, V_GP)) return false;
  const attr = descAttr();
  // SDM Vol. 3A 5.8.3.1: a 64-bit call gate leads to 64-bit code
  if (!isCode(attr) || descDpl() > cpl() || (long && (attr & (AT_L | AT_DB)) != AT_L)) {
    raiseGp(gateSelector);
    return false;
  }
  return true;
}

export function call_far(selector: i64, offset: i64, sizes: i64): void {
  const target = <i32>selector & 0xffff;
  const size = <i32>sizes & 0xff;
  const to = truncateTo(offset, size);
  const next = truncateRip(get(RIP) + (<u64>sizes >> 8));
  if (isReal()) {
    pushReturn(next, size);
    if (!faulted()) enterReal(target, to);
    if (faulted()) return;
    commitSp();
    updateHflags();
    return;
  }
  if ((target & 0xfffc) == 0) {
    raiseGp(0);
    return;
  }
  if (!readDescriptor(target, V_GP)) return;
  if (!isCode(descAttr())) {
    callSystem(target, next);
    return;
  }
  if (!checkDirectTarget(target) || !offsetOk(to)) return;
  pushReturn(next, size);
  markAccessed(target);
  if (faulted()) return;
  commitSp();
  enterCode(target, cpl(), to);
  updateHflags();
}

function pushReturn(next: u64, size: i32): void {
  useCurrentStack();
  push(segSelector(CS), size);
  push(next, size);
}

function callSystem(selector: i32, next: u64): void {
  const type = systemType();
  if (isTaskType(type)) {
    toTask(selector, type, SWITCH_CALL, next);
    return;
  }
  if (!readCallGate(selector, type)) return;
  if (!descPresent()) {
    raiseNp(gateSelector);
    return;
  }
  if (!offsetOk(gateOffset)) return;
  markAccessed(gateSelector);
  if (faulted()) return;
  const level = isConformingCode(descAttr()) ? cpl() : descDpl();
  if (level < cpl()) {
    callInner(next, level);
    return;
  }
  pushReturn(next, gateWide);
  if (faulted()) return;
  commitSp();
  enterCode(gateSelector, level, gateOffset);
  updateHflags();
}

/** CALL through a gate to an inner level: new stack, parameters copied. */
function callInner(next: u64, level: i32): void {
  const codeLo = descLo;
  const codeHi = descHi;
  const oldSp = get(RSP);
  const oldSs = segSelector(SS);
  let newSs = level;
  if (gateWide == 8) {
    const top = readRsp(level);
    if (faulted()) return;
    useFlatStack(top, stackInfoAt(level));
    push(oldSs, 8);
    push(oldSp, 8);
  } else {
    if (!readNewStack(level)) return;
    newSs = innerSs;
    const stackMask: u64 = (segAttr(SS) & AT_DB) != 0 ? 0xffff_ffff : 0xffff;
    useSegment(descBase(), descLimit(), descAttr(), innerSp, stackInfoAt(level), innerSs);
    push(oldSs, gateWide);
    push(oldSp & stackMask, gateWide);
    for (let i = gateParameters - 1; i >= 0; i--) push(parameter(i, oldSp, stackMask), gateWide);
  }
  push(segSelector(CS), gateWide);
  push(next, gateWide);
  if (gateWide != 8) markAccessed(newSs);
  if (faulted()) return;
  if (gateWide == 8) setSegNull(SS, level, level);
  else setSegFromDescriptor(SS, newSs);
  commitSp();
  setDescriptor(codeLo, codeHi);
  enterCode(gateSelector, level, gateOffset);
  updateHflags();
}

/** Parameter i of a call gate on the caller's stack. */
function parameter(i: i32, oldSp: u64, mask: u64): u64 {
  const at = (segBase(SS) + ((oldSp + i * gateWide) & mask)) & 0xffff_ffff;
  return gateWide == 4 ? ld32(at, stackInfo()) : ld16(at, stackInfo());
}

export function ret_far(opsize: i64, release: i64): void {
  const size = <i32>opsize;
  useCurrentStack();
  const to = pop(size);
  const selector = <i32>pop(size) & 0xffff;
  if (faulted()) return;
  if (isReal()) {
    enterReal(selector, to);
    if (faulted()) return;
    releaseBytes(release);
    commitSp();
    updateHflags();
    return;
  }
  returnProtected(selector, to, size, release);
}

// @ts-ignore: decorator
@inline function releaseBytes(n: u64): void { release(n); }

/** Checks the code segment of a far return or IRET. False with a fault raised. */
export function checkReturnTarget(selector: i32): bool {
  if ((selector & 0xfffc) == 0) {
    raiseGp(0);
    return false;
  }
  if (!readDescriptor(selector, V_GP)) return false;
  const attr = descAttr();
  const rpl = selector & 3;
  const ok = isCode(attr) && rpl >= cpl() && (isConformingCode(attr) ? descDpl() <= rpl : descDpl() == rpl);
  if (!ok || !codeKindOk()) raiseGp(selector);
  else if (!descPresent()) raiseNp(selector);
  return !faulted();
}

/** Checks SS of a return to `level`; `toLong`: the code returned to is 64-bit. False with a fault raised. */
export function checkReturnStack(selector: i32, level: i32, toLong: bool): bool {
  if ((selector & 0xfffc) == 0) {
    if (toLong && level != 3 && (selector & 3) == level) return true;
    raiseGp(0);
    return false;
  }
  if (!readDescriptor(selector, V_GP)) return false;
  if ((selector & 3) != level || !isWritableData(descAttr()) || descDpl() != level) raiseGp(selector);
  else if (!descPresent()) raiseSs(selector);
  else markAccessed(selector);
  return !faulted();
}

/** SS as checked before: from the descriptor last read, or null. */
export function loadReturnStack(selector: i32, level: i32): void {
  if ((selector & 0xfffc) == 0) setSegNull(SS, selector, level);
  else setSegFromDescriptor(SS, selector);
}

function returnProtected(selector: i32, to: u64, size: i32, bytes: u64): void {
  if (!checkReturnTarget(selector) || !offsetOk(to)) return;
  markAccessed(selector);
  if (faulted()) return;
  const level = selector & 3;
  if (level == cpl()) {
    release(bytes);
    commitSp();
    enterCode(selector, level, to);
    updateHflags();
    return;
  }
  const codeLo = descLo;
  const codeHi = descHi;
  const toLong = (hflags() & HF_LMA) != 0 && (descAttr() & AT_L) != 0;
  release(bytes);
  const newSp = pop(size);
  const newSs = <i32>pop(size) & 0xffff;
  if (faulted() || !checkReturnStack(newSs, level, toLong)) return;
  loadReturnStack(newSs, level);
  setOuterSp(newSp + bytes, size, toLong);
  setDescriptor(codeLo, codeHi);
  enterCode(selector, level, to);
  dropSegments(level);
  updateHflags();
}

/** RSP of an outer level, in the width of its stack. */
export function setOuterSp(value: u64, size: i32, toLong: bool): void {
  if (toLong) set(RSP, value);
  else if ((segAttr(SS) & AT_DB) != 0) set(RSP, value & 0xffff_ffff);
  else set(RSP, (get(RSP) & ~0xffff) | (value & 0xffff));
}

export function dropSegments(level: i32): void {
  dropPrivilegedSegment(ES, level);
  dropPrivilegedSegment(DS, level);
  dropPrivilegedSegment(FS, level);
  dropPrivilegedSegment(GS, level);
}

export function check_branch(target: i64): void {
  const ok = (hflags() & HF_CS64) != 0 ? isCanonical(target) : <u64>target <= <u64>segLimit(CS);
  if (!ok) raiseGp(0);
}

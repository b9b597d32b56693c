// Loading data segment registers and checking accesses through them (SDM Vol. 3A 5.3 to 5.8, Vol. 2B MOV).

import { AT_P, AT_S, AT_UNUSABLE, V_GP } from './bits';
import {
  descAttr, descDpl, descPresent, isConformingCode, isReadable, isWritableData, markAccessed, readDescriptor,
  setSegFromDescriptor, setSegNull,
} from './descriptor';
import { updateHflags } from './hflags';
import { FS, HF_CS64, HF_PE, HF_VM, SEG_BASE, SEG_SELECTOR, SHADOW, SS } from './layout';
import { dataInfo, st16, stackInfo } from './memory';
import { raiseGp, raiseNp, raiseSs } from './raise';
import { CPU, cpl, faulted, hflags, segAt, segAttr, segBase, segLimit, setSeg } from './state';
import { withinLimit } from './stack';

/**
 * Real mode: the base follows the selector, limit and attributes stay. Virtual-8086 mode: 64 KiB, writable,
 * DPL 3.
 */
export function setSegReal(n: i32, selector: i32): void {
  selector &= 0xffff;
  if ((hflags() & HF_VM) != 0) {
    setSeg(n, selector, <u64>selector << 4, 0xffff, AT_P | 0x60 | AT_S | 3);
    return;
  }
  store<u64>(segAt(n), <u64>selector, SEG_SELECTOR);
  store<u64>(segAt(n), <u64>selector << 4, SEG_BASE);
}

/** ES, SS, DS, FS or GS by the rules of the current mode. False with FAULT set if it may not be loaded. */
export function loadDataSegment(n: i32, selector: i32): bool {
  selector &= 0xffff;
  if ((hflags() & (HF_PE | HF_VM)) != HF_PE) {
    setSegReal(n, selector);
    return true;
  }
  return n == SS ? loadStackSegment(selector) : loadOther(n, selector);
}

function loadStackSegment(selector: i32): bool {
  const level = cpl();
  const rpl = selector & 3;
  if ((selector & 0xfffc) == 0) {
    // SDM Vol. 2B MOV: a null SS is allowed in 64-bit mode below CPL 3
    if ((hflags() & HF_CS64) == 0 || level == 3 || rpl != level) {
      raiseGp(0);
      return false;
    }
    setSegNull(SS, selector, level);
    return true;
  }
  if (!readDescriptor(selector, V_GP)) return false;
  if (rpl != level || !isWritableData(descAttr()) || descDpl() != level) raiseGp(selector);
  else if (!descPresent()) raiseSs(selector);
  else markAccessed(selector);
  if (faulted()) return false;
  setSegFromDescriptor(SS, selector);
  return true;
}

function loadOther(n: i32, selector: i32): bool {
  if ((selector & 0xfffc) == 0) {
    setSegNull(n, selector, 0);
    return true;
  }
  if (!readDescriptor(selector, V_GP)) return false;
  const attr = descAttr();
  const dpl = descDpl();
  const guarded = !isConformingCode(attr);
  if (!isReadable(attr) || (guarded && ((selector & 3) > dpl || cpl() > dpl))) raiseGp(selector);
  else if (!descPresent()) raiseNp(selector);
  else markAccessed(selector);
  if (faulted()) return false;
  setSegFromDescriptor(n, selector);
  return true;
}

export function seg_load(n: i64, selector: i64): void {
  if (!loadDataSegment(<i32>n, <i32>selector)) return;
  // In 64-bit code only SS can change the key.
  if (n < FS && ((hflags() & HF_CS64) == 0 || n == SS)) updateHflags();
}

export function seg_load_shadow(selector: i64): void {
  if (!loadDataSegment(SS, <i32>selector)) return;
  store<u64>(CPU, 2, SHADOW);
  updateHflags();
}

/**
 * After a return to an outer level: data segments that are too privileged become null (SDM Vol. 3A 5.8.6). The base stays:
 * 64-bit code goes on using that of FS and GS.
 */
export function dropPrivilegedSegment(n: i32, level: i32): void {
  const attr = segAttr(n);
  if ((attr & AT_UNUSABLE) != 0) return;
  if (!isConformingCode(attr) && ((attr >> 5) & 3) < level) setSeg(n, 0, segBase(n), 0, AT_UNUSABLE);
}

/** Base + offset for `size` bytes after the checks of a read or write; 0 with FAULT set. */
function checked(offset: u64, n: i32, size: u64, write: bool): u64 {
  const attr = segAttr(n);
  if ((hflags() & HF_CS64) != 0) return n >= FS ? offset + segBase(n) : offset;
  let ok = withinLimit(offset, size, segLimit(n), attr);
  if ((hflags() & (HF_PE | HF_VM)) == HF_PE) {
    if ((attr & AT_UNUSABLE) != 0) ok = false;
    else if (write) ok = ok && isWritableData(attr);
    else ok = ok && isReadable(attr);
  }
  if (ok) return (segBase(n) + offset) & 0xffff_ffff;
  if (n == SS) raiseSs(0);
  else raiseGp(0);
  return 0;
}

export function seg_read(offset: i64, segment: i64): i64 {
  const size = segment >> 8;
  return checked(offset, <i32>segment & 0xff, size == 0 ? 512 : size, false);
}

export function seg_write(offset: i64, segment: i64): i64 {
  const size = segment >> 8;
  return checked(offset, <i32>segment & 0xff, size == 0 ? 512 : size, true);
}

/** Stores the result of ARPL if it differs from what was read. */
export function arpl_store(offset: i64, segment: i64, value: i64): void {
  if ((value & 0x1_0000) == 0) return;
  const at = checked(offset, <i32>segment, 2, true);
  if (!faulted()) st16(at, <u32>value & 0xffff, segment == SS ? stackInfo() : dataInfo());
}

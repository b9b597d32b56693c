// LLDT, LTR, LAR, LSL, VERR, VERW (SDM Vol. 2).

import { V_GP } from './bits';
import {
  descAttr, descBase, descDpl, descHi, descLimit, descPresent, isConformingCode, isReadable, isWritableData,
  readDescriptor, readSystemDescriptor, setSegNull, writeTypeByte,
} from './descriptor';
import { HF_LMA, LDTR, TR } from './layout';
import { isCanonicalBase } from './page-walk';
import { raiseGp, raiseNp } from './raise';
import { cpl, faulted, hflags, setSeg } from './state';

/** In long mode the base must be canonical. */
function baseFits(): bool { return (hflags() & HF_LMA) == 0 || isCanonicalBase(descBase()); }

export function lldt(value: i64): void {
  const selector = <i32>value & 0xffff;
  if ((selector & 0xfffc) == 0) {
    setSegNull(LDTR, selector, 0);
    return;
  }
  if ((selector & 4) != 0) {
    raiseGp(selector);
    return;
  }
  if (!readSystemDescriptor(selector, V_GP)) return;
  if ((descAttr() & 0x1f) != 2) raiseGp(selector);
  else if (!descPresent()) raiseNp(selector);
  else if (!baseFits()) raiseGp(selector);
  else setSeg(LDTR, selector, descBase(), descLimit(), descAttr());
}

export function ltr(value: i64): void {
  const selector = <i32>value & 0xffff;
  if ((selector & 0xfffc) == 0) {
    raiseGp(0);
    return;
  }
  if ((selector & 4) != 0) {
    raiseGp(selector);
    return;
  }
  if (!readSystemDescriptor(selector, V_GP)) return;
  const type = descAttr() & 0x1f;
  if (type != 9 && (type != 1 || (hflags() & HF_LMA) != 0)) raiseGp(selector);
  else if (!descPresent()) raiseNp(selector);
  else if (!baseFits()) raiseGp(selector);
  else writeTypeByte(selector, (descHi >> 8) | 2);
  if (!faulted()) setSeg(TR, selector, descBase(), descLimit(), descAttr() | 2);
}

/**
 * System descriptor types LAR and LSL accept, one bit per type (SDM Vol. 2A LAR table 3-53, LSL table 3-56).
 */
const LAR_TYPES: u32 = 0x1a3e;
const LAR_TYPES_LONG: u32 = 0x1a04;
const LSL_TYPES: u32 = 0x0a0e;
const LSL_TYPES_LONG: u32 = 0x0a04;

/** Reads a descriptor that the program may see; false if it may not (ZF clear) or on a fault. */
function readVisible(selector: i32, types: u32): bool {
  if ((selector & 0xfffc) == 0 || !readDescriptor(selector, -1)) return false;
  const attr = descAttr();
  if ((attr & 0x10) == 0 && ((types >> (attr & 15)) & 1) == 0) return false;
  return isConformingCode(attr) || max(cpl(), selector & 3) <= descDpl();
}

export function lar(value: i64): i64 {
  const types = (hflags() & HF_LMA) != 0 ? LAR_TYPES_LONG : LAR_TYPES;
  return readVisible(<i32>value & 0xffff, types) ? 0x1_0000_0000 | (descHi & 0x00ff_ff00) : 0;
}

export function lsl(value: i64): i64 {
  const types = (hflags() & HF_LMA) != 0 ? LSL_TYPES_LONG : LSL_TYPES;
  return readVisible(<i32>value & 0xffff, types) ? 0x1_0000_0000 | descLimit() : 0;
}

export function verr(value: i64): i64 {
  return readVisible(<i32>value & 0xffff, 0) && isReadable(descAttr()) ? 1 : 0;
}

export function verw(value: i64): i64 {
  return readVisible(<i32>value & 0xffff, 0) && isWritableData(descAttr()) ? 1 : 0;
}

// IRET in every mode (SDM Vol. 2A IRET/IRETD/IRETQ).

import {
  AT_L, FL_AC, FL_DF, FL_ID, FL_IF, FL_IOPL, FL_NT, FL_RF, FL_TF, FL_VIF, FL_VIP, FL_VM, FL_ARITH, CR4_VME,
} from './bits';
import {
  descAttr, descHi, descLimit, descLo, markAccessed, setDescriptor, setSegFromDescriptor,
} from './descriptor';
import {
  checkReturnStack, checkReturnTarget, dropSegments, loadReturnStack, setOuterSp, truncateRip,
} from './far';
import { setArith, setSystemFlags } from './flags';
import { offerTurn, updateHflags } from './hflags';
import {
  CS, DS, ES, FS, GS, HF_CS64, HF_LMA, HF_PE, HF_VM, NMI_BLOCKED, RIP, RSP, SS, TR,
} from './layout';
import { ld16, systemInfo } from './memory';
import { isCanonical } from './page-walk';
import { raiseGp } from './raise';
import { setSegReal } from './segments';
import { commitSp, pop, useCurrentStack } from './stack';
import { cpl, cr4, eflags, faulted, get, hflags, segBase, segLimit, set, setSeg } from './state';
import { SWITCH_IRET, switchTask } from './tasks';
import { rflags } from './flags';

const ALWAYS: u64 = FL_ARITH | FL_TF | FL_DF | FL_NT;

/** Replaces the RFLAGS bits in `mask` that fit an operand of `size` bytes. */
export function writeFlags(value: u64, mask: u64, size: i32): void {
  if (size == 2) mask &= 0xffff;
  setArith(value);
  setSystemFlags((eflags() & ~mask) | (value & mask));
}

export function iret(opsize: i64, length: i64): void {
  const size = <i32>opsize;
  const h = hflags();
  if ((h & HF_PE) == 0) returnReal(size);
  else if ((h & HF_VM) != 0) returnV86(size);
  else if ((eflags() & FL_NT) != 0) returnTask(truncateRip(get(RIP) + length));
  else returnProtected(size);
  if (faulted()) return;
  set(NMI_BLOCKED, 0);
  updateHflags();
  offerTurn();
}

function returnReal(size: i32): void {
  useCurrentStack();
  const to = pop(size);
  const selector = <i32>pop(size) & 0xffff;
  const image = pop(size);
  if (faulted()) return;
  if (to > <u64>segLimit(CS)) {
    raiseGp(0);
    return;
  }
  commitSp();
  setSegReal(CS, selector);
  set(RIP, to);
  writeFlags(image, ALWAYS | FL_IF | FL_IOPL | FL_RF | FL_AC | FL_ID, size);
}

function returnV86(size: i32): void {
  const iopl3 = (eflags() & FL_IOPL) == FL_IOPL;
  if (!iopl3 && ((cr4() & CR4_VME) == 0 || size != 2)) {
    raiseGp(0);
    return;
  }
  useCurrentStack();
  const to = pop(size);
  const selector = <i32>pop(size) & 0xffff;
  const image = pop(size);
  if (faulted()) return;
  // SDM Vol. 3B 20.3.2: with VME below IOPL 3 IF goes to VIF; #GP if an interrupt is pending or TF is set
  if (!iopl3 && ((image & FL_TF) != 0 || ((image & FL_IF) != 0 && (eflags() & FL_VIP) != 0))) {
    raiseGp(0);
    return;
  }
  if (to > 0xffff) {
    raiseGp(0);
    return;
  }
  commitSp();
  setSegReal(CS, selector);
  set(RIP, to);
  if (iopl3) writeFlags(image, ALWAYS | FL_IF | FL_RF | FL_AC | FL_ID, size);
  else {
    const vif: u64 = (image & FL_IF) != 0 ? FL_VIF : 0;
    writeFlags((image & 0xffff) | vif, ALWAYS | FL_VIF, 4);
  }
}

function returnTask(next: u64): void {
  if ((hflags() & HF_LMA) != 0) {
    raiseGp(0);
    return;
  }
  const link = <i32>ld16(segBase(TR), systemInfo());
  if (!faulted()) switchTask(link, SWITCH_IRET, next, rflags());
}

function returnProtected(size: i32): void {
  useCurrentStack();
  const to = pop(size);
  const selector = <i32>pop(size) & 0xffff;
  const image = pop(size);
  if (faulted()) return;
  if ((image & FL_VM) != 0 && size == 4 && cpl() == 0 && (hflags() & HF_LMA) == 0) {
    returnToV86(to, selector, image);
    return;
  }
  if (!checkReturnTarget(selector)) return;
  const toLong = (hflags() & HF_LMA) != 0 && (descAttr() & AT_L) != 0;
  if (toLong ? !isCanonical(to) : to > <u64>descLimit()) {
    raiseGp(0);
    return;
  }
  markAccessed(selector);
  const level = selector & 3;
  const old = cpl();
  const codeLo = descLo;
  const codeHi = descHi;
  if (level != old || (hflags() & HF_CS64) != 0) {
    const newSp = pop(size);
    const newSs = <i32>pop(size) & 0xffff;
    if (faulted() || !checkReturnStack(newSs, level, toLong)) return;
    loadReturnStack(newSs, level);
    setOuterSp(newSp, size, toLong);
  } else {
    if (faulted()) return;
    commitSp();
  }
  setDescriptor(codeLo, codeHi);
  setSegFromDescriptor(CS, selector);
  set(RIP, to);
  let mask = ALWAYS | FL_RF | FL_AC | FL_ID;
  if (old <= <i32>((eflags() & FL_IOPL) >> 12)) mask |= FL_IF;
  if (old == 0) mask |= FL_IOPL | FL_VIF | FL_VIP;
  writeFlags(image, mask, size);
  if (level > old) dropSegments(level);
}

function returnToV86(to: u64, cs: i32, image: u64): void {
  const newSp = pop(4);
  const ss = <i32>pop(4);
  const es = <i32>pop(4);
  const ds = <i32>pop(4);
  const fs = <i32>pop(4);
  const gs = <i32>pop(4);
  if (faulted()) return;
  // SDM: "tempEIP not within CS limit" applies to the 64 KiB segment
  if (to > 0xffff) {
    raiseGp(0);
    return;
  }
  writeFlags(image, ~<u64>0, 4);
  setV86(CS, cs);
  setV86(SS, ss);
  setV86(ES, es);
  setV86(DS, ds);
  setV86(FS, fs);
  setV86(GS, gs);
  set(RIP, to);
  set(RSP, newSp);
}

function setV86(n: i32, selector: i32): void {
  selector &= 0xffff;
  setSeg(n, selector, <u64>selector << 4, 0xffff, 0xf3);
}

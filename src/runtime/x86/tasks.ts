// Hardware task switching (SDM Vol. 3A chapter 7).

import { CR0_PG, CR0_TS, CR4_PAE, FL_NT, FL_VM, V_GP, V_TS } from './bits';
import {
  descAttr, descBase, descDpl, descHi, descLimit, descPresent, isCode, isConformingCode, isReadable,
  isWritableData, markAccessed, readDescriptor, setSegFromDescriptor, setSegNull, writeTypeByte,
} from './descriptor';
import { setFlags } from './flags';
import { updateHflags } from './hflags';
import {
  CR0, CR3, CS, DR7, DS, ES, FS, GS, HFLAGS, HF_ONE_INSN, LDTR, RESTORE, RIP, SCRATCH, SS, TR,
} from './layout';
import { ld16, ld32, st16, st32, systemInfo } from './memory';
import { noteControl } from './log';
import { loadPdptes } from './page-walk';
import { raiseGp, raiseNp, raiseSs, raiseTs } from './raise';
import {
  CPU, cr0, cr4, faulted, get, hflags, reg, segBase, segLimit, segSelector, set, setReg, setSeg,
} from './state';
import { tssIs32 } from './tss';
import { tlb_flush_nonglobal } from '../softmmu/tlb';
import { raiseTaskTrap } from './debug';

export const SWITCH_JMP: i32 = 0;
export const SWITCH_CALL: i32 = 1;
export const SWITCH_INTERRUPT: i32 = 2;
export const SWITCH_IRET: i32 = 3;

/** Order of the segment registers in a TSS: ES CS SS DS FS GS, as in our numbering. */
let newCr3: u32 = 0;
let newEip: u32 = 0;
let newFlags: u32 = 0;
let newLdt: i32 = 0;
let newTrap: bool = false;
/** Scratch for the 8 registers and 6 selectors of the new task. */
// @ts-ignore: decorator
@inline function slotOf(i: i32): i32 { return CPU + SCRATCH + 0x100 + (i << 2); }

/** Checks and reads the TSS descriptor. It must be busy for IRET, available otherwise. */
function readTss(selector: i32, kind: i32): bool {
  const iret = kind == SWITCH_IRET;
  if ((selector & 4) != 0) {
    if (iret) raiseTs(selector);
    else raiseGp(selector);
    return false;
  }
  if (!readDescriptor(selector, iret ? V_TS : V_GP)) return false;
  const type = descAttr() & 0x1f;
  if ((type & ~8) != (iret ? 3 : 1)) {
    if (iret) raiseTs(selector);
    else raiseGp(selector);
    return false;
  }
  if (!descPresent()) raiseNp(selector);
  else if (descLimit() < (<u32>((type & 8) != 0 ? 0x67 : 0x2b))) raiseTs(selector);
  return !faulted();
}

/** Reads the state of the new task; nothing changes yet. */
function readIncoming(base: u64, wide: bool): void {
  const info = systemInfo();
  newTrap = false;
  if (wide) {
    newCr3 = ld32(base + 0x1c, info);
    newEip = ld32(base + 0x20, info);
    newFlags = ld32(base + 0x24, info);
    for (let i = 0; i < 8; i++) store<u32>(slotOf(i), ld32(base + 0x28 + (i << 2), info));
    for (let i = 0; i < 6; i++) store<u32>(slotOf(8 + i), ld16(base + 0x48 + (i << 2), info));
    newLdt = ld16(base + 0x60, info);
    newTrap = (ld16(base + 0x64, info) & 1) != 0;
    return;
  }
  newCr3 = 0;
  newEip = ld16(base + 0x0e, info);
  newFlags = ld16(base + 0x10, info);
  for (let i = 0; i < 8; i++) store<u32>(slotOf(i), ld16(base + 0x12 + (i << 1), info) | 0xffff_0000);
  for (let i = 0; i < 4; i++) store<u32>(slotOf(8 + i), ld16(base + 0x22 + (i << 1), info));
  store<u64>(slotOf(12), 0);
  newLdt = ld16(base + 0x2a, info);
}

/** Saves the current task into its TSS. */
function saveOutgoing(rip: u64, flags: u64): void {
  const base = segBase(TR);
  const info = systemInfo();
  if (tssIs32()) {
    st32(base + 0x20, <u32>rip, info);
    st32(base + 0x24, <u32>flags, info);
    for (let i = 0; i < 8; i++) st32(base + 0x28 + (i << 2), <u32>reg(i), info);
    for (let i = 0; i < 6; i++) st16(base + 0x48 + (i << 2), segSelector(i), info);
    return;
  }
  st16(base + 0x0e, <u32>rip, info);
  st16(base + 0x10, <u32>flags, info);
  for (let i = 0; i < 8; i++) st16(base + 0x12 + (i << 1), <u32>reg(i), info);
  for (let i = 0; i < 4; i++) st16(base + 0x22 + (i << 1), segSelector(i), info);
}

/**
 * Switches to the task of a TSS selector. rip, flags: what the outgoing task resumes with. Faults before the
 * switch leave the state alone; later ones belong to the new task.
 */
export function switchTask(selector: i32, kind: i32, rip: u64, flags: u64): void {
  if (!readTss(selector, kind)) return;
  const wide = (descAttr() & 8) != 0;
  const base = descBase();
  const limit = descLimit();
  const attr = descAttr();
  const typeByte = descHi >> 8;
  const old = segSelector(TR);
  const oldBase = segBase(TR);
  const oldLimit = segLimit(TR);
  // The stores below cannot be taken back: do them at once even into translated code.
  store<i32>(CPU, hflags() | HF_ONE_INSN, HFLAGS);
  readIncoming(base, wide);
  if (faulted()) return;
  probeOutgoing(oldBase, oldLimit);
  if (faulted()) return;
  if (kind == SWITCH_IRET) flags &= ~FL_NT;
  saveOutgoing(rip, flags);
  if (kind == SWITCH_JMP || kind == SWITCH_IRET) clearBusy(old);
  if (kind == SWITCH_CALL || kind == SWITCH_INTERRUPT) {
    st16(base, old, systemInfo());
    newFlags |= <u32>FL_NT;
  }
  if (kind != SWITCH_IRET) writeTypeByte(selector, typeByte | 2);
  if (faulted()) return;
  setSeg(TR, selector, base, limit, attr | 2);
  enterTask(wide);
}

/** Makes sure that the outgoing TSS can be written before anything is. */
function probeOutgoing(base: u64, limit: u32): void {
  const info = systemInfo();
  const last = base + min<u32>(limit, 0x5f);
  st32(base + 0x20, ld32(base + 0x20, info), info);
  st16(last - 1, ld16(last - 1, info), info);
}

function clearBusy(selector: i32): void {
  if (readDescriptor(selector, -1)) writeTypeByte(selector, (descHi >> 8) & ~<u32>2);
}

/** Loads the new task's registers, then its segments, which may fault in its own context. */
function enterTask(wide: bool): void {
  set(RESTORE, 0);
  set(CR0, cr0() | CR0_TS);
  if (wide && (cr0() & CR0_PG) != 0) {
    set(CR3, newCr3);
    noteControl(3, newCr3);
    if ((cr4() & CR4_PAE) != 0) loadPdptes(newCr3);
    tlb_flush_nonglobal();
  }
  set(RIP, newEip);
  setFlags(newFlags);
  set(DR7, get(DR7) & ~0x155);
  for (let i = 0; i < 8; i++) setReg(i, load<u32>(slotOf(i)));
  for (let i = 0; i < 6; i++) setSegNull(i, load<i32>(slotOf(8 + i)), 0);
  setSegNull(LDTR, newLdt, 0);
  if ((newFlags & <u32>FL_VM) != 0) loadV86Segments();
  else loadSegments();
  updateHflags();
  if (!faulted() && newTrap) raiseTaskTrap();
}

function selectorOf(n: i32): i32 { return load<i32>(slotOf(8 + n)); }

function loadV86Segments(): void {
  for (let n = ES; n <= GS; n++) setSeg(n, selectorOf(n), <u64>selectorOf(n) << 4, 0xffff, 0xf3);
  loadLdt();
}

function loadLdt(): void {
  if ((newLdt & 0xfffc) == 0) return;
  if ((newLdt & 4) != 0) raiseTs(newLdt);
  else if (readDescriptor(newLdt, V_TS)) {
    if ((descAttr() & 0x1f) != 2 || !descPresent()) raiseTs(newLdt);
    else setSegFromDescriptor(LDTR, newLdt);
  }
}

function loadSegments(): void {
  loadLdt();
  if (!faulted()) loadCode(selectorOf(CS));
  if (!faulted()) loadStack(selectorOf(SS), selectorOf(CS) & 3);
  if (!faulted()) loadData(DS, selectorOf(CS) & 3);
  if (!faulted()) loadData(ES, selectorOf(CS) & 3);
  if (!faulted()) loadData(FS, selectorOf(CS) & 3);
  if (!faulted()) loadData(GS, selectorOf(CS) & 3);
}

function loadCode(selector: i32): void {
  if ((selector & 0xfffc) == 0) raiseTs(0);
  else if (readDescriptor(selector, V_TS)) {
    const attr = descAttr();
    const rpl = selector & 3;
    const ok = isCode(attr) && (isConformingCode(attr) ? descDpl() <= rpl : descDpl() == rpl);
    if (!ok) raiseTs(selector);
    else if (!descPresent()) raiseNp(selector);
    else {
      markAccessed(selector);
      setSegFromDescriptor(CS, selector);
    }
  }
  // The privilege level travels in SS until that is loaded.
  setSegNull(SS, selectorOf(SS), selector & 3);
}

function loadStack(selector: i32, level: i32): void {
  if ((selector & 0xfffc) == 0) raiseTs(0);
  else if (readDescriptor(selector, V_TS)) {
    if (!isWritableData(descAttr()) || (selector & 3) != level || descDpl() != level) raiseTs(selector);
    else if (!descPresent()) raiseSs(selector);
    else {
      markAccessed(selector);
      setSegFromDescriptor(SS, selector);
    }
  }
}

function loadData(n: i32, level: i32): void {
  const selector = selectorOf(n);
  if ((selector & 0xfffc) == 0) return;
  if (!readDescriptor(selector, V_TS)) return;
  const attr = descAttr();
  const guarded = !isConformingCode(attr);
  if (!isReadable(attr) || (guarded && max(level, selector & 3) > descDpl())) raiseTs(selector);
  else if (!descPresent()) raiseNp(selector);
  else {
    markAccessed(selector);
    setSegFromDescriptor(n, selector);
  }
}

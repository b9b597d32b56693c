// Delivery of exceptions and interrupts (SDM Vol. 3A chapter 6).

import {
  AT_DB, AT_L, CR0_PE, EFER_LMA, FL_AC, FL_IF, FL_NT, FL_RF, FL_TF, FL_VM, V_DB, V_DE, V_DF, V_GP, V_NMI,
  V_NP, V_PF, V_TS,
} from './bits';
import {
  descAttr, descBase, descDpl, descHi, descLimit, descLo, descPresent, isCode, isConformingCode,
  isWritableData, markAccessed, readDescriptor, setDescriptor, setSegFromDescriptor, setSegNull,
} from './descriptor';
import { rflags } from './flags';
import { interruptWindow, updateHflags } from './hflags';
import {
  CC_OP, CS, DR7, DS, EFLAGS, ES, EXC_ERROR, EXC_EXTERNAL, EXC_FLAGS, EXC_HAS_ERROR, EXC_NESTED, EXC_NEXT_RIP,
  EXC_RF, EXC_SOFTWARE, EXC_VECTOR, EXIT_REASON, FAULT, FS, GS, HALTED, HFLAGS, HF_ONE_INSN, HF_VM, IDT_BASE,
  IDT_LIMIT, INTERRUPT_NMI, INTERRUPT_PENDING, NMI_BLOCKED, RESTORE, RIP, RSP, SEG_SELECTOR, SHADOW, SS,
} from './layout';
import { EXIT_SHUTDOWN, FAULT_EXCEPTION, FAULT_HOST } from '../tcg/layout';
import { ld32, ld64, stackInfoAt, systemInfo } from './memory';
import { ext, raise, raiseGp, raiseNp, raiseSs, raiseTs, setExt } from './raise';
import { commitSp, push, push16, push64, useCurrentStack, useFlatStack, useSegment } from './stack';
import {
  CPU, cpl, cr0, efer, eflags, faulted, get, get32, hflags, segAt, segSelector, set, setSeg,
} from './state';
import { isCanonical } from './page-walk';
import { innerSp, innerSs, readInnerStack, readIst, readRsp, tssIs32 } from './tss';
import { SWITCH_INTERRUPT, switchTask } from './tasks';
import { noteInterrupt } from './log';


/** Kinds for the double-fault rule (SDM Vol. 3A table 6-5). */
const BENIGN: i32 = 0;
const CONTRIBUTORY: i32 = 1;
const PAGE_FAULT: i32 = 2;

function kindOf(vector: i32, flags: i32): i32 {
  if ((flags & (EXC_SOFTWARE | EXC_EXTERNAL)) != 0) return BENIGN;
  if (vector == V_PF) return PAGE_FAULT;
  return vector == V_DE || (vector >= V_TS && vector <= V_GP) ? CONTRIBUTORY : BENIGN;
}

/**
 * Exceptions whose saved RFLAGS image has RF set (SDM Vol. 3B 17.3.1.1): faults, but not traps and aborts.
 */
const FAULT_VECTORS: u32 = 0x000b_7ce1;

/** Delivers the exception that stopped the current instruction. */
export function deliver_fault(): void {
  if (get32(FAULT) != FAULT_EXCEPTION) return;
  const op = <u32>get32(RESTORE) >> 16;
  if (op != 0) set(CC_OP, op);
  set(RESTORE, 0);
  deliverRecorded();
}

/** An external interrupt, acknowledged by the caller. */
export function deliver_interrupt(vector: i32): void {
  set(RESTORE, 0);
  set(HALTED, 0);
  set(FAULT, 0);
  raise(vector, 0, EXC_EXTERNAL);
  deliverRecorded();
}

export function deliver_nmi(): void {
  set(RESTORE, 0);
  set(HALTED, 0);
  set(FAULT, 0);
  atomic.and<i32>(CPU + INTERRUPT_PENDING, ~INTERRUPT_NMI);
  set(NMI_BLOCKED, 1);
  raise(V_NMI, 0, EXC_EXTERNAL);
  deliverRecorded();
}

export function interrupt_window(): i32 { return interruptWindow(); }

/**
 * Delivers what EXC_* record; exceptions on the way replace it or become a double fault, in the end a
 * shutdown.
 */
function deliverRecorded(): void {
  let vector = get32(EXC_VECTOR);
  let error = get32(EXC_ERROR);
  let flags = get32(EXC_FLAGS);
  const nextRip = get(EXC_NEXT_RIP);
  set(SHADOW, 0);
  for (;;) {
    set(FAULT, 0);
    // Pushes into translated code are done at once: a delivery cannot be retried.
    store<i32>(CPU, hflags() | HF_ONE_INSN, HFLAGS);
    store<i64>(CPU, vector, EXC_NESTED);
    noteInterrupt(vector, flags);
    deliver(vector, error, flags, nextRip);
    setExt(0);
    if (!faulted()) break;
    const second = get32(EXC_VECTOR);
    const secondKind = kindOf(second, 0);
    const firstKind = kindOf(vector, flags);
    if (vector == V_DF && flags == EXC_HAS_ERROR && secondKind != BENIGN) {
      store<i64>(CPU, -1, EXC_NESTED);
      set(EXIT_REASON, EXIT_SHUTDOWN);
      set(FAULT, FAULT_HOST);
      updateHflags();
      return;
    }
    const afterPageFault = firstKind == PAGE_FAULT && secondKind != BENIGN;
    if (afterPageFault || (firstKind == CONTRIBUTORY && secondKind == CONTRIBUTORY)) {
      vector = V_DF;
      error = 0;
      flags = EXC_HAS_ERROR;
    } else {
      vector = second;
      error = get32(EXC_ERROR);
      flags = get32(EXC_FLAGS);
    }
  }
  store<i64>(CPU, -1, EXC_NESTED);
  updateHflags();
}

function deliver(vector: i32, error: i32, flags: i32, nextRip: u64): void {
  const software = (flags & EXC_SOFTWARE) != 0;
  setExt(software ? 0 : 1);
  const returnRip = software ? nextRip : get(RIP);
  if ((cr0() & CR0_PE) == 0) deliverReal(vector, returnRip);
  else if ((efer() & EFER_LMA) != 0) deliverLong(vector, error, flags, returnRip);
  else deliverProtected(vector, error, flags, returnRip);
  if (faulted()) return;
  // SDM Vol. 3B 17.2.4: GD is cleared on entry to the debug handler
  if (vector == V_DB) set(DR7, get(DR7) & ~0x2000);
}

/** The RFLAGS image to push. */
function savedFlags(vector: i32, flags: i32): u64 {
  const image = rflags();
  const asked = (flags & (EXC_SOFTWARE | EXC_EXTERNAL)) != 0;
  const byVector = !asked && vector < 32 && ((FAULT_VECTORS >> vector) & 1) != 0;
  const isFault = byVector || (flags & EXC_RF) != 0;
  return isFault ? image | FL_RF : image;
}

/** Clears RFLAGS bits on entry to a handler. */
// @ts-ignore: decorator
@inline function enterFlags(cleared: u64): void {
  store<u64>(CPU, eflags() & ~cleared, EFLAGS);
}

/** SDM Vol. 3B 20.1.4: four-byte vectors, IP CS FLAGS in 16 bits. */
function deliverReal(vector: i32, returnRip: u64): void {
  if (<u64>(vector * 4 + 3) > get(IDT_LIMIT)) {
    raise(V_GP, 0, EXC_HAS_ERROR);
    return;
  }
  const entry = ld32((get(IDT_BASE) + vector * 4) & 0xffff_ffff, systemInfo());
  if (faulted()) return;
  useCurrentStack();
  push16(<u32>rflags());
  push16(segSelector(CS));
  push16(<u32>returnRip);
  if (faulted()) return;
  commitSp();
  enterReal(entry);
}

/** Continues at a real-mode vector. */
function enterReal(entry: u32): void {
  enterFlags(FL_IF | FL_TF | FL_RF | FL_AC);
  const cs = segAt(CS);
  store<u64>(cs, entry >> 16, SEG_SELECTOR);
  store<u64>(cs, <u64>(entry >> 16) << 4, 8);
  set(RIP, entry & 0xffff);
}

/** VME: INT n redirected to the virtual-8086 program's own handler (SDM Vol. 3B 20.3.3.2). */
export function deliverToV86(vector: i32, nextRip: u64, flagsImage: u32, clearMask: u64): void {
  const entry = ld32(<u64>(vector * 4), stackInfoAt(3));
  if (faulted()) return;
  useCurrentStack();
  push16(flagsImage);
  push16(segSelector(CS));
  push16(<u32>nextRip);
  if (faulted()) return;
  commitSp();
  store<u64>(CPU, eflags() & ~(clearMask | FL_TF | FL_RF), EFLAGS);
  setSeg(CS, <i32>(entry >> 16), <u64>(entry >> 16) << 4, 0xffff, 0xf3);
  set(RIP, entry & 0xffff);
  updateHflags();
}

let gateSelector: i32 = 0;
let gateOffset: u64 = 0;
let gateHi: u32 = 0;

/** Reads and checks an IDT gate. False with a fault raised. */
function readGate(vector: i32, privileged: bool, size: i32): bool {
  const code = (vector << 3) | 2 | ext;
  const offset = vector * size;
  if (<u64>(offset + size - 1) > get(IDT_LIMIT)) {
    raise(V_GP, code, EXC_HAS_ERROR);
    return false;
  }
  const at = get(IDT_BASE) + offset;
  const d = ld64(size == 16 ? at : at & 0xffff_ffff, systemInfo());
  const upper: u64 = size == 16 ? ld64(at + 8, systemInfo()) : 0;
  if (faulted()) return false;
  gateHi = <u32>(d >> 32);
  gateSelector = <i32>(<u32>d >> 16);
  gateOffset = (d & 0xffff) | (<u64>(gateHi & 0xffff_0000)) | (upper << 32);
  const type = (gateHi >> 8) & 0x1f;
  const valid = size == 16 ? (type & ~1) == 0xe : type == 5 || (type & ~9) == 6;
  if (!valid || (privileged && <i32>((gateHi >> 13) & 3) < cpl())) {
    raise(V_GP, code, EXC_HAS_ERROR);
    return false;
  }
  if ((gateHi & 0x8000) == 0) {
    raise(V_NP, code, EXC_HAS_ERROR);
    return false;
  }
  return true;
}

/** Reads and checks the handler's code segment; it is in descLo/descHi then. False with a fault raised. */
function readHandlerSegment(): bool {
  if ((gateSelector & 0xfffc) == 0) {
    raiseGp(0);
    return false;
  }
  if (!readDescriptor(gateSelector, V_GP)) return false;
  if (!isCode(descAttr()) || descDpl() > cpl()) raiseGp(gateSelector);
  else if (!descPresent()) raiseNp(gateSelector);
  else markAccessed(gateSelector);
  return !faulted();
}

/** SDM Vol. 3A 6.14. */
function deliverLong(vector: i32, error: i32, flags: i32, returnRip: u64): void {
  if (!readGate(vector, (flags & EXC_SOFTWARE) != 0, 16)) return;
  const ist = <i32>(gateHi & 7);
  if (!readHandlerSegment()) return;
  const attr = descAttr();
  if ((attr & (AT_L | AT_DB)) != AT_L) {
    raiseGp(gateSelector);
    return;
  }
  const old = cpl();
  const level = isConformingCode(attr) ? old : descDpl();
  let top: u64;
  if (ist != 0) top = readIst(ist);
  else if (level != old) top = readRsp(level);
  else top = get(RSP);
  if (faulted()) return;
  if (!isCanonical(gateOffset)) {
    raiseGp(0);
    return;
  }
  useFlatStack(top & ~0xf, stackInfoAt(level));
  push64(segSelector(SS));
  push64(get(RSP));
  push64(savedFlags(vector, flags));
  push64(segSelector(CS));
  push64(returnRip);
  if ((flags & EXC_HAS_ERROR) != 0) push64(<u32>error);
  if (faulted()) return;
  if (level != old) setSegNull(SS, level, level);
  finishEntry(level);
}

/** Commits stack pointer, CS, RIP and flags of a handler. */
function finishEntry(level: i32): void {
  commitSp();
  setSegFromDescriptor(CS, (gateSelector & ~3) | level);
  set(RIP, gateOffset);
  enterFlags(FL_TF | FL_NT | FL_RF | FL_VM | ((gateHi & 0x100) == 0 ? FL_IF : 0));
}

/** SDM Vol. 3A 6.12. */
function deliverProtected(vector: i32, error: i32, flags: i32, returnRip: u64): void {
  if (!readGate(vector, (flags & EXC_SOFTWARE) != 0, 8)) return;
  const type = (gateHi >> 8) & 0x1f;
  if (type == 5) {
    deliverTask(vector, error, flags, returnRip);
    return;
  }
  if (!readHandlerSegment()) return;
  const conforming = isConformingCode(descAttr());
  const old = cpl();
  const level = conforming ? old : descDpl();
  const fromV86 = (hflags() & HF_VM) != 0;
  if (fromV86 && (conforming || level != 0)) {
    raiseGp(gateSelector);
    return;
  }
  const size = (type & 8) != 0 ? 4 : 2;
  if (size == 2) gateOffset &= 0xffff;
  if (gateOffset > <u64>descLimit()) {
    raiseGp(0);
    return;
  }
  if (level < old) deliverInner(vector, error, flags, returnRip, size, level, fromV86);
  else deliverSame(vector, error, flags, returnRip, size, level);
}

function deliverSame(vector: i32, error: i32, flags: i32, returnRip: u64, size: i32, level: i32): void {
  useCurrentStack();
  push(savedFlags(vector, flags), size);
  push(segSelector(CS), size);
  push(returnRip, size);
  if ((flags & EXC_HAS_ERROR) != 0) push(error, size);
  if (!faulted()) finishEntry(level);
}

function deliverInner(
  vector: i32, error: i32, flags: i32, returnRip: u64, size: i32, level: i32, fromV86: bool,
): void {
  const codeLo = descLo;
  const codeHi = descHi;
  if (!readNewStack(level)) return;
  const newSs = innerSs;
  useSegment(descBase(), descLimit(), descAttr(), innerSp, stackInfoAt(level), newSs | ext);
  if (fromV86) {
    push(segSelector(GS), size);
    push(segSelector(FS), size);
    push(segSelector(DS), size);
    push(segSelector(ES), size);
  }
  push(segSelector(SS), size);
  push(get(RSP), size);
  push(savedFlags(vector, flags), size);
  push(segSelector(CS), size);
  push(returnRip, size);
  if ((flags & EXC_HAS_ERROR) != 0) push(error, size);
  markAccessed(newSs);
  if (faulted()) return;
  setSegFromDescriptor(SS, newSs);
  if (fromV86) {
    setSegNull(DS, 0, 0);
    setSegNull(ES, 0, 0);
    setSegNull(FS, 0, 0);
    setSegNull(GS, 0, 0);
  }
  setDescriptor(codeLo, codeHi);
  finishEntry(level);
}

/**
 * SS:ESP for an inner level from the TSS, checked; its descriptor is the one last read. False with a fault
 * raised.
 */
export function readNewStack(level: i32): bool {
  readInnerStack(level);
  if (faulted()) return false;
  if ((innerSs & 0xfffc) == 0) {
    raiseTs(0);
    return false;
  }
  if (!readDescriptor(innerSs, V_TS)) return false;
  if ((innerSs & 3) != level || descDpl() != level || !isWritableData(descAttr())) raiseTs(innerSs);
  else if (!descPresent()) raiseSs(innerSs);
  return !faulted();
}

/** Through a task gate: the error code goes to the new task's stack (SDM Vol. 3A 7.3). */
function deliverTask(vector: i32, error: i32, flags: i32, returnRip: u64): void {
  switchTask(gateSelector, SWITCH_INTERRUPT, returnRip, savedFlags(vector, flags));
  if (faulted() || (flags & EXC_HAS_ERROR) == 0) return;
  store<i32>(CPU, hflags() | HF_ONE_INSN, HFLAGS);
  useCurrentStack();
  push(error, tssIs32() ? 4 : 2);
  if (!faulted()) commitSp();
}

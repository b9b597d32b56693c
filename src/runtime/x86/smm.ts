// System management mode: delivery of an SMI, RSM (SDM Vol. 3C chapter 32, AMD64 APM Vol. 2 chapter 10).
//
// A processor with long mode saves its state in AMD64's layout (APM table 10-1, revision 0x20064), others in the 32-bit one
// (revision 0x20000): the layouts that firmware for the emulated boards knows. I/O-instruction restart is not offered.

import {
  AT_G, AT_P, AT_S, AT_UNUSABLE, CR0_CD, CR0_EM, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME,
} from './bits';
import { cr4Allowed, eferAllowed } from './control';
import { rflags, setFlags } from './flags';
import { updateHflags } from './hflags';
import {
  CR0, CR3, CR4, CS, DR6, DR7, DR_PENDING, DS, EFER, ES, EXIT_REASON, FAULT, FEATURES, GDT_BASE, GDT_LIMIT, GS, HALTED, IDT_BASE,
  IDT_LIMIT, LDTR, NMI_BLOCKED, PHYS_ADDR_BITS, RESTORE, RIP, SEG_ATTR, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, SHADOW, SMBASE, SMM,
  SMM_ACTIVE, SMM_NMI_BLOCKED, TR, X86_FEATURE_LM,
} from './layout';
import { EXIT_HALT, EXIT_SHUTDOWN, FAULT_HOST } from '../tcg/layout';
import { loadPdptes } from './page-walk';
import { raiseUd } from './raise';
import { CPU, cr0, cr4, efer, get, get32, reg, segAt, set, setReg, setSeg } from './state';
import { leave_smm } from '../softmmu/host';
import { noteStore, ramFlags, ramHost } from '../softmmu/ram';
import { tlb_flush } from '../softmmu/tlb';

const REVISION_64: u32 = 0x0002_0064;
const REVISION_32: u32 = 0x0002_0000;
/** Where the handler begins, and what the offsets of the state's layouts count from. */
const ENTRY: u64 = 0x8000;

// ---- memory of the save area: physical, plain RAM or nothing

let area: u64 = 0;

function put(offset: i32, value: u64, size: i32): void {
  for (let i = 0; i < size; i += 4, value >>= 32) {
    const host = ramHost(area + offset + i);
    if (host == 0 || ramFlags != 0) continue;
    if (size == 2) store<u16>(host, <u16>value);
    else if (size == 1) store<u8>(host, <u8>value);
    else store<u32>(host, <u32>value);
    noteStore(host, min(size, 4));
  }
}

function fetch32(offset: i32): u64 {
  const host = ramHost(area + offset);
  return host == 0 ? 0xffff_ffff : <u64>load<u32>(host);
}
function fetch64(offset: i32): u64 { return fetch32(offset) | (fetch32(offset + 4) << 32); }
function fetch16(offset: i32): i32 { return <i32>((fetch32(offset & ~3) >> ((offset & 3) << 3)) & 0xffff); }

// ---- segments

/** Attributes in the save area: bits 8 to 23 of a descriptor's upper half; a segment that is not usable is not present. */
function savedAttr(n: i32): u64 {
  const attr = load<i32>(segAt(n), SEG_ATTR);
  return (attr & AT_UNUSABLE) != 0 ? attr & 0x7060 : attr & 0xf0ff;
}

function loadSegment(n: i32, selector: i32, attr: i32, limit: u64, base: u64): void {
  setSeg(n, selector, base, <u32>limit, (attr & AT_P) != 0 ? attr & 0xf0ff : (attr & 0x7060) | AT_UNUSABLE);
}

function saveSegment64(n: i32, at: i32): void {
  const s = segAt(n);
  put(at, load<u16>(s, SEG_SELECTOR), 2);
  put(at + 2, savedAttr(n), 2);
  put(at + 4, load<u32>(s, SEG_LIMIT), 4);
  put(at + 8, load<u64>(s, SEG_BASE), 8);
}

function restoreSegment64(n: i32, at: i32): void {
  loadSegment(n, fetch16(at), fetch16(at + 2), fetch32(at + 4), fetch64(at + 8));
}

/** 32-bit layout: selector in one place, attributes, limit and base in another. */
function saveSegment32(n: i32, selectorAt: i32, at: i32): void {
  const s = segAt(n);
  put(selectorAt, load<u16>(s, SEG_SELECTOR), 4);
  put(at, savedAttr(n) << 8, 4);
  put(at + 4, load<u32>(s, SEG_LIMIT), 4);
  put(at + 8, load<u32>(s, SEG_BASE), 4);
}

function restoreSegment32(n: i32, selectorAt: i32, at: i32): void {
  loadSegment(n, <i32>fetch32(selectorAt) & 0xffff, <i32>(fetch32(at) >> 8) & 0xffff, fetch32(at + 4), fetch32(at + 8));
}

// @ts-ignore: decorator
@inline function descriptors32(n: i32): i32 { return n < DS ? 0x7f84 + n * 12 : 0x7f2c + (n - DS) * 12; }

// ---- saving

function save64(): void {
  for (let n = ES; n <= GS; n++) saveSegment64(n, 0x7e00 + (n << 4));
  put(0x7e64, get(GDT_LIMIT), 2);
  put(0x7e68, get(GDT_BASE), 8);
  saveSegment64(LDTR, 0x7e70);
  put(0x7e84, get(IDT_LIMIT), 2);
  put(0x7e88, get(IDT_BASE), 8);
  saveSegment64(TR, 0x7e90);
  put(0x7ec8, 0, 1);
  put(0x7ec9, get(HALTED) & 1, 1);
  put(0x7ed0, efer(), 8);
  put(0x7efc, REVISION_64, 4);
  put(0x7f00, get(SMBASE), 4);
  put(0x7f48, cr4(), 8);
  put(0x7f50, get(CR3), 8);
  put(0x7f58, cr0(), 8);
  put(0x7f60, get(DR7), 8);
  put(0x7f68, get(DR6), 8);
  put(0x7f70, rflags(), 8);
  put(0x7f78, get(RIP), 8);
  for (let n = 0; n < 16; n++) put(0x7ff8 - (n << 3), reg(n), 8);
}

function save32(): void {
  for (let n = ES; n <= GS; n++) saveSegment32(n, 0x7fa8 + (n << 2), descriptors32(n));
  saveSegment32(LDTR, 0x7fc0, 0x7f78);
  saveSegment32(TR, 0x7fc4, 0x7f5c);
  put(0x7f70, get(GDT_LIMIT), 4);
  put(0x7f74, get(GDT_BASE), 4);
  put(0x7f54, get(IDT_LIMIT), 4);
  put(0x7f58, get(IDT_BASE), 4);
  put(0x7f14, cr4(), 4);
  put(0x7f00, 0, 2);
  put(0x7f02, get(HALTED) & 1, 2);
  put(0x7efc, REVISION_32, 4);
  put(0x7ef8, get(SMBASE), 4);
  put(0x7fc8, get(DR7), 4);
  put(0x7fcc, get(DR6), 4);
  for (let n = 0; n < 8; n++) put(0x7fd0 + (n << 2), reg(n), 4);
  put(0x7ff0, get(RIP), 4);
  put(0x7ff4, rflags(), 4);
  put(0x7ff8, get(CR3), 4);
  put(0x7ffc, cr0(), 4);
}

/** Delivers an SMI at an instruction boundary; SMRAM is visible (SDM Vol. 3C 32.5.1, APM Vol. 2 10.3.3). */
export function deliver_smi(): void {
  set(RESTORE, 0);
  set(FAULT, 0);
  area = get(SMBASE) + ENTRY;
  if ((get(FEATURES) & X86_FEATURE_LM) != 0) save64();
  else save32();
  set(HALTED, 0);
  set(SMM, SMM_ACTIVE | (get(NMI_BLOCKED) != 0 ? SMM_NMI_BLOCKED : 0));
  set(NMI_BLOCKED, 1);
  set(SHADOW, 0);
  set(DR_PENDING, 0);
  setFlags(2);
  set(RIP, ENTRY);
  const base = get(SMBASE);
  const flat = AT_P | AT_S | 3 | AT_G;
  for (let n = ES; n <= GS; n++) setSeg(n, 0, 0, 0xffff_ffff, flat);
  setSeg(CS, <i32>(base >> 4), base, 0xffff_ffff, flat);
  set(CR0, cr0() & ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG));
  set(CR4, 0);
  set(EFER, 0);
  set(DR7, 0x400);
  tlb_flush();
  updateHflags();
}

// ---- RSM

/** SDM Vol. 3C 32.4.1.1: states that RSM refuses by a shutdown. */
function isValid(c0: u64, c3: u64, c4: u64, ef: u64): bool {
  if (c0 >> 32 != 0 || (c0 & (CR0_PG | CR0_PE)) == CR0_PG || (c0 & (CR0_NW | CR0_CD)) == CR0_NW) return false;
  if ((c4 & ~cr4Allowed()) != 0 || (ef & ~eferAllowed()) != 0 || c3 >> get(PHYS_ADDR_BITS) != 0) return false;
  const long = (c0 & CR0_PG) != 0 && (ef & EFER_LME) != 0;
  if (long != ((ef & EFER_LMA) != 0)) return false;
  return long ? (c4 & CR4_PAE) != 0 : (c4 & CR4_PCIDE) == 0;
}

function shutdown(): void {
  set(EXIT_REASON, EXIT_SHUTDOWN);
  set(FAULT, FAULT_HOST);
}

function restoreControl(c0: u64, c3: u64, c4: u64, ef: u64): bool {
  if (!isValid(c0, c3, c4, ef)) return false;
  set(CR0, c0 | 0x10);
  set(CR3, c3);
  set(CR4, c4);
  set(EFER, ef);
  const pae = (c0 & CR0_PG) != 0 && (c4 & CR4_PAE) != 0 && (ef & EFER_LMA) == 0;
  return !pae || loadPdptes(c3);
}

function restore64(): bool {
  if (!restoreControl(fetch64(0x7f58), fetch64(0x7f50), fetch64(0x7f48), fetch64(0x7ed0))) return false;
  for (let n = ES; n <= GS; n++) restoreSegment64(n, 0x7e00 + (n << 4));
  set(GDT_LIMIT, fetch16(0x7e64));
  set(GDT_BASE, fetch64(0x7e68));
  restoreSegment64(LDTR, 0x7e70);
  set(IDT_LIMIT, fetch16(0x7e84));
  set(IDT_BASE, fetch64(0x7e88));
  restoreSegment64(TR, 0x7e90);
  set(SMBASE, fetch32(0x7f00));
  set(DR7, (fetch64(0x7f60) & 0xffff_23ff) | 0x400);
  set(DR6, (fetch64(0x7f68) & 0xe00f) | 0xffff_0ff0);
  setFlags(fetch64(0x7f70));
  set(RIP, fetch64(0x7f78));
  for (let n = 0; n < 16; n++) setReg(n, fetch64(0x7ff8 - (n << 3)));
  set(HALTED, (fetch16(0x7ec8) >> 8) & 1);
  return true;
}

function restore32(): bool {
  if (!restoreControl(fetch32(0x7ffc), fetch32(0x7ff8), fetch32(0x7f14), 0)) return false;
  for (let n = ES; n <= GS; n++) restoreSegment32(n, 0x7fa8 + (n << 2), descriptors32(n));
  restoreSegment32(LDTR, 0x7fc0, 0x7f78);
  restoreSegment32(TR, 0x7fc4, 0x7f5c);
  set(GDT_LIMIT, fetch32(0x7f70) & 0xffff);
  set(GDT_BASE, fetch32(0x7f74));
  set(IDT_LIMIT, fetch32(0x7f54) & 0xffff);
  set(IDT_BASE, fetch32(0x7f58));
  set(SMBASE, fetch32(0x7ef8));
  set(DR7, (fetch32(0x7fc8) & 0xffff_23ff) | 0x400);
  set(DR6, (fetch32(0x7fcc) & 0xe00f) | 0xffff_0ff0);
  setFlags(fetch32(0x7ff4));
  set(RIP, fetch32(0x7ff0));
  for (let n = 0; n < 8; n++) setReg(n, fetch32(0x7fd0 + (n << 2)));
  set(HALTED, fetch16(0x7f02) & 1);
  return true;
}

/** RSM: #UD outside SMM; a saved state that cannot be is a shutdown. */
export function rsm(): void {
  const mode = get32(SMM);
  if ((mode & SMM_ACTIVE) == 0) {
    raiseUd();
    return;
  }
  area = get(SMBASE) + ENTRY;
  const good = (get(FEATURES) & X86_FEATURE_LM) != 0 ? restore64() : restore32();
  if (!good) {
    shutdown();
    return;
  }
  set(RESTORE, 0);
  set(SMM, 0);
  set(NMI_BLOCKED, (mode & SMM_NMI_BLOCKED) != 0 ? 1 : 0);
  set(SHADOW, 0);
  set(DR_PENDING, 0);
  leave_smm();
  tlb_flush();
  updateHflags();
  if (get(HALTED) == 0) return;
  set(EXIT_REASON, EXIT_HALT);
  set(FAULT, FAULT_HOST);
}

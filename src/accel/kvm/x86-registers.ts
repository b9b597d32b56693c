/** The registers of a vCPU of KVM under the names that every accelerator uses (`CpuRegisters`, `CpuState`). */
import type { CpuRegisters } from '../accelerator.ts';
import * as x86 from './bindings/x86.ts';
import type { MsrValue, VcpuFd } from './ioctls/vcpu-fd.ts';
import type { StateExtras } from './state-extras.ts';

const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  ...['8', '9', '10', '11', '12', '13', '14', '15'].map((n) => `r${n}`),
];

/** Where each register lies in `struct kvm_regs`. */
const IN_REGS: ReadonlyMap<string, number> = new Map([
  ...GPR_NAMES.map((name, n) => [name, x86.REGS_BY_NUMBER[n]!] as const),
  ['rip', x86.REGS_RIP],
  ['rflags', x86.REGS_RFLAGS],
]);

/** 64-bit fields of `struct kvm_sregs`. */
const IN_SREGS: ReadonlyMap<string, number> = new Map([
  ['cr0', x86.SREGS_CR0],
  ['cr2', x86.SREGS_CR2],
  ['cr3', x86.SREGS_CR3],
  ['cr4', x86.SREGS_CR4],
  ['efer', x86.SREGS_EFER],
  ['gdt_base', x86.SREGS_GDT],
  ['idt_base', x86.SREGS_IDT],
]);
const LIMITS: ReadonlyMap<string, number> = new Map([
  ['gdt_limit', x86.SREGS_GDT + 8],
  ['idt_limit', x86.SREGS_IDT + 8],
]);
const SEGMENTS: ReadonlyMap<string, number> = new Map([
  ['es', x86.SREGS_ES],
  ['cs', x86.SREGS_CS],
  ['ss', x86.SREGS_SS],
  ['ds', x86.SREGS_DS],
  ['fs', x86.SREGS_FS],
  ['gs', x86.SREGS_GS],
  ['ldtr', x86.SREGS_LDT],
  ['tr', x86.SREGS_TR],
]);
const IN_DEBUGREGS: ReadonlyMap<string, number> = new Map([
  ['dr0', 0],
  ['dr1', 8],
  ['dr2', 16],
  ['dr3', 24],
  ['dr6', x86.DEBUGREGS_DR6],
  ['dr7', x86.DEBUGREGS_DR7],
]);
const XMM_NAMES = Array.from({ length: 16 }, (_, n) => `xmm${n}`);
const FPU_NAMES = new Set(['fpu_cw', 'fpu_sw', 'fpu_top', 'mxcsr', ...XMM_NAMES]);

/** Model-specific registers of the state, by name. */
export const STATE_MSRS: ReadonlyMap<string, number> = new Map([
  ['kernel_gs_base', 0xc000_0102],
  ['star', 0xc000_0081],
  ['lstar', 0xc000_0082],
  ['cstar', 0xc000_0083],
  ['fmask', 0xc000_0084],
  ['sysenter_cs', 0x174],
  ['sysenter_esp', 0x175],
  ['sysenter_eip', 0x176],
  ['pat', 0x277],
  ['misc_enable', 0x1a0],
  ['tsc_adjust', 0x3b],
  ['tsc_aux', 0xc000_0103],
  ['tsc', 0x10],
]);

/** Attribute bits as `cs_attr` shows them: descriptor bits 8…23 shifted down by 8, bit 16 = unusable. */
function readAttributes(view: DataView, at: number): number {
  const bit = (offset: number): number => view.getUint8(at + offset);
  return (
    bit(x86.SEGMENT_TYPE) |
    (bit(x86.SEGMENT_S) << 4) |
    (bit(x86.SEGMENT_DPL) << 5) |
    (bit(x86.SEGMENT_PRESENT) << 7) |
    (bit(x86.SEGMENT_AVL) << 12) |
    (bit(x86.SEGMENT_L) << 13) |
    (bit(x86.SEGMENT_DB) << 14) |
    (bit(x86.SEGMENT_G) << 15) |
    (bit(x86.SEGMENT_UNUSABLE) << 16)
  );
}

function writeAttributes(view: DataView, at: number, attributes: number): void {
  const present = (attributes >> 7) & 1;
  view.setUint8(at + x86.SEGMENT_TYPE, attributes & 15);
  view.setUint8(at + x86.SEGMENT_S, (attributes >> 4) & 1);
  view.setUint8(at + x86.SEGMENT_DPL, (attributes >> 5) & 3);
  view.setUint8(at + x86.SEGMENT_PRESENT, present);
  view.setUint8(at + x86.SEGMENT_AVL, (attributes >> 12) & 1);
  view.setUint8(at + x86.SEGMENT_L, (attributes >> 13) & 1);
  view.setUint8(at + x86.SEGMENT_DB, (attributes >> 14) & 1);
  view.setUint8(at + x86.SEGMENT_G, (attributes >> 15) & 1);
  view.setUint8(at + x86.SEGMENT_UNUSABLE, (attributes >> 16) & 1 || present === 0 ? 1 : 0);
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u64 = (view: DataView, at: number): bigint => view.getBigUint64(at, true);

export function readCpuRegisters(fd: VcpuFd): CpuRegisters {
  const out: CpuRegisters = {};
  const regs = viewOf(fd.getRegs());
  for (const [name, at] of IN_REGS) out[name] = u64(regs, at);
  readSregs(viewOf(fd.getSregs()), out);
  const debug = viewOf(fd.getDebugRegs());
  for (const [name, at] of IN_DEBUGREGS) out[name] = u64(debug, at);
  readFpu(viewOf(fd.getXsave()), out);
  out['kernel_gs_base'] = fd.getMsrs([STATE_MSRS.get('kernel_gs_base')!])[0]?.value ?? 0n;
  out['shadow'] = BigInt(shadowFromKvm(fd.getEvents()[x86.EVENTS_SHADOW]!));
  return out;
}

function readSregs(sregs: DataView, out: CpuRegisters): void {
  for (const [name, at] of IN_SREGS) out[name] = u64(sregs, at);
  for (const [name, at] of LIMITS) out[name] = BigInt(sregs.getUint16(at, true));
  for (const [name, at] of SEGMENTS) {
    out[name] = BigInt(sregs.getUint16(at + x86.SEGMENT_SELECTOR, true));
    out[`${name}_base`] = u64(sregs, at + x86.SEGMENT_BASE);
    out[`${name}_limit`] = BigInt(sregs.getUint32(at + x86.SEGMENT_LIMIT, true));
    out[`${name}_attr`] = BigInt(readAttributes(sregs, at));
  }
}

function readFpu(area: DataView, out: CpuRegisters): void {
  const status = area.getUint16(x86.XSAVE_FSW, true);
  out['fpu_cw'] = BigInt(area.getUint16(x86.XSAVE_FCW, true));
  out['fpu_sw'] = BigInt(status & ~0x3800);
  out['fpu_top'] = BigInt((status >> 11) & 7);
  out['mxcsr'] = BigInt(area.getUint32(x86.XSAVE_MXCSR, true));
  XMM_NAMES.forEach((name, n) => {
    const at = x86.XSAVE_XMM + 16 * n;
    out[name] = u64(area, at) | (u64(area, at + 8) << 64n);
  });
}

/** Writes those named; names that are none are ignored. */
export function writeCpuRegisters(fd: VcpuFd, values: Readonly<CpuRegisters>): void {
  const names = Object.keys(values);
  const touches = (known: { has(name: string): boolean }): boolean => names.some((name) => known.has(name));
  const isSreg = {
    has: (name: string) =>
      IN_SREGS.has(name) || LIMITS.has(name) || SEGMENTS.has(name.replace(/_(base|limit|attr)$/, '')),
  };
  if (touches(isSreg)) writeSregs(fd, values);
  if (touches(IN_REGS)) {
    const bytes = fd.getRegs();
    const view = viewOf(bytes);
    for (const [name, at] of IN_REGS)
      if (values[name] !== undefined) view.setBigUint64(at, values[name], true);
    fd.setRegs(bytes);
  }
  if (touches(IN_DEBUGREGS)) {
    const bytes = fd.getDebugRegs();
    const view = viewOf(bytes);
    for (const [name, at] of IN_DEBUGREGS)
      if (values[name] !== undefined) view.setBigUint64(at, values[name], true);
    fd.setDebugRegs(bytes);
  }
  if (touches(FPU_NAMES)) {
    const bytes = fd.getXsave();
    writeFpu(viewOf(bytes), values);
    fd.setXsave(bytes);
  }
  if (values['kernel_gs_base'] !== undefined)
    fd.setMsrs([{ index: STATE_MSRS.get('kernel_gs_base')!, value: values['kernel_gs_base'] }]);
  if (values['shadow'] !== undefined) {
    const events = fd.getEvents();
    events[x86.EVENTS_SHADOW] = shadowToKvm(Number(values['shadow']));
    viewOf(events).setUint32(x86.EVENTS_FLAGS, x86.EVENT_FLAG_SHADOW, true);
    fd.setEvents(events);
  }
}

/** 1 = STI, 2 = MOV SS in our state; the kernel numbers them the other way round. */
function shadowToKvm(shadow: number): number {
  return ((shadow & 1) !== 0 ? x86.SHADOW_STI : 0) | ((shadow & 2) !== 0 ? x86.SHADOW_MOV_SS : 0);
}

function shadowFromKvm(shadow: number): number {
  return ((shadow & x86.SHADOW_STI) !== 0 ? 1 : 0) | ((shadow & x86.SHADOW_MOV_SS) !== 0 ? 2 : 0);
}

function writeSregs(fd: VcpuFd, values: Readonly<CpuRegisters>): void {
  const bytes = fd.getSregs();
  const view = viewOf(bytes);
  for (const [name, at] of IN_SREGS)
    if (values[name] !== undefined) view.setBigUint64(at, values[name], true);
  for (const [name, at] of LIMITS)
    if (values[name] !== undefined) view.setUint16(at, Number(values[name] & 0xffffn), true);
  for (const [name, at] of SEGMENTS) {
    const base = values[`${name}_base`];
    const limit = values[`${name}_limit`];
    const attributes = values[`${name}_attr`];
    if (values[name] !== undefined)
      view.setUint16(at + x86.SEGMENT_SELECTOR, Number(values[name] & 0xffffn), true);
    if (base !== undefined) view.setBigUint64(at + x86.SEGMENT_BASE, base, true);
    if (limit !== undefined) view.setUint32(at + x86.SEGMENT_LIMIT, Number(limit & 0xffff_ffffn), true);
    if (attributes !== undefined) writeAttributes(view, at, Number(attributes));
  }
  // Interrupts that are being delivered belong to the events.
  bytes.fill(0, x86.SREGS_INTERRUPT_BITMAP, x86.SREGS_INTERRUPT_BITMAP + 32);
  fd.setSregs(bytes);
}

function writeFpu(area: DataView, values: Readonly<CpuRegisters>): void {
  const { fpu_cw: control, fpu_sw: status, fpu_top: top, mxcsr } = values;
  if (control !== undefined) area.setUint16(x86.XSAVE_FCW, Number(control), true);
  const old = area.getUint16(x86.XSAVE_FSW, true);
  const flags = status === undefined ? old & ~0x3800 : Number(status) & 0xc7ff;
  const newTop = top === undefined ? old & 0x3800 : (Number(top) & 7) << 11;
  area.setUint16(x86.XSAVE_FSW, flags | newTop, true);
  if (mxcsr !== undefined) area.setUint32(x86.XSAVE_MXCSR, Number(mxcsr), true);
  XMM_NAMES.forEach((name, n) => {
    const value = values[name];
    if (value === undefined) return;
    area.setBigUint64(x86.XSAVE_XMM + 16 * n, BigInt.asUintN(64, value), true);
    area.setBigUint64(x86.XSAVE_XMM + 16 * n + 8, BigInt.asUintN(64, value >> 64n), true);
  });
  setComponents(area, 3n);
}

/** Marks components of the XSAVE area as present (SDM Vol. 1 13.4.2): an absent one would load as its initial state. */
function setComponents(area: DataView, components: bigint): void {
  area.setBigUint64(x86.XSAVE_HEADER, u64(area, x86.XSAVE_HEADER) | components, true);
}

// ---- the rest of the state

const PKRU_COMPONENT = 0x200n;
const MSR_NAME = /^msr_([0-9a-f]+)$/;

/** The name under which an MSR that has no other one is saved. */
export function msrName(index: number): string {
  return `msr_${index.toString(16)}`;
}

/**
 * Everything else of the architectural state: MSRs of `STATE_MSRS`, `xcr0`, `fpr0`…`fpr7` (physical registers, 80 bits),
 * `pkru`, `msr_…` (by number), `fpu_tags` (bit n: physical register n is empty), `fpu_ip`, `fpu_dp`, `fpu_opcode`, `ymm0_hi`…, `nmi_blocked`, `nmi_pending`, and
 * `injected`: 256 + vector of an interrupt that was acknowledged and not yet delivered, else 0.
 */
export function readMoreState(fd: VcpuFd, extras: StateExtras): CpuRegisters {
  const out: CpuRegisters = {};
  for (const index of extras.msrs) {
    const [found] = fd.getMsrs([index]);
    if (found !== undefined) out[msrName(index)] = found.value;
  }
  for (const [name, index] of STATE_MSRS) {
    const [found] = fd.getMsrs([index]);
    if (found !== undefined) out[name] = found.value;
  }
  const xcr0 = fd.getXcr0();
  if (xcr0 !== undefined) out['xcr0'] = xcr0;
  const area = viewOf(fd.getXsave());
  const top = (area.getUint16(x86.XSAVE_FSW, true) >> 11) & 7;
  for (let n = 0; n < 8; n++) {
    const at = x86.XSAVE_ST + 16 * ((n - top) & 7);
    out[`fpr${n}`] = u64(area, at) | (BigInt(area.getUint16(at + 8, true)) << 64n);
  }
  out['fpu_tags'] = BigInt(~area.getUint8(x86.XSAVE_FTW) & 0xff);
  out['fpu_opcode'] = BigInt(area.getUint16(x86.XSAVE_FOP, true));
  out['fpu_ip'] = u64(area, x86.XSAVE_FIP);
  out['fpu_dp'] = u64(area, x86.XSAVE_FDP);
  const hasPkru = extras.pkruOffset !== 0 && (u64(area, x86.XSAVE_HEADER) & PKRU_COMPONENT) !== 0n;
  out['pkru'] = hasPkru ? BigInt(area.getUint32(extras.pkruOffset, true)) : 0n;
  const hasAvx = (u64(area, x86.XSAVE_HEADER) & 4n) !== 0n;
  for (let n = 0; n < 16; n++) {
    const at = x86.XSAVE_YMM_HI + 16 * n;
    out[`ymm${n}_hi`] = hasAvx ? u64(area, at) | (u64(area, at + 8) << 64n) : 0n;
  }
  const events = fd.getEvents();
  out['nmi_blocked'] = BigInt(events[x86.EVENTS_NMI_MASKED]!);
  out['nmi_pending'] = BigInt(events[x86.EVENTS_NMI_PENDING]! | events[x86.EVENTS_NMI_INJECTED]!);
  const isInterrupt =
    events[x86.EVENTS_INTERRUPT_INJECTED]! !== 0 && events[x86.EVENTS_INTERRUPT_SOFT]! === 0;
  out['injected'] = isInterrupt ? 256n + BigInt(events[x86.EVENTS_INTERRUPT_VECTOR]!) : 0n;
  return out;
}

/** After `writeCpuRegisters` with the rest of the same state. MSRs that this host does not have are left out. */
export function writeMoreState(fd: VcpuFd, values: Readonly<CpuRegisters>, extras: StateExtras): void {
  if (values['xcr0'] !== undefined && values['xcr0'] !== 0n && fd.getXcr0() !== undefined) {
    fd.setXcr0(values['xcr0']);
  }
  writeMoreFpu(fd, values, extras);
  for (const name of Object.keys(values)) {
    const [, digits] = MSR_NAME.exec(name) ?? [];
    if (digits !== undefined) tryMsr(fd, { index: Number.parseInt(digits, 16), value: values[name]! });
  }
  for (const [name, index] of STATE_MSRS) {
    const value = values[name];
    if (value !== undefined) tryMsr(fd, { index, value });
  }
  const events = new Uint8Array(x86.EVENTS_SIZE);
  const view = viewOf(events);
  events[x86.EVENTS_SHADOW] = shadowToKvm(Number(values['shadow'] ?? 0n));
  events[x86.EVENTS_NMI_MASKED] = Number(values['nmi_blocked'] ?? 0n) & 1;
  events[x86.EVENTS_NMI_PENDING] = Number(values['nmi_pending'] ?? 0n) & 1;
  const injected = Number(values['injected'] ?? 0n);
  if (injected >= 256) {
    events[x86.EVENTS_INTERRUPT_INJECTED] = 1;
    events[x86.EVENTS_INTERRUPT_VECTOR] = injected & 0xff;
  }
  view.setUint32(x86.EVENTS_FLAGS, x86.EVENT_FLAG_NMI_PENDING | x86.EVENT_FLAG_SHADOW, true);
  fd.setEvents(events);
}

function writeMoreFpu(fd: VcpuFd, values: Readonly<CpuRegisters>, extras: StateExtras): void {
  const bytes = fd.getXsave();
  const area = viewOf(bytes);
  const top = (area.getUint16(x86.XSAVE_FSW, true) >> 11) & 7;
  for (let n = 0; n < 8; n++) {
    const value = values[`fpr${n}`];
    if (value === undefined) continue;
    const at = x86.XSAVE_ST + 16 * ((n - top) & 7);
    area.setBigUint64(at, BigInt.asUintN(64, value), true);
    area.setUint16(at + 8, Number((value >> 64n) & 0xffffn), true);
  }
  if (values['fpu_tags'] !== undefined) area.setUint8(x86.XSAVE_FTW, ~Number(values['fpu_tags']) & 0xff);
  if (values['fpu_opcode'] !== undefined)
    area.setUint16(x86.XSAVE_FOP, Number(values['fpu_opcode'] & 0x7ffn), true);
  if (values['fpu_ip'] !== undefined) area.setBigUint64(x86.XSAVE_FIP, values['fpu_ip'], true);
  if (values['fpu_dp'] !== undefined) area.setBigUint64(x86.XSAVE_FDP, values['fpu_dp'], true);
  setComponents(area, 3n);
  if (extras.pkruOffset !== 0 && values['pkru'] !== undefined) {
    area.setUint32(extras.pkruOffset, Number(values['pkru']), true);
    setComponents(area, PKRU_COMPONENT);
  }
  if (((values['xcr0'] ?? 0n) & 4n) !== 0n && fd.getXcr0() !== undefined) {
    for (let n = 0; n < 16; n++) {
      const value = values[`ymm${n}_hi`] ?? 0n;
      area.setBigUint64(x86.XSAVE_YMM_HI + 16 * n, BigInt.asUintN(64, value), true);
      area.setBigUint64(x86.XSAVE_YMM_HI + 16 * n + 8, BigInt.asUintN(64, value >> 64n), true);
    }
    setComponents(area, 4n);
  }
  fd.setXsave(bytes);
}

function tryMsr(fd: VcpuFd, msr: MsrValue): boolean {
  return fd.setMsrs([msr]) === 1;
}

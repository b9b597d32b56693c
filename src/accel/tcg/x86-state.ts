import {
  CR0,
  CR2,
  CR3,
  CR4,
  CS,
  DR0,
  DR6,
  DR7,
  DS,
  EFER,
  ES,
  FS,
  GDT_BASE,
  GDT_LIMIT,
  GS,
  IDT_BASE,
  IDT_LIMIT,
  KERNEL_GS_BASE,
  LDTR,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RIP,
  RSI,
  RSP,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  SS,
  TR,
} from '../../runtime/x86/layout.ts';
import type { TcgVcpu } from './tcg-vcpu.ts';

/** Register names of the API, the monitor and the debugger, with their slots. RFLAGS is computed, see `readRegister`. */
export const X86_REGISTER_SLOTS: Readonly<Record<string, number>> = {
  rax: RAX,
  rcx: RCX,
  rdx: RDX,
  rbx: RBX,
  rsp: RSP,
  rbp: RBP,
  rsi: RSI,
  rdi: RDI,
  r8: 0x40,
  r9: 0x48,
  r10: 0x50,
  r11: 0x58,
  r12: 0x60,
  r13: 0x68,
  r14: 0x70,
  r15: 0x78,
  rip: RIP,
  cr0: CR0,
  cr2: CR2,
  cr3: CR3,
  cr4: CR4,
  efer: EFER,
  dr0: DR0,
  dr1: DR0 + 8,
  dr2: DR0 + 16,
  dr3: DR0 + 24,
  dr6: DR6,
  dr7: DR7,
  gdt_base: GDT_BASE,
  gdt_limit: GDT_LIMIT,
  idt_base: IDT_BASE,
  idt_limit: IDT_LIMIT,
  kernel_gs_base: KERNEL_GS_BASE,
};

const SEGMENTS = { es: ES, cs: CS, ss: SS, ds: DS, fs: FS, gs: GS, ldtr: LDTR, tr: TR } as const;
export type SegmentName = keyof typeof SEGMENTS;

/** A segment register with its cached descriptor; `attributes` = bits 8…23 of the descriptor's second doubleword, shifted down. */
export interface SegmentState {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

/** Slots whose change the block key or the soft TLB depends on. */
const CONTROL: ReadonlySet<string> = new Set(['cr0', 'cr3', 'cr4', 'efer', 'dr7']);

/** Undefined for a name that is none. */
export function readRegister(cpu: TcgVcpu, name: string): bigint | undefined {
  if (name === 'rflags' || name === 'eflags') return cpu.rflags;
  const slot = X86_REGISTER_SLOTS[name];
  if (slot !== undefined) return cpu.readSlot(slot);
  return name in SEGMENTS ? BigInt(readSegment(cpu, name as SegmentName).selector) : undefined;
}

/** False for a name that cannot be written. Segment registers are written by `writeSegment`. */
export function writeRegister(cpu: TcgVcpu, name: string, value: bigint): boolean {
  if (name === 'rflags' || name === 'eflags') {
    cpu.rflags = value;
    return true;
  }
  const slot = X86_REGISTER_SLOTS[name];
  if (slot === undefined) return false;
  cpu.writeSlot(slot, value);
  if (CONTROL.has(name)) {
    cpu.runtime.tlb_flush();
    cpu.runtime.update_hflags();
  }
  return true;
}

export function readSegment(cpu: TcgVcpu, name: SegmentName): SegmentState {
  const at = SEG + SEGMENTS[name] * SEG_STRIDE;
  return {
    selector: Number(cpu.readSlot(at + SEG_SELECTOR)),
    base: cpu.readSlot(at + SEG_BASE),
    limit: Number(cpu.readSlot(at + SEG_LIMIT)),
    attributes: Number(cpu.readSlot(at + SEG_ATTR)),
  };
}

export function writeSegment(cpu: TcgVcpu, name: SegmentName, state: SegmentState): void {
  const at = SEG + SEGMENTS[name] * SEG_STRIDE;
  cpu.writeSlot(at + SEG_SELECTOR, BigInt(state.selector));
  cpu.writeSlot(at + SEG_BASE, state.base);
  cpu.writeSlot(at + SEG_LIMIT, BigInt(state.limit >>> 0));
  cpu.writeSlot(at + SEG_ATTR, BigInt(state.attributes));
  cpu.runtime.update_hflags();
}

/** How a loader wants the processor to start: flat segments, interrupts off, registers not named 0. */
export interface FlatStart {
  readonly mode: 'protected32' | 'long64';
  readonly rip: number;
  readonly registers: Readonly<Record<string, number>>;
  readonly gdtBase: number;
  readonly gdtLimit: number;
  readonly codeSelector: number;
  readonly dataSelector: number;
  readonly cr3: number;
}

const ATTR_CODE64 = 0xa09b;
const ATTR_CODE32 = 0xc09b;
const ATTR_DATA = 0xc093;
const FLAT_LIMIT = 0xffff_ffff;
const CR0_PE_ET = 0x11n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME_LMA = 0x500n;

/** Sets the processor up after a reset. */
export function applyFlatStart(cpu: TcgVcpu, start: FlatStart): void {
  const long = start.mode === 'long64';
  cpu.writeSlot(CR0, long ? CR0_PE_ET | CR0_PG : CR0_PE_ET);
  cpu.writeSlot(CR4, long ? CR4_PAE : 0n);
  cpu.writeSlot(EFER, long ? EFER_LME_LMA : 0n);
  cpu.writeSlot(CR3, BigInt(start.cr3));
  cpu.writeSlot(GDT_BASE, BigInt(start.gdtBase));
  cpu.writeSlot(GDT_LIMIT, BigInt(start.gdtLimit));
  for (let r = RAX; r <= 0x78; r += 8) cpu.writeSlot(r, 0n);
  for (const [name, value] of Object.entries(start.registers))
    cpu.writeSlot(X86_REGISTER_SLOTS[name]!, BigInt(value));
  cpu.writeSlot(RIP, BigInt(start.rip));
  const flat = { base: 0n, limit: FLAT_LIMIT };
  writeSegment(cpu, 'cs', {
    ...flat,
    selector: start.codeSelector,
    attributes: long ? ATTR_CODE64 : ATTR_CODE32,
  });
  for (const name of ['ds', 'es', 'ss', 'fs', 'gs'] as const) {
    writeSegment(cpu, name, { ...flat, selector: start.dataSelector, attributes: ATTR_DATA });
  }
  cpu.rflags = 2n;
  cpu.runtime.tlb_flush();
  cpu.runtime.update_hflags();
}

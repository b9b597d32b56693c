/** Registers by name over the slots of a register file in wasm memory. */
import * as r from '../../runtime/x86/layout.ts';
import type { CpuRegisters } from '../accelerator.ts';

/** What this file needs of a vCPU. */
export interface RegisterFile {
  readSlot(offset: number): bigint;
  writeSlot(offset: number, value: bigint): void;
  readonly runtime: {
    get_rflags(): bigint;
    set_rflags(value: bigint): void;
    update_hflags(): void;
    tlb_flush(): void;
  };
}

const GPR_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];
const XMM_REGISTERS = 16;
const MASK64 = (1n << 64n) - 1n;

/** Slots that are read and written as they are. */
const PLAIN: ReadonlyMap<string, number> = new Map([
  ...GPR_NAMES.map((name, n) => [name, r.RAX + 8 * n] as const),
  ...Array.from({ length: 8 }, (_, n) => [`r${n + 8}`, r.R8 + 8 * n] as const),
  ['rip', r.RIP],
  ['cr0', r.CR0],
  ['cr2', r.CR2],
  ['cr3', r.CR3],
  ['cr4', r.CR4],
  ['efer', r.EFER],
  ['gdt_base', r.GDT_BASE],
  ['gdt_limit', r.GDT_LIMIT],
  ['idt_base', r.IDT_BASE],
  ['idt_limit', r.IDT_LIMIT],
  ['kernel_gs_base', r.KERNEL_GS_BASE],
  ['dr0', r.DR0],
  ['dr1', r.DR0 + 8],
  ['dr2', r.DR0 + 16],
  ['dr3', r.DR0 + 24],
  ['dr6', r.DR6],
  ['dr7', r.DR7],
  ['mxcsr', r.MXCSR],
  ['fpu_cw', r.FPU_CW],
  ['fpu_sw', r.FPU_SW],
  ['fpu_top', r.FPU_TOP],
  ['shadow', r.SHADOW],
  ...SEGMENT_NAMES.flatMap((name, n) => {
    const at = r.SEG + n * r.SEG_STRIDE;
    return [
      [name, at + r.SEG_SELECTOR] as const,
      [`${name}_base`, at + r.SEG_BASE] as const,
      [`${name}_limit`, at + r.SEG_LIMIT] as const,
      [`${name}_attr`, at + r.SEG_ATTR] as const,
    ];
  }),
]);

/** Whether translations of addresses depend on it. */
const NEEDS_FLUSH: ReadonlySet<string> = new Set(['cr0', 'cr3', 'cr4', 'efer', 'dr7']);

export function readCpuRegisters(cpu: RegisterFile): CpuRegisters {
  const out: CpuRegisters = {};
  for (const [name, slot] of PLAIN) out[name] = cpu.readSlot(slot);
  out['rflags'] = cpu.runtime.get_rflags() & MASK64;
  for (let n = 0; n < XMM_REGISTERS; n++) {
    const at = r.XMM + 16 * n;
    out[`xmm${n}`] = cpu.readSlot(at) | (cpu.readSlot(at + 8) << 64n);
  }
  return out;
}

/** Names that are none are ignored. */
export function writeCpuRegisters(cpu: RegisterFile, values: Readonly<CpuRegisters>): void {
  let flush = false;
  for (const [name, value] of Object.entries(values)) {
    const slot = PLAIN.get(name);
    if (slot !== undefined) cpu.writeSlot(slot, value & MASK64);
    else if (name.startsWith('xmm')) writeXmm(cpu, Number(name.slice(3)), value);
    flush ||= NEEDS_FLUSH.has(name);
  }
  const rflags = values['rflags'];
  if (rflags !== undefined) cpu.runtime.set_rflags(BigInt.asIntN(64, rflags));
  cpu.runtime.update_hflags();
  if (flush) cpu.runtime.tlb_flush();
}

function writeXmm(cpu: RegisterFile, n: number, value: bigint): void {
  if (!(n >= 0 && n < XMM_REGISTERS)) return;
  cpu.writeSlot(r.XMM + 16 * n, value & MASK64);
  cpu.writeSlot(r.XMM + 16 * n + 8, (value >> 64n) & MASK64);
}

/** The x86 register file for people and programs: names, the monitor's `info registers`, the state at a kernel's entry. */
import type { InitialCpuState } from '../machine/boot/boot.ts';
import * as r from '../runtime/x86/layout.ts';
import { UserError } from '../util/errors.ts';

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

const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];
const MASK64 = (1n << 64n) - 1n;

/** Slots that are read and written as they are. */
const PLAIN: ReadonlyMap<string, number> = new Map([
  ...GPR_NAMES.map((name, n) => [name, r.RAX + 8 * n] as const),
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
  ...SEGMENT_NAMES.flatMap((name, n) => [
    [name, r.SEG + n * r.SEG_STRIDE + r.SEG_SELECTOR] as const,
    [`${name}_base`, r.SEG + n * r.SEG_STRIDE + r.SEG_BASE] as const,
    [`${name}_limit`, r.SEG + n * r.SEG_STRIDE + r.SEG_LIMIT] as const,
  ]),
]);
/** Changing these changes how code runs or how addresses translate. */
const READ_ONLY = new Set(SEGMENT_NAMES);
const NEEDS_FLUSH = new Set(['cr0', 'cr3', 'cr4', 'efer']);

/** All registers by name. */
export function readRegisters(cpu: RegisterFile): Record<string, bigint> {
  const out: Record<string, bigint> = {};
  for (const [name, slot] of PLAIN) out[name] = cpu.readSlot(slot);
  out['rflags'] = cpu.runtime.get_rflags() & MASK64;
  for (let n = 0; n < 16; n++) {
    const at = r.XMM + 16 * n;
    out[`xmm${n}`] = cpu.readSlot(at) | (cpu.readSlot(at + 8) << 64n);
  }
  return out;
}

/** `UserError` for an unknown or read-only name. */
export function writeRegister(cpu: RegisterFile, name: string, value: bigint): void {
  const xmm = /^xmm(\d|1[0-5])$/.exec(name);
  if (name === 'rflags') cpu.runtime.set_rflags(BigInt.asIntN(64, value));
  else if (xmm !== null) {
    const at = r.XMM + 16 * Number(xmm[1]);
    cpu.writeSlot(at, value & MASK64);
    cpu.writeSlot(at + 8, (value >> 64n) & MASK64);
  } else {
    const slot = PLAIN.get(name);
    if (slot === undefined) throw new UserError('UnknownRegister', `no register "${name}"`);
    if (READ_ONLY.has(name))
      throw new UserError('ReadOnlyRegister', `register "${name}" cannot be written from outside`);
    cpu.writeSlot(slot, value & MASK64);
  }
  cpu.runtime.update_hflags();
  if (NEEDS_FLUSH.has(name)) cpu.runtime.tlb_flush();
}

// Segment attributes as SEG_ATTR holds them: descriptor bits 8…23 shifted down by 8.
const ATTR_CODE32 = 0xc09b;
const ATTR_CODE64 = 0xa09b;
const ATTR_DATA = 0xc093;
const ATTR_TSS_BUSY = 0x8b;
const TSS_LIMIT = 0x67;
const CR0_PE_ET = 0x11n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME_LMA = 0x500n;
const FLAT_LIMIT = 0xffff_ffffn;

/** Puts a CPU that has just been reset into the state a boot protocol asks for. */
export function applyInitialState(cpu: RegisterFile, state: InitialCpuState): void {
  const long = state.mode === 'long64';
  for (let n = 0; n < 16; n++) cpu.writeSlot(r.RAX + 8 * n, 0n);
  for (const [name, value] of Object.entries(state.registers)) cpu.writeSlot(PLAIN.get(name)!, BigInt(value));
  const setSegment = (n: number, selector: number, limit: bigint, attributes: number): void => {
    const at = r.SEG + n * r.SEG_STRIDE;
    cpu.writeSlot(at + r.SEG_SELECTOR, BigInt(selector));
    cpu.writeSlot(at + r.SEG_BASE, 0n);
    cpu.writeSlot(at + r.SEG_LIMIT, limit);
    cpu.writeSlot(at + r.SEG_ATTR, BigInt(attributes));
  };
  for (const n of [r.ES, r.SS, r.DS, r.FS, r.GS]) setSegment(n, state.dataSelector, FLAT_LIMIT, ATTR_DATA);
  setSegment(r.CS, state.codeSelector, FLAT_LIMIT, long ? ATTR_CODE64 : ATTR_CODE32);
  setSegment(r.TR, 0, BigInt(TSS_LIMIT), ATTR_TSS_BUSY);
  cpu.writeSlot(r.GDT_BASE, BigInt(state.gdtBase));
  cpu.writeSlot(r.GDT_LIMIT, BigInt(state.gdtLimit));
  cpu.writeSlot(r.IDT_BASE, 0n);
  cpu.writeSlot(r.IDT_LIMIT, 0n);
  cpu.writeSlot(r.CR0, CR0_PE_ET | (long ? CR0_PG : 0n));
  cpu.writeSlot(r.CR3, BigInt(state.cr3));
  cpu.writeSlot(r.CR4, long ? CR4_PAE : 0n);
  cpu.writeSlot(r.EFER, long ? EFER_LME_LMA : 0n);
  cpu.writeSlot(r.RIP, BigInt(state.rip));
  cpu.runtime.set_rflags(2n);
  cpu.runtime.update_hflags();
  cpu.runtime.tlb_flush();
}

const hex = (value: bigint, digits: number): string => value.toString(16).padStart(digits, '0');

/** Descriptor types as the monitor abbreviates them (SDM Vol. 3A tables 3-1, 3-2). */
function segmentKind(attributes: number): string {
  if ((attributes & 0x10) === 0) return (attributes & 0xf) === 2 ? 'LDT' : 'TSS';
  if ((attributes & 8) !== 0)
    return (attributes & 0x2000) !== 0 ? 'CS64' : (attributes & 0x4000) !== 0 ? 'CS32' : 'CS16';
  return (attributes & 0x4000) !== 0 ? 'DS  ' : 'DS16';
}

/** The text of `info registers`, laid out as users of QEMU know it. */
export function formatRegisters(cpu: RegisterFile): string {
  const regs = readRegisters(cpu);
  const is64 = (regs['efer']! & 0x400n) !== 0n;
  const width = is64 ? 16 : 8;
  const mask = is64 ? MASK64 : 0xffff_ffffn;
  const get = (name: string): string => hex(regs[name]! & mask, width);
  const label = (name: string): string =>
    (is64 ? name.toUpperCase() : name.replace(/^r/, 'e').toUpperCase()).padEnd(3);
  const order = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', ...(is64 ? GPR_NAMES.slice(8) : [])];
  const lines: string[] = [];
  for (let i = 0; i < order.length; i += 4) {
    lines.push(
      order
        .slice(i, i + 4)
        .map((name) => `${label(name)}=${get(name)}`)
        .join(' '),
    );
  }
  const cpl = cpu.readSlot(r.HFLAGS) & 3n;
  const halted = cpu.readSlot(r.HALTED) !== 0n ? 1 : 0;
  const a20 = (cpu.readSlot(r.A20_MASK) >> 20n) & 1n;
  lines.push(
    `${label('rip')}=${get('rip')} ${is64 ? 'RFL' : 'EFL'}=${hex(regs['rflags']!, 8)} [${flagLetters(regs['rflags']!)}] ` +
      `CPL=${cpl} II=${cpu.readSlot(r.SHADOW) !== 0n ? 1 : 0} A20=${a20} SMM=0 HLT=${halted}`,
  );
  SEGMENT_NAMES.forEach((name, n) => lines.push(segmentLine(cpu, name, n, width)));
  for (const table of ['gdt', 'idt']) {
    lines.push(`${table.toUpperCase()}=     ${get(`${table}_base`)} ${hex(regs[`${table}_limit`]!, 8)}`);
  }
  lines.push(`CR0=${hex(regs['cr0']!, 8)} CR2=${get('cr2')} CR3=${get('cr3')} CR4=${hex(regs['cr4']!, 8)}`);
  lines.push([0, 1, 2, 3].map((n) => `DR${n}=${get(`dr${n}`)}`).join(' '));
  lines.push(`DR6=${get('dr6')} DR7=${get('dr7')}`);
  lines.push(`EFER=${hex(regs['efer']!, 16)}`);
  lines.push(
    `FCW=${hex(cpu.readSlot(r.FPU_CW), 4)} FSW=${hex(cpu.readSlot(r.FPU_SW), 4)} [ST=${cpu.readSlot(r.FPU_TOP)}] MXCSR=${hex(regs['mxcsr']!, 8)}`,
  );
  for (let n = 0; n < (is64 ? 16 : 8); n += 2) {
    const xmm = (i: number): string => `XMM${String(i).padStart(2, '0')}=${hex(regs[`xmm${i}`]!, 32)}`;
    lines.push(`${xmm(n)} ${xmm(n + 1)}`);
  }
  return lines.join('\n');
}

function segmentLine(cpu: RegisterFile, name: string, n: number, width: number): string {
  const at = r.SEG + n * r.SEG_STRIDE;
  const attributes = Number(cpu.readSlot(at + r.SEG_ATTR));
  const selector = hex(cpu.readSlot(at + r.SEG_SELECTOR), 4);
  const base = hex(cpu.readSlot(at + r.SEG_BASE), width);
  const limit = hex(cpu.readSlot(at + r.SEG_LIMIT), 8);
  const flags = hex(BigInt((attributes & 0xf0ff) << 8), 8);
  const label = (n === r.LDTR ? 'LDT' : name.toUpperCase()).padEnd(3);
  return `${label}=${selector} ${base} ${limit} ${flags} DPL=${(attributes >> 5) & 3} ${segmentKind(attributes)}`;
}

function flagLetters(rflags: bigint): string {
  const letters: ReadonlyArray<readonly [string, number]> = [
    ['D', 10],
    ['O', 11],
    ['S', 7],
    ['Z', 6],
    ['A', 4],
    ['P', 2],
    ['C', 0],
  ];
  return letters.map(([letter, bit]) => (((rflags >> BigInt(bit)) & 1n) === 1n ? letter : '-')).join('');
}

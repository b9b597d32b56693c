/** The x86 register file for people and programs: names, the monitor's `info registers`, the state at a kernel's entry. */
import type { CpuRegisters, Vcpu } from '../accel/accelerator.ts';
import type { InitialCpuState } from '../machine/boot/boot.ts';
import { HF_CS32, HF_CS64, HF_LMA, HF_PE } from '../runtime/x86/layout.ts';
import { UserError } from '../util/errors.ts';

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

/** Changing these changes how code runs. */
const READ_ONLY = new Set(SEGMENT_NAMES);

/** `UserError` for an unknown or read-only name. */
export function writeRegister(cpu: Vcpu, name: string, value: bigint): void {
  if (!Object.hasOwn(cpu.readRegisters(), name))
    throw new UserError('UnknownRegister', `no register "${name}"`);
  if (READ_ONLY.has(name))
    throw new UserError('ReadOnlyRegister', `register "${name}" cannot be written from outside`);
  cpu.writeRegisters({ [name]: value });
}

// Segment attributes as SEG_ATTR holds them: descriptor bits 8…23 shifted down by 8.
const ATTR_L = 0x2000;
const ATTR_DB = 0x4000;
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
export function applyInitialState(cpu: Vcpu, state: InitialCpuState): void {
  const long = state.mode === 'long64';
  const values: CpuRegisters = {};
  for (const name of GPR_NAMES) values[name] = 0n;
  for (const [name, value] of Object.entries(state.registers)) values[name] = BigInt(value);
  const setSegment = (name: string, selector: number, limit: bigint, attributes: number): void => {
    values[name] = BigInt(selector);
    values[`${name}_base`] = 0n;
    values[`${name}_limit`] = limit;
    values[`${name}_attr`] = BigInt(attributes);
  };
  for (const name of ['es', 'ss', 'ds', 'fs', 'gs'])
    setSegment(name, state.dataSelector, FLAT_LIMIT, ATTR_DATA);
  setSegment('cs', state.codeSelector, FLAT_LIMIT, long ? ATTR_CODE64 : ATTR_CODE32);
  setSegment('tr', 0, BigInt(TSS_LIMIT), ATTR_TSS_BUSY);
  values['gdt_base'] = BigInt(state.gdtBase);
  values['gdt_limit'] = BigInt(state.gdtLimit);
  values['idt_base'] = 0n;
  values['idt_limit'] = 0n;
  values['cr0'] = CR0_PE_ET | (long ? CR0_PG : 0n);
  values['cr3'] = BigInt(state.cr3);
  values['cr4'] = long ? CR4_PAE : 0n;
  values['efer'] = long ? EFER_LME_LMA : 0n;
  values['rip'] = BigInt(state.rip);
  values['rflags'] = 2n;
  cpu.writeRegisters(values);
}

/** Mode bits of a CPU's present code, as the disassembler takes them. */
export function codeFlags(regs: CpuRegisters): number {
  const attributes = Number(regs['cs_attr']!);
  const long = (regs['efer']! & 0x400n) !== 0n;
  return (
    (long ? HF_LMA : 0) |
    ((regs['cr0']! & 1n) !== 0n ? HF_PE : 0) |
    (long && (attributes & ATTR_L) !== 0 ? HF_CS64 : 0) |
    ((attributes & ATTR_DB) !== 0 ? HF_CS32 : 0)
  );
}

/** The current privilege level: the DPL of SS, 3 in virtual-8086 mode (SDM Vol. 3A 5.5). */
function privilege(regs: CpuRegisters): number {
  if ((regs['cr0']! & 1n) === 0n) return 0;
  return (regs['rflags']! & 0x20000n) !== 0n ? 3 : Number((regs['ss_attr']! >> 5n) & 3n);
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
export function formatRegisters(cpu: Vcpu, a20: boolean): string {
  const regs = cpu.readRegisters();
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
  lines.push(
    `${label('rip')}=${get('rip')} ${is64 ? 'RFL' : 'EFL'}=${hex(regs['rflags']!, 8)} [${flagLetters(regs['rflags']!)}] ` +
      `CPL=${privilege(regs)} II=${regs['shadow'] !== 0n ? 1 : 0} A20=${a20 ? 1 : 0} SMM=0 HLT=${cpu.halted ? 1 : 0}`,
  );
  for (const name of SEGMENT_NAMES) lines.push(segmentLine(regs, name, width));
  for (const table of ['gdt', 'idt']) {
    lines.push(`${table.toUpperCase()}=     ${get(`${table}_base`)} ${hex(regs[`${table}_limit`]!, 8)}`);
  }
  lines.push(`CR0=${hex(regs['cr0']!, 8)} CR2=${get('cr2')} CR3=${get('cr3')} CR4=${hex(regs['cr4']!, 8)}`);
  lines.push([0, 1, 2, 3].map((n) => `DR${n}=${get(`dr${n}`)}`).join(' '));
  lines.push(`DR6=${get('dr6')} DR7=${get('dr7')}`);
  lines.push(`EFER=${hex(regs['efer']!, 16)}`);
  lines.push(
    `FCW=${hex(regs['fpu_cw']!, 4)} FSW=${hex(regs['fpu_sw']!, 4)} [ST=${regs['fpu_top']}] MXCSR=${hex(regs['mxcsr']!, 8)}`,
  );
  for (let n = 0; n < (is64 ? 16 : 8); n += 2) {
    const xmm = (i: number): string => `XMM${String(i).padStart(2, '0')}=${hex(regs[`xmm${i}`]!, 32)}`;
    lines.push(`${xmm(n)} ${xmm(n + 1)}`);
  }
  return lines.join('\n');
}

function segmentLine(regs: CpuRegisters, name: string, width: number): string {
  const attributes = Number(regs[`${name}_attr`]);
  const selector = hex(regs[name]!, 4);
  const base = hex(regs[`${name}_base`]!, width);
  const limit = hex(regs[`${name}_limit`]!, 8);
  const flags = hex(BigInt((attributes & 0xf0ff) << 8), 8);
  const label = (name === 'ldtr' ? 'LDT' : name.toUpperCase()).padEnd(3);
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

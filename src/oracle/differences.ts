import type { InsnRow } from '../target/x86/insn-row.ts';
import { I_CR2, I_FSW, I_GPR, I_ST, I_VECTOR, I_XMM, I_YMM_HI, NO_VECTOR } from './image.ts';
import type { OracleCase } from './oracle-case.ts';

// Where the host's processor may differ from the translator and both are right. Everything here appears in docs/conformance.md.

/** Rows whose effect in user mode is not the processor's: an operating system or chance has its hand in it. */
export const NOT_COMPARABLE: readonly { readonly names: RegExp; readonly reason: string }[] = [
  { names: /^cpuid$/, reason: 'answers what the model is' },
  { names: /^(rdtsc|rdtscp|rdpmc)$/, reason: 'reads a clock' },
  { names: /^(rdrand|rdseed)$/, reason: 'returns random numbers' },
  { names: /^rdpid$/, reason: 'returns the number of the processor it happens to run on' },
  { names: /^(syscall|sysenter)$/, reason: 'calls the host system' },
  { names: /^(sgdt|sidt|sldt|str|smsw)$/, reason: 'the host system sets UMIP and answers in its place' },
  { names: /^vmm?call$/, reason: 'calls the hypervisor of the host' },
  {
    names: /^int1$/,
    reason: 'the hypervisor of the recording host reports the address of the instruction itself',
  },
];

/** Why a row cannot be compared with the host's processor in user mode, undefined if it can. */
export function notComparable(row: InsnRow): string | undefined {
  return NOT_COMPARABLE.find(({ names }) => names.test(row.name))?.reason;
}

interface Difference {
  readonly id: string;
  readonly text: string;
  /** True if this encoding shows it. */
  readonly when: (c: OracleCase) => boolean;
}

const hasPrefix = (c: OracleCase, byte: string): boolean =>
  new RegExp(`^(?:26|2e|36|3e|64|65|66|67|f0|f2|f3)*${byte}`).test(c.code) && c.code.includes(byte);

/** Encodings on which vendors differ: not compared. The translator does what Intel documents, unless the text says otherwise. */
export const VENDOR: readonly Difference[] = [
  {
    id: 'near-branch-66',
    text: 'A near branch with operand-size prefix in 64-bit mode: AMD truncates RIP to 16 bits, Intel ignores the prefix.',
    when: (c) =>
      c.bits === 64 && hasPrefix(c, '66') && (/ J[bz]$/.test(c.row) || /^(ret|call|jmp)$/.test(c.name)),
  },
  {
    id: 'loop-rep',
    text: 'LOOPE and LOOPNE with a REP prefix: AMD takes the condition from the prefix, Intel ignores it.',
    when: (c) => /^loopn?e$/.test(c.name) && (hasPrefix(c, 'f2') || hasPrefix(c, 'f3')),
  },
  {
    id: 'lock-mov-cr0',
    text: 'LOCK MOV CR0 names CR8 on AMD (#GP at CPL 3) and is undefined on Intel.',
    when: (c) => / Rn,Cn$| Cn,Rn$/.test(c.row) && hasPrefix(c, 'f0'),
  },
  {
    id: 'far-pointer-64',
    text: 'Far pointers of 80 bits (REX.W with LSS, LFS, LGS, CALL, JMP m16:64) exist on Intel only.',
    when: (c) => c.size === 8 && / Mp$|Gv,Mp$/.test(c.row),
  },
  {
    id: 'prefetch-register',
    text: '0F 0D with a register operand: undefined on AMD, no operation on Intel.',
    when: (c) => c.name === 'prefetch' && c.ea === undefined,
  },
  {
    id: 'lock-verw',
    text: 'AMD ignores LOCK before VERW with a memory operand; Intel raises #UD.',
    when: (c) => c.name === 'verw' && hasPrefix(c, 'f0'),
  },
  {
    id: 'cvtpi2ps-memory',
    text: 'CVTPI2PS with a memory operand: switches to MMX on Intel (SDM Vol. 2A), does not on AMD.',
    when: (c) => c.name === 'cvtpi2ps' && c.ea !== undefined,
  },
  {
    id: 'vpinsrq-32',
    text: 'VPINSRD with VEX.W set outside 64-bit mode: undefined on AMD, W is ignored on Intel.',
    when: (c) =>
      c.bits === 32 && /^vpinsr[dq]$/.test(c.name) && /^(67|64|65|2e|26|36|3e)*c4..[89a-f]/.test(c.code),
  },
  {
    id: 'sysexit',
    text: 'SYSEXIT in long mode at CPL 3: #GP on Intel, #UD on AMD without the legacy instruction; the recording host raises #GP.',
    when: (c) => c.name === 'sysexit',
  },
];

/** What the translator is known to do differently from every processor. */
export const DEVIATIONS: readonly string[] = [];

/** The vendor difference that an encoding shows. */
export function vendorDifference(c: OracleCase): Difference | undefined {
  return VENDOR.find((d) => d.when(c));
}

/** Estimates: only bounds on the relative error are defined (SDM Vol. 2B RCPPS, RSQRTPS: 1.5 × 2^-12). */
export const APPROXIMATE = /^v?(rcp|rsqrt)[ps]s$/;

const C0 = 0x100;
const C1 = 0x200;
const C2 = 0x400;
const C3 = 0x4000;

/** x87 condition codes that the manuals leave undefined or on which they differ. Name, condition codes, explanation. */
export const X87_CODES: readonly { readonly names: RegExp; readonly mask: number; readonly text: string }[] =
  [
    {
      names: /^f(u?comi?p?p?|icomp?|tst)$/,
      mask: C1,
      text: 'C1 after comparisons: cleared on Intel, AMD leaves it except on a stack fault.',
    },
    {
      names: /^(f2xm1|fyl2x|fyl2xp1|fptan|fpatan|fsin|fcos|fsincos)$/,
      mask: C1,
      text: 'C1 after transcendental instructions tells how an internal result was rounded, which differs between processors.',
    },
    {
      names: /^(ffreep?|fincstp|fdecstp|fldcw|fnstcw|fnstenv)$/,
      mask: C0 | C1 | C2 | C3,
      text: 'Condition codes that the instruction leaves undefined.',
    },
  ];

const COMPARISON = /^f(u?com|icom|tst)/;
/** Instructions of several accesses: which comes first is not defined. */
const ANY_ORDER = /^(fldenv|fnstenv|frstor|fnsave|fxsave|fxrstor|xsave|xrstor|cmps)/;
/** Here the page that CR2 names is defined, but not which of its bytes. */
const SEVERAL_ACCESSES =
  /^(v?maskmov|vp?maskmov|enter|pusha|popa|popad|pushad|v?p?gather|bound|cmpxchg16b|les|lds|lss|lfs|lgs|call|jmp|ret|iret|movs)/;

/** Clears in a final state what the table above names. */
export function maskDifferences(c: OracleCase, view: DataView): void {
  const status = view.getUint16(I_FSW, true);
  let mask = 0;
  for (const codes of X87_CODES) if (codes.names.test(c.name)) mask |= codes.mask;
  // SDM: not set when #IA is unmasked; AMD sets them
  if (COMPARISON.test(c.name) && (status & 0x81) === 0x81) mask |= C0 | C2 | C3;
  view.setUint16(I_FSW, status & ~mask, true);
  // a gather that faults: AMD has not yet spread the signs of the mask elements
  if (/gather/.test(c.name) && view.getUint32(I_VECTOR, true) !== NO_VECTOR) {
    for (let at = 0; at < 256; at += 4) {
      view.setUint32(I_XMM + at, 0, true);
      view.setUint32(I_YMM_HI + at, 0, true);
    }
  }
  if (ANY_ORDER.test(c.name)) view.setBigUint64(I_CR2, 0n, true);
  if (view.getUint32(I_VECTOR, true) === 14 && SEVERAL_ACCESSES.test(c.name))
    view.setUint32(I_CR2, view.getUint32(I_CR2, true) & ~0xfff, true);
}

/** x87 functions: results may be off by a unit in the last place (SDM Vol. 1 8.3.10). */
const TRANSCENDENTAL = /^(f2xm1|fyl2x|fyl2xp1|fptan|fpatan|fsin|fcos|fsincos)$/;

/** Takes over from `want` what is off by one unit in the last place where that is allowed. */
export function forgiveRounding(c: OracleCase, want: Uint8Array, got: Uint8Array): void {
  if (!TRANSCENDENTAL.test(c.name)) return;
  const a = new DataView(want.buffer, want.byteOffset);
  const b = new DataView(got.buffer, got.byteOffset);
  for (let at = I_ST; at < I_ST + 128; at += 16) {
    const difference = a.getBigUint64(at, true) - b.getBigUint64(at, true);
    if (a.getUint16(at + 8, true) !== b.getUint16(at + 8, true)) continue;
    if (difference === 1n || difference === -1n) b.setBigUint64(at, a.getBigUint64(at, true), true);
  }
}

/** States on which vendors differ or whose result is undefined: not compared. */
export function skipsInput(c: OracleCase, input: DataView, target: number): boolean {
  // AMD does not ask for aligned operands (AMD64 APM Vol. 4), Intel does (SDM Vol. 2B SHA1MSG1: exceptions type 4)
  if (/^sha\d/.test(c.name) && c.ea !== undefined && (target % 16 !== 0 || c.ea.addressSize === 2))
    return true;
  // outside the ranges for which the functions are defined (SDM Vol. 2A F2XM1, FYL2XP1)
  const exponent = input.getUint16(I_ST + 8, true) & 0x7fff;
  if (c.name === 'f2xm1' && exponent >= 0x3fff) return true;
  if (c.name === 'fyl2xp1' && exponent >= 0x3ffd) return true;
  // AMD checks the right to use the port even when REP finds a count of zero
  if (c.rep && /^(ins|outs)$/.test(c.name)) {
    const short = c.code.includes('67');
    const low = short && c.bits === 32 ? input.getUint16(I_GPR + 8, true) : input.getUint32(I_GPR + 8, true);
    return low === 0;
  }
  return false;
}

/** An instruction that faults after some of its pushes: what lies below the stack pointer is not defined. */
export function maskPushes(c: OracleCase, data: Uint8Array, vector: number): void {
  if (vector === 14 && /^(enter|pusha|pushad)$/.test(c.name)) data.fill(0);
}

/** Clears in a stored x87 environment or state image what AMD saves only while an exception is pending, and the MXCSR mask. */
export function maskStoredState(c: OracleCase, data: Uint8Array, offset: number, pending: boolean): void {
  const clear = (from: number, to: number): void => {
    if (offset + from >= 0 && offset + to <= data.length) data.fill(0, offset + from, offset + to);
  };
  if (/^(fxsave|xsave)/.test(c.name)) {
    if (!pending) clear(6, 24);
    else {
      clear(12, 16);
      clear(20, 24);
    }
    clear(28, 32);
    if (/^xsave/.test(c.name)) clear(464, 512);
  } else if (/^fn(stenv|save)$/.test(c.name)) {
    if (c.size === 2) clear(6, 14);
    else clear(12, 28);
  }
}

import type { FeatureSet } from '../target/x86/features.ts';
import { ARITHMETIC_FLAGS, flagsRead, undefinedAfter } from './flag-effects.ts';
import { type Item, without } from './fuzz-items.ts';
import { randomSpecial } from './fuzz-special.ts';
import { allRows, casesOf, type LabelledRow, whyNot } from './generate.ts';
import type { Bits } from './image.ts';
import type { OracleCase } from './oracle-case.ts';
import type { Random } from './random.ts';
import { isComparable } from './session.ts';

// Random programs: instructions from the tables that keep to reserved pointer registers, with branches, loops and stores into code.

/** RBX, RSI and RDI point into the data window, RSP to the stack; RBP counts loops. */
export const POINTERS: readonly number[] = [3, 6, 7];
const RESERVED: ReadonlySet<number> = new Set([3, 4, 5, 6, 7]);

/** Mnemonics, or their beginnings, whose operands, effects or results do not suit a sequence. */
const EXCLUDED_BEGINNINGS =
  /^(call|jmp|loop|jcxz|ret|iret|int\d?$|into|sys|hlt|popf|pusha|popa|enter|leave|bound|in$|out$|ins$|outs$|fxrstor|xrstor|fnstenv|fnsave|fxsave|xsave|fnstsw|ldmxcsr|f2xm1|fyl2x|fptan|fpatan|fsin|fcos|maskmov|vmaskmovdqu|xlatb|ud\d|verr|verw|rdfsbase|rdgsbase|wrfsbase|wrgsbase|xgetbv|clflush|clwb|prefetch|cpuid|monitor|mwait|inv|vgather|vpgather|cmpxchg16b)/;
const EXCLUDED = /^(j|les|lds|lss|lfs|lgs|lar|lsl|sti|cli|std|movs|cmps|stos|lods|scas)$/;
/** Two-operand forms with a segment register, control register or implied stack pointer that is loaded. */
const EXCLUDED_ROWS = /Sw|[CDEFGS]S$|Cn|Dn| 8f\/0| 58 /;

export interface Program {
  readonly bits: Bits;
  /** Offset of the first byte in the code pages. */
  readonly offset: number;
  readonly items: readonly Item[];
}

const CONDITION_FLAGS = [0x800, 0x1, 0x40, 0x41, 0x80, 0x4, 0x880, 0x8c0];

const isExcluded = (name: string): boolean =>
  EXCLUDED.test(name) || name.split('|').some((each) => EXCLUDED_BEGINNINGS.test(each));

/** Instructions that suit sequences, by mode. */
export class Pool {
  private readonly rows: readonly LabelledRow[];
  private readonly cases: Readonly<Record<Bits, OracleCase[]>> = { 32: [], 64: [] };
  private readonly byRow: Readonly<Record<Bits, Map<string, OracleCase[]>>> = {
    32: new Map(),
    64: new Map(),
  };

  constructor(host: FeatureSet) {
    this.rows = allRows().filter(
      (r) => whyNot(r, host) === undefined && !isExcluded(r.row.name) && !EXCLUDED_ROWS.test(` ${r.label}`),
    );
    for (const row of this.rows) {
      for (const c of casesOf(row, { host, breadth: 12 })) {
        if (!isComparable(c) || !suits(c)) continue;
        this.cases[c.bits].push(c);
        const list = this.byRow[c.bits].get(row.label) ?? [];
        list.push(c);
        this.byRow[c.bits].set(row.label, list);
      }
    }
  }

  /** Every row is as likely as any other, however many encodings it has; integer rows come more often. */
  pick(bits: Bits, random: Random): OracleCase {
    const rows = [...this.rowLists(bits)];
    return random.pick(random.pick(rows));
  }

  private lists: Partial<Record<Bits, OracleCase[][]>> = {};

  private rowLists(bits: Bits): OracleCase[][] {
    let lists = this.lists[bits];
    if (lists === undefined) {
      lists = [];
      for (const [label, cases] of this.byRow[bits]) {
        const integer = !/ [VPNWQUH][a-z0-9]|ST| f[a-z]/.test(label);
        for (let i = 0; i < (integer ? 4 : 1); i++) lists.push(cases);
      }
      this.lists[bits] = lists;
    }
    return lists;
  }

  get size(): number {
    return this.cases[32].length + this.cases[64].length;
  }
}

/** General register of VEX.vvvv, -1 without a three-byte prefix. */
function vvvvOf(c: OracleCase): number {
  const last = /c4..(..)/.exec(c.code)?.[1];
  return last === undefined ? -1 : (~Number.parseInt(last, 16) >> 3) & 15;
}

/** Registers and addressing keep to the rules for sequences. */
function suits(c: OracleCase): boolean {
  const general = !/ [VPU][a-z0-9]+,|STi|ST0/.test(` ${c.row.split(' ').pop()},`);
  if (general && c.reg !== undefined && RESERVED.has(c.reg)) return false;
  if (c.rm !== undefined && c.ea === undefined && RESERVED.has(c.rm)) return false;
  if (/^sh[lr]d$/.test(c.name) && c.size === 2) return false;
  if (/\bBy\b/.test(c.row) && RESERVED.has(vvvvOf(c))) return false;
  if (/^sha\d/.test(c.name) && c.ea !== undefined) return false;
  // nothing is written with an empty mask: whether the segment must be writable differs
  if (/maskmov/.test(c.name) && /^(66|67|f2|f3)*2e/.test(c.code)) return false;
  if (/^bt[src]?$/.test(c.name) && c.ea !== undefined && c.imm === undefined) return false;
  if (/^(div|idiv)$/.test(c.name) && c.ea !== undefined) return false;
  const { ea } = c;
  if (ea === undefined) return !/ [OXY][bvz]/.test(c.row);
  if (ea.segment !== undefined || ea.vsib !== undefined || ea.addressSize === 2) return false;
  if (ea.addressSize === 4 && c.bits === 64) return false;
  return POINTERS.includes(ea.base) && ea.index < 0 && Math.abs(ea.disp) < 0x1000;
}

/** Puts a call around some of the items, unless a jump from outside would enter them: the return would have no call. */
function addCall(items: Item[], random: Random): void {
  const at = random.below(items.length);
  const count = random.below(Math.min(items.length - at, 6));
  const isEntered = items.some((item, i) => {
    if (item.kind === 'skip' || item.kind === 'indirect') return i < at && i + item.count >= at;
    return item.kind === 'loop' && i >= at + count && i - item.back >= at;
  });
  if (isEntered) return;
  items.splice(at + count, 0, { kind: 'ret', release: random.chance(20) ? 8 * random.below(4) : 0 });
  items.splice(at, 0, { kind: 'call', through: random.chance(30) ? random.pick([0, 1, 2]) : -1 });
}

/** Makes one program. */
export function generateProgram(pool: Pool, random: Random): Program {
  const bits: Bits = random.chance(75) ? 64 : 32;
  const items: Item[] = [];
  const length = 2 + random.below(20);
  while (items.length < length) {
    const kind = random.below(20);
    if (kind === 0) items.push({ kind: 'skip', condition: random.below(16), count: 1 + random.below(4) });
    else if (kind === 1 && items.length > 0 && !items.some((i) => i.kind === 'loop'))
      items.push({ kind: 'loop', back: 1 + random.below(Math.min(items.length, 8)) });
    else if (kind === 2)
      items.push({ kind: 'target', register: random.pick([0, 1, 2]), value: random.below(128) });
    else if (kind === 3) items.push(randomSpecial(bits, random));
    else items.push({ kind: 'insn', c: pool.pick(bits, random) });
  }
  if (items.length > 1 && random.chance(25)) addCall(items, random);
  const targets = items.flatMap((item, i) => (item.kind === 'target' ? [i] : []));
  if (targets.length > 0 && random.chance(60)) {
    const at = random.below(items.length);
    const target = random.pick(targets);
    items.splice(at, 0, { kind: 'store', target: target + (target >= at ? 1 : 0), value: random.below(128) });
  }
  const offset = random.chance(15) ? 0x1000 - 1 - random.below(40) : 0x100 + random.below(64);
  return { bits, offset, items: withoutUndefinedReads(items) };
}

function reads(item: Item): number {
  if (item.kind === 'insn') return flagsRead(item.c);
  if (item.kind === 'skip') return CONDITION_FLAGS[item.condition >> 1]!;
  return 0;
}

function after(item: Item, before: number): number {
  if (item.kind === 'insn') return undefinedAfter(item.c, before);
  if (item.kind === 'target') return 0;
  if (item.kind === 'bytes' || item.kind === 'far') return item.definesFlags ? 0 : before;
  if (item.kind === 'loop') return before & ~(ARITHMETIC_FLAGS & ~1);
  return before;
}

/** Flags that may be undefined before each item, and after the last: what any path to it leaves undefined. */
export function undefinedBefore(items: readonly Item[]): number[] {
  const at = new Array<number>(items.length + 1).fill(0);
  for (let pass = 0; pass < 3; pass++) {
    items.forEach((item, i) => {
      const out = after(item, at[i]!);
      at[i + 1]! |= out;
      if (item.kind === 'skip' || item.kind === 'indirect')
        at[Math.min(i + 1 + item.count, items.length)]! |= at[i]!;
      if (item.kind === 'loop') at[Math.max(i - item.back, 0)]! |= out;
    });
  }
  return at;
}

/** Drops the items that would read undefined flags, until none does. */
function withoutUndefinedReads(items: readonly Item[]): Item[] {
  let list = [...items];
  for (;;) {
    const before = undefinedBefore(list);
    const bad = list.findIndex((item, i) => (reads(item) & before[i]!) !== 0);
    if (bad < 0) return list;
    list = without(list, bad);
  }
}

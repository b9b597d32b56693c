import type { Reader, Term } from './expression.ts';
import { type Register, registerNamed } from './registers.ts';

/** A memory operand; `size` in bits, 0 when the source gives none. */
export interface MemoryOperand {
  readonly kind: 'mem';
  readonly size: number;
  readonly far: boolean;
  readonly segment: number; // -1: none
  readonly base: Register | undefined;
  readonly index: Register | undefined;
  readonly scale: number;
  readonly disp: bigint;
  readonly reloc: boolean;
  readonly ripRelative: boolean;
  /** Address size in bits that the source forces, or 0. */
  readonly addressSize: number;
}

export interface RegisterOperand {
  readonly kind: 'reg';
  readonly reg: Register;
  /** `to` of the x87 forms `fadd to st1`. */
  readonly to: boolean;
}

export interface ImmediateOperand {
  readonly kind: 'imm';
  readonly value: bigint;
  readonly reloc: boolean;
  readonly size: number;
  readonly strict: boolean;
  /** `near` and `short` on a branch target. */
  readonly reach: 'near' | 'short' | '';
  /** The selector of a far pointer `selector:offset`. */
  readonly selector: bigint | undefined;
}

export type Operand = MemoryOperand | RegisterOperand | ImmediateOperand;

const SIZES: Readonly<Record<string, number>> = {
  byte: 8,
  word: 16,
  dword: 32,
  qword: 64,
  tword: 80,
  oword: 128,
  yword: 256,
};

interface Modifiers {
  size: number;
  far: boolean;
  strict: boolean;
  to: boolean;
  reach: 'near' | 'short' | '';
}

function modifiers(reader: Reader): Modifiers {
  const found: Modifiers = { size: 0, far: false, strict: false, to: false, reach: '' };
  for (;;) {
    const word = reader.peek();
    if (SIZES[word] !== undefined) found.size = SIZES[word];
    else if (word === 'far') found.far = true;
    else if (word === 'strict') found.strict = true;
    else if (word === 'to') found.to = true;
    else if (word === 'near' || word === 'short') found.reach = word;
    else if (word !== 'ptr') return found;
    reader.at++;
  }
}

const scaleOf = (factor: bigint): number => Number(factor);

/** Puts register terms into base and index, splitting factors 2, 3, 5 and 9 over both. */
function baseAndIndex(
  reader: Reader,
  terms: readonly Term[],
): Pick<MemoryOperand, 'base' | 'index' | 'scale'> {
  const merged: Term[] = [];
  for (const term of terms) {
    const same = merged.find((t) => t.reg === term.reg && (t.scaled || term.scaled));
    if (same) same.factor += term.factor;
    else merged.push({ ...term });
  }
  if (merged.length > 2) reader.fail('too many registers in an address');
  let [a, b] = merged;
  if (!a) return { base: undefined, index: undefined, scale: 1 };
  if (!b) {
    const factor = scaleOf(a.factor);
    if (factor === 1) return { base: a.reg, index: undefined, scale: 1 };
    if ([2, 3, 5, 9].includes(factor)) return { base: a.reg, index: a.reg, scale: factor - 1 };
    return { base: undefined, index: a.reg, scale: factor };
  }
  const aIsIndex =
    a.factor !== 1n || (a.scaled && !b.scaled) || (b.factor === 1n && b.reg.num === 4 && !b.scaled);
  if (aIsIndex && b.factor === 1n) [a, b] = [b, a];
  if (a.factor !== 1n) reader.fail('two scaled registers in an address');
  return { base: a.reg, index: b.reg, scale: scaleOf(b.factor) };
}

function checkAddress(
  reader: Reader,
  { base, index, scale }: Pick<MemoryOperand, 'base' | 'index' | 'scale'>,
): void {
  if (![1, 2, 4, 8].includes(scale)) reader.fail(`an index cannot be scaled by ${scale}`);
  for (const reg of [base, index])
    if (reg && !['r16', 'r32', 'r64'].includes(reg.cls)) reader.fail(`${reg.name} cannot address memory`);
  if (base && index && base.cls !== index.cls) reader.fail('registers of two sizes in an address');
  if (index && index.num === 4 && index.cls !== 'r16') reader.fail(`${index.name} cannot be an index`);
}

function memory(reader: Reader, { size, far }: Modifiers, defaultRel: boolean): MemoryOperand {
  reader.expect('[');
  const inner = modifiers(reader);
  let ripRelative = defaultRel;
  let absolute = false;
  for (;;) {
    if (reader.take('rel')) ripRelative = true;
    else if (reader.take('abs')) absolute = true;
    else break;
  }
  let segment = -1;
  const first = registerNamed(reader.peek());
  if (first?.cls === 'sreg' && reader.tokens[reader.at + 1]?.text === ':') {
    segment = first.num;
    reader.at += 2;
  }
  for (;;) {
    if (reader.take('rel')) ripRelative = true;
    else if (reader.take('abs')) absolute = true;
    else break;
  }
  const address = reader.expression();
  reader.expect(']');
  const parts = baseAndIndex(reader, address.terms);
  checkAddress(reader, parts);
  return {
    kind: 'mem',
    size,
    far,
    segment,
    ...parts,
    disp: address.value,
    reloc: address.reloc !== 0,
    ripRelative: ripRelative && !absolute && address.terms.length === 0,
    addressSize: inner.size,
  };
}

function immediate(reader: Reader, { size, strict, reach }: Modifiers): Operand {
  const first = reader.expression();
  const second = reader.take(':') ? reader.expression() : undefined;
  const offset = second ?? first;
  if (first.terms.length > 0 || offset.terms.length > 0) reader.fail('a register does not belong here');
  return {
    kind: 'imm',
    value: offset.value,
    reloc: offset.reloc !== 0,
    size,
    strict,
    reach,
    selector: second ? first.value : undefined,
  };
}

/** Reads one operand; `defaultRel` is the effect of `default rel` in 64-bit code. */
export function readOperand(reader: Reader, defaultRel: boolean): Operand {
  const found = modifiers(reader);
  if (reader.peek() === '[') return memory(reader, found, defaultRel);
  const reg = registerNamed(reader.peek());
  const next = reader.tokens[reader.at + 1]?.text;
  if (reg && (next === undefined || next === ',')) {
    reader.at++;
    return { kind: 'reg', reg, to: found.to };
  }
  return immediate(reader, found);
}

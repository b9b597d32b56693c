import type { ImmediateOperand, MemoryOperand, Operand, RegisterOperand } from './operands.ts';
import type { Variant } from './table.ts';

const fitsSigned = (value: bigint, bits: number): boolean => BigInt.asIntN(bits, value) === value;
const fits = (value: bigint, bits: number): boolean =>
  fitsSigned(value, bits) || BigInt.asUintN(bits, value) === value;

/** How far away a branch target is, or undefined when it must take the long form. */
export type ShortReach = (target: ImmediateOperand) => boolean;

const REG_PATTERN = /^(r|rm|n)(8|16|32|64)$/;
const MEM_PATTERN = /^(?:m|rm|xm|ym|mmm|mfar|moffs)(\d*)$/;
const CLASS_KINDS: Readonly<Record<string, string>> = {
  sreg: 'sreg',
  cr: 'cr',
  dr: 'dr',
  st: 'st',
  mm: 'mm',
  mmm: 'mm',
  nmm: 'mm',
  mmm64: 'mm',
  x: 'xmm',
  nx: 'xmm',
  vx: 'xmm',
  ix: 'xmm',
  y: 'ymm',
  ny: 'ymm',
  vy: 'ymm',
  iy: 'ymm',
};

function matchRegister(kind: string, { reg, to }: RegisterOperand): boolean {
  if (to) return kind === 'sto' && reg.cls === 'st';
  const sized = REG_PATTERN.exec(kind);
  if (sized) return reg.cls === `r${sized[2]}`;
  if (CLASS_KINDS[kind] === reg.cls) return true;
  if (/^xm\d+$/.test(kind)) return reg.cls === 'xmm';
  if (/^ym\d+$/.test(kind)) return reg.cls === 'ymm';
  if (kind === 'x0') return reg.name === 'xmm0';
  return kind === reg.name;
}

function matchMemory(kind: string, operand: MemoryOperand, bits: number): boolean {
  const match = MEM_PATTERN.exec(kind);
  if (!match) return false;
  const size = Number(match[1] || 0) || (kind === 'mmm' ? 64 : 0);
  const sizeFits = operand.size === 0 || size === 0 || operand.size === size;
  if (kind.startsWith('mfar')) return operand.far && sizeFits;
  if (operand.far || !sizeFits) return false;
  if (!kind.startsWith('moffs')) return true;
  const plain = !operand.base && !operand.index && !operand.ripRelative;
  return plain && (bits !== 64 || operand.addressSize === 64);
}

function matchImmediate(kind: string, operand: ImmediateOperand, size: number, isShort: ShortReach): boolean {
  const { value, reloc, strict } = operand;
  if (kind.startsWith('ptr')) return operand.selector !== undefined;
  if (operand.selector !== undefined) return false;
  const hint = operand.size;
  switch (kind) {
    case 'one':
      return !reloc && value === 1n && hint === 0;
    case 'rel8':
      return operand.reach !== 'near' && hint === 0 && isShort(operand);
    case 'rel16':
    case 'rel32':
      return operand.reach !== 'short';
    case 's8': {
      const narrow = BigInt.asIntN(size || 64, value);
      const inRange = size === 0 || fits(value, size);
      return !reloc && inRange && fitsSigned(narrow, 8) && (hint === 0 || hint === 8 || !strict);
    }
    case 'u32':
      return !reloc && value >= 0n && value < 1n << 32n && !strict;
    case 'c32':
      return !reloc && fitsSigned(BigInt.asIntN(64, value), 32) && hint !== 64;
    case 's32':
      return (reloc || fitsSigned(BigInt.asIntN(64, value), 32)) && hint !== 8;
    default: {
      const width = /^i(8|16|32|64)$/.exec(kind);
      if (!width) return false;
      const bits = Number(width[1]);
      return (hint === 0 || hint === bits) && (reloc || fits(value, bits));
    }
  }
}

function matchOperand(
  kind: string,
  operand: Operand,
  variant: Variant,
  bits: number,
  isShort: ShortReach,
): boolean {
  if (operand.kind === 'reg') return matchRegister(kind, operand);
  if (operand.kind === 'mem') return matchMemory(kind, operand, bits);
  return matchImmediate(kind, operand, variant.size, isShort);
}

/** True when an operand itself says that the operand size is the variant's. */
function isExplicit(variant: Variant, operands: readonly Operand[]): boolean {
  return operands.some((operand, i) => {
    if (operand.kind === 'reg') return variant.sized[i];
    if (operand.kind === 'mem') return variant.sized[i] && operand.size !== 0;
    return operand.size === variant.size && variant.size !== 0;
  });
}

/** True when an immediate or a target is written with another operand size. */
function contradicts(variant: Variant, operands: readonly Operand[]): boolean {
  return operands.some(
    (operand) => operand.kind === 'imm' && operand.size > 8 && operand.size !== variant.size,
  );
}

function defaultSize(variant: Variant, bits: number): number {
  if (bits !== 64) return bits;
  return variant.default64 || variant.operands.some((kind) => kind.startsWith('mfar')) ? 64 : 32;
}

/** The width in bits that `variant` gives to the memory operand, 0 when it has none or any will do. */
function memoryWidth(variant: Variant, operands: readonly Operand[]): number {
  const i = operands.findIndex((operand) => operand.kind === 'mem');
  return i < 0 ? 0 : Number(/\d+$/.exec(variant.operands[i]!)?.[0] ?? 0);
}

/**
 * Chooses the first variant that takes `operands` in `bits`-bit code.
 * Returns the reason as a string when there is none or when the size of a memory operand is open.
 */
export function chooseVariant(
  variants: readonly Variant[],
  operands: readonly Operand[],
  bits: number,
  isShort: ShortReach,
): Variant | string {
  let chosen: Variant | undefined;
  const widths = new Set<number>();
  const unsized = operands.some((operand) => operand.kind === 'mem' && operand.size === 0);
  for (const variant of variants) {
    if (variant.operands.length !== operands.length) continue;
    if (bits === 64 ? variant.not64 : variant.only64) continue;
    if (!operands.every((operand, i) => matchOperand(variant.operands[i]!, operand, variant, bits, isShort)))
      continue;
    const explicit = variant.size === 0 || isExplicit(variant, operands);
    if (!explicit && (variant.size !== defaultSize(variant, bits) || contradicts(variant, operands)))
      continue;
    widths.add(memoryWidth(variant, operands));
    chosen ??= variant;
  }
  if (!chosen) return 'no such form of the instruction';
  widths.delete(0);
  if (unsized && widths.size > 1) return 'the size of the memory operand is not specified';
  return chosen;
}

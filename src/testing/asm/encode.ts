import type { ImmediateOperand, MemoryOperand, Operand } from './operands.ts';
import type { Register } from './registers.ts';
import type { Variant } from './table.ts';

/** Prefixes that the source wrote in front of the mnemonic. */
export interface Prefixes {
  /** LOCK and REP bytes, in order. */
  readonly bytes: readonly number[];
  readonly segment: number; // -1: none
  readonly operandSize: number; // o16 o32 o64, or 0
  readonly addressSize: number; // a16 a32 a64, or 0
}

const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const WIDTH: Readonly<Record<string, number>> = { ib: 1, iw: 2, id: 4, iq: 8, cb: 1, cw: 2, cd: 4 };

/** Pushes the low `size` bytes of `value`. */
export function pushLittleEndian(out: number[], value: bigint, size: number): void {
  for (let i = 0; i < size; i++) out.push(Number((value >> BigInt(8 * i)) & 0xffn));
}

interface ModRm {
  readonly bytes: number[];
  /** Bits to set in REX: R 4, X 2, B 1. */
  readonly rex: number;
  /** Index in `bytes` of a RIP-relative displacement, or -1. */
  readonly ripAt: number;
}

const fits8 = (value: bigint): boolean => value >= -128n && value <= 127n;

/** Address size of a memory operand in bits. */
function addressSize(mem: MemoryOperand, bits: number): number {
  const reg = mem.base ?? mem.index;
  if (reg) return Number(reg.cls.slice(1));
  return mem.addressSize || bits;
}

const PAIRS_16 = ['bx+si', 'bx+di', 'bp+si', 'bp+di', 'si', 'di', 'bp', 'bx'];

function modRm16(field: number, mem: MemoryOperand): ModRm | string {
  const disp = BigInt.asIntN(16, mem.disp);
  if (!mem.base && !mem.index) {
    const bytes = [(field << 3) | 6];
    pushLittleEndian(bytes, disp, 2);
    return { bytes, rex: 0, ripAt: -1 };
  }
  const names = [mem.base, mem.index].filter((r): r is Register => r !== undefined).map((r) => r.name);
  const rm = PAIRS_16.findIndex(
    (pair) => pair === names.join('+') || pair === [...names].reverse().join('+'),
  );
  if (rm < 0 || mem.scale !== 1) return 'no such 16-bit address';
  const size = mem.reloc || !fits8(disp) ? 2 : disp !== 0n || rm === 6 ? 1 : 0;
  const bytes = [(size << 6) | (field << 3) | rm];
  pushLittleEndian(bytes, disp, size);
  return { bytes, rex: 0, ripAt: -1 };
}

function modRm32(field: number, mem: MemoryOperand, bits: number): ModRm {
  const { base, index } = mem;
  const disp = BigInt.asIntN(addressSize(mem, bits), mem.disp);
  const sib = (scale: number, i: number, b: number): number =>
    (Math.log2(scale) << 6) | ((i & 7) << 3) | (b & 7);
  const rex = (index && index.num > 7 ? 2 : 0) | (base && base.num > 7 ? 1 : 0);
  const bytes: number[] = [];
  if (!base) {
    if (mem.ripRelative) bytes.push((field << 3) | 5);
    else if (index) bytes.push((field << 3) | 4, sib(mem.scale, index.num, 5));
    else if (bits === 64) bytes.push((field << 3) | 4, sib(1, 4, 5));
    else bytes.push((field << 3) | 5);
    pushLittleEndian(bytes, disp, 4);
    return { bytes, rex, ripAt: mem.ripRelative ? 1 : -1 };
  }
  const dispSize = mem.reloc || !fits8(disp) ? 4 : disp !== 0n || (base.num & 7) === 5 ? 1 : 0;
  const mod = { 0: 0, 1: 1, 4: 2 }[dispSize]!;
  if (index) bytes.push((mod << 6) | (field << 3) | 4, sib(mem.scale, index.num, base.num));
  else if ((base.num & 7) === 4) bytes.push((mod << 6) | (field << 3) | 4, sib(1, 4, base.num));
  else bytes.push((mod << 6) | (field << 3) | (base.num & 7));
  pushLittleEndian(bytes, disp, dispSize);
  return { bytes, rex, ripAt: -1 };
}

function modRm(field: number, operand: Operand | undefined, bits: number): ModRm | string {
  const low = field & 7;
  const high = field > 7 ? 4 : 0;
  if (operand?.kind === 'reg') {
    const { num } = operand.reg;
    return { bytes: [0xc0 | (low << 3) | (num & 7)], rex: high | (num > 7 ? 1 : 0), ripAt: -1 };
  }
  if (operand?.kind !== 'mem') return 'no operand for the ModRM byte';
  const result = addressSize(operand, bits) === 16 ? modRm16(low, operand) : modRm32(low, operand, bits);
  return typeof result === 'string' ? result : { ...result, rex: result.rex | high };
}

/** The operands of a variant, sorted by where the encoding puts them. */
interface Roles {
  readonly rm: Operand | undefined;
  readonly reg: Register | undefined;
  readonly imms: ImmediateOperand[];
  /** Registers in VEX.vvvv and in an immediate's upper half. */
  readonly vvvv: Register | undefined;
  readonly upper: Register | undefined;
}

const isRmKind = (kind: string): boolean => /^(rm|m|n|xm|ym|mmm|mfar)(\d|$)|^n[xy]$|^nmm$/.test(kind);
const isRegKind = (kind: string): boolean => /^(r\d+|sreg|cr|dr|x|y|mm|st|sto)$/.test(kind);

function roles(variant: Variant, operands: readonly Operand[]): Roles {
  let rm: Operand | undefined;
  let reg: Register | undefined;
  const imms: ImmediateOperand[] = [];
  let vvvv: Register | undefined;
  let upper: Register | undefined;
  operands.forEach((operand, i) => {
    const kind = variant.operands[i]!;
    if (operand.kind === 'imm') {
      if (kind !== 'one') imms.push(operand);
    } else if (operand.kind === 'reg' && /^v[xy]$/.test(kind)) vvvv = operand.reg;
    else if (operand.kind === 'reg' && /^i[xy]$/.test(kind)) upper = operand.reg;
    else if (isRmKind(kind)) rm = operand;
    else if (operand.kind === 'reg' && isRegKind(kind)) reg ??= operand.reg;
  });
  return { rm, reg, imms, vvvv, upper };
}

interface Parts {
  wait: boolean;
  o16: boolean;
  a: number;
  mandatory: number;
  w: boolean;
  rex: number;
  /** VEX prefix: L, pp, map, W; undefined: none. */
  vex: readonly [l: number, pp: number, map: number, w: number] | undefined;
  opcode: number[];
  /** Position in `opcode` and width of a value relative to the end of the instruction. */
  relative: { at: number; size: number; target: bigint } | undefined;
}

function immediateToken(parts: Parts, token: string, imm: ImmediateOperand): void {
  const width = WIDTH[token]!;
  if (token.startsWith('c')) {
    parts.relative = { at: parts.opcode.length, size: width, target: imm.value };
  }
  pushLittleEndian(parts.opcode, imm.value, width);
}

function opcodeToken(
  parts: Parts,
  token: string,
  { rm, reg, imms, upper }: Roles,
  bits: number,
): string | undefined {
  if (token.startsWith('/')) {
    const field = token === '/r' || token === '/rr' ? (reg?.num ?? 0) : Number(token[1]);
    const operand: Operand | undefined = token === '/rr' && reg ? { kind: 'reg', reg, to: false } : rm;
    const result = modRm(field, operand, bits);
    if (typeof result === 'string') return result;
    if (result.ripAt >= 0 && operand?.kind === 'mem')
      parts.relative = { at: parts.opcode.length + result.ripAt, size: 4, target: operand.disp };
    parts.rex |= result.rex;
    parts.opcode.push(...result.bytes);
  } else if (token.endsWith('+r')) {
    parts.opcode.push(Number.parseInt(token, 16) + ((reg?.num ?? 0) & 7));
    if (reg && reg.num > 7) parts.rex |= 1;
  } else if (WIDTH[token] !== undefined) {
    immediateToken(parts, token, imms.length > 1 ? imms.shift()! : imms[0]!);
  } else if (token === 'is4') {
    parts.opcode.push((upper?.num ?? 0) << 4);
  } else if (token === 'sel') {
    pushLittleEndian(parts.opcode, imms[0]!.selector!, 2);
  } else {
    parts.opcode.push(Number.parseInt(token, 16));
  }
  return undefined;
}

function applyToken(
  parts: Parts,
  token: string,
  found: Roles,
  operands: readonly Operand[],
  bits: number,
): string {
  if (token === 'o16') parts.o16 = bits !== 16;
  else if (token === 'o32') parts.o16 = bits === 16;
  else if (token === 'w') parts.w = true;
  else if (token === 'wait') parts.wait = true;
  else if (/^a(16|32|64)$/.test(token)) parts.a = Number(token.slice(1));
  else if (/^p(66|F2|F3)$/.test(token)) parts.mandatory = Number.parseInt(token.slice(1), 16);
  else if (token.startsWith('vex.')) {
    const [l = 0, pp = 0, map = 0, w = 0] = token.slice(4).split('.').map(Number);
    parts.vex = [l, pp, map, w];
  } else if (token === 'mo') {
    const mem = operands.find((operand) => operand.kind === 'mem')!;
    pushLittleEndian(parts.opcode, mem.disp, addressSize(mem, bits) / 8);
  } else return opcodeToken(parts, token, found, bits) ?? '';
  return '';
}

function rexByte(parts: Parts, operands: readonly Operand[], bits: number): number | string {
  const regs = operands.flatMap((operand) => {
    if (operand.kind === 'reg') return [operand.reg];
    return operand.kind === 'mem' ? [operand.base, operand.index] : [];
  });
  const needed = parts.w || parts.rex !== 0 || regs.some((reg) => reg?.rex);
  if (!needed && !regs.some((reg) => reg?.cls === 'r64')) return 0;
  if (bits !== 64) return '64-bit registers exist in 64-bit code only';
  if (!needed) return 0;
  if (regs.some((reg) => reg?.high)) return 'AH, BH, CH and DH cannot be used with a REX prefix';
  return 0x40 | (parts.w ? 8 : 0) | parts.rex;
}

function addressPrefix(
  parts: Parts,
  operands: readonly Operand[],
  prefixes: Prefixes,
  bits: number,
): boolean {
  const mem = operands.find((operand) => operand.kind === 'mem');
  const size = (mem ? addressSize(mem, bits) : 0) || parts.a || prefixes.addressSize || bits;
  return size !== bits;
}

/** VEX: the two-byte form where X, B, W and the map allow it. R, X, B and vvvv are inverted. */
function vexPrefix(
  [l, pp, map, w]: readonly [number, number, number, number],
  rex: number,
  vvvv: number,
): number[] {
  const low = ((~vvvv & 15) << 3) | (l << 2) | pp;
  const r = rex & 4 ? 0 : 0x80;
  if (map === 1 && w === 0 && (rex & 3) === 0) return [0xc5, r | low];
  return [0xc4, r | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) | map, (w << 7) | low];
}

/**
 * Encodes one instruction that stands at `address`. Returns its bytes, or the reason why there is no encoding.
 */
export function encode(
  variant: Variant,
  operands: readonly Operand[],
  prefixes: Prefixes,
  bits: number,
  address: bigint,
): number[] | string {
  const found = roles(variant, operands);
  const parts: Parts = {
    wait: false,
    o16: false,
    a: 0,
    mandatory: 0,
    w: prefixes.operandSize === 64,
    rex: 0,
    vex: undefined,
    opcode: [],
    relative: undefined,
  };
  for (const token of variant.encoding) {
    const problem = applyToken(parts, token, found, operands, bits);
    if (problem !== '') return problem;
  }
  if (prefixes.operandSize === 16 || prefixes.operandSize === 32)
    parts.o16 = prefixes.operandSize === 16 ? bits !== 16 : bits === 16;
  const rex = parts.vex ? 0 : rexByte(parts, operands, bits);
  if (typeof rex === 'string') return rex;
  const mem = operands.find((operand) => operand.kind === 'mem');
  const segment = mem && mem.segment >= 0 ? mem.segment : prefixes.segment;
  const out: number[] = [...prefixes.bytes];
  if (parts.wait) out.push(0x9b);
  if (segment >= 0) out.push(SEGMENT_PREFIX[segment]!);
  if (parts.o16) out.push(0x66);
  if (addressPrefix(parts, operands, prefixes, bits)) out.push(0x67);
  if (parts.mandatory) out.push(parts.mandatory);
  if (rex) out.push(rex);
  if (parts.vex) out.push(...vexPrefix(parts.vex, parts.rex, found.vvvv?.num ?? 0));
  const opcodeAt = out.length;
  out.push(...parts.opcode);
  if (parts.relative) patchRelative(out, parts.relative, opcodeAt, address);
  return out;
}

function patchRelative(
  out: number[],
  relative: NonNullable<Parts['relative']>,
  opcodeAt: number,
  address: bigint,
): void {
  const value: number[] = [];
  pushLittleEndian(value, relative.target - (address + BigInt(out.length)), relative.size);
  out.splice(opcodeAt + relative.at, relative.size, ...value);
}

import type { InsnRow, OpcodeMap } from '../target/x86/insn-row.ts';
import { type Bits, CODE, DATA } from './image.ts';
import { type EffectiveAddress, hexOf, type OracleCase } from './oracle-case.ts';
import type { Random } from './random.ts';

// From a table row to bytes: this is written from the manual (SDM Vol. 2A chapter 2) and shares nothing with the decoder.

/** Where cases stand; the offset varies so that instructions cross pages now and then. */
export const CASE_AT = CODE + 0x100;

export interface Shape {
  readonly map: OpcodeMap;
  readonly row: InsnRow;
  readonly bits: Bits;
  /** Opcode byte (rows of several opcodes). */
  readonly op: number;
  readonly memory: boolean;
  /** Operand-size prefix, REX.W or VEX.W, VEX.L. */
  readonly op16: boolean;
  readonly w: boolean;
  readonly l: boolean;
  /** Other prefixes in front: LOCK, REP, segment. */
  readonly extra: readonly number[];
  /** 67. */
  readonly addressPrefix?: boolean;
  /** VEX.vvvv although there is no such operand. */
  readonly strayVvvv?: boolean;
}

const MANDATORY = { none: -1, '66': 0x66, f3: 0xf3, f2: 0xf2 } as const;
const PP = { none: 0, '66': 1, f3: 2, f2: 3 } as const;

const IMMEDIATES8 = [0, 1, -1, 0x7f, -128, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 0x55];
const IMMEDIATES = [0, 1, -1, 0x7f, -128, 0x1234, 0x7fff, -32768, 0x1234_5678, -0x8000_0000, 0x7fff_ffff];

function le(value: number, size: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < size; i++) out.push(i < 4 ? (value >> (i * 8)) & 255 : value < 0 ? 255 : 0);
  return out;
}

/** True if the operand stands in ModRM.rm. */
export function inRm(code: string): boolean {
  return /^[EMWQURN]/.test(code) || code.startsWith('VM');
}

/** Operand size in bytes. */
export function operandSize(s: Shape): number {
  if (s.bits === 32) return s.op16 ? 2 : 4;
  if (s.w || s.row.size === 'f64') return 8;
  return s.op16 ? 2 : s.row.size === 'd64' ? 8 : 4;
}

/** Bytes of the memory operand with this code. */
export function operandBytes(code: string, s: Shape): number {
  if (code.startsWith('VM')) return s.l ? 32 : 16;
  const type = code.slice(1).replace(/^[vy]M/, 'M');
  const vector = s.l ? 32 : 16;
  switch (type) {
    case 'b':
    case 'Mb':
      return 1;
    case 'w':
    case 'Mw':
      return 2;
    case 'd':
    case 'ss':
      return 4;
    case 'q':
    case 'sd':
      return 8;
    case 't':
      return 10;
    case 'v':
      return operandSize(s);
    case 'z':
      return Math.min(operandSize(s), 4);
    case 'y':
      return s.w ? 8 : 4;
    case 'a':
      return 2 * Math.min(operandSize(s), 4);
    case 'p':
      return operandSize(s) + 2;
    case 'x':
      return vector;
    case 'x2':
      return vector / 2;
    case 'x4':
      return vector / 4;
    case 'x8':
      return vector / 8;
    case 'qq':
      return 32;
    default:
      return 16;
  }
}

/** Builds one encoding; registers, addressing form and immediates are drawn from `random`. */
export class Encoding {
  private readonly s: Shape;
  private readonly random: Random;
  private readonly operands: readonly string[];
  private rex = 0;
  private tail: number[] = [];
  private ea: EffectiveAddress | undefined;
  private reg = -1;
  private rm = -1;
  private imm: number | undefined;
  private vvvv = 15;
  private addressPrefix: boolean;
  private relative = false;

  constructor(s: Shape, random: Random) {
    this.s = s;
    this.random = random;
    this.operands = s.row.operands ?? [];
    this.addressPrefix = s.addressPrefix === true;
  }

  build(label: string): OracleCase {
    const { s } = this;
    let op = s.op;
    if (this.hasModrm()) this.modrm();
    const z = this.operands.find((code) => code.startsWith('Z'));
    if (z !== undefined && s.bits === 64 && this.random.chance(50)) this.rex |= 1;
    if (z !== undefined) this.rm = (op & 7) | ((this.rex & 1) << 3);
    if (this.operands.some((code) => /^[HB]/.test(code)))
      this.vvvv = this.random.below(s.bits === 64 ? 16 : 8);
    else if (s.strayVvvv) this.vvvv = this.random.below(7);
    const after = this.immediates();
    const head = s.map >= 4 ? this.vexHead(op) : this.legacyHead(op);
    op = 0;
    const code = [...head, ...this.tail, ...after];
    if (this.relative) this.fixRelative(code, head.length, after.length);
    return {
      row: label,
      name: mnemonic(s),
      bits: s.bits,
      code: hexOf(code),
      size: this.operandWidth(),
      ...(this.ea && { ea: this.ea }),
      ...(this.reg >= 0 && { reg: this.reg }),
      ...(this.rm >= 0 && { rm: this.rm }),
      ...(this.imm !== undefined && { imm: this.imm }),
      ...((s.extra.includes(0xf3) || s.extra.includes(0xf2)) && { rep: true }),
    };
  }

  /** Operand size as flags see it. */
  private operandWidth(): number {
    const first = this.operands[0];
    if (first !== undefined && /^(.b|AL|EyMb)$/.test(first)) return 1;
    return operandSize(this.s);
  }

  private hasModrm(): boolean {
    const { row } = this.s;
    if (row.modrm || row.reg !== undefined || row.form !== undefined) return true;
    return this.operands.some(
      (code) => (/^[EGMRSCDVWUPQN]/.test(code) && !/^(CL|DX|CS|DS|SS|ES|GS)$/.test(code)) || code === 'STi',
    );
  }

  private modrm(): void {
    const { s, random } = this;
    const regOperand = this.operands.some(
      (code) => /^[GVPSCD]/.test(code) && !code.startsWith('VM') && !/^(CL|DX|CS|DS|SS|ES|GS)$/.test(code),
    );
    let reg = s.row.reg ?? random.below(8);
    if (regOperand && s.row.reg === undefined) {
      const segment = this.operands.some((code) => code.startsWith('S'));
      if (segment) reg = random.below(8);
      else if (s.bits === 64 && random.chance(40)) this.rex |= 4;
      this.reg = reg | ((this.rex & 4) << 1);
    }
    if (s.memory) return this.memory(reg);
    const rm = s.row.rm ?? (regOperand && random.chance(15) ? reg : random.below(8));
    if (s.row.rm === undefined && s.bits === 64 && random.chance(40)) this.rex |= 1;
    this.rm = rm | ((this.rex & 1) << 3);
    this.tail.push(0xc0 | (reg << 3) | rm);
  }

  private memory(reg: number): void {
    const { s, random } = this;
    const operand = this.operands.find(inRm) ?? 'M';
    const size = operandBytes(operand, s);
    const segment = s.extra.includes(0x64) ? 4 : s.extra.includes(0x65) ? 5 : undefined;
    const common = { size, ...(segment !== undefined && { segment }) };
    if (s.bits === 32 && this.addressPrefix) return this.memory16(reg, common);
    const addressSize = s.bits === 32 || this.addressPrefix ? 4 : 8;
    if (operand.startsWith('VM')) return this.vsib(reg, addressSize, common);
    const kind = random.below(10);
    if (kind < 3) return this.baseOnly(reg, addressSize, common);
    if (kind < 7) return this.baseIndex(reg, addressSize, common);
    if (kind < 8) return this.indexOnly(reg, addressSize, common);
    return this.absolute(reg, addressSize, kind === 8 && s.bits === 64, common);
  }

  private displacement(): { mod: number; disp: number } {
    const mod = this.random.below(3);
    const disp =
      mod === 0 ? 0 : mod === 1 ? this.random.below(256) - 128 : this.random.below(0x2_0000) - 0x1_0000;
    return { mod, disp };
  }

  private pushDisp(mod: number, disp: number): void {
    if (mod === 1) this.tail.push(disp & 255);
    else if (mod === 2) this.tail.push(...le(disp, 4));
  }

  private baseOnly(reg: number, addressSize: number, common: { size: number; segment?: number }): void {
    const { random } = this;
    let { mod, disp } = this.displacement();
    const low = random.below(8);
    const base = low | (this.s.bits === 64 && random.chance(40) ? 8 : 0);
    this.rex |= base >> 3;
    if (mod === 0 && low === 5) {
      mod = 1;
      disp = 0;
    }
    this.tail.push((mod << 6) | (reg << 3) | low);
    if (low === 4) this.tail.push(0x24);
    this.pushDisp(mod, disp);
    this.ea = { base, index: -1, shift: 0, disp, addressSize, ...common };
  }

  private baseIndex(reg: number, addressSize: number, common: { size: number; segment?: number }): void {
    const { random } = this;
    let { mod, disp } = this.displacement();
    const wide = this.s.bits === 64;
    const base = random.below(wide ? 16 : 8);
    let index = random.below(wide ? 16 : 8);
    if (index === 4 || index === base) index = base === 6 ? 7 : 6;
    const shift = random.below(4);
    if (mod === 0 && (base & 7) === 5) {
      mod = 1;
      disp = 0;
    }
    this.rex |= (base >> 3) | ((index >> 3) << 1);
    this.tail.push((mod << 6) | (reg << 3) | 4, (shift << 6) | ((index & 7) << 3) | (base & 7));
    this.pushDisp(mod, disp);
    this.ea = { base, index, shift, disp, addressSize, ...common };
  }

  private indexOnly(reg: number, addressSize: number, common: { size: number; segment?: number }): void {
    const { random } = this;
    const index = random.pick(this.s.bits === 64 ? [0, 1, 2, 3, 6, 7, 9, 12, 13] : [0, 1, 2, 3, 6, 7]);
    const shift = random.below(4);
    const disp = (random.below(0x1000) - 0x800) & ~7;
    this.rex |= (index >> 3) << 1;
    this.tail.push((reg << 3) | 4, (shift << 6) | ((index & 7) << 3) | 5, ...le(disp, 4));
    this.ea = { base: -1, index, shift, disp, addressSize, ...common };
  }

  /** An absolute address or one relative to RIP. */
  private absolute(
    reg: number,
    addressSize: number,
    relative: boolean,
    common: { size: number; segment?: number },
  ): void {
    const target = DATA + this.random.pick([0x800, 0x840, 0x881, 0xff8, 0xfff, 0x1ff0, 0x2000]);
    const disp = target - (common.segment !== undefined && this.s.bits === 64 ? DATA : 0);
    if (relative || this.s.bits === 32) this.tail.push((reg << 3) | 5, ...le(disp, 4));
    else this.tail.push((reg << 3) | 4, 0x25, ...le(disp, 4));
    this.relative = relative;
    this.ea = { base: -1, index: -1, shift: 0, disp, addressSize, ...common };
  }

  /** RIP-relative: the displacement counts from the end of the instruction. */
  private fixRelative(code: number[], head: number, after: number): void {
    const disp = (this.ea!.disp - (CASE_AT + code.length)) | 0;
    const at = head + this.tail.length - 4;
    code.splice(at, 4, ...le(disp, 4));
    void after;
  }

  private memory16(reg: number, common: { size: number; segment?: number }): void {
    const mod = this.random.below(3);
    const rm = this.random.below(8);
    this.tail.push((mod << 6) | (reg << 3) | rm);
    if (mod === 1) this.tail.push(this.random.below(256));
    else if (mod === 2 || rm === 6) this.tail.push(...le(this.random.below(0x1_0000), 2));
    this.ea = { base: -1, index: -1, shift: 0, disp: 0, addressSize: 2, ...common };
  }

  private vsib(reg: number, addressSize: number, common: { size: number; segment?: number }): void {
    const { random, s } = this;
    const base = random.pick(s.bits === 64 ? [0, 1, 3, 6, 7, 9, 12] : [0, 1, 3, 6, 7]);
    const index = random.below(s.bits === 64 ? 16 : 8);
    const shift = random.below(4);
    const disp = random.below(256) - 128;
    this.rex |= (base >> 3) | ((index >> 3) << 1);
    this.tail.push(0x40 | (reg << 3) | 4, (shift << 6) | ((index & 7) << 3) | (base & 7), disp & 255);
    const vsib = /gatherq|q[dqps]*$/.test(s.row.name) && /gatherq/.test(s.row.name) ? 8 : 4;
    this.ea = { base, index, shift, disp, addressSize, vsib, ...common };
  }

  private immediates(): number[] {
    const out: number[] = [];
    for (const code of this.operands) out.push(...this.immediate(code));
    return out;
  }

  private immediate(code: string): number[] {
    const { random, s } = this;
    const wide = operandSize(s);
    const put = (value: number, size: number): number[] => {
      this.imm = value;
      return le(value, size);
    };
    if (code === 'I2b') return [random.pick([0, 1, 2, 3, 31, 32, 33, 0xff])];
    if (code === 'Ib' || code === 'sIb')
      return put(random.chance(50) ? random.below(256) - 128 : random.pick(IMMEDIATES8), 1);
    if (code === 'Iw') return put(random.pick([0, 8, 16, 0x18, 0x40]), 2);
    if (code === 'Iz' || code === 'sIz') return put(random.pick(IMMEDIATES), Math.min(wide, 4));
    if (code === 'Iv') return put(random.pick(IMMEDIATES), wide);
    if (code === 'Jb') return put(random.pick([0, 0x20, 0x7f, -0x80, -0x40]), 1);
    if (code === 'Jz')
      return put(random.pick([0, 0x40, -0x80, 0x1000]), s.bits === 64 ? 4 : Math.min(wide, 4));
    if (code === 'Ap')
      return [
        ...le(CASE_AT + 0x80, Math.min(wide, 4)),
        ...le(random.pick([0x23, 0x33, 0x2b, 0, 0x10, 0x1b, 0x400]), 2),
      ];
    if (/^O/.test(code)) return this.moffs(code);
    if (/^L/.test(code)) return [random.below(256)];
    return [];
  }

  private moffs(code: string): number[] {
    const addressSize = this.s.bits === 32 ? (this.addressPrefix ? 2 : 4) : this.addressPrefix ? 4 : 8;
    const target = DATA + this.random.pick([0x800, 0x841, 0xffc, 0x2000]);
    const segment = this.s.extra.includes(0x64) || this.s.extra.includes(0x65);
    const disp = target - (segment && this.s.bits === 64 ? DATA : 0);
    this.ea = { base: -1, index: -1, shift: 0, disp, addressSize, size: operandBytes(code, this.s) };
    return le(disp, addressSize);
  }

  private legacyHead(op: number): number[] {
    const { s } = this;
    const out = [...s.extra];
    if (s.op16) out.push(0x66);
    if (this.addressPrefix) out.push(0x67);
    const mandatory = s.row.prefix ? MANDATORY[s.row.prefix] : -1;
    if (mandatory >= 0) out.push(mandatory);
    const rex = this.rex | (s.w ? 8 : 0);
    if (s.bits === 64 && (rex !== 0 || this.random.chance(10))) out.push(0x40 | rex);
    if (s.map >= 1) out.push(0x0f);
    if (s.map === 2) out.push(0x38);
    if (s.map === 3) out.push(0x3a);
    out.push(op);
    return out;
  }

  private vexHead(op: number): number[] {
    const { s } = this;
    const out = [...s.extra];
    if (this.addressPrefix) out.push(0x67);
    const last = ((~this.vvvv & 15) << 3) | (s.l ? 4 : 0) | PP[s.row.prefix ?? 'none'];
    const map = s.map - 4;
    const r = this.rex & 4 ? 0 : 0x80;
    if (map === 1 && !s.w && (this.rex & 3) === 0 && this.random.chance(50)) out.push(0xc5, r | last);
    else
      out.push(
        0xc4,
        r | (this.rex & 2 ? 0 : 0x40) | (this.rex & 1 ? 0 : 0x20) | map,
        (s.w ? 0x80 : 0) | last,
      );
    out.push(op);
    return out;
  }
}

const CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');

/** The mnemonic of an encoding: alternatives by operand size, conditions. */
export function mnemonic(s: Shape): string {
  const names = s.row.name.split('|');
  const size = operandSize(s);
  const name = names[size === 2 ? 0 : size === 4 ? 1 : 2] ?? names[0]!;
  return s.row.count === 16 ? name + CONDITIONS[s.op & 15]! : name;
}

import type { DecodeTable } from './decode-table.ts';
import { BASE_NONE, BASE_RIP, DECODE_FETCH, DECODE_OK, Decoder } from './decoder.ts';
import type { InsnRow } from './insn-row.ts';
import {
  K_A,
  K_AX,
  K_B,
  K_C,
  K_CX,
  K_D,
  K_DX,
  K_E,
  K_G,
  K_H,
  K_I,
  K_I2,
  K_J,
  K_L,
  K_M,
  K_N,
  K_NONE,
  K_O,
  K_ONE,
  K_P,
  K_Q,
  K_R,
  K_S,
  K_SEG,
  K_ST0,
  K_STI,
  K_U,
  K_V,
  K_VM,
  K_W,
  K_X,
  K_XMM0,
  K_Y,
  K_Z,
  W_NATIVE,
  W_NONE,
  W_QQ,
  W_V,
  W_V_MEM16,
  W_X,
  W_X2,
  W_X4,
  W_X8,
  W_Y,
  W_Y_MEM8,
  W_Y_MEM16,
  W_Z,
} from './operand-codes.ts';
import { REG64, SEGMENT_NAMES } from './slot-names.ts';

const REG32 = [
  'eax',
  'ecx',
  'edx',
  'ebx',
  'esp',
  'ebp',
  'esi',
  'edi',
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => `r${n}d`),
];
const REG16 = [
  'ax',
  'cx',
  'dx',
  'bx',
  'sp',
  'bp',
  'si',
  'di',
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => `r${n}w`),
];
const REG8 = [
  'al',
  'cl',
  'dl',
  'bl',
  'spl',
  'bpl',
  'sil',
  'dil',
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => `r${n}b`),
];
const REG8_LEGACY = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'];
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const POINTER: Readonly<Record<number, string>> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
  32: 'ymmword',
};

/** Longest instruction, padded: bytes beyond the window read as zero. */
const WINDOW = 32;

/** Intel-syntax disassembly from the same tables as the translator. Cold: allocates freely. */
export class Disassembler extends Decoder {
  private rip = 0n;
  private readonly window = new Uint8Array(WINDOW);

  constructor(table: DecodeTable) {
    super(table);
  }

  /** One instruction at the start of `bytes`. An undefined or truncated one gives '(bad)' and length 1. */
  disassemble(
    bytes: Uint8Array,
    rip: bigint,
    flags: number,
  ): { readonly text: string; readonly length: number } {
    this.window.fill(0);
    this.window.set(bytes.subarray(0, WINDOW));
    this.setMode(flags);
    this.bytes = this.window;
    this.pos = 0;
    this.limit = Math.min(bytes.length, WINDOW);
    this.crossed = false;
    this.fetchFailed = false;
    this.rip = rip;
    const status = this.decode();
    if (status === DECODE_FETCH || status !== DECODE_OK || this.row === 0)
      return { text: '(bad)', length: 1 };
    return { text: this.format(this.table.rows[this.row]!), length: this.length };
  }

  private format(row: InsnRow): string {
    const operands = this.isString(row)
      ? []
      : [0, 1, 2, 3].map((n) => this.operand(n)).filter((s) => s !== '');
    const name = this.mnemonic(row);
    const prefix = this.prefixText(row);
    if (name === 'xchg' && row.op === 0x90 && operands[0] === operands[1]) return `${prefix}nop`;
    return `${prefix}${name}${operands.length ? ` ${operands.join(', ')}` : ''}`;
  }

  private mnemonic(row: InsnRow): string {
    let name = row.name;
    const variants = name.split('|');
    if (variants.length === 3) name = variants[this.opSize === 2 ? 0 : this.opSize === 4 ? 1 : 2]!;
    if (row.count === 16) return name + CONDITIONS[this.opcode & 15]!;
    if (name === 'jcxz') return this.addrSize === 2 ? 'jcxz' : this.addrSize === 4 ? 'jecxz' : 'jrcxz';
    if (this.isString(row)) return name + 'bwdq'[[1, 2, 4, 8].indexOf(this.stringSize())]!;
    return name;
  }

  private isString(row: InsnRow): boolean {
    return this.map === 0 && /^(movs|cmps|stos|lods|scas|ins|outs)$/.test(row.name);
  }

  private stringSize(): number {
    for (let n = 0; n < 2; n++) {
      const k = this.kind(n);
      if (k === K_X || k === K_Y) return this.width(n);
    }
    return 1;
  }

  private prefixText(row: InsnRow): string {
    const lock = this.lockPrefix ? 'lock ' : '';
    if (!this.isString(row) || this.repPrefix === 0) return lock;
    if (/^(cmps|scas)$/.test(row.name)) return this.repPrefix === 0xf2 ? 'repne ' : 'repe ';
    return 'rep ';
  }

  private kind(n: number): number {
    return this.table.operandKind[this.row * 4 + n]!;
  }

  private width(n: number): number {
    const w = this.table.operandWidth[this.row * 4 + n]!;
    switch (w) {
      case W_V:
        return this.opSize;
      case W_Z:
        return this.opSize === 2 ? 2 : 4;
      case W_Y:
        return this.opSize === 8 ? 8 : 4;
      case W_NATIVE:
        return this.code64 ? 8 : 4;
      case W_V_MEM16:
        return this.isMem ? 2 : this.opSize;
      case W_Y_MEM8:
        return this.isMem ? 1 : this.opSize === 8 ? 8 : 4;
      case W_Y_MEM16:
        return this.isMem ? 2 : this.opSize === 8 ? 8 : 4;
      case W_X:
      case W_X2:
      case W_X4:
      case W_X8:
        return (16 << this.vexL) >> (w - W_X);
      case W_QQ:
        return 32;
      default:
        return w;
    }
  }

  /** 32 for an operand that is a YMM register: all vector operands are as long as VEX.L says, but for fixed widths. */
  private vectorSize(n: number): number {
    const w = this.table.operandWidth[this.row * 4 + n]!;
    return w === W_QQ || (w === W_X && this.vexL === 1) ? 32 : 16;
  }

  private register(n: number, size: number): string {
    if (size === 8) return REG64[n]!;
    if (size === 4) return REG32[n]!;
    if (size === 2) return REG16[n]!;
    return (this.rex === 0 && n < 8 ? REG8_LEGACY : REG8)[n]!;
  }

  private operand(n: number): string {
    const kind = this.kind(n);
    const size = this.width(n);
    switch (kind) {
      case K_NONE:
        return '';
      case K_E:
        return this.isMem ? this.memoryText(size) : this.register(this.rm, size);
      case K_M:
        return this.memoryText(size);
      case K_W:
        return this.isMem ? this.memoryText(size) : vector(this.rm, this.vectorSize(n));
      case K_Q:
        return this.isMem ? this.memoryText(size) : `mm${this.rm & 7}`;
      case K_G:
        return this.register(this.reg, size);
      case K_R:
        return this.register(this.rm, size);
      case K_Z:
        return this.register((this.opcode & 7) | ((this.rex & 1) << 3), size);
      case K_AX:
        return this.register(0, size);
      case K_CX:
        return this.register(1, size);
      case K_DX:
        return this.register(2, size);
      case K_V:
        return vector(this.reg, this.vectorSize(n));
      case K_U:
        return vector(this.rm, this.vectorSize(n));
      case K_P:
        return `mm${this.reg & 7}`;
      case K_N:
        return `mm${this.rm & 7}`;
      case K_XMM0:
        return 'xmm0';
      case K_H:
        return vector(this.vvvv, this.vectorSize(n));
      case K_L:
        return vector((this.immLo >> 4) & (this.code64 ? 15 : 7), this.vectorSize(n));
      case K_B:
        return this.register(this.vvvv, size);
      case K_VM:
        return this.vsibText(size);
      case K_ST0:
        return 'st(0)';
      case K_STI:
        return `st(${this.rm & 7})`;
      default:
        return this.plainOperand(kind, size);
    }
  }

  private plainOperand(kind: number, size: number): string {
    switch (kind) {
      case K_I:
        return this.immediateText(size);
      case K_I2:
        return hex(BigInt(this.imm2));
      case K_ONE:
        return '1';
      case K_J:
        return hex(this.target());
      case K_A:
        return `${hex(BigInt(this.imm2))}:${hex(BigInt(this.immLo >>> 0))}`;
      case K_O:
        return `${this.segmentPrefix()}${hex(this.immediateValue(this.addrSize))}`;
      case K_S:
        return SEGMENT_NAMES[this.reg & 7] ?? '?';
      case K_C:
        return `cr${this.reg}`;
      case K_D:
        return `dr${this.reg}`;
      case K_X:
      case K_Y:
        return '';
      default:
        return kind >= K_SEG && kind < K_SEG + 6 ? SEGMENT_NAMES[kind - K_SEG]! : '';
    }
  }

  private immediateValue(size: number): bigint {
    const value = BigInt.asUintN(32, BigInt(this.immLo)) | (BigInt(this.immHi) << 32n);
    return BigInt.asUintN(size * 8, value);
  }

  private immediateText(size: number): string {
    return hex(this.immediateValue(size));
  }

  private target(): bigint {
    const next = this.rip + BigInt(this.length) + BigInt(this.immLo);
    return BigInt.asUintN(this.code64 ? 64 : this.opSize * 8, next);
  }

  private segmentPrefix(): string {
    return this.segOverride >= 0 ? `${SEGMENT_NAMES[this.segOverride]!}:` : '';
  }

  /** The index of VSIB is as long as VEX.L says, but for four or two qword data by four dword indexes: half of it. */
  private vsibText(size: number): string {
    const half = this.kind(0) === K_V && this.opcode % 2 === 0 && this.rex & 8;
    return this.memoryText(size, vector(this.sibIndex, this.vexL === 1 && !half ? 32 : 16));
  }

  private memoryText(size: number, vectorIndex = ''): string {
    const parts: string[] = [];
    const names = this.addrSize === 8 ? REG64 : this.addrSize === 4 ? REG32 : REG16;
    if (this.base === BASE_RIP) parts.push(this.addrSize === 8 ? 'rip' : 'eip');
    else if (this.base !== BASE_NONE) parts.push(names[this.base]!);
    if (this.index >= 0) parts.push(scaled(names[this.index]!, this.scale));
    if (vectorIndex) parts.push(scaled(vectorIndex, this.sibScale));
    let text = parts.join('+');
    if (parts.length === 0) text = hex(BigInt.asUintN(this.addrSize * 8, BigInt(this.disp)));
    else if (this.disp !== 0)
      text += this.disp < 0 ? `-${hex(BigInt(-this.disp))}` : `+${hex(BigInt(this.disp))}`;
    const pointer = size === W_NONE ? '' : POINTER[size];
    return `${pointer ? `${pointer} ptr ` : ''}${this.segmentPrefix()}[${text}]`;
  }
}

function vector(n: number, size: number): string {
  return `${size === 32 ? 'ymm' : 'xmm'}${n}`;
}

function scaled(name: string, scale: number): string {
  return scale ? `${name}*${1 << scale}` : name;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

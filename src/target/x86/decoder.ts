import { HF_CS32, HF_CS64, HF_PE, HF_VM } from '../../runtime/x86/layout.ts';
import type { DecodeTable } from './decode-table.ts';
import {
  IMM_B,
  IMM_FAR,
  IMM_OFFSET,
  IMM_V,
  IMM_W,
  IMM_WB,
  IMM_Z,
  RF_D64,
  RF_F64,
  RF_LOCK,
  RF_VSIB,
  RF_VVVV,
  ROW_INVALID,
  vexMap,
} from './decode-table.ts';
import { type Dispatch, OF_MOD3, OF_MODRM } from './dispatch.ts';
import { K_E, K_M } from './operand-codes.ts';

/** Base register numbers that mean something else. */
export const BASE_NONE = -1;
export const BASE_RIP = -2;
/** What went wrong while decoding. */
export const DECODE_OK = 0;
/** The bytes could not be fetched. */
export const DECODE_FETCH = 1;
/** More than 15 bytes: #GP(0). */
export const DECODE_TOO_LONG = 2;

/** 4 KiB: how far the second page of a window reaches. */
const PAGE_SIZE = 4096;

/** What each byte means as a prefix in 16/32-bit code; in 64-bit code 40–4F are REX. */
const PREFIX_KIND = new Uint8Array(256);
const P_SEG = 1;
const P_OP = 2;
const P_ADDR = 3;
const P_LOCK = 4;
const P_REP = 5;
const P_REX = 6;
for (const b of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) PREFIX_KIND[b] = P_SEG;
PREFIX_KIND[0x66] = P_OP;
PREFIX_KIND[0x67] = P_ADDR;
PREFIX_KIND[0xf0] = P_LOCK;
PREFIX_KIND[0xf2] = P_REP;
PREFIX_KIND[0xf3] = P_REP;
for (let b = 0x40; b < 0x50; b++) PREFIX_KIND[b] = P_REX;
PREFIX_KIND[0x0f] = 7;

/** Base and index registers of 16-bit addressing by rm (SDM Vol. 2A table 2-1); rm 6 without displacement is disp16. */
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, -1, -1, -1, -1];

/** Reads one instruction into number fields. No allocation: one decoder is reused for every instruction. */
export class Decoder {
  readonly table: DecodeTable;
  protected dispatch: Dispatch;

  // ---- code bytes
  bytes: Uint8Array = new Uint8Array(0);
  /** Next byte to read, first unreadable byte, first byte of the instruction (adjusted when it crosses a page). */
  pos = 0;
  protected limit = 0;
  protected insnStart = 0;
  crossed = false;
  protected fetchFailed = false;

  // ---- mode
  code64 = false;
  code32 = false;
  /** VEX prefixes exist: protected mode outside virtual-8086 mode. */
  private vexMode = false;

  // ---- the instruction
  /** Row number in the decode table. */
  row = ROW_INVALID;
  /** Opcode byte within its map, map number. */
  opcode = 0;
  map = 0;
  /** Operand size in bytes 2, 4, 8; address size 2, 4, 8. */
  opSize = 4;
  addrSize = 4;
  /** 66 prefix seen; 0, 0xf3 or 0xf2; LOCK seen; segment override ES..GS or -1. */
  opPrefix = false;
  repPrefix = 0;
  lockPrefix = false;
  segOverride = -1;
  /** REX byte or 0. */
  rex = 0;
  /** VEX-encoded; vector length 0 = 128, 1 = 256 bits; VEX.W; register of VEX.vvvv. */
  vex = false;
  vexL = 0;
  vexW = false;
  vvvv = 0;
  /** ModRM fields with REX applied to reg and rm; `isMem` = memory form. */
  mod = 0;
  reg = 0;
  rm = 0;
  isMem = false;
  /** Memory operand: registers or BASE_*, index or -1, shift, displacement. */
  base = BASE_NONE;
  index = -1;
  scale = 0;
  disp = 0;
  /** A SIB byte was there: its index as it stands (VSIB: a vector register), and its shift. */
  private hasSib = false;
  sibIndex = 0;
  sibScale = 0;
  /** Immediate (sign-extended from its size) in two halves; second immediate: ENTER's level, a far pointer's selector. */
  immLo = 0;
  immHi = 0;
  imm2 = 0;
  /** Bytes of the instruction. */
  length = 0;

  constructor(table: DecodeTable) {
    this.table = table;
    this.dispatch = table.dispatch[0];
  }

  setMode(flags: number): void {
    this.code64 = (flags & HF_CS64) !== 0;
    this.code32 = (flags & HF_CS32) !== 0;
    this.vexMode = (flags & (HF_PE | HF_VM)) === HF_PE;
    this.dispatch = this.table.dispatch[this.code64 ? 1 : 0];
  }

  /** Called when the page ends: address of the next page's first byte, -1 if it cannot be fetched. */
  protected nextPage(): number {
    return -1;
  }

  /** How many bytes of that page may be read. */
  protected nextPageBytes(): number {
    return PAGE_SIZE;
  }

  private refill(): boolean {
    if (this.crossed || this.fetchFailed) {
      this.fetchFailed = true;
      return false;
    }
    const next = this.nextPage();
    if (next < 0) {
      this.fetchFailed = true;
      return false;
    }
    this.insnStart = next - (this.pos - this.insnStart);
    this.pos = next;
    this.limit = next + this.nextPageBytes();
    this.crossed = true;
    return true;
  }

  private u8(): number {
    if (this.pos >= this.limit && !this.refill()) return 0;
    return this.bytes[this.pos++]!;
  }

  private s8(): number {
    return (this.u8() << 24) >> 24;
  }

  private u16(): number {
    const lo = this.u8();
    return lo | (this.u8() << 8);
  }

  private s32(): number {
    const p = this.pos;
    if (p + 4 <= this.limit) {
      this.pos = p + 4;
      const b = this.bytes;
      return b[p]! | (b[p + 1]! << 8) | (b[p + 2]! << 16) | (b[p + 3]! << 24);
    }
    const lo = this.u16();
    return lo | (this.u16() << 16);
  }

  /** Decodes the instruction at `pos`. Returns DECODE_*; an undefined opcode is row ROW_INVALID. */
  decode(): number {
    this.insnStart = this.pos;
    const opcode = this.prefixes();
    this.opcodeMap(opcode);
    this.length = this.pos - this.insnStart;
    if (this.length > 15) return DECODE_TOO_LONG;
    return this.fetchFailed ? DECODE_FETCH : DECODE_OK;
  }

  private prefixes(): number {
    this.opPrefix = false;
    this.repPrefix = 0;
    this.lockPrefix = false;
    this.segOverride = -1;
    let rex = 0;
    let addrPrefix = false;
    let b = this.u8();
    for (;;) {
      const kind = PREFIX_KIND[b]!;
      if (kind === 0 || kind === 7) break;
      if (kind === P_REX) {
        if (!this.code64) break;
        rex = b;
      } else {
        rex = 0;
        if (kind === P_OP) this.opPrefix = true;
        else if (kind === P_SEG) this.overrideSegment(b);
        else if (kind === P_REP) this.repPrefix = b;
        else if (kind === P_ADDR) addrPrefix = true;
        else this.lockPrefix = true;
      }
      if (this.pos - this.insnStart > 15) break;
      b = this.u8();
    }
    this.rex = rex;
    this.addrSize = this.code64 ? (addrPrefix ? 4 : 8) : this.code32 !== addrPrefix ? 4 : 2;
    return b;
  }

  /** In 64-bit code CS, DS, ES and SS overrides are ignored (SDM Vol. 1 3.4.2.1). */
  private overrideSegment(b: number): void {
    if (b >= 0x64) this.segOverride = b - 0x60;
    else if (!this.code64) this.segOverride = (b - 0x26) >> 3;
  }

  private opcodeMap(first: number): void {
    let opcode = first;
    let map = 0;
    this.vex = false;
    this.vexL = 0;
    if ((opcode === 0xc4 || opcode === 0xc5) && this.isVex()) return this.vexOpcode(opcode);
    if (opcode === 0x0f) {
      opcode = this.u8();
      map = 1;
      if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        opcode = this.u8();
      }
    }
    this.opcode = opcode;
    this.map = map;
    const column = this.repPrefix ? (this.repPrefix === 0xf3 ? 2 : 3) : this.opPrefix ? 1 : 0;
    this.lookUp((map << 8) | opcode, column);
    if (this.lockPrefix) this.checkLock();
  }

  /** C4 and C5 are VEX in 64-bit code; elsewhere when LES or LDS would have a register operand (SDM Vol. 2A 2.3.5). */
  private isVex(): boolean {
    if (this.code64) return true;
    if (!this.vexMode || (this.pos >= this.limit && !this.refill())) return false;
    return this.bytes[this.pos]! >= 0xc0;
  }

  /** SDM Vol. 2A 2.3.5: two- and three-byte VEX prefix, opcode. LOCK, 66, F2, F3 and REX may not stand before it. */
  private vexOpcode(first: number): void {
    const illegal = this.lockPrefix || this.opPrefix || this.repPrefix !== 0 || this.rex !== 0;
    let map = 1;
    let p = this.u8();
    let rex = ((p ^ 0x80) >> 5) & 4;
    let w = 0;
    if (first === 0xc4) {
      rex = (~p >> 5) & 7;
      map = p & 31;
      p = this.u8();
      w = p >> 7;
    }
    this.rex = this.code64 ? 0x40 | rex | (w << 3) : 0;
    this.vex = true;
    this.vexL = (p >> 2) & 1;
    this.vexW = w !== 0;
    this.vvvv = (~p >> 3) & (this.code64 ? 15 : 7);
    this.opPrefix = (p & 3) === 1;
    this.repPrefix = (p & 3) === 2 ? 0xf3 : (p & 3) === 3 ? 0xf2 : 0;
    const opcode = this.u8();
    this.opcode = opcode;
    this.map = map;
    if (illegal || map === 0 || map > 3) {
      this.row = ROW_INVALID;
      return;
    }
    this.lookUp((vexMap(map, w, this.vexL) << 8) | opcode, p & 3);
    const rowFlags = this.table.rowFlags[this.row]!;
    if ((rowFlags & RF_VVVV) === 0 && (p & 0x78) !== 0x78) this.row = ROW_INVALID;
    // VSIB takes a SIB byte and no 16-bit addressing (SDM Vol. 2A 2.3.12)
    if ((rowFlags & RF_VSIB) === 0) return;
    if (!this.hasSib) this.row = ROW_INVALID;
    this.index = -1;
  }

  /** Finds the row of an opcode by its index and mandatory-prefix column and reads the rest of the instruction. */
  private lookUp(index: number, column: number): void {
    const flags = this.dispatch.opcodeFlags(index);
    let modrm = 0;
    if (flags & OF_MODRM) {
      modrm = this.u8();
      this.mod = modrm >> 6;
      this.reg = ((modrm >> 3) & 7) | ((this.rex & 4) << 1);
      this.rm = (modrm & 7) | ((this.rex & 1) << 3);
      this.isMem = modrm < 0xc0 && (flags & OF_MOD3) === 0;
    } else {
      this.isMem = false;
    }
    const row = this.dispatch.findRow(index, column, this.isMem ? 0 : 1, this.reg, modrm);
    this.row = row;
    this.operandSize(this.table.rowFlags[row]!);
    if (this.isMem) this.memory(modrm);
    this.immediate(this.table.rowImm[row]!);
  }

  private operandSize(rowFlags: number): void {
    if (this.code64) {
      if (rowFlags & RF_F64 || this.rex & 8) this.opSize = 8;
      else if (this.vex) this.opSize = 4;
      else if (this.opPrefix) this.opSize = 2;
      else this.opSize = rowFlags & RF_D64 ? 8 : 4;
    } else {
      this.opSize = this.vex || this.code32 !== this.opPrefix ? 4 : 2;
    }
  }

  /** LOCK needs a row that allows it and a memory destination (SDM Vol. 2A LOCK). */
  private checkLock(): void {
    const kind = this.table.operandKind[this.row * 4]!;
    if ((this.table.rowFlags[this.row]! & RF_LOCK) === 0 || !this.isMem || (kind !== K_E && kind !== K_M))
      this.row = ROW_INVALID;
  }

  private memory(modrm: number): void {
    this.index = -1;
    this.scale = 0;
    this.hasSib = false;
    if (this.addrSize === 2) return this.memory16(modrm);
    const mod = modrm >> 6;
    let base = modrm & 7;
    if (base === 4) {
      const sib = this.u8();
      base = sib & 7;
      const index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
      this.hasSib = true;
      this.sibIndex = index;
      this.sibScale = sib >> 6;
      if (index !== 4) {
        this.index = index;
        this.scale = sib >> 6;
      }
      if (base === 5 && mod === 0) {
        this.base = BASE_NONE;
        this.disp = this.s32();
        return;
      }
    } else if (base === 5 && mod === 0) {
      this.base = this.code64 ? BASE_RIP : BASE_NONE;
      this.disp = this.s32();
      return;
    }
    this.base = base | ((this.rex & 1) << 3);
    this.disp = mod === 0 ? 0 : mod === 1 ? this.s8() : this.s32();
  }

  private memory16(modrm: number): void {
    const mod = modrm >> 6;
    const rm = modrm & 7;
    if (mod === 0 && rm === 6) {
      this.base = BASE_NONE;
      this.disp = this.u16();
      return;
    }
    this.base = BASE16[rm]!;
    this.index = INDEX16[rm]!;
    this.disp = mod === 0 ? 0 : mod === 1 ? this.s8() : (this.u16() << 16) >> 16;
  }

  private immediate(kind: number): void {
    if (kind === 0) return;
    if (kind === IMM_B) this.setImm(this.s8());
    else if (kind === IMM_Z) this.setImm(this.opSize === 2 ? (this.u16() << 16) >> 16 : this.s32());
    else if (kind === IMM_W) this.setImm(this.u16());
    else if (kind === IMM_V) this.wideImmediate();
    else if (kind === IMM_WB) {
      this.setImm(this.u16());
      this.imm2 = this.u8();
    } else if (kind === IMM_FAR) {
      this.setImm(this.opSize === 2 ? this.u16() : this.s32());
      this.imm2 = this.u16();
    } else if (kind === IMM_OFFSET) {
      this.absoluteOffset();
    }
  }

  private setImm(value: number): void {
    this.immLo = value;
    this.immHi = value >> 31;
  }

  private wideImmediate(): void {
    if (this.opSize !== 8) return this.setImm(this.opSize === 2 ? (this.u16() << 16) >> 16 : this.s32());
    this.immLo = this.s32();
    this.immHi = this.s32();
  }

  /** MOV AL, moffs: an address-size immediate; becomes a memory operand without registers, 64 bits in immLo/immHi. */
  private absoluteOffset(): void {
    this.isMem = true;
    this.base = BASE_NONE;
    this.index = -1;
    this.scale = 0;
    if (this.addrSize === 2) this.disp = this.u16();
    else this.disp = this.s32();
    this.setImm(this.disp);
    if (this.addrSize === 8) this.immHi = this.s32();
  }
}

import { CASE_AT } from './encoder.ts';
import {
  CS_32,
  CS_64,
  DATA,
  DATA_SELECTOR,
  DATA_SIZE,
  I_CS,
  I_ES,
  I_FCW,
  I_FS_BASE,
  I_FSW,
  I_FTW,
  I_GPR,
  I_GS_BASE,
  I_MXCSR,
  I_RFLAGS,
  I_RIP,
  I_RSP,
  I_SS,
  I_ST,
  I_XMM,
  I_XSAVE,
  I_XSTATE_BV,
  I_YMM_HI,
  IMAGE_SIZE,
  READ_ONLY,
} from './image.ts';
import type { EffectiveAddress, OracleCase } from './oracle-case.ts';
import { Random } from './random.ts';
import { putExtended, putInteger, putVector, type VectorKind } from './values.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const FL_TF = 0x100;
const FL_DF = 0x400;
const FL_AC = 0x4_0000;

/** Where memory operands usually lie; also the base of FS and GS. */
export const OPERAND = DATA + 0x800;
const READ_ONLY_OFFSET = 0x100;
const STACK = DATA + 0x1800;
/** Control may be sent here: an INT3. */
const TARGET = CASE_AT + 0x60;

const STRING = /^(ins|outs|movs|cmps|stos|lods|scas)$/;
const BIT_STRING = /^bt[src]?$/;
const SELECTORS = [
  0, 1, 3, 0x08, 0x10, 0x13, 0x18, 0x20, 0x23, 0x28, 0x2b, 0x29, 0x30, 0x33, 0x2f, 7, 0x80, 0x203, 0xfff8,
];
const FAR_TARGETS = [CS_64, CS_32, DATA_SELECTOR, 0, 0x10, 0x1b, 0x37, 0x403];

/** Masked exceptions and round to nearest mostly; every rounding mode, DAZ, FTZ and unmasked exceptions. */
function mxcsr(random: Random): number {
  const kind = random.below(10);
  let value = 0x1f80 | (random.chance(50) ? 0x20 : 0);
  if (kind >= 4) value |= random.below(4) << 13;
  if (kind >= 6) value |= random.below(64);
  if (kind === 7) value |= 0x8000;
  if (kind === 8) value |= 0x40;
  if (kind === 9) value &= ~(random.below(64) << 7);
  return value;
}

function controlWord(random: Random): number {
  const masks = random.chance(70) ? 0x3f : random.below(64);
  return 0x40 | masks | (random.pick([3, 3, 3, 2, 0]) << 8) | (random.below(4) << 10);
}

/** What element type an instruction's vectors hold, by its mnemonic. */
function vectorKind(name: string): VectorKind {
  if (/^v?(p|mov|aes|sha|gf2|lddqu|mask)/.test(name) || /dq2p|pi2p|si2s/.test(name))
    return /p[sd]$/.test(name) ? 'any' : 'integer';
  if (/(ps|ss|ps2\w+|ss2\w+|ph2ps|ps2ph|f128)$/.test(name)) return 'single';
  if (/(pd|sd|pd2\w+|sd2\w+)$/.test(name)) return 'double';
  return 'any';
}

/** The address of an operand without registers. */
function fixedAddress({ ea, bits }: OracleCase): number | undefined {
  if (ea === undefined || ea.base >= 0 || ea.index >= 0 || ea.addressSize === 2) return undefined;
  return ea.disp + (ea.segment !== undefined && bits === 64 ? DATA : 0);
}

/** Generates the states a case starts from. Everything follows from the case and the number of the input. */
export class InputGenerator {
  readonly image = new Uint8Array(IMAGE_SIZE);
  readonly data = new Uint8Array(DATA_SIZE);
  private readonly view = new DataView(this.image.buffer);
  private readonly memory = new DataView(this.data.buffer);
  private readonly template = new Uint8Array(DATA_SIZE);
  private random = new Random(1);
  /** Address of the memory operand of the last input. */
  target = 0;

  /** Whether inputs may ask for alignment checks; recorded results have none. */
  alignmentChecks = false;

  constructor() {
    const random = new Random(0x5eed);
    for (let i = 0; i < DATA_SIZE; i++) this.template[i] = random.u32() & 255;
    // an address in the read-only page is a canonical one
    this.template.fill(0, READ_ONLY_OFFSET + 4, READ_ONLY_OFFSET + 8);
  }

  /** Contents of the read-only page: the start of the template. */
  get readOnly(): Uint8Array {
    return this.template.subarray(0, 0x1000);
  }

  /** Fills `image` and `data`. */
  generate(c: OracleCase, seed: number): void {
    const random = new Random(seed);
    this.random = random;
    this.data.set(this.template);
    this.general();
    this.system(c);
    this.vectors(c);
    this.x87();
    const target = fixedAddress(c) ?? this.operandAddress(c);
    this.target = target;
    if (c.ea) this.place(c.ea, target);
    this.special(c, this.target);
  }

  private setReg(n: number, low: number, high = 0): void {
    this.view.setUint32(I_GPR + n * 8, low, true);
    this.view.setUint32(I_GPR + n * 8 + 4, high, true);
  }

  private general(): void {
    for (let i = 0; i < 16; i++) putInteger(this.view, I_GPR + i * 8, this.random);
    const kind = this.random.below(40);
    this.setReg(RSP, kind === 0 ? DATA : kind === 1 ? DATA + DATA_SIZE : kind < 5 ? STACK - kind : STACK);
  }

  private system(c: OracleCase): void {
    const { view, random } = this;
    const wide = c.bits === 64;
    view.setBigUint64(I_RIP, BigInt(CASE_AT), true);
    view.setBigUint64(I_CS, BigInt(wide ? CS_64 : CS_32), true);
    view.setBigUint64(I_SS, BigInt(DATA_SELECTOR), true);
    for (let i = 0; i < 4; i++) view.setUint16(I_ES + i * 2, wide ? 0 : DATA_SELECTOR, true);
    view.setBigUint64(I_FS_BASE, wide ? BigInt(DATA) : 0n, true);
    view.setBigUint64(I_GS_BASE, wide ? BigInt(DATA) : 0n, true);
    let flags = (random.u32() & 0x8d5) | 0x202;
    if (random.chance(STRING.test(c.name) ? 30 : 5)) flags |= FL_DF;
    if (random.chance(3)) flags |= FL_TF;
    if (random.chance(3)) flags |= 0x20_4000;
    if (this.alignmentChecks && random.chance(4)) flags |= FL_AC;
    view.setBigUint64(I_RFLAGS, BigInt(flags), true);
  }

  private vectors(c: OracleCase): void {
    const { view, random } = this;
    const kind = vectorKind(c.name);
    for (let i = 0; i < 16; i++) {
      putVector(view, I_XMM + i * 16, 16, kind, random);
      putVector(view, I_YMM_HI + i * 16, 16, kind, random);
    }
    view.setUint32(I_MXCSR, mxcsr(random), true);
    view.setUint32(I_XSTATE_BV, 7, true);
  }

  private x87(): void {
    const { view, random } = this;
    for (let i = 0; i < 8; i++) {
      putExtended(view, I_ST + i * 16, random);
      view.setUint32(I_ST + i * 16 + 10, 0, true);
      view.setUint16(I_ST + i * 16 + 14, 0, true);
    }
    const control = controlWord(random);
    let status = random.chance(20) ? random.u32() & 0x477f : 0;
    status |= random.below(8) << 11;
    if (status & ~control & 0x3f) status |= random.chance(80) ? 0 : 0x8080;
    if ((status & 0x8080) === 0) status &= ~0x3f | control;
    this.view.setUint16(I_FCW, control, true);
    view.setUint16(I_FSW, status, true);
    view.setUint16(I_FTW, random.chance(60) ? 0xff : random.u32() & 0xff, true);
    view.setUint16(I_FTW + 2, 0, true);
    view.setBigUint64(I_XSAVE + 8, 0n, true);
    view.setBigUint64(I_XSAVE + 16, 0n, true);
  }

  // ---- memory operands

  /** Mostly an aligned place in the window; sometimes unaligned, across pages, read-only, unmapped, not canonical. */
  private operandAddress(c: OracleCase): number {
    const { random } = this;
    const size = c.ea?.size ?? 8;
    const kind = random.below(32);
    if (kind < 20) return OPERAND + random.below(8) * 64;
    if (kind < 25) return OPERAND + random.below(64);
    if (kind < 27) return DATA + 0x1000 - 1 - random.below(Math.max(size - 1, 1));
    if (kind < 28) return DATA + DATA_SIZE - size;
    if (kind < 30) return DATA + DATA_SIZE - random.below(size + 1);
    if (kind < 31) return READ_ONLY + READ_ONLY_OFFSET;
    return random.chance(50) ? DATA - 1 - random.below(size) : -1;
  }

  private place(ea: EffectiveAddress, target: number): void {
    const { random, view } = this;
    if (target < 0) {
      if (ea.base >= 0 && ea.addressSize === 8) this.setReg(ea.base, random.u32(), 0x8000_0000);
      if (ea.base < 0 || ea.addressSize === 8) return;
      target = DATA + DATA_SIZE + 0x100;
    }
    if (ea.addressSize === 2) return;
    const garbage = ea.addressSize === 4 && view.getUint16(I_CS, true) === CS_64 ? random.u32() : 0;
    this.target = target;
    let rest =
      target - ea.disp - (ea.segment === undefined || view.getUint16(I_CS, true) === CS_32 ? 0 : DATA);
    if (ea.vsib !== undefined) this.vectorIndex(ea);
    else if (ea.index >= 0) {
      const index = ea.base < 0 ? Math.floor(rest / (1 << ea.shift)) : random.below(64) - 32;
      rest -= index * (1 << ea.shift);
      if (ea.base < 0) this.target = target - rest;
      this.setWide(ea.index, index, garbage, ea.addressSize);
    }
    if (ea.base >= 0) this.setWide(ea.base, rest, garbage, ea.addressSize);
  }

  private setWide(n: number, value: number, garbage: number, addressSize: number): void {
    this.setReg(n, value >>> 0, addressSize === 4 ? garbage : value < 0 ? 0xffff_ffff : 0);
  }

  private vectorIndex(ea: EffectiveAddress): void {
    for (const half of [I_XMM, I_YMM_HI]) {
      for (let i = 0; i < 16; i += ea.vsib!) {
        const index = this.random.below(128) - 64;
        this.view.setInt32(half + ea.index * 16 + i, index, true);
        if (ea.vsib === 8) this.view.setInt32(half + ea.index * 16 + i + 4, index >> 31, true);
      }
    }
  }

  // ---- instructions whose operands are addresses, selectors, targets or images

  private special(c: OracleCase, target: number): void {
    const { random } = this;
    const { name } = c;
    const at = target - DATA;
    const inside = c.ea !== undefined && at >= 0 && at + c.ea.size <= DATA_SIZE;
    if (inside) this.operandValue(c, at);
    if (STRING.test(name)) this.strings(c);
    else if (BIT_STRING.test(name) && c.ea && c.reg !== undefined && c.imm === undefined) this.bitIndex(c);
    else if (name === 'xlatb') this.setReg(RBX, OPERAND, 0);
    else if (/^v?maskmov(q|dqu)$/.test(name)) this.setReg(RDI, target < 0 ? OPERAND : target);
    else if (/^(enter|leave)/.test(name)) this.setReg(RBP, DATA + 0x1400 - (random.chance(10) ? 0x1400 : 0));
    else if (/^(call|jmp)/.test(name)) this.branch(c, inside, at);
    else if (/^(ret|iret|popf)/.test(name)) this.frame(c);
    else if (/^(fxrstor|xrstor)/.test(name) && inside) this.stateImage(at);
    else if (/^(les|lds|lss|lfs|lgs)/.test(name) && inside)
      this.memory.setUint16(Math.min(at + c.size, DATA_SIZE - 2), random.pick(SELECTORS), true);
    else if (/^(lar|lsl|verr|verw|ltr|lldt|arpl)$/.test(name) || /^(push|pop|mov) S|Sw/.test(c.row))
      this.selector(c, inside, at);
    if (/^pop /.test(c.row.replace(/^\S+ /, '')) && /[CDEFGS]S$/.test(c.row))
      this.stackWord(random.pick(SELECTORS));
    if (/^x(save|rstor)/.test(name)) this.stateMask(c);
  }

  /** Something typical of the instruction in the memory operand, or exactly what the accumulator holds. */
  private operandValue(c: OracleCase, at: number): void {
    const { random, memory } = this;
    const room = Math.min((c.ea!.size + 7) & ~7, DATA_SIZE - at) & ~7;
    if (/^f/.test(c.name) && c.ea!.size === 10 && at + 10 <= DATA_SIZE) putExtended(memory, at, random);
    else if (/^f/.test(c.name) && room >= 8)
      putVector(memory, at, 8, c.ea!.size === 4 ? 'single' : c.ea!.size === 8 ? 'double' : 'integer', random);
    else if (room >= 8) putVector(memory, at, room, vectorKind(c.name), random);
    if (/^cmpxchg/.test(c.name) && random.chance(50)) {
      this.data.set(this.image.subarray(I_GPR, I_GPR + Math.min(c.size, 8, DATA_SIZE - at)), at);
      if (/8b|16b/.test(c.name) && at + 16 <= DATA_SIZE) {
        const half = /16b/.test(c.name) ? 8 : 4;
        this.data.set(this.image.subarray(I_GPR, I_GPR + half), at);
        this.data.set(this.image.subarray(I_GPR + RDX * 8, I_GPR + RDX * 8 + half), at + half);
      }
    }
  }

  private strings(c: OracleCase): void {
    const { random } = this;
    const high = random.chance(50) ? 0 : random.u32();
    const garbage = c.bits === 64 && c.code.startsWith('67', c.rep ? 2 : 0) ? high : 0;
    const near = random.chance(15) ? random.below(40) : 0x200;
    this.setReg(RSI, random.chance(8) ? DATA + DATA_SIZE - 24 : OPERAND + random.below(16), garbage);
    this.setReg(RDI, random.chance(8) ? DATA + DATA_SIZE - 16 : OPERAND + near + random.below(16), garbage);
    if (random.chance(3)) this.setReg(RDI, READ_ONLY + 8, garbage);
    if (c.rep) this.setReg(RCX, random.chance(20) ? 0 : random.below(40), garbage);
    if (random.chance(40)) this.data.fill(this.image[I_GPR]!, 0x800, 0xb00);
  }

  /** BT with a register offset reaches far from its operand: keep it near. */
  private bitIndex(c: OracleCase): void {
    const bit = this.random.below(0x4000) - 0x2000;
    if (c.reg === c.ea!.base || c.reg === c.ea!.index) return;
    this.setReg(c.reg!, bit >>> 0, c.size === 8 ? (bit < 0 ? 0xffff_ffff : 0) : this.random.u32());
  }

  private branch(c: OracleCase, inside: boolean, at: number): void {
    const { random, memory } = this;
    const target = TARGET;
    if (!c.ea && c.rm !== undefined) {
      if (c.rm === RSP) return;
      this.setReg(c.rm, target);
    } else if (inside && at + 8 <= DATA_SIZE) {
      memory.setUint32(at, target, true);
      memory.setUint32(at + 4, 0, true);
      if (/M[p]/.test(c.row) && at + 10 <= DATA_SIZE)
        memory.setUint16(at + c.size, random.pick(FAR_TARGETS), true);
    }
  }

  private stackWord(value: number): void {
    const at = this.view.getUint32(I_RSP, true) - DATA;
    if (at >= 0 && at + 8 <= DATA_SIZE) this.memory.setBigUint64(at, BigInt(value), true);
  }

  /** Return address, selector, flags, stack pointer and stack segment for RET, RETF, IRET; flags for POPF. */
  private frame(c: OracleCase): void {
    const { random, memory } = this;
    const at = this.view.getUint32(I_RSP, true) - DATA;
    const flags = (random.u32() & 0x20_4dd7) | (random.chance(10) ? FL_TF : 0);
    const values = /^popf/.test(c.name)
      ? [flags & ~FL_TF]
      : [
          TARGET,
          random.pick([CS_64, CS_32, CS_64, CS_32, ...FAR_TARGETS]),
          flags & ~FL_TF,
          STACK + 64,
          random.pick([DATA_SELECTOR, DATA_SELECTOR, ...SELECTORS]),
        ];
    values.forEach((value, i) => {
      const where = at + i * c.size;
      if (where < 0 || where + 8 > DATA_SIZE) return;
      memory.setUint16(where, value & 0xffff, true);
      if (c.size > 2) memory.setUint32(where, value, true);
      if (c.size === 8) memory.setUint32(where + 4, 0, true);
    });
  }

  private selector(c: OracleCase, inside: boolean, at: number): void {
    const value = this.random.pick(SELECTORS);
    if (c.ea) {
      if (inside && at + 2 <= DATA_SIZE) this.memory.setUint16(at, value, true);
    } else if (c.rm !== undefined && c.rm !== RSP) {
      this.view.setUint16(I_GPR + c.rm * 8, value, true);
    }
  }

  /** A state image that FXRSTOR and XRSTOR accept, or nearly. */
  private stateImage(at: number): void {
    const { random, memory } = this;
    const size = Math.min(832, DATA_SIZE - at);
    this.data.set(this.image.subarray(I_XSAVE, I_XSAVE + size), at);
    if (size < 832) return;
    this.data.copyWithin(at + 160, at + 176, at + 416);
    if (random.chance(10)) memory.setUint32(at + 24, random.u32(), true);
    this.data.fill(0, at + 512, at + 576);
    memory.setUint32(at + 512, random.below(8), true);
    if (random.chance(5)) memory.setUint32(at + 516, 1, true);
    if (random.chance(10)) memory.setUint32(at + 524, 0x8000_0000, true);
    memory.setUint32(at + 520, random.chance(70) ? 0 : random.below(8), true);
  }

  private stateMask({ ea }: OracleCase): void {
    if ([ea?.base, ea?.index].some((n) => n === RAX || n === RDX)) return;
    this.setReg(RAX, this.random.chance(70) ? 7 : this.random.below(8));
    this.setReg(RDX, 0);
  }
}

/** A flat machine with descriptor tables and handlers that record exceptions, for tests of system behaviour. */
import type { TcgTier } from '../../accel/tcg/tcg-vcpu.ts';
import {
  CR0,
  CR4,
  CS,
  DS,
  ES,
  FEATURES,
  FS,
  GDT_BASE,
  GDT_LIMIT,
  GS,
  IDT_BASE,
  IDT_LIMIT,
  RIP,
  RSP,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  SS,
  TR,
  X86_FEATURE_SEVERAL_CPUS,
} from '../../runtime/x86/layout.ts';
import { assemble } from '../../testing/asm/x86.ts';
import { FlatMachine } from './flat-machine.cases.ts';

export const CODE = 0x20_0000;
export const DATA = 0x24_0000;
export const GDT = 0x5000;
const HANDLER = 0x21_0000;
const IDT = 0x4000;
const TSS = 0x6000;
/** Exceptions use this stack; the program has its own. */
const FAULT_STACK = 0x32_0000;
export const STACK = 0x30_0000;

/** Selectors of the GDT below. */
export const SEL = {
  code64: 0x10,
  data: 0x18,
  code32: 0x20,
  user32: 0x2b,
  userData: 0x33,
  user64: 0x3b,
} as const;
const DESCRIPTORS: readonly bigint[] = [
  0n,
  0n,
  0x00af_9b00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0x00cf_9b00_0000_ffffn,
  0x00cf_fb00_0000_ffffn,
  0x00cf_f300_0000_ffffn,
  0x00af_fb00_0000_ffffn,
];
/** Error codes are pushed for these. */
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

export interface Caught {
  readonly vector: number;
  /** -1: none is pushed. */
  readonly error: number;
  readonly rip: number;
  readonly rflags: number;
}

export class SystemMachine extends FlatMachine {
  private bits: 32 | 64 = 64;

  constructor(tier: TcgTier = (process.env['TIER'] ?? 'interp') as TcgTier) {
    super(tier);
  }

  private tables(): void {
    const { cpu, view } = this;
    cpu.writeSlot(FEATURES, BigInt(-1 & ~X86_FEATURE_SEVERAL_CPUS));
    DESCRIPTORS.forEach((d, i) => view.setBigUint64(GDT + i * 8, d, true));
    cpu.writeSlot(GDT_BASE, BigInt(GDT));
    cpu.writeSlot(GDT_LIMIT, 0xffn);
    this.setSegment(TR, 0x80, TSS, 0x67, 0x8b);
    for (let v = 0; v < 256; v++) this.gate(v);
    cpu.writeSlot(IDT_BASE, BigInt(IDT));
    cpu.writeSlot(IDT_LIMIT, 0xfffn);
    this.load(new Uint8Array(256 * 16).fill(0xf4), HANDLER);
  }

  private gate(v: number): void {
    const target = HANDLER + v * 16;
    const at = IDT + v * (this.bits === 64 ? 16 : 8);
    const code = this.bits === 64 ? SEL.code64 : SEL.code32;
    this.view.setUint32(at, (target & 0xffff) | (code << 16), true);
    this.view.setUint32(at + 4, (target & 0xffff_0000) | 0xee00 | (this.bits === 64 ? 1 : 0), true);
    if (this.bits === 64) this.view.setBigUint64(at + 8, 0n, true);
  }

  /** 64-bit code with tables; CPL 0 unless `user`. */
  begin64(user = false): this {
    this.bits = 64;
    this.cpu.reset();
    this.longMode();
    this.tables();
    this.view.setBigUint64(TSS + 4, BigInt(FAULT_STACK), true);
    this.view.setBigUint64(TSS + 36, BigInt(FAULT_STACK), true);
    if (user) {
      // the tables of longMode with user access
      for (const at of [0x1000, 0x2000]) this.view.setUint8(at, 0x07);
      for (let i = 0; i < 512; i++) this.view.setUint8(0x3000 + i * 8, 0x87);
      this.setSegment(CS, SEL.user64, 0, 0xffff_ffff, 0xa0fb);
      for (const n of [ES, SS, DS, FS, GS]) this.setSegment(n, SEL.userData, 0, 0xffff_ffff, 0xc0f3);
    }
    this.cpu.writeSlot(RSP, BigInt(STACK));
    this.refresh();
    return this;
  }

  /** 32-bit flat protected mode with tables; CPL 0 unless `user`. */
  begin32(user = false): this {
    this.bits = 32;
    this.cpu.reset();
    this.protectedMode();
    this.tables();
    this.view.setUint32(TSS + 4, FAULT_STACK, true);
    this.view.setUint32(TSS + 8, SEL.data, true);
    this.setSegment(CS, SEL.code32, 0, 0xffff_ffff, 0xc09b);
    if (user) {
      this.setSegment(CS, SEL.user32, 0, 0xffff_ffff, 0xc0fb);
      for (const n of [ES, SS, DS, FS, GS]) this.setSegment(n, SEL.userData, 0, 0xffff_ffff, 0xc0f3);
    }
    this.cpu.writeSlot(RSP, BigInt(STACK));
    this.refresh();
    return this;
  }

  /** After direct changes of control registers, segments or page tables. */
  refresh(): void {
    this.cpu.runtime.update_hflags();
    this.cpu.runtime.tlb_flush();
  }

  setCr0(bits: bigint): void {
    this.cpu.writeSlot(CR0, this.cpu.readSlot(CR0) | bits);
    this.refresh();
  }

  setCr4(bits: bigint): void {
    this.cpu.writeSlot(CR4, this.cpu.readSlot(CR4) | bits);
    this.refresh();
  }

  segment(n: number, field: 'selector' | 'base' | 'limit' | 'attr'): number {
    const offset = { selector: SEG_SELECTOR, base: SEG_BASE, limit: SEG_LIMIT, attr: SEG_ATTR }[field];
    return Number(this.cpu.readSlot(SEG + n * SEG_STRIDE + offset));
  }

  reg(n: number): bigint {
    return this.cpu.readSlot(n * 8);
  }

  setReg(n: number, value: bigint | number): void {
    this.cpu.writeSlot(n * 8, BigInt(value));
  }

  /** Places instructions (text or bytes) at `at`, ended by HLT; returns the address of that. */
  program(code: string | readonly number[], at = CODE): number {
    const bytes = typeof code === 'string' ? assemble(code, { bits: this.bits, origin: at }) : code;
    this.load(Uint8Array.from([...bytes, 0xf4]), at);
    return at + bytes.length;
  }

  /** Runs instructions at CODE: the exception that ended them, undefined if they came to their end. */
  execute(code: string | readonly number[], at = CODE): Caught | undefined {
    const end = this.program(code, at);
    if (!this.run(at)) throw new Error('shut down');
    const rip = Number(this.cpu.readSlot(RIP));
    if (rip < HANDLER || rip > HANDLER + 0x1000) return undefined;
    const vector = (rip - 1 - HANDLER) >> 4;
    const size = this.bits / 8;
    const sp = Number(this.cpu.readSlot(RSP));
    const word = (i: number): number =>
      size === 8 ? Number(this.view.getBigUint64(sp + i * 8, true)) : this.view.getUint32(sp + i * 4, true);
    const skip = WITH_ERROR.has(vector) ? 1 : 0;
    const caught = { vector, error: skip ? word(0) : -1, rip: word(skip), rflags: word(skip + 2) };
    // HLT is privileged
    return vector === 13 && caught.rip === end ? undefined : caught;
  }
}

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { TcgMemory } from '../accel/tcg/tcg-memory.ts';
import { type TcgTier, TcgVcpu } from '../accel/tcg/tcg-vcpu.ts';
import { webAssembly } from '../accel/tcg/webassembly.ts';
import { REQUEST_RETURN } from '../runtime/tcg/layout.ts';
import {
  CR0,
  CR2,
  CR3,
  CR4,
  CS,
  DR6,
  DS,
  EFER,
  ES,
  FPR,
  FPU_CW,
  FPU_DP,
  FPU_IP,
  FPU_OPCODE,
  FPU_SW,
  FPU_TAGS,
  FPU_TOP,
  FS,
  GDT_BASE,
  GDT_LIMIT as GDT_LIMIT_SLOT,
  GS,
  HALTED,
  IDT_BASE,
  IDT_LIMIT as IDT_LIMIT_SLOT,
  LDTR,
  MXCSR,
  RIP,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  SHADOW,
  SS,
  TR,
  XCR0,
  XMM,
  YMM_HI,
} from '../runtime/x86/layout.ts';
import type { FeatureSet } from '../target/x86/features.ts';
import { createX86Target } from '../target/x86/x86-target.ts';
import { readExceptionFrame } from './exception-frame.ts';
import {
  CODE_PHYSICAL,
  CR3_VALUE,
  DATA_PHYSICAL,
  END_VECTOR,
  GDT,
  GDT_LIMIT,
  IDT,
  IDT_LIMIT,
  KERNEL_BASE,
  RAM_BYTES,
  READ_ONLY_PHYSICAL,
  setUpGuestMemory,
  TSS,
  TSS_LIMIT,
} from './guest-memory.ts';
import {
  type Bits,
  CODE,
  CODE_SIZE,
  CS_64,
  DATA_SIZE,
  I_DS,
  I_ES,
  I_FCW,
  I_FDP,
  I_FIP,
  I_FOP,
  I_FS,
  I_FS_BASE,
  I_FSW,
  I_FTW,
  I_GPR,
  I_GS,
  I_GS_BASE,
  I_MXCSR,
  I_RFLAGS,
  I_RIP,
  I_RSP,
  I_ST,
  I_VECTOR,
  I_XMM,
  I_XSTATE_BV,
  I_YMM_HI,
  IMAGE_SIZE,
  type OracleCpu,
  READ_ONLY_SIZE,
  VECTOR_SHUTDOWN,
  VECTOR_TIMEOUT,
} from './image.ts';
import { QuietBus } from './quiet-bus.ts';

const INT3 = 0xcc;
const FLAT = 0xffff_ffffn;
const ATTR_CODE64 = 0xa0fbn;
const ATTR_CODE32 = 0xc0fbn;
const ATTR_DATA = 0xc0f3n;
const ATTR_NULL = 0x1_0000n;
/** PE MP ET NE WP AM PG. */
const CR0_VALUE = 0x8005_0033n;
/** DE PSE PAE MCE PGE OSFXSR OSXMMEXCPT UMIP FSGSBASE OSXSAVE. */
const CR4_VALUE = 0x5_0ef8n;
/** SCE LME LMA NXE. */
const EFER_VALUE = 0xd01n;
const DATA_SEGMENTS = [
  [ES, I_ES],
  [DS, I_DS],
  [FS, I_FS],
  [GS, I_GS],
] as const;

const TICK_MS = 100;
const TICKS = 20;
const TICKER = `
  const { words, index, bits, ms } = require('node:worker_threads').workerData;
  setInterval(() => Atomics.or(words, index, bits), ms);
`;

let runtimeModule: object | undefined;

/** One tier of the translator, running user code under the tables of a minimal kernel. */
export class EmulatedCpu implements OracleCpu {
  readonly input = new Uint8Array(IMAGE_SIZE);
  readonly output = new Uint8Array(IMAGE_SIZE);
  readonly code: Uint8Array;
  readonly data: Uint8Array;
  readonly readOnly: Uint8Array;
  cpu: TcgVcpu;
  readonly memory = new TcgMemory(RAM_BYTES);
  private readonly in = new DataView(this.input.buffer);
  private readonly out = new DataView(this.output.buffer);
  private readonly ram: Uint8Array;
  private readonly view: DataView;
  private readonly base: number;
  private readonly u8: Uint8Array;
  private readonly slots: DataView;
  private readonly segments = { 32: segmentImage(32), 64: segmentImage(64) };
  private readonly create: () => TcgVcpu;
  private bits: Bits = 64;
  private end = 0;
  /** Bytes of the code pages that the previous case used. */
  private used = CODE_SIZE;

  constructor(tier: TcgTier, features: FeatureSet) {
    const { Module } = webAssembly();
    runtimeModule ??= new Module(readFileSync(new URL('../runtime/x86.wasm', import.meta.url)));
    this.memory.setRamMap([{ start: 0, sizeBytes: RAM_BYTES, ramOffset: 0, readOnly: false }]);
    this.create = () =>
      new TcgVcpu({
        target: createX86Target(features),
        memory: this.memory,
        runtimeModule: runtimeModule as never,
        bus: new QuietBus(),
        tier,
      });
    this.cpu = this.create();
    this.ram = this.memory.ram;
    this.view = new DataView(this.ram.buffer, this.ram.byteOffset, this.ram.byteLength);
    this.base = this.cpu.cpuBase;
    this.u8 = this.memory.u8;
    this.slots = this.memory.view;
    this.code = this.ram.subarray(CODE_PHYSICAL, CODE_PHYSICAL + CODE_SIZE);
    this.data = this.ram.subarray(DATA_PHYSICAL, DATA_PHYSICAL + DATA_SIZE);
    this.readOnly = this.ram.subarray(READ_ONLY_PHYSICAL, READ_ONLY_PHYSICAL + READ_ONLY_SIZE);
    setUpGuestMemory(this.ram);
    this.code.fill(INT3);
    this.reset();
  }

  /**
   * Starts over with a new vCPU. To be called now and then: every region stays tied to the function table it was compiled for, and
   * V8 visits all of them whenever an entry changes.
   */
  renew(): void {
    this.cpu.flushTranslations();
    this.cpu = this.create();
    this.used = CODE_SIZE;
    this.reset();
  }

  /** System registers as the minimal kernel leaves them. */
  private reset(): void {
    const set = (slot: number, value: bigint): void => this.cpu.writeSlot(slot, value);
    this.cpu.reset();
    set(CR0, CR0_VALUE);
    set(CR3, BigInt(CR3_VALUE));
    set(CR4, CR4_VALUE);
    set(EFER, EFER_VALUE);
    set(XCR0, 7n);
    set(GDT_BASE, KERNEL_BASE + BigInt(GDT));
    set(GDT_LIMIT_SLOT, BigInt(GDT_LIMIT));
    set(IDT_BASE, KERNEL_BASE + BigInt(IDT));
    set(IDT_LIMIT_SLOT, BigInt(IDT_LIMIT));
    this.cpu.runtime.tlb_flush();
  }

  load(code: Uint8Array, at: number, bits: Bits): void {
    const offset = at - CODE;
    this.code.fill(INT3);
    this.code.set(code, offset);
    this.end = at + code.length;
    // INT 0xff
    if (offset + code.length <= CODE_SIZE - 2) this.code.set([0xcd, END_VECTOR], offset + code.length);
    const used = this.used;
    this.used = Math.min(offset + code.length + 16, CODE_SIZE);
    this.cpu.ramWritten(CODE_PHYSICAL, Math.max(used, this.used));
    this.bits = bits;
  }

  /**
   * From now on another thread interrupts the vCPU every TICK_MS, which the code under test must not notice, and a case that is
   * interrupted TICKS times ends with VECTOR_TIMEOUT.
   */
  limitTime(): void {
    const workerData = {
      words: new Int32Array(this.u8.buffer),
      index: this.cpu.exitRequestAddress >> 2,
      bits: REQUEST_RETURN,
      ms: TICK_MS,
    };
    new Worker(TICKER, { eval: true, workerData }).unref();
  }

  run(): void {
    this.enter();
    let exit = this.cpu.run();
    for (let i = 0; exit.kind === 'interrupted' && i < TICKS; i++) exit = this.cpu.run();
    this.leave();
    if (exit.kind === 'halted') return this.readFrame();
    this.out.setUint32(I_VECTOR, exit.kind === 'shutdown' ? VECTOR_SHUTDOWN : VECTOR_TIMEOUT, true);
    this.out.setBigUint64(I_RIP, this.cpu.readSlot(RIP), true);
    this.reset();
  }

  // ---- before

  private enter(): void {
    const { in: source, slots, base } = this;
    this.u8.set(this.input.subarray(I_GPR, I_GPR + 128), base);
    this.u8.set(this.segments[this.bits], base + SEG);
    if (this.bits === 64) {
      slots.setBigUint64(base + SEG + FS * SEG_STRIDE + SEG_BASE, source.getBigUint64(I_FS_BASE, true), true);
      slots.setBigUint64(base + SEG + GS * SEG_STRIDE + SEG_BASE, source.getBigUint64(I_GS_BASE, true), true);
    }
    slots.setBigUint64(base + RIP, source.getBigUint64(I_RIP, true), true);
    slots.setUint32(base + HALTED, 0, true);
    slots.setUint32(base + SHADOW, 0, true);
    slots.setUint32(base + DR6, 0xffff_0ff0, true);
    this.cpu.rflags = source.getBigUint64(I_RFLAGS, true);
    this.enterVector();
    this.enterX87();
    this.cpu.runtime.update_hflags();
  }

  private enterVector(): void {
    this.u8.set(this.input.subarray(I_XMM, I_XMM + 256), this.base + XMM);
    this.u8.set(this.input.subarray(I_YMM_HI, I_YMM_HI + 256), this.base + YMM_HI);
    const runtime = this.cpu.runtime as unknown as Record<string, (value: bigint) => void>;
    runtime['sse_ldmxcsr']!(BigInt(this.in.getUint32(I_MXCSR, true)));
  }

  private enterX87(): void {
    const { in: source, slots, base } = this;
    const status = source.getUint16(I_FSW, true);
    const top = (status >> 11) & 7;
    const tags = this.input[I_FTW]!;
    slots.setUint32(base + FPU_CW, source.getUint16(I_FCW, true), true);
    slots.setUint32(base + FPU_SW, status & ~0x3800, true);
    slots.setUint32(base + FPU_TOP, top, true);
    slots.setUint32(base + FPU_OPCODE, source.getUint16(I_FOP, true), true);
    slots.setBigUint64(base + FPU_IP, source.getBigUint64(I_FIP, true), true);
    slots.setBigUint64(base + FPU_DP, source.getBigUint64(I_FDP, true), true);
    for (let i = 0; i < 8; i++) {
      this.u8[base + FPU_TAGS + i] = ((tags >> i) & 1) ^ 1;
      const at = base + FPR + (((top + i) & 7) << 4);
      this.u8.set(this.input.subarray(I_ST + i * 16, I_ST + i * 16 + 10), at);
    }
  }

  // ---- after

  private leave(): void {
    const { out, slots, base } = this;
    this.output.set(this.u8.subarray(base, base + 128), I_GPR);
    for (const [segment, at] of DATA_SEGMENTS) {
      out.setUint16(at, slots.getUint16(base + SEG + segment * SEG_STRIDE + SEG_SELECTOR, true), true);
    }
    out.setBigUint64(I_FS_BASE, slots.getBigUint64(base + SEG + FS * SEG_STRIDE + SEG_BASE, true), true);
    out.setBigUint64(I_GS_BASE, slots.getBigUint64(base + SEG + GS * SEG_STRIDE + SEG_BASE, true), true);
    this.output.set(this.u8.subarray(base + XMM, base + XMM + 256), I_XMM);
    this.output.set(this.u8.subarray(base + YMM_HI, base + YMM_HI + 256), I_YMM_HI);
    out.setUint32(I_MXCSR, slots.getUint32(base + MXCSR, true), true);
    out.setUint32(I_XSTATE_BV, 7, true);
    this.leaveX87();
  }

  private leaveX87(): void {
    const { out, slots, base } = this;
    const top = slots.getUint32(base + FPU_TOP, true) & 7;
    let tags = 0;
    for (let i = 0; i < 8; i++) {
      if (this.u8[base + FPU_TAGS + i] === 0) tags |= 1 << i;
      const at = base + FPR + (((top + i) & 7) << 4);
      this.output.set(this.u8.subarray(at, at + 10), I_ST + i * 16);
    }
    out.setUint16(I_FCW, slots.getUint16(base + FPU_CW, true), true);
    out.setUint16(I_FSW, slots.getUint16(base + FPU_SW, true) | (top << 11), true);
    out.setUint16(I_FTW, tags, true);
    out.setUint16(I_FOP, slots.getUint16(base + FPU_OPCODE, true), true);
    out.setBigUint64(I_FIP, slots.getBigUint64(base + FPU_IP, true), true);
    out.setBigUint64(I_FDP, slots.getBigUint64(base + FPU_DP, true), true);
  }

  private readFrame(): void {
    const low = (at: number): number => this.slots.getUint32(this.base + at, true);
    const handler = { rip: low(RIP), rsp: low(I_RSP) & 0xffff, cr2: this.cpu.readSlot(CR2) };
    readExceptionFrame(this.out, this.view, handler, this.end);
  }
}

/** The segment registers of user code under Linux, as they lie in the register file. */
function segmentImage(bits: Bits): Uint8Array {
  const image = new DataView(new ArrayBuffer(8 * SEG_STRIDE));
  const put = (n: number, selector: number, base: bigint, limit: bigint, attributes: bigint): void => {
    const at = n * SEG_STRIDE;
    image.setBigUint64(at + SEG_SELECTOR, BigInt(selector), true);
    image.setBigUint64(at + SEG_BASE, base, true);
    image.setBigUint64(at + SEG_LIMIT, limit, true);
    image.setBigUint64(at + SEG_ATTR, attributes, true);
  };
  for (const n of [ES, DS, FS, GS]) {
    if (bits === 64) put(n, 0, 0n, 0n, ATTR_NULL);
    else put(n, 0x2b, 0n, FLAT, ATTR_DATA);
  }
  put(CS, bits === 64 ? CS_64 : 0x23, 0n, FLAT, bits === 64 ? ATTR_CODE64 : ATTR_CODE32);
  put(SS, 0x2b, 0n, FLAT, ATTR_DATA);
  put(LDTR, 0, 0n, 0n, ATTR_NULL);
  put(TR, 0x40, KERNEL_BASE + BigInt(TSS), BigInt(TSS_LIMIT), 0x8bn);
  return new Uint8Array(image.buffer);
}

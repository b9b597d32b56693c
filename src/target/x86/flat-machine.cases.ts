/** A vCPU of the translator with flat RAM and no devices, for instruction tests. */
import { readFileSync } from 'node:fs';
import type { VcpuBus } from '../../accel/accelerator.ts';
import { TcgMemory } from '../../accel/tcg/tcg-memory.ts';
import { type TcgTier, TcgVcpu } from '../../accel/tcg/tcg-vcpu.ts';
import { webAssembly } from '../../accel/tcg/webassembly.ts';
import {
  CR0,
  CR3,
  CR4,
  CS,
  DS,
  EFER,
  ES,
  FS,
  GS,
  HALTED,
  RIP,
  SEG,
  SEG_ATTR,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  SEG_STRIDE,
  SS,
} from '../../runtime/x86/layout.ts';
import { X86_FEATURES } from './features.ts';
import { createX86Target } from './x86-target.ts';

const RAM_BYTES = 0x80_0000;
const runtimeModule = new (webAssembly().Module)(
  readFileSync(new URL('../../runtime/x86.wasm', import.meta.url)),
);

/** Ports read as what was last written to them; no interrupts. */
class QuietBus implements VcpuBus {
  readonly ports = new Map<number, number>();
  readMmio(): number {
    return 0xff;
  }
  writeMmio(): void {}
  readPort(port: number): number {
    return this.ports.get(port) ?? 0xff;
  }
  writePort(port: number, _size: number, value: number): void {
    this.ports.set(port, value);
  }
  acknowledgeInterrupt(): number {
    return -1;
  }
  readApicMsr(): undefined {
    return undefined;
  }
  writeApicMsr(): boolean {
    return false;
  }
  readTpr(): number {
    return 0;
  }
  writeTpr(): void {}
  readTsc(): number {
    return 12345;
  }
}

export class FlatMachine {
  readonly memory = new TcgMemory(RAM_BYTES);
  readonly bus = new QuietBus();
  readonly cpu: TcgVcpu;
  readonly ram: Uint8Array;
  readonly view: DataView;

  constructor(tier: TcgTier = 'interp') {
    this.memory.setRamMap([{ start: 0, sizeBytes: RAM_BYTES, ramOffset: 0, readOnly: false }]);
    this.cpu = new TcgVcpu({
      target: createX86Target(new Set(X86_FEATURES)),
      memory: this.memory,
      runtimeModule,
      bus: this.bus,
      tier,
    });
    this.ram = this.memory.ram;
    this.view = new DataView(this.ram.buffer, this.ram.byteOffset, this.ram.byteLength);
    this.cpu.reset();
  }

  setSegment(n: number, selector: number, base: number, limit: number, attr: number): void {
    const at = SEG + n * SEG_STRIDE;
    this.cpu.writeSlot(at + SEG_SELECTOR, BigInt(selector));
    this.cpu.writeSlot(at + SEG_BASE, BigInt(base));
    this.cpu.writeSlot(at + SEG_LIMIT, BigInt(limit >>> 0));
    this.cpu.writeSlot(at + SEG_ATTR, BigInt(attr));
  }

  /** 64-bit code at CPL 0, the low gigabyte mapped one to one by page tables in the first 16 KiB. */
  longMode(): void {
    this.view.setBigUint64(0x1000, 0x2003n, true);
    this.view.setBigUint64(0x2000, 0x3003n, true);
    for (let i = 0; i < 512; i++) this.view.setBigUint64(0x3000 + i * 8, BigInt(i * 0x20_0000 + 0x83), true);
    this.setSegment(CS, 0x10, 0, 0xffff_ffff, 0xa09b);
    for (const n of [ES, SS, DS, FS, GS]) this.setSegment(n, 0x18, 0, 0xffff_ffff, 0xc093);
    this.mode(0x8001_0033, 0x1000, 0x6a0, 0xd01);
  }

  /** 32-bit flat protected mode at CPL 0 without paging. */
  protectedMode(): void {
    this.setSegment(CS, 0x10, 0, 0xffff_ffff, 0xc09b);
    for (const n of [ES, SS, DS, FS, GS]) this.setSegment(n, 0x18, 0, 0xffff_ffff, 0xc093);
    this.mode(0x33, 0, 0x600, 0);
  }

  /** Real-address mode with all segment bases zero. */
  realMode(): void {
    for (const n of [CS, ES, SS, DS, FS, GS]) this.setSegment(n, 0, 0, 0xffff, n === CS ? 0x9b : 0x93);
    this.mode(0x10, 0, 0, 0);
  }

  private mode(cr0: number, cr3: number, cr4: number, efer: number): void {
    this.cpu.writeSlot(CR0, BigInt(cr0 >>> 0));
    this.cpu.writeSlot(CR3, BigInt(cr3));
    this.cpu.writeSlot(CR4, BigInt(cr4));
    this.cpu.writeSlot(EFER, BigInt(efer));
    this.cpu.runtime.update_hflags();
    this.cpu.runtime.tlb_flush();
  }

  /** Places code. */
  load(code: Uint8Array, at: number): void {
    this.ram.set(code, at);
    this.cpu.ramWritten(at, code.length);
  }

  /** Runs from `rip` until HLT. Returns false if the processor shut down (an exception without a handler). */
  run(rip: number): boolean {
    this.cpu.writeSlot(RIP, BigInt(rip));
    this.cpu.writeSlot(HALTED, 0n);
    let exit = this.cpu.run();
    while (exit.kind === 'yield') exit = this.cpu.run();
    return exit.kind === 'halted';
  }
}

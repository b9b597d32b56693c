/**
 * The accelerator `tcg` with any number of vCPUs that take turns on the machine thread (docs/adr/0012-vcpus-in-turn.md). There is
 * one translator: its blocks, regions and soft TLBs serve all of them, a switch exchanges the register file.
 */
import { REQUEST_RETURN } from '../../runtime/tcg/layout.ts';
import * as r from '../../runtime/x86/layout.ts';
import type { Accelerator, KickWord, RamRange, VcpuBus, VcpuExit } from '../accelerator.ts';
import { type CpuSwitch, TcgCpu } from './tcg-cpu.ts';
import type { TcgMemory } from './tcg-memory.ts';
import { TcgVcpu, type TcgVcpuOptions } from './tcg-vcpu.ts';

export interface TcgAcceleratorOptions extends Omit<TcgVcpuOptions, 'bus' | 'index' | 'memory' | 'nowNs'> {
  readonly memory: TcgMemory;
  readonly buses: readonly VcpuBus[];
  readonly nowNs: () => number;
}

const HALTED: VcpuExit = { kind: 'halted' };
const INTERRUPTED: VcpuExit = { kind: 'interrupted' };
/** Longest turn while others wait for theirs. */
const SLICE_NS = 2e6;
/** Slots that the soft TLBs and the jump cache depend on besides memory. */
const ADDRESS_SPACE: readonly number[] = [
  ...[r.CR0, r.CR3, r.CR4, r.EFER, r.A20_MASK, r.PKRU, r.PKRS],
  ...[0, 8, 16, 24].map((n) => r.PDPTE + n),
  ...[0, 8, 16, 24].map((n) => r.DR0 + n),
  r.DR7,
];

export class TcgAccelerator implements Accelerator, CpuSwitch {
  readonly name = 'tcg';
  readonly ram: Uint8Array;
  readonly vcpus: readonly TcgCpu[];
  /** The vCPU whose registers are in the translator. */
  loaded: TcgCpu;
  readonly #executor: TcgVcpu;
  readonly #memory: TcgMemory;
  readonly #nowNs: () => number;
  #turnEndNs = 0;
  /** Who was sent an interrupt last. */
  #next: TcgCpu | undefined;
  #switches = 0;

  constructor(options: TcgAcceleratorOptions) {
    const { memory, buses } = options;
    this.#memory = memory;
    this.#nowNs = options.nowNs;
    this.ram = memory.ram;
    this.#executor = new TcgVcpu({ ...options, bus: buses.length === 1 ? buses[0]! : this.#sharedBus() });
    this.#executor.compilesWhenHalted = buses.length === 1;
    this.#executor.onSmmLeft = () => this.loaded.smmLeft();
    this.vcpus = buses.map((bus, index) => new TcgCpu(index, bus, this.#executor, this));
    this.loaded = this.vcpus[0]!;
    for (const cpu of this.vcpus) if (cpu !== this.loaded) cpu.save();
  }

  /** The engine, for tests and tools that look inside. */
  get executor(): TcgVcpu {
    return this.#executor;
  }

  get current(): TcgCpu {
    return this.loaded;
  }

  get kick(): KickWord {
    const { buffer } = this.#memory;
    return { buffer, byteOffset: this.#executor.exitRequestAddress, bits: REQUEST_RETURN };
  }

  requestExit(): void {
    this.#executor.requestExit();
  }

  /** The board as the vCPU sees it whose registers are in the translator. */
  #sharedBus(): VcpuBus {
    const bus = (): VcpuBus => this.loaded.bus;
    return {
      readMmio: (address, size) => bus().readMmio(address, size),
      writeMmio: (address, size, value) => bus().writeMmio(address, size, value),
      readPort: (port, size) => bus().readPort(port, size),
      writePort: (port, size, value) => bus().writePort(port, size, value),
      acknowledgeInterrupt: () => bus().acknowledgeInterrupt(),
      readApicMsr: (index) => bus().readApicMsr(index),
      writeApicMsr: (index, lo, hi) => bus().writeApicMsr(index, lo, hi),
      fpuError: () => bus().fpuError?.(),
      setSmm: (active) => bus().setSmm?.(active),
      sendIpi: (apicId, icr) => bus().sendIpi?.(apicId, icr) === true,
      readTpr: () => bus().readTpr(),
      writeTpr: (value) => bus().writeTpr(value),
      readTsc: () => this.loaded?.bus.readTsc() ?? 0,
    };
  }

  // ---- turns

  get sliceNs(): number {
    return this.#someoneElseWaits() ? SLICE_NS : Number.POSITIVE_INFINITY;
  }

  #someoneElseWaits(): boolean {
    if (this.vcpus.length === 1) return false;
    return this.vcpus.some((cpu) => !cpu.idle && cpu !== this.loaded);
  }

  /** A vCPU that slept has work: whoever runs alone now gets a turn of limited length. */
  woken(): void {
    this.#executor.requestExit();
  }

  /** Its sender probably waits for what the handler does: it is next. */
  signalled(cpu: TcgCpu): void {
    this.#next = cpu;
    this.#executor.requestYield();
  }

  run(): VcpuExit {
    return this.vcpus.length === 1 ? this.#runAlone() : this.#runInTurn();
  }

  #runAlone(): VcpuExit {
    this.loaded.takeStartup();
    const exit = this.#executor.run();
    return exit.kind === 'yield' ? INTERRUPTED : exit;
  }

  #runInTurn(): VcpuExit {
    for (;;) {
      const cpu = this.#choose();
      if (cpu === undefined) {
        this.#executor.compileQueue();
        return HALTED;
      }
      this.load(cpu);
      cpu.takeStartup();
      cpu.limitTurn(this.vcpus.some((other) => other.spinning && other !== cpu));
      const exit = this.#executor.run();
      cpu.spinning = exit.kind === 'yield';
      if (exit.kind === 'halted') cpu.idle = true;
      else if (exit.kind !== 'yield') return exit;
    }
  }

  /** Whose turn it is: the present one goes on until it has had its time, waits in a loop, or sleeps. */
  #choose(): TcgCpu | undefined {
    const { loaded, vcpus } = this;
    const now = this.#nowNs();
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined && !next.idle) {
      this.#turnEndNs = now + SLICE_NS;
      return next;
    }
    if (!loaded.idle && !loaded.spinning && now < this.#turnEndNs) return loaded;
    for (let n = 1; n <= vcpus.length; n++) {
      const cpu = vcpus[(loaded.index + n) % vcpus.length]!;
      if (cpu.idle) continue;
      this.#turnEndNs = now + SLICE_NS;
      return cpu;
    }
    return undefined;
  }

  load(cpu: TcgCpu): void {
    const before = this.loaded;
    if (cpu === before) return;
    this.#switches++;
    before.save();
    this.loaded = cpu;
    cpu.restore();
    if (before.inSmm !== cpu.inSmm) cpu.bus.setSmm?.(cpu.inSmm);
    if (!before.sharesAddressSpace(ADDRESS_SPACE)) this.#executor.memoryMapChanged();
  }

  // ---- memory

  setMemoryMap(ranges: readonly RamRange[]): void {
    this.#memory.setRamMap(ranges);
    this.#executor.memoryMapChanged();
  }

  setA20(open: boolean): void {
    const mask = open ? -1n : ~(1n << 20n);
    for (const cpu of this.vcpus) cpu.writeSlot(r.A20_MASK, mask);
    this.#executor.memoryMapChanged();
  }

  ramWritten(ramOffset: number, sizeBytes: number): void {
    this.#executor.ramWritten(ramOffset, sizeBytes);
  }

  report(): string {
    const { length } = this.vcpus;
    return `${this.#executor.report()}${length > 1 ? `vCPU switches         ${this.#switches}\n` : ''}`;
  }

  dispose(): void {
    this.#executor.dispose();
  }
}

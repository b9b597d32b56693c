/** An accelerator that can be exchanged for another one while the machine stands still. */
import type { AcceleratedIrqs } from '../core/cpu-ports.ts';
import type { Accelerator, CpuRegisters, KickWord, RamRange, Vcpu, VcpuExit } from './accelerator.ts';

/** Stands for vCPU `index` of whatever accelerator is in use: boards and monitors keep it for ever. */
class VcpuStandIn implements Vcpu {
  readonly index: number;
  readonly #owner: { readonly now: Accelerator };

  constructor(index: number, owner: { readonly now: Accelerator }) {
    this.index = index;
    this.#owner = owner;
  }

  get #cpu(): Vcpu {
    return this.#owner.now.vcpus[this.index]!;
  }

  get halted(): boolean {
    return this.#cpu.halted;
  }

  get tscOffset(): number {
    return this.#cpu.tscOffset;
  }

  reset(): void {
    this.#cpu.reset();
  }

  readRegisters(): CpuRegisters {
    return this.#cpu.readRegisters();
  }

  writeRegisters(values: Readonly<CpuRegisters>): void {
    this.#cpu.writeRegisters(values);
  }

  saveState(): CpuRegisters {
    return this.#cpu.saveState();
  }

  loadState(values: Readonly<CpuRegisters>): void {
    this.#cpu.loadState(values);
  }

  translateAddress(linear: bigint): number | undefined {
    return this.#cpu.translateAddress(linear);
  }

  setInterruptPending(pending: boolean): void {
    this.#cpu.setInterruptPending(pending);
  }

  nmi(): void {
    this.#cpu.nmi();
  }

  smi(): void {
    this.#cpu.smi();
  }

  ignoreFpuError(): void {
    this.#cpu.ignoreFpuError?.();
  }

  init(): void {
    this.#cpu.init();
  }

  sipi(vector: number): void {
    this.#cpu.sipi(vector);
  }
}

export class SwitchAccelerator implements Accelerator {
  readonly vcpus: readonly Vcpu[];
  #now: Accelerator;
  #carried: readonly CpuRegisters[] = [];
  #interruptAt: Accelerator['interruptAt'];

  constructor(first: Accelerator) {
    this.#now = first;
    this.#interruptAt = first.interruptAt?.bind(first);
    this.vcpus = first.vcpus.map((cpu) => new VcpuStandIn(cpu.index, this));
  }

  /** The one in use. */
  get now(): Accelerator {
    return this.#now;
  }

  /**
   * The state of all vCPUs goes to `next`, which is used from now on; both work on the same RAM. The guest must not run. The caller
   * tells `next` the map of memory and the levels of interrupts.
   */
  exchange(next: Accelerator): void {
    // what the present one knows nothing of waits for another that does
    const states = this.#now.vcpus.map((cpu, n) => ({ ...this.#carried[n], ...cpu.saveState() }));
    this.#carried = states;
    this.#now = next;
    this.#interruptAt = next.interruptAt?.bind(next);
    states.forEach((state, index) => {
      next.vcpus[index]!.loadState(state);
    });
  }

  get name(): string {
    return this.#now.name;
  }

  get ram(): Uint8Array {
    return this.#now.ram;
  }

  get current(): Vcpu {
    return this.vcpus[this.#now.current.index]!;
  }

  get kick(): KickWord {
    return this.#now.kick;
  }

  /** Absent while the one in use has none. */
  get interruptAt(): Accelerator['interruptAt'] {
    return this.#interruptAt;
  }

  get sliceNs(): number {
    return this.#now.sliceNs;
  }

  get irqs(): AcceleratedIrqs | undefined {
    return this.#now.irqs;
  }

  run(): VcpuExit {
    return this.#now.run();
  }

  requestExit(): void {
    this.#now.requestExit();
  }

  setMemoryMap(ranges: readonly RamRange[]): void {
    this.#now.setMemoryMap(ranges);
  }

  setA20(open: boolean): void {
    this.#now.setA20(open);
  }

  ramWritten(ramOffset: number, sizeBytes: number): void {
    this.#now.ramWritten(ramOffset, sizeBytes);
  }

  setRunning(running: boolean): void {
    this.#now.setRunning?.(running);
  }

  setDirtyLogging(enabled: boolean): void {
    this.#now.setDirtyLogging?.(enabled);
  }

  takeDirty(mark: (ramOffset: number, sizeBytes: number) => void): void {
    this.#now.takeDirty?.(mark);
  }

  report(): string {
    return this.#now.report();
  }

  dispose(): void {
    this.#now.dispose();
  }
}

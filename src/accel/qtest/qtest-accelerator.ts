/** `-accel qtest`: no guest code runs; a test acts in the processor's place. */
import type { Accelerator, CpuRegisters, KickWord, RamRange, Vcpu, VcpuExit } from '../accelerator.ts';

/** What monitors show: everything zero but what SDM Vol. 3A table 9-1 says otherwise. */
const AFTER_RESET: CpuRegisters = new Proxy<Record<string, bigint>>(
  { rip: 0xfff0n, rflags: 2n, cs: 0xf000n, cs_base: 0xffff0000n, cr0: 0x6000_0010n },
  { get: (known, name) => (typeof name === 'string' ? (known[name] ?? 0n) : undefined) },
);

class IdleVcpu implements Vcpu {
  readonly index: number;
  readonly halted = true;
  readonly tscOffset = 0;

  constructor(index: number) {
    this.index = index;
  }

  reset(): void {}
  setInterruptPending(_pending: boolean): void {}
  nmi(): void {}
  smi(): void {}
  init(): void {}
  sipi(_vector: number): void {}

  readRegisters(): CpuRegisters {
    return AFTER_RESET;
  }

  writeRegisters(_values: Readonly<CpuRegisters>): void {}

  saveState(): CpuRegisters {
    return this.readRegisters();
  }

  loadState(_values: Readonly<CpuRegisters>): void {}

  translateAddress(linear: bigint): number {
    return Number(linear);
  }
}

export class QtestAccelerator implements Accelerator {
  readonly name = 'qtest';
  readonly ram: Uint8Array;
  readonly vcpus: readonly Vcpu[];
  readonly current: Vcpu;
  readonly kick: KickWord;
  readonly sliceNs = Number.POSITIVE_INFINITY;

  /** `ram`: the guest's RAM and ROM. */
  constructor(ram: Uint8Array, cpus: number) {
    this.ram = ram;
    this.vcpus = Array.from({ length: cpus }, (_, n) => new IdleVcpu(n));
    this.current = this.vcpus[0]!;
    this.kick = { buffer: new SharedArrayBuffer(4), byteOffset: 0, bits: 1 };
  }

  run(): VcpuExit {
    return { kind: 'halted' };
  }

  requestExit(): void {}
  setMemoryMap(_ranges: readonly RamRange[]): void {}
  setA20(_open: boolean): void {}
  ramWritten(_ramOffset: number, _sizeBytes: number): void {}

  report(): string {
    return 'no guest code runs under -accel qtest';
  }

  dispose(): void {}
}

/**
 * The accelerator `kvm` (docs/adr/0013-kvm-accelerator.md). vCPU 0 is entered by the machine thread itself, so that its device
 * accesses are plain calls; every other vCPU has a thread, which hands it back at each exit for the machine thread to deal with.
 */
import type { AcceleratedIrqs } from '../../core/cpu-ports.ts';
import type { CpuModel } from '../../target/x86/cpu-models.ts';
import type { CpuTopology } from '../../target/x86/cpuid.ts';
import { UserError } from '../../util/errors.ts';
import type { Doorbell } from '../../util/ring.ts';
import type { Accelerator, KickWord, RamRange, VcpuBus, VcpuExit } from '../accelerator.ts';
import * as kvm from './bindings/common.ts';
import * as x86 from './bindings/x86.ts';
import { type CpuidEntry, encodeCpuid, type KvmDevice, openKvm } from './ioctls/kvm-device.ts';
import { ERRNO, KvmError } from './ioctls/kvm-error.ts';
import type { VmFd } from './ioctls/vm-fd.ts';
import { IOAPIC_PINS, KernelIrqchip, SplitIrqchip } from './kernel-irqchip.ts';
import { type CpuidOptions, type IrqchipMode, kvmCpuid, missingFeatures } from './kvm-cpuid.ts';
import type { KvmSystem } from './kvm-system.ts';
import { KvmThreads, REQUEST_RETURN, REQUEST_SERVICE, REQUEST_STOP } from './kvm-threads.ts';
import { KvmVcpu, type KvmVcpuOwner } from './kvm-vcpu.ts';
import { MemorySlots } from './memory-slots.ts';
import { type StateExtras, stateExtras } from './state-extras.ts';
import type { VcpuThreadStart } from './vcpu-thread.ts';

export interface KvmOptions {
  readonly system: KvmSystem;
  readonly model: CpuModel | 'host';
  readonly irqchip: IrqchipMode;
  /** RAM and ROM of the guest, in shared memory. */
  readonly ram: Uint8Array;
  readonly buses: readonly VcpuBus[];
  /** Of each vCPU; absent: one package of as many cores. */
  readonly topology?: readonly CpuTopology[];
  readonly log: { write(text: string): void };
  readonly doorbell: Doorbell;
  /** Starts a thread that calls `runVcpuThread(start)`. */
  readonly startVcpuThread: (start: VcpuThreadStart) => void;
  /** `-cpu …,enforce`: features that are missing are an error; `check` (default): a warning. */
  readonly enforce?: boolean;
  /** `-cpu …,kvm=off`. */
  readonly hideKvm?: boolean;
}

const SAME_DEADLINE_NS = 20_000;
/** A timer never fires before the deadline. */
const ROUNDING_NS = SAME_DEADLINE_NS + 1000;
const LATEST_NS = 50_000_000;
/** Leaving the guest costs more than most timers are worth. */
const SHORTEST_NS = 1_000_000;
const HALTED: VcpuExit = { kind: 'halted' };
const INTERRUPTED: VcpuExit = { kind: 'interrupted' };
/** Three pages below the firmware's ROM, outside all RAM, and one for the identity map (api.rst, KVM_SET_TSS_ADDR). */
const TSS_ADDRESS = 0xfeff_d000;
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;

export class KvmAccelerator implements Accelerator, KvmVcpuOwner {
  readonly name = 'kvm';
  readonly ram: Uint8Array;
  readonly vcpus: readonly KvmVcpu[];
  readonly irqchip: IrqchipMode;
  /** What the board drives instead of our own interrupt controllers; undefined with `kernel-irqchip` off or split. */
  readonly kernelIrqchip: KernelIrqchip | undefined;
  readonly extras: StateExtras;
  readonly irqs?: AcceleratedIrqs;
  readonly sliceNs = Number.POSITIVE_INFINITY;
  /** An I/O APIC in user space hears of the end of level-triggered interrupts. */
  onEndOfInterrupt?: (vector: number) => void;
  readonly #device: KvmDevice;
  readonly #vm: VmFd;
  readonly #threads: KvmThreads;
  readonly #slots: MemorySlots;
  readonly #log: KvmOptions['log'];
  #current: KvmVcpu;
  #running = false;
  #clockNs: bigint | undefined;
  readonly #system: KvmSystem;
  /** Interrupts the machine thread inside KVM_RUN. */
  readonly #timer: number;
  #deadlineNs = Number.POSITIVE_INFINITY;

  /** `UserError` for what this host cannot do, `KvmError` for what KVM refuses. */
  constructor(options: KvmOptions) {
    const { system, buses, ram } = options;
    this.#log = options.log;
    this.ram = ram;
    this.irqchip = options.irqchip;
    this.#device = openKvm(system);
    const most = this.#device.maxVcpus();
    if (buses.length > most)
      throw new UserError('TooManyCpus', `-smp ${buses.length}: KVM on this host allows ${most} processors`);
    this.#vm = createVm(this.#device);
    this.#threads = KvmThreads.create(system, buses.length);
    this.#slots = new MemorySlots(this.#vm, system.addressOf(ram));
    this.#vm.setIdentityMapAddress(IDENTITY_MAP_ADDRESS);
    this.#vm.setTssAddress(TSS_ADDRESS);
    this.kernelIrqchip = this.#createIrqchip();
    if (this.irqchip !== 'off')
      this.irqs = this.kernelIrqchip ?? new SplitIrqchip(this.#vm, () => this.vcpus);
    this.vcpus = buses.map(
      (bus, index) =>
        new KvmVcpu(index, this.#vm.createVcpu(options.topology?.[index]?.apicId ?? index), bus, this),
    );
    this.#current = this.vcpus[0]!;
    this.extras = stateExtras(this.#device, this.#setCpuid(options));
    this.#threads.register(0, this.vcpus[0]!.fd.runAddress);
    this.#system = system;
    this.#timer = system.createTimer();
    if (this.#timer < 0) throw new KvmError('timer_create', -this.#timer);
    this.vcpus[0]!.fd.setSignalMask(system.signalMask);
    for (const cpu of this.vcpus.slice(1)) this.#startThread(cpu, options);
  }

  #createIrqchip(): KernelIrqchip | undefined {
    if (this.irqchip === 'off') return undefined;
    if (this.irqchip === 'split') {
      if (this.#vm.capability(x86.KVM_CAP_SPLIT_IRQCHIP) === 0)
        throw new UserError('KvmUnavailable', 'kernel-irqchip=split: not supported by KVM on this host');
      this.#vm.enableCapability(x86.KVM_CAP_SPLIT_IRQCHIP, IOAPIC_PINS);
      return undefined;
    }
    this.#vm.createIrqchip();
    this.#vm.createPit();
    return new KernelIrqchip(this.#vm, () => this.vcpus);
  }

  /** Returns what this host supports. */
  #setCpuid(options: KvmOptions): readonly CpuidEntry[] {
    const { model } = options;
    const supported = this.#device.supportedCpuid();
    const topology = (index: number): CpuTopology =>
      options.topology?.[index] ?? { apicId: index, cpus: this.vcpus.length };
    const base: Omit<CpuidOptions, 'topology'> = {
      supported,
      irqchip: this.irqchip,
      hideKvm: options.hideKvm === true,
      tscDeadline: this.#device.capability(x86.KVM_CAP_TSC_DEADLINE_TIMER) !== 0,
    };
    if (model !== 'host')
      this.#reportMissing(missingFeatures(model, { ...base, topology: topology(0) }), options);
    for (const cpu of this.vcpus) {
      const rows = kvmCpuid(model, { ...base, topology: topology(cpu.index) });
      cpu.fd.setCpuid(encodeCpuid(rows));
      cpu.signature = rows.find(({ leaf }) => leaf === 1)?.eax ?? 0x600;
    }
    return supported;
  }

  /** x2apic and the like are the accelerator's own choice and nobody's loss. */
  #reportMissing(missing: readonly string[], options: KvmOptions): void {
    const lost = missing.filter((name) => !PLATFORM_FEATURES.has(name));
    if (lost.length === 0) return;
    if (options.enforce === true)
      throw new UserError('CpuFeatureMissing', `-cpu: KVM on this host cannot give ${lost.join(', ')}`);
    this.#log.write(`kvm: this host cannot give the guest ${lost.join(', ')}\n`);
  }

  #startThread(cpu: KvmVcpu, { doorbell, startVcpuThread }: KvmOptions): void {
    startVcpuThread({
      index: cpu.index,
      fd: cpu.fd.fd,
      runAddress: cpu.fd.runAddress,
      runSize: cpu.fd.runBytes.length,
      threads: this.#threads.buffer,
      doorbell: { words: doorbell.words, index: doorbell.index },
    });
  }

  get current(): KvmVcpu {
    return this.#current;
  }

  // --- getting out of the guest

  get kick(): KickWord {
    return {
      buffer: this.#threads.buffer,
      byteOffset: KvmThreads.requestOffset,
      bits: REQUEST_RETURN,
      thread: 'kvm',
    };
  }

  requestExit(): void {
    this.#threads.request(REQUEST_RETURN);
    this.#threads.kick(0);
  }

  interruptAt(deadlineNs: number, nowNs: number): void {
    const before = this.#deadlineNs;
    // The same deadline through two readings of the clock is no other one.
    if (deadlineNs === before || (before > nowNs && Math.abs(deadlineNs - before) < SAME_DEADLINE_NS)) return;
    // However slow the host is, the guest gets half of the time.
    const lateNs = before < nowNs ? Math.min(nowNs - before, LATEST_NS) : 0;
    this.#deadlineNs = deadlineNs;
    const aheadNs = Math.max(deadlineNs - nowNs + ROUNDING_NS, lateNs, SHORTEST_NS);
    this.#system.setTimer(this.#timer, deadlineNs === Number.POSITIVE_INFINITY ? 0 : aheadNs);
  }

  // --- running

  run(): VcpuExit {
    const first = this.vcpus[0]!;
    const { fd } = first;
    for (;;) {
      const requests = this.#threads.takeRequests();
      if ((requests & REQUEST_STOP) !== 0) this.#waitForTheEnd();
      if ((requests & REQUEST_RETURN) !== 0) {
        if ((requests & REQUEST_SERVICE) !== 0) this.#threads.request(REQUEST_SERVICE);
        return INTERRUPTED;
      }
      const exit = this.#serviceOthers();
      if (exit !== undefined) return exit;
      this.#current = first;
      if (!first.prepare()) return HALTED;
      const result = fd.enter();
      fd.immediateExit = false;
      const own = first.handle(result);
      if (own !== undefined) return own;
      if (result !== -ERRNO.EINTR) continue;
      this.#system.takeTimerSignal();
      // the timer's, unless a request says otherwise
      if (this.#threads.requests === 0) return INTERRUPTED;
    }
  }

  /** Deals with the exits of vCPUs that were handed back, and lets them go on. */
  #serviceOthers(): VcpuExit | undefined {
    for (let index = 1; index < this.vcpus.length; index++) {
      if (!this.#threads.isParked(index)) continue;
      const cpu = this.vcpus[index]!;
      this.#current = cpu;
      const exit = cpu.pendingExit ?? this.#handleParked(cpu);
      cpu.pendingExit = undefined;
      if (exit !== undefined) return exit;
      if (cpu.prepare()) this.#release(cpu);
    }
    return undefined;
  }

  /** The exit with which it was handed back. */
  #handleParked(cpu: KvmVcpu): VcpuExit | undefined {
    if (!cpu.wasReleased) return undefined;
    cpu.wasReleased = false;
    const before = this.#current;
    this.#current = cpu;
    const exit = cpu.handle(this.#threads.result(cpu.index));
    this.#current = before;
    return exit;
  }

  #release(cpu: KvmVcpu): void {
    cpu.wasReleased = true;
    this.#threads.release(cpu.index);
  }

  /** The process or the machine ends, and somebody else sees to it: this thread must not enter the guest again. */
  #waitForTheEnd(): never {
    const word = new Int32Array(new SharedArrayBuffer(4));
    for (;;) Atomics.wait(word, 0, 0);
  }

  /** The machine starts or stops: vCPUs with threads of their own stand still while it is stopped, and so does kvmclock. */
  setRunning(running: boolean): void {
    if (running === this.#running) return;
    this.#running = running;
    if (running) {
      if (this.#clockNs !== undefined) this.#vm.setClock(this.#clockNs);
      return;
    }
    for (const cpu of this.vcpus.slice(1)) this.#park(cpu);
    this.#clockNs = this.#tryClock();
    for (const cpu of this.vcpus) cpu.fd.notePaused();
  }

  #tryClock(): bigint | undefined {
    try {
      return this.#vm.getClock();
    } catch (error) {
      if (error instanceof KvmError) return undefined;
      throw error;
    }
  }

  // --- KvmVcpuOwner

  whileParked<T>(cpu: KvmVcpu, action: () => T): T {
    if (cpu.index !== 0) {
      this.#park(cpu);
      cpu.pendingExit ??= this.#handleParked(cpu);
    }
    // `run` lets it go on
    if (cpu.index !== 0 && this.#running) this.#threads.request(REQUEST_SERVICE);
    return action();
  }

  /** After this its exit, if there was one, still waits to be handled. */
  #park(cpu: KvmVcpu): void {
    this.#threads.park(cpu.index);
  }

  attend(cpu: KvmVcpu): void {
    if (cpu.index === 0) return; // the machine thread, which calls this, looks before it enters
    this.#threads.request(REQUEST_SERVICE);
    if (!this.#threads.isParked(cpu.index)) this.#threads.kick(cpu.index);
  }

  pausedClockNs(): bigint | undefined {
    return this.#running ? this.#tryClock() : (this.#clockNs ?? this.#tryClock());
  }

  resumeClockAt(ns: bigint): void {
    this.#clockNs = ns;
  }

  log(text: string): void {
    this.#log.write(text);
  }

  endOfInterrupt(vector: number): void {
    this.onEndOfInterrupt?.(vector);
  }

  // --- memory

  setMemoryMap(ranges: readonly RamRange[]): void {
    this.#slots.update(ranges);
  }

  /** KVM has no such line: addresses are never masked. */
  setA20(_open: boolean): void {}

  ramWritten(_ramOffset: number, _sizeBytes: number): void {}

  setDirtyLogging(enabled: boolean): void {
    this.#slots.setDirtyLogging(enabled);
  }

  takeDirty(mark: (ramOffset: number, sizeBytes: number) => void): void {
    this.#slots.takeDirty(mark);
  }

  // --- eventfds, for virtio

  get vm(): VmFd {
    return this.#vm;
  }

  /** The text of `info kvm`. */
  report(): string {
    const total = (reason: number): number => this.vcpus.reduce((sum, cpu) => sum + cpu.exits[reason]!, 0);
    const rows = [
      ['port accesses', total(kvm.EXIT_IO)],
      ['memory-mapped accesses', total(kvm.EXIT_MMIO)],
      ['halts', total(kvm.EXIT_HLT)],
      ['interrupt windows', total(kvm.EXIT_IRQ_WINDOW_OPEN)],
    ] as const;
    const lines = rows.map(([name, count]) => `exits: ${name.padEnd(24)} ${count}`);
    return [
      'kvm support: enabled',
      `kernel-irqchip: ${this.irqchip}`,
      `vCPUs: ${this.vcpus.length} of at most ${this.#device.maxVcpus()}, memory slots: ${this.#slots.count}`,
      ...lines,
    ].join('\n');
  }

  dispose(): void {
    this.#system.deleteTimer(this.#timer);
    this.#threads.end();
    for (const cpu of this.vcpus) cpu.fd.close();
    this.#vm.close();
    this.#device.close();
  }
}

const PLATFORM_FEATURES: ReadonlySet<string> = new Set([
  'x2apic',
  'tsc-deadline',
  'arat',
  'invtsc',
  'spec-ctrl',
  'arch-capabilities',
  'tsc-adjust',
  'erms',
]);

/** A signal that comes while the kernel sets up the machine makes it give up: it is asked again. */
function createVm(device: KvmDevice): VmFd {
  for (let attempt = 0; ; attempt++) {
    try {
      return device.createVm();
    } catch (error) {
      const isInterrupted = error instanceof KvmError && error.errno === ERRNO.EINTR;
      if (!isInterrupted || attempt > 100) throw error;
    }
  }
}

/** Builds the accelerator that `-accel` names. */
import type { CpuModel } from '../target/x86/cpu-models.ts';
import { type CpuTopology, installCpu } from '../target/x86/cpuid.ts';
import { encodingFeatures } from '../target/x86/features.ts';
import { createX86Target } from '../target/x86/x86-target.ts';
import { AssertionError, UserError } from '../util/errors.ts';
import type { Doorbell } from '../util/ring.ts';
import type { Accelerator, VcpuBus } from './accelerator.ts';
import { KvmError } from './kvm/ioctls/kvm-error.ts';
import { KvmAccelerator } from './kvm/kvm-accelerator.ts';
import type { IrqchipMode } from './kvm/kvm-cpuid.ts';
import type { KvmSystem } from './kvm/kvm-system.ts';
import type { VcpuThreadStart } from './kvm/vcpu-thread.ts';
import { QtestAccelerator } from './qtest/qtest-accelerator.ts';
import type { StartCompiler } from './tcg/compile-channel.ts';
import { LOG_EXEC, type TcgLog } from './tcg/log.ts';
import { TcgAccelerator } from './tcg/tcg-accelerator.ts';
import { TcgMemory } from './tcg/tcg-memory.ts';
import type { TcgTier } from './tcg/tcg-vcpu.ts';
import type { WasmModuleHandle } from './tcg/webassembly.ts';

export type AcceleratorChoice =
  | { readonly kind: 'tcg'; readonly tier: TcgTier }
  | { readonly kind: 'kvm'; readonly irqchip: IrqchipMode }
  | { readonly kind: 'qtest' };

/** What `kvm` needs of the host. */
export interface KvmHost {
  /** `UserError` where there is no KVM to speak to. */
  system(): KvmSystem;
  /** Starts a thread that calls `runVcpuThread(start)`. */
  startVcpuThread(start: VcpuThreadStart): void;
  /** Why KVM cannot be used, in one line; undefined if nothing is seen to be wrong. */
  explain(): string | undefined;
}

export interface AcceleratorOptions {
  /** The first that works is used. */
  readonly choices: readonly AcceleratorChoice[];
  /** Absent: this host has no `kvm`. */
  readonly kvm: KvmHost | undefined;
  /** `-cpu host`: whatever the host has, under `kvm`. */
  readonly hostCpu: boolean;
  /** The guest is not told that it runs under KVM. */
  readonly hideKvm: boolean;
  /** A feature that cannot be had is an error. */
  readonly enforceCpu: boolean;
  /** Rung when there is something to do on the machine thread. */
  readonly doorbell: Doorbell;
  readonly model: CpuModel;
  /** Of each vCPU. */
  readonly topology: readonly CpuTopology[];
  /** Guest RAM and ROM, and room for the translator. */
  readonly memory: TcgMemory;
  /** The board as each vCPU sees it; as many vCPUs are made. Not used before the accelerator runs. */
  readonly buses: readonly VcpuBus[];
  readonly log: TcgLog;
  /** The host's monotonic clock. */
  readonly nowNs: () => number;
  /** `dist/runtime/x86.wasm`, compiled. */
  readonly runtimeModule: () => WasmModuleHandle;
  /** Starts a thread that calls `runCompiler(start)`; absent: regions are compiled on the machine thread. */
  readonly startCompiler: StartCompiler | undefined;
}

/** `UserError` for what the host cannot give. */
export function createAccelerator(options: AcceleratorOptions): Accelerator {
  const { choices, log } = options;
  for (const [n, choice] of choices.entries()) {
    const next = choices[n + 1];
    if (choice.kind === 'qtest') return new QtestAccelerator(options.memory.ram, options.buses.length);
    if (choice.kind === 'tcg') return createTcg(options, choice.tier);
    try {
      return createKvm(options, choice.irqchip);
    } catch (error) {
      if (!(error instanceof UserError) || next === undefined) throw error;
      log.write(`${error.message}; using ${next.kind}\n`);
    }
  }
  throw new AssertionError('no accelerator was chosen');
}

/** Memory for `ramBytes` of guest RAM and ROM; `UserError` names the option that asked for too much. */
export function createGuestMemory(ramBytes: number): TcgMemory {
  try {
    return new TcgMemory(ramBytes);
  } catch (error) {
    if (error instanceof UserError) throw new UserError(error.code, `-m: ${error.message}`);
    throw error;
  }
}

function createKvm(options: AcceleratorOptions, irqchip: IrqchipMode): Accelerator {
  const { kvm, model, buses, log, doorbell, hostCpu, hideKvm, enforceCpu } = options;
  if (kvm === undefined) throw new UserError('KvmUnavailable', '-accel kvm: not on this kind of host');
  const { memory } = options;
  try {
    return new KvmAccelerator({
      system: kvm.system(),
      model: hostCpu ? 'host' : model,
      irqchip,
      ram: memory.ram,
      buses,
      topology: options.topology,
      log,
      doorbell,
      startVcpuThread: (start) => kvm.startVcpuThread(start),
      enforce: enforceCpu,
      hideKvm,
    });
  } catch (error) {
    if (error instanceof UserError)
      throw new UserError(error.code, `-accel kvm: ${error.message}`, { cause: error });
    if (!(error instanceof KvmError)) throw error;
    const why = kvm.explain() ?? `${error.message} ("lyrebird host check" tells more)`;
    throw new UserError('KvmUnavailable', `-accel kvm: ${why}`, { cause: error });
  }
}

function createTcg(options: AcceleratorOptions, tier: TcgTier): TcgAccelerator {
  if (options.hostCpu)
    throw new UserError(
      'CpuNeedsKvm',
      '-cpu host: only under -accel kvm (max has everything that tcg can do)',
    );
  const { model, buses, log, startCompiler } = options;
  const { memory } = options;
  const accelerator = new TcgAccelerator({
    target: createX86Target(encodingFeatures(model.features), buses.length > 1),
    memory,
    runtimeModule: options.runtimeModule(),
    buses,
    tier,
    log,
    nowNs: options.nowNs,
    ...(startCompiler && { startCompiler }),
  });
  const { executor } = accelerator;
  for (const cpu of accelerator.vcpus) {
    accelerator.load(cpu);
    installCpu(memory.view, executor.cpuBase, model, options.topology[cpu.index]!);
  }
  accelerator.load(accelerator.vcpus[0]!);
  if ((log.mask & LOG_EXEC) !== 0) executor.traceBlocks();
  return accelerator;
}

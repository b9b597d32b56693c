/** Builds the accelerator that `-accel` names. */
import type { CpuModel } from '../target/x86/cpu-models.ts';
import { installCpu } from '../target/x86/cpuid.ts';
import { encodingFeatures } from '../target/x86/features.ts';
import { createX86Target } from '../target/x86/x86-target.ts';
import type { Accelerator, VcpuBus } from './accelerator.ts';
import { QtestAccelerator } from './qtest/qtest-accelerator.ts';
import type { StartCompiler } from './tcg/compile-channel.ts';
import { LOG_EXEC, type TcgLog } from './tcg/log.ts';
import { TcgAccelerator } from './tcg/tcg-accelerator.ts';
import { TcgMemory } from './tcg/tcg-memory.ts';
import type { TcgTier } from './tcg/tcg-vcpu.ts';
import type { WasmModuleHandle } from './tcg/webassembly.ts';

export interface AcceleratorOptions {
  readonly config: { readonly kind: 'tcg'; readonly tier: TcgTier } | { readonly kind: 'qtest' };
  readonly model: CpuModel;
  /** Bytes of guest RAM and ROM. */
  readonly ramBytes: number;
  /** The board as each vCPU sees it; as many vCPUs are made. Not used before the accelerator runs. */
  readonly buses: readonly VcpuBus[];
  readonly log: TcgLog;
  /** The host's monotonic clock. */
  readonly nowNs: () => number;
  /** `dist/runtime/x86.wasm`, compiled. */
  readonly runtimeModule: WasmModuleHandle;
  /** Starts a thread that calls `runCompiler(start)`; absent: regions are compiled on the machine thread. */
  readonly startCompiler: StartCompiler | undefined;
}

/** `UserError` for what the host cannot give. */
export function createAccelerator(options: AcceleratorOptions): Accelerator {
  switch (options.config.kind) {
    case 'tcg':
      return createTcg(options, options.config.tier);
    case 'qtest':
      return new QtestAccelerator(options.ramBytes, options.buses.length);
  }
}

function createTcg(options: AcceleratorOptions, tier: TcgTier): TcgAccelerator {
  const { model, buses, log, startCompiler } = options;
  const memory = new TcgMemory(options.ramBytes);
  const accelerator = new TcgAccelerator({
    target: createX86Target(encodingFeatures(model.features)),
    memory,
    runtimeModule: options.runtimeModule,
    buses,
    tier,
    log,
    nowNs: options.nowNs,
    ...(startCompiler && { startCompiler }),
  });
  const { executor } = accelerator;
  for (const cpu of accelerator.vcpus) {
    accelerator.load(cpu);
    installCpu(memory.view, executor.cpuBase, model, { apicId: cpu.index, cpus: buses.length });
  }
  accelerator.load(accelerator.vcpus[0]!);
  if ((log.mask & LOG_EXEC) !== 0) executor.traceBlocks();
  return accelerator;
}

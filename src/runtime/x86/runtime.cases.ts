// Loads the compiled runtime for tests of single helpers: one vCPU, no devices.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { VCPU_BASE } from '../tcg/layout.ts';

export interface Runtime {
  readonly memory: DataView;
  /** Address of the register file. */
  readonly cpu: number;
  /** Calls an exported function. */
  call(name: string, ...args: (bigint | number)[]): bigint;
}

interface Wasm {
  Memory: new (d: { initial: number; maximum: number; shared: boolean }) => { buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (m: object, imports: object) => { exports: Record<string, (...args: (bigint | number)[]) => bigint> };
}

export function loadRuntime(): Runtime {
  const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
  const file = process.env['LYREBIRD_RUNTIME'] ?? fileURLToPath(new URL('../../runtime/x86.wasm', import.meta.url));
  const memory = new wasm.Memory({ initial: 1024, maximum: 65536, shared: true });
  const none = (): number => 0;
  const host = new Proxy({}, { get: () => none, has: () => true });
  const env = new Proxy({ memory, cpu_base: VCPU_BASE } as Record<string, unknown>, {
    get: (t, name) => t[name as string] ?? none,
    has: () => true,
  });
  const instance = new wasm.Instance(new wasm.Module(readFileSync(file)), { env, host });
  return {
    memory: new DataView(memory.buffer),
    cpu: VCPU_BASE,
    call: (name, ...args) => instance.exports[name]!(...args),
  };
}

/** What a machine thread does from its one message to its end. */
import { type WasmModuleHandle, webAssembly } from '../accel/tcg/webassembly.ts';
import { UserError } from '../util/errors.ts';
import { Machine, type MachineHost } from './machine.ts';
import type { MachineStart } from './protocol.ts';

/** Compiles the runtime; call it before the start message arrives. */
export function compileRuntime(bytes: Uint8Array): WasmModuleHandle {
  const { Module } = webAssembly();
  return new Module(bytes);
}

/** Returns when the machine has ended. */
export function runMachineThread(
  start: MachineStart,
  host: MachineHost,
  runtimeModule: () => WasmModuleHandle,
): void {
  let machine: Machine | undefined;
  try {
    machine = new Machine(start, host, runtimeModule);
    machine.run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    host.post({ kind: 'refused', code: error.code, message: error.message });
  } finally {
    machine?.dispose();
  }
}

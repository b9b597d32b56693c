/** Why a vCPU stopped executing guest code. */
export type VcpuExit =
  /** HLT with nothing pending: sleep until the next event. */
  | { readonly kind: 'halted' }
  /** The exit request was seen: run timers and events, then continue. */
  | { readonly kind: 'interrupted' }
  /** Triple fault. */
  | { readonly kind: 'shutdown' }
  /** A breakpoint or a single step of a debugger on the host side. */
  | { readonly kind: 'debug'; readonly reason: 'breakpoint' | 'watchpoint' | 'step' };

/** What a vCPU asks of the board. Implemented by the machine; values are plain numbers. */
export interface VcpuBus {
  /** Physical access outside RAM; size 1, 2 or 4; unsigned results. */
  readMmio(address: number, size: number): number;
  writeMmio(address: number, size: number, value: number): void;
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
  /** The vector of the highest-priority pending interrupt, acknowledged; -1 if it has gone. */
  acknowledgeInterrupt(): number;
  /** MSRs that belong to the local APIC (APIC base, x2APIC range, TSC deadline): undefined / false = not ours, #GP. */
  readApicMsr(index: number): { readonly lo: number; readonly hi: number } | undefined;
  writeApicMsr(index: number, lo: number, hi: number): boolean;
  readTpr(): number;
  writeTpr(value: number): void;
  /** TSC ticks, a safe integer. */
  readTsc(): number;
}

/** One vCPU of an accelerator, driven by the machine thread. */
export interface Vcpu {
  run(): VcpuExit;
  /** Architectural reset (power-on values). */
  reset(): void;
  /** Sets or clears the level of the INTR input; may be called from within a bus access. */
  setInterruptPending(pending: boolean): void;
  raiseNmi(): void;
  /** Asks `run` to return soon. Safe from any thread. */
  requestExit(): void;
  readonly halted: boolean;
}

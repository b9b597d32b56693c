/**
 * Ports between a vCPU and the controllers coupled to it. Controllers in `hw/` implement or use them, accelerators
 * call or implement them; neither side sees the other.
 *
 * How an interrupt gets in. A controller calls `CpuIrqSink.setInterruptPending(true)`; the accelerator then leaves
 * translated code. When the CPU can take an interrupt (RFLAGS.IF, no interrupt shadow) it calls `acknowledge()` of its
 * local APIC, which answers with its own highest vector above the processor priority, else with the vector of the 8259
 * pair if LVT LINT0 is unmasked ExtINT or the APIC is off (SDM Vol. 3A 10.1, 10.5.1), and updates the pending flag.
 * A vCPU without local APIC uses the 8259 pair as its `InterruptController` directly.
 */
import type { SavedState } from './vmstate.ts';

/** Gives vectors to a CPU: an 8259 pair, or a local APIC. */
export interface InterruptController {
  /** Whether `acknowledge` would now give a vector. */
  hasInterrupt(): boolean;
  /** The INTA cycle: the vector (0…255), and the controller counts it as being served; -1 if there is none. */
  acknowledge(): number;
}

/** The interrupt pins and messages of one vCPU. The accelerator implements it; calls come on the machine thread. */
export interface CpuIrqSink {
  /** A maskable interrupt waits (level: stays until `false`). */
  setInterruptPending(pending: boolean): void;
  nmi(): void;
  smi(): void;
  /** INIT: the processor resets, its APIC's registers do too (SDM Vol. 3A 10.4.7.3); application processors then wait. */
  init(): void;
  /** IGNNE#: x87 errors that are reported outside the processor are ignored until they are cleared. */
  ignoreFpuError?(): void;
  /** Start-up IPI: begins at `vector` << 12 in real mode; ignored unless waiting. */
  sipi(vector: number): void;
}

/** A 64-bit register as two unsigned halves. */
export interface U64Halves {
  readonly lo: number;
  readonly hi: number;
}

/** A local APIC as its own CPU sees it. */
export interface LocalApicPort extends InterruptController {
  /** CR8, equal to TPR bits 7…4 (SDM Vol. 3A 10.8.6.1). */
  getTpr(): number;
  setTpr(cr8: number): void;
  /**
   * RDMSR of what the APIC holds: IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0), x2APIC registers (0x800…0x8ff).
   * Undefined: the access faults with #GP(0), or the MSR is not one of these.
   */
  readMsr(index: number): U64Halves | undefined;
  /** WRMSR; false: #GP(0). Halves are unsigned. */
  writeMsr(index: number, lo: number, hi: number): boolean;
  /** The INIT signal: everything but the APIC id and IA32_APIC_BASE returns to its reset value. */
  initReset(): void;
  /** Bit 11 of IA32_APIC_BASE: what CPUID.1:EDX.APIC must mirror. */
  readonly enabled: boolean;
}

/** Whether an MSR belongs to the local APIC. */
export function isLocalApicMsr(index: number): boolean {
  return index === 0x1b || index === 0x6e0 || (index >= 0x800 && index <= 0x8ff);
}

/** Time stamp counter as the APIC's deadline mode needs it. Values are exact to 2^53. */
export interface TscSource {
  /** The counter's present value, as RDTSC gives it (IA32_TSC_ADJUST included). */
  nowTicks(): number;
  /** Ticks per second. */
  readonly frequencyHz: number;
}

/** Takes message-signalled interrupts: a write of `data` to `addr` (SDM Vol. 3A 10.11). */
export interface MsiSink {
  sendMsi(addr: number, data: number): void;
}

/** Interrupt controllers that an accelerator has instead of the board's own. */
export interface AcceleratedIrqs {
  /**
   * Level of an interrupt input: ISA interrupts 0 to 15 (0 is input 2 of the I/O APIC), inputs 16 to 23 of the I/O APIC.
   * Undefined: only the local APICs are the accelerator's, the board's I/O APIC and 8259 pair stay in use.
   */
  setIrq?(gsi: number, level: boolean): void;
  /** A message to the local APICs. */
  sendMsi(address: number, data: number): void;
  /** Counter 0 of the 8254 drives its interrupt; with `setIrq` only. */
  setPitIrqEnabled?(enabled: boolean): void;
  /**
   * Goes on from the states of the board's controllers, by name: `apic`, `apic1`, …; with `setIrq` also `i8259`, `ioapic`, `i8254`.
   * To be called after a reset of the board as well.
   */
  load(states: ReadonlyMap<string, SavedState>): void;
  /** The present states, for the board's controllers to go on from. `states` gives names, versions and what is not known here. */
  save(states: ReadonlyMap<string, SavedState>): ReadonlyMap<string, SavedState>;
  /** Without `setIrq`: what the inputs of the board's I/O APIC send, so that the ends of their interrupts are told. */
  setIoApicRoutes?(routes: readonly IoApicRoute[]): void;
}

/** The message that an input of the I/O APIC sends. */
export interface IoApicRoute {
  readonly address: number;
  readonly data: number;
}

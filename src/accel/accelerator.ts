/** What the machine needs of whatever executes guest code: `tcg`, `kvm`. All calls are made on the machine thread unless said otherwise. */
import type { AcceleratedIrqs, CpuIrqSink } from '../core/cpu-ports.ts';

/** Why an accelerator stopped executing guest code. */
export type VcpuExit =
  /** Every vCPU waits (HLT, not started) with nothing pending: sleep until the next event. */
  | { readonly kind: 'halted' }
  /** The exit request was seen: run timers and events, then continue. */
  | { readonly kind: 'interrupted' }
  /** Triple fault. */
  | { readonly kind: 'shutdown' }
  /** A breakpoint or a single step of a debugger on the host side. */
  | { readonly kind: 'debug'; readonly reason: 'breakpoint' | 'watchpoint' | 'step' }
  /** The accelerator cannot go on with the guest as it is; the log has the registers. */
  | { readonly kind: 'failed'; readonly message: string };

/** What a vCPU asks of the board. Implemented by the machine, one per vCPU; values are plain numbers. */
export interface VcpuBus {
  /** Physical access outside RAM; size 1, 2 or 4; unsigned results. */
  readMmio(address: number, size: number): number;
  writeMmio(address: number, size: number, value: number): void;
  /** A store to ROM at an offset of the RAM buffer; absent: ROM does not mind. */
  writeRom?(ramOffset: number, size: number, value: number): void;
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
  /** The vector of the highest-priority pending interrupt, acknowledged; -1 if it has gone. */
  acknowledgeInterrupt(): number;
  /** MSRs that belong to the local APIC (APIC base, x2APIC range, TSC deadline): undefined / false = not ours, #GP. */
  readApicMsr(index: number): { readonly lo: number; readonly hi: number } | undefined;
  writeApicMsr(index: number, lo: number, hi: number): boolean;
  /** An interrupt asked for by hypercall, `icr` as in the low half of ICR; false: there is no such APIC id. */
  sendIpi?(apicId: number, icr: number): boolean;
  /** FERR#: an x87 error that is reported by an interrupt, not by an exception. */
  fpuError?(): void;
  /** The vCPU enters or leaves system management mode: SMRAM is there for it or not. Called between instructions. */
  setSmm?(active: boolean): void;
  readTpr(): number;
  writeTpr(value: number): void;
  /** TSC ticks, a safe integer. */
  readTsc(): number;
}

/**
 * Architectural state by name, unsigned: rax…r15, rip, rflags, cr0…cr4, efer, dr0…dr7, mxcsr, gdt_base, gdt_limit, idt_base,
 * idt_limit, kernel_gs_base, fpu_cw, fpu_sw, fpu_top, xmm0…xmm15 (128 bits), and for es cs ss ds fs gs ldtr tr: the selector under
 * the bare name, `cs_base`, `cs_limit` (in bytes) and `cs_attr` (bits 8…23 of the descriptor's second doubleword, shifted down by
 * 8). `shadow` is not zero while STI or MOV SS blocks interrupts.
 */
export type CpuRegisters = Record<string, bigint>;

/** One processor as machine, monitor and debugger see it. */
export interface Vcpu extends CpuIrqSink {
  readonly index: number;
  /** Architectural reset (power-on values). Processors but the first then wait for a start-up IPI. */
  reset(): void;
  /** Waits: HLT, or not yet started. */
  readonly halted: boolean;
  readRegisters(): CpuRegisters;
  /** Writes those named, and makes what follows from them (modes, cached translations) true. */
  writeRegisters(values: Readonly<CpuRegisters>): void;
  /**
   * The complete state, to go on under another accelerator: what `readRegisters` gives, and star lstar cstar fmask sysenter_cs
   * sysenter_esp sysenter_eip pat misc_enable tsc_adjust tsc_aux xcr0 tsc, fpr0…fpr7 (physical registers, 80 bits), fpu_tags (bit n:
   * register n is empty), fpu_ip fpu_dp fpu_opcode, ymm0_hi…ymm15_hi (128 bits), pkru, nmi_blocked, smm (SMM_* bits), smbase, ferr
   * (FERR_* bits), msr_… (others by number, in hexadecimal), kvm_clock_offset (of kvmclock to virtual time), nmi_pending, injected (256 + vector of
   * an interrupt that was acknowledged and not yet delivered, else 0), halted, waits_for_sipi. Levels of interrupt inputs are not
   * part of it.
   */
  saveState(): CpuRegisters;
  loadState(values: Readonly<CpuRegisters>): void;
  /** Physical address of a linear address under the present page tables, undefined if unmapped. No side effects. */
  translateAddress(linear: bigint): number | undefined;
  /** What the guest has added to the TSC by IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST. */
  readonly tscOffset: number;
}

/** Guest-physical range of RAM or ROM; `ramOffset` is its place in the guest's RAM buffer. */
export interface RamRange {
  readonly start: number;
  readonly sizeBytes: number;
  readonly ramOffset: number;
  readonly readOnly: boolean;
}

/**
 * The word that makes guest code be left, and the bits to set in it. A buffer and an offset rather than a typed array:
 * Node 20 cannot send a view of a buffer of 4 GiB to another thread.
 */
export interface KickWord {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly bits: number;
  /** Setting the bits is not enough, a thread must be interrupted: the buffer is that of `KvmThreads`. */
  readonly thread?: 'kvm';
}

/** Executes the guest code of one machine on all its vCPUs. */
export interface Accelerator {
  /** As `-accel` names it. */
  readonly name: string;
  /** The guest's RAM and ROM. */
  readonly ram: Uint8Array;
  readonly vcpus: readonly Vcpu[];
  /** The vCPU whose instruction makes the present access to the board; outside `run` the one that ran last. */
  readonly current: Vcpu;
  /** Lets guest code run until something is to be done here. */
  run(): VcpuExit;
  /** Asks `run` to return soon. Safe from any thread. */
  requestExit(): void;
  /** The same for threads that have only memory in common with this one. */
  readonly kick: KickWord;
  /**
   * Nanoseconds after which `run` wants to be interrupted although no timer is due, because vCPUs take turns; Infinity when there
   * is nobody to give way to.
   */
  readonly sliceNs: number;
  /**
   * Makes `run` return at `deadlineNs` (Infinity: not by itself); `nowNs` is the present time of the same clock, the host's. Absent:
   * somebody must call `requestExit`.
   */
  readonly interruptAt?: ((deadlineNs: number, nowNs: number) => void) | undefined;
  /** The physical map of RAM and ROM changed; may be called from within a bus access. */
  setMemoryMap(ranges: readonly RamRange[]): void;
  /** Address line 20 is let through (true) or held low. */
  setA20(open: boolean): void;
  /** Guest RAM was written by a device, a loader or a debugger. `ramOffset` counts from the start of `ram`. */
  ramWritten(ramOffset: number, sizeBytes: number): void;
  /** Interrupt controllers of its own; undefined: the board's serve. */
  readonly irqs?: AcceleratedIrqs | undefined;
  /** With `irqs` but without `setIrq`: called at the end of a level-triggered interrupt. */
  onEndOfInterrupt?: (vector: number) => void;
  /** The machine starts or stops. */
  setRunning?(running: boolean): void;
  /** Notes, or no longer notes, which pages the guest writes; absent: nothing is lost without. */
  setDirtyLogging?(enabled: boolean): void;
  /** Calls `mark` with runs of `ram` that the guest wrote since the last call. */
  takeDirty?(mark: (ramOffset: number, sizeBytes: number) => void): void;
  /** The text of `info jit` or `info kvm`. */
  report(): string;
  /** Ends what was started besides this thread. Nothing may run afterwards. */
  dispose(): void;
}

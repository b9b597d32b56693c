import { SLOT_EXIT_REQUEST, SLOT_HALTED, SLOT_INTERRUPT_PENDING } from '../../runtime/tcg/layout.ts';
import {
  FERR,
  FERR_ASSERTED,
  FERR_IGNORED,
  INTERRUPT_HARD,
  INTERRUPT_NMI,
  INTERRUPT_SMI,
  SMM,
  STATE_SIZE,
  TSC_OFFSET,
  TURN_STEPS,
} from '../../runtime/x86/layout.ts';
import type { CpuRegisters, Vcpu, VcpuBus } from '../accelerator.ts';
import { readCpuState, writeCpuState } from './cpu-state.ts';
import type { TcgVcpu } from './tcg-vcpu.ts';
import { readCpuRegisters, writeCpuRegisters } from './x86-registers.ts';

/** Who decides which vCPU's registers are in the translator. */
export interface CpuSwitch {
  readonly loaded: TcgCpu;
  /** Puts the registers of this one there. */
  load(cpu: TcgCpu): void;
  /** A vCPU that waited has something to do. */
  woken(): void;
  /** A vCPU whose registers are saved was sent an interrupt. */
  signalled(cpu: TcgCpu): void;
}

/** The exit request belongs to the thread, not to one vCPU: it is not copied. */
const BEFORE_REQUEST = SLOT_EXIT_REQUEST >> 2;
const BEHIND_REQUEST = BEFORE_REQUEST + 2;
const STATE_WORDS = STATE_SIZE >> 2;

/** One of several vCPUs that share a translator: its registers are either in there or saved here. */
export class TcgCpu implements Vcpu {
  readonly index: number;
  readonly bus: VcpuBus;
  /** HLT, with nothing to be done since: not worth a turn. */
  idle = false;
  /** In its last turn it did nothing but wait in a loop. */
  spinning = false;
  private readonly executor: TcgVcpu;
  private readonly owner: CpuSwitch;
  private readonly live: Int32Array;
  private readonly saved = new Int32Array(STATE_WORDS);
  private readonly savedView = new DataView(this.saved.buffer);
  /** After reset or INIT a processor other than the first waits for a start-up IPI (SDM Vol. 3A 8.4.1). */
  private waitsForSipi = false;
  private initPending = false;
  private sipiVector = -1;

  constructor(index: number, bus: VcpuBus, executor: TcgVcpu, owner: CpuSwitch) {
    this.index = index;
    this.bus = bus;
    this.executor = executor;
    this.owner = owner;
    const base = executor.cpuBase >>> 2;
    this.live = executor.memory.i32.subarray(base, base + STATE_WORDS);
  }

  // ---- registers in and out

  /** The words that hold the registers now. */
  private get words(): Int32Array {
    return this.owner.loaded === this ? this.live : this.saved;
  }

  /** To be called by the owner only. */
  save(): void {
    this.saved.set(this.live);
  }

  /** To be called by the owner only. */
  restore(): void {
    this.live.set(this.saved.subarray(0, BEFORE_REQUEST));
    this.live.set(this.saved.subarray(BEHIND_REQUEST), BEHIND_REQUEST);
  }

  /** Whether the registers now in the translator equal the saved ones in these 64-bit slots. */
  sharesAddressSpace(slots: readonly number[]): boolean {
    const { live, saved } = this;
    return slots.every((slot) => {
      const at = slot >> 2;
      return live[at] === saved[at] && live[at + 1] === saved[at + 1];
    });
  }

  readSlot(offset: number): bigint {
    if (this.owner.loaded === this) return this.executor.readSlot(offset);
    return this.savedView.getBigUint64(offset, true);
  }

  writeSlot(offset: number, value: bigint): void {
    if (this.owner.loaded === this) this.executor.writeSlot(offset, value);
    else this.savedView.setBigUint64(offset, BigInt.asUintN(64, value), true);
  }

  readRegisters(): CpuRegisters {
    this.owner.load(this);
    return readCpuRegisters(this.executor);
  }

  writeRegisters(values: Readonly<CpuRegisters>): void {
    this.owner.load(this);
    writeCpuRegisters(this.executor, values);
  }

  saveState(): CpuRegisters {
    this.owner.load(this);
    return {
      ...readCpuState(this.executor, this.bus.readTsc()),
      halted: this.halted && !this.waitsForSipi ? 1n : 0n,
      waits_for_sipi: this.waitsForSipi ? 1n : 0n,
    };
  }

  loadState(values: Readonly<CpuRegisters>): void {
    this.reset();
    this.executor.flushTranslations();
    writeCpuState(this.executor, values, this.bus.readTsc(), this.executor.memory);
    if (this.inSmm) this.bus.setSmm?.(true);
    this.waitsForSipi = values['waits_for_sipi'] === 1n;
    this.idle = this.waitsForSipi;
    this.words[SLOT_HALTED >> 2] = this.waitsForSipi || values['halted'] === 1n ? 1 : 0;
    const injected = Number(values['injected'] ?? 0n);
    if (injected >= 256) this.executor.runtime.deliver_interrupt(injected & 0xff);
    if (values['nmi_pending'] === 1n) this.nmi();
  }

  translateAddress(linear: bigint): number | undefined {
    this.owner.load(this);
    return this.executor.translateAddress(linear);
  }

  get tscOffset(): number {
    return Number(BigInt.asIntN(64, this.readSlot(TSC_OFFSET)));
  }

  // ---- run states

  get halted(): boolean {
    return this.words[SLOT_HALTED >> 2] !== 0;
  }

  /** In system management mode. */
  get inSmm(): boolean {
    return this.words[SMM >> 2] !== 0;
  }

  reset(): void {
    this.owner.load(this);
    if (this.inSmm) this.bus.setSmm?.(false);
    this.executor.reset();
    this.initPending = false;
    this.sipiVector = -1;
    this.rest();
  }

  /** What comes after reset and INIT. */
  private rest(): void {
    this.waitsForSipi = this.index !== 0;
    this.words[SLOT_HALTED >> 2] = this.waitsForSipi ? 1 : 0;
    this.idle = this.waitsForSipi;
    this.spinning = false;
  }

  /** INIT and start-up IPIs that came since its last turn; its registers are in the translator. */
  takeStartup(): void {
    if (this.initPending && !this.inSmm) {
      this.initPending = false;
      this.executor.runtime.cpu_init();
      Atomics.and(this.live, SLOT_INTERRUPT_PENDING >> 2, INTERRUPT_HARD);
      this.rest();
    }
    if (this.sipiVector < 0) return;
    this.waitsForSipi = false;
    this.executor.startUp(this.sipiVector);
    this.sipiVector = -1;
    this.idle = false;
  }

  /**
   * At the beginning of a turn: while others wait in loops it ends with the next critical section, or soon after the handler of
   * the interrupt it begins with, for that is likely what they wait for.
   */
  limitTurn(othersWait: boolean): void {
    const pending = this.live[SLOT_INTERRUPT_PENDING >> 2] !== 0;
    this.live[TURN_STEPS >> 2] = othersWait ? (pending ? 2 : 1) : 0;
  }

  // ---- interrupt inputs

  setInterruptPending(pending: boolean): void {
    if (pending) this.pend(INTERRUPT_HARD);
    else Atomics.and(this.words, SLOT_INTERRUPT_PENDING >> 2, ~INTERRUPT_HARD);
  }

  nmi(): void {
    this.pend(INTERRUPT_NMI);
  }

  smi(): void {
    this.pend(INTERRUPT_SMI);
  }

  ignoreFpuError(): void {
    if ((this.words[FERR >> 2]! & FERR_ASSERTED) !== 0) this.words[FERR >> 2]! |= FERR_IGNORED;
  }

  init(): void {
    this.initPending = true;
    this.sipiVector = -1;
    // SMM lets it wait (SDM Vol. 3C 32.3)
    this.waitsForSipi = this.index !== 0 && !this.inSmm;
    this.attend();
  }

  sipi(vector: number): void {
    if (!this.waitsForSipi || this.sipiVector >= 0) return;
    this.sipiVector = vector;
    this.attend();
  }

  private pend(bit: number): void {
    // SDM Vol. 3A 8.4.2: before its start-up IPI a processor takes neither NMI nor SMI; the SMI waits
    if (this.waitsForSipi && bit === INTERRUPT_NMI) return;
    if (this.owner.loaded === this) this.executor.pend(bit);
    else if ((Atomics.or(this.saved, SLOT_INTERRUPT_PENDING >> 2, bit) & bit) === 0 && !this.waitsForSipi)
      this.owner.signalled(this);
    if (!this.waitsForSipi) this.wake();
  }

  /** After RSM: an INIT that came meanwhile is due. To be called by the owner only. */
  smmLeft(): void {
    if (this.initPending) this.attend();
  }

  /** `takeStartup` is to be called before its next instruction. */
  private attend(): void {
    if (this.owner.loaded === this) this.executor.requestExit();
    this.wake();
  }

  private wake(): void {
    if (!this.idle) return;
    this.idle = false;
    this.owner.woken();
  }
}

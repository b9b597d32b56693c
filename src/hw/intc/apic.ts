/**
 * Local APIC, xAPIC and x2APIC (SDM Vol. 3A chapter 10). The bus clock, which the timer counts, is 1 GHz as in QEMU.
 * Registers are numbered here as x2APIC numbers them: MMIO offset / 16 = MSR − 0x800 (SDM Vol. 3A table 10-6).
 */
import type {
  CpuIrqSink,
  InterruptController,
  LocalApicPort,
  TscSource,
  U64Halves,
} from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import type { TimerService } from '../../core/timer.ts';
import { bool, defineState, type StateOf, stateful, u32, words } from '../../core/vmstate.ts';
import {
  type ApicBus,
  type ApicBusAgent,
  BROADCAST_X2APIC,
  DELIVERY_EXTINT,
  DELIVERY_FIXED,
  DELIVERY_INIT,
  DELIVERY_NMI,
  DELIVERY_SMI,
  DELIVERY_STARTUP,
} from './apic-bus.ts';
import { describeApic } from './apic-describe.ts';
import * as reg from './apic-registers.ts';
import { ApicTimer, apicTimerFields } from './apic-timer.ts';
import {
  acceptVector,
  apicVectorFields,
  deliverableVector,
  endVector,
  highestVector,
  processorPriority,
  requestVector,
} from './apic-vectors.ts';

const { LVT_MASKED } = reg;

export const LOCAL_APIC_SIZE = 0x1000;
export const LOCAL_APIC_MMIO: MmioOptions = { impl: { min: 4, max: 4 } };
export const LOCAL_APIC_DEFAULT_BASE = 0xfee00000;

const schema = defineState('apic', 1, {
  ...apicTimerFields,
  /** IA32_APIC_BASE, low and high half. */
  baseLo: u32(LOCAL_APIC_DEFAULT_BASE | reg.BASE_ENABLE),
  baseHi: u32(),
  id: u32(),
  tpr: u32(),
  ldr: u32(),
  dfr: u32(0xffffffff),
  svr: u32(0xff),
  esr: u32(),
  /** Errors since the last write to ESR. */
  newErrors: u32(),
  icrLo: u32(),
  icrHi: u32(),
  lvt: words(reg.LVT_COUNT, LVT_MASKED),
  ...apicVectorFields,
  lint0: bool(),
  /** An ExtINT message came and its INTA cycle is still to be run. */
  extIntRequested: bool(),
});
export type ApicState = StateOf<typeof schema>;

export interface LocalApicOptions {
  /** The initial APIC id. */
  readonly id: number;
  readonly isBootProcessor: boolean;
  readonly hasX2Apic: boolean;
  /** Width of physical addresses: IA32_APIC_BASE takes no more. Default 52. */
  readonly physicalBits?: number;
  /** Undefined: no TSC-deadline mode. */
  readonly tsc?: TscSource;
  /** The 8259 pair, whose output is wired to LINT0. */
  readonly extInt?: InterruptController;
  /** The board moves (or hides, in x2APIC mode or when disabled) the register page. */
  readonly onBaseChanged?: (base: number, isVisible: boolean) => void;
}

export class LocalApic implements LocalApicPort, ApicBusAgent, MmioDevice, Device {
  /** Pins: LINT0 carries the 8259 pair's INTR, LINT1 the NMI line. */
  readonly lint0: IrqLine;
  readonly lint1: IrqLine;
  readonly vmstate;

  readonly #s: ApicState = schema.create();
  readonly #options: LocalApicOptions;
  readonly #bus: ApicBus;
  readonly #cpu: CpuIrqSink;
  readonly #timer: ApicTimer;

  constructor(options: LocalApicOptions, bus: ApicBus, cpu: CpuIrqSink, timers: TimerService) {
    this.#options = options;
    this.#bus = bus;
    this.#cpu = cpu;
    this.#timer = new ApicTimer(this.#s, timers, options.tsc, () => this.#signalLvt(reg.LVT_TIMER));
    this.lint0 = new IrqLine((_, level) => this.#setLint0(level));
    this.lint1 = new IrqLine((_, level) => {
      if (level) this.#signalLvt(reg.LVT_LINT1);
    });
    this.vmstate = stateful(schema, this.#s, {
      postLoad: () => {
        this.#timer.rearm();
        this.#baseChanged();
        this.#update();
      },
    });
    bus.attach(this);
    this.reset();
  }

  get id(): number {
    return this.#s.id;
  }

  get enabled(): boolean {
    return (this.#s.baseLo & reg.BASE_ENABLE) !== 0;
  }

  get isX2Apic(): boolean {
    return (this.#s.baseLo & reg.BASE_X2APIC) !== 0;
  }

  /** Address of the register page, -1 in x2APIC mode and when disabled. */
  get pageBase(): number {
    if (!this.enabled || this.isX2Apic) return -1;
    return this.#s.baseHi * 2 ** 32 + ((this.#s.baseLo & ~0xfff) >>> 0);
  }

  get #softwareEnabled(): boolean {
    return (this.#s.svr & reg.SVR_ENABLE) !== 0;
  }

  reset(): void {
    const bsp = this.#options.isBootProcessor;
    this.#s.baseLo = LOCAL_APIC_DEFAULT_BASE | reg.BASE_ENABLE | (bsp ? reg.BASE_BSP : 0);
    this.#s.baseLo >>>= 0;
    this.#s.baseHi = 0;
    this.#s.id = this.#options.id;
    this.#resetRegisters();
    // Firmware leaves the boot processor in virtual wire mode; a kernel booted without firmware expects it too.
    if (bsp) this.#s.lvt[reg.LVT_LINT0] = DELIVERY_EXTINT << 8;
    this.#baseChanged();
    this.#update();
  }

  initReset(): void {
    const isInX2Apic = this.isX2Apic;
    this.#resetRegisters();
    if (isInX2Apic) this.#s.ldr = reg.x2ApicLdr(this.#s.id);
    if (this.#options.isBootProcessor) this.#s.lvt[reg.LVT_LINT0] = DELIVERY_EXTINT << 8;
    this.#update();
  }

  // --- interrupts towards the CPU ---

  hasInterrupt(): boolean {
    return this.#deliverableVector() >= 0 || this.#extIntPending();
  }

  acknowledge(): number {
    const s = this.#s;
    const vector = this.#deliverableVector();
    if (vector >= 0) {
      acceptVector(s, vector);
      this.#update();
      return vector;
    }
    if (!this.#extIntPending()) return -1;
    s.extIntRequested = false;
    const external = this.#options.extInt?.acknowledge() ?? -1;
    this.#update();
    return external;
  }

  getTpr(): number {
    return this.#s.tpr >>> 4;
  }

  setTpr(cr8: number): void {
    this.#s.tpr = (cr8 & 15) << 4;
    this.#update();
  }

  // --- bus ---

  accepts(destination: number, isLogical: boolean): boolean {
    const s = this.#s;
    if (!this.enabled) return false;
    if (destination === BROADCAST_X2APIC) return true;
    if (!isLogical) return destination === s.id || destination === 0xff;
    if (this.isX2Apic) return destination >>> 16 === s.ldr >>> 16 && (destination & s.ldr & 0xffff) !== 0;
    if (destination === 0xff) return true;
    const logicalId = s.ldr >>> 24;
    if (s.dfr >>> 28 === 15) return (destination & logicalId) !== 0;
    const isOurCluster = destination >>> 4 === logicalId >>> 4 || destination >>> 4 === 15;
    return isOurCluster && (destination & logicalId & 15) !== 0;
  }

  deliver(deliveryMode: number, vector: number, isLevel: boolean): void {
    switch (deliveryMode) {
      case DELIVERY_SMI:
        this.#cpu.smi();
        break;
      case DELIVERY_NMI:
        this.#cpu.nmi();
        break;
      case DELIVERY_INIT:
        this.initReset();
        this.#cpu.init();
        break;
      case DELIVERY_STARTUP:
        this.#cpu.sipi(vector);
        break;
      case DELIVERY_EXTINT:
        this.#s.extIntRequested = true;
        this.#update();
        break;
      case DELIVERY_FIXED:
      case 1:
        if (this.#softwareEnabled) this.#request(vector, isLevel);
        break;
      default: // reserved
    }
  }

  arbitrationPriority(): number {
    return Math.max(processorPriority(this.#s), Math.max(0, highestVector(this.#s.irr)) & 0xf0);
  }

  // --- registers by memory ---

  read(offset: number, _size: AccessSize): number {
    if ((offset & 15) !== 0) return 0;
    return this.#readRegister(offset >> 4);
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if ((offset & 15) !== 0) return;
    const index = offset >> 4;
    if (index === reg.ICR_HI) this.#s.icrHi = (value & 0xff000000) >>> 0;
    else if (index === reg.ICR) this.#sendIpi(value, this.#s.icrHi >>> 24);
    else if (index === reg.ID) this.#s.id = value >>> 24;
    else if (index === reg.LDR) this.#s.ldr = (value & 0xff000000) >>> 0;
    else if (index === reg.DFR) this.#s.dfr = (value | 0x0fffffff) >>> 0;
    else this.#writeRegister(index, value);
  }

  // --- registers by RDMSR and WRMSR ---

  readMsr(index: number): U64Halves | undefined {
    const s = this.#s;
    if (index === reg.MSR_APIC_BASE) return { lo: s.baseLo, hi: s.baseHi };
    if (index === reg.MSR_TSC_DEADLINE) return this.#options.tsc && this.#timer.readDeadline();
    const register = index - 0x800;
    if (!this.isX2Apic || !reg.isX2ApicReadable(register)) return undefined;
    if (register === reg.ICR) return { lo: s.icrLo, hi: s.icrHi };
    if (register === reg.ID) return { lo: s.id, hi: 0 };
    return { lo: this.#readRegister(register), hi: 0 };
  }

  writeMsr(index: number, lo: number, hi: number): boolean {
    if (index === reg.MSR_APIC_BASE) return this.#writeBase(lo, hi);
    if (index === reg.MSR_TSC_DEADLINE) {
      if (this.#options.tsc === undefined) return false;
      this.#timer.writeDeadline(lo, hi);
      return true;
    }
    const register = index - 0x800;
    if (!this.isX2Apic || !reg.isX2ApicWritable(register, lo, hi)) return false;
    if (register === reg.ICR) {
      this.#s.icrHi = hi;
      this.#sendIpi(lo, hi);
    } else if (register === reg.SELF_IPI) this.#request(lo & 0xff, false);
    else this.#writeRegister(register, lo);
    return true;
  }

  /** An interrupt to one APIC id without ICR: a hypercall's. False: there is no such APIC. */
  sendTo(destination: number, icr: number): boolean {
    const deliveryMode = (icr >>> 8) & 7;
    if (!this.#bus.agents.some((agent) => agent.accepts(destination, false))) return false;
    this.#bus.send({ destination, isLogical: false, deliveryMode, vector: icr & 0xff, isLevel: false });
    return true;
  }

  /** What the monitor's `info lapic` shows. */
  describe(): string {
    return describeApic(this.#s, this.#timer.currentCount());
  }

  // --- inside ---

  #resetRegisters(): void {
    const { baseLo, baseHi, id, lint0 } = this.#s;
    this.#timer.stop();
    schema.reset(this.#s);
    Object.assign(this.#s, { baseLo, baseHi, id, lint0 });
  }

  #baseChanged(): void {
    const base = this.#s.baseHi * 2 ** 32 + ((this.#s.baseLo & ~0xfff) >>> 0);
    this.#options.onBaseChanged?.(base, this.enabled && !this.isX2Apic);
  }

  /** SDM Vol. 3A 10.12.1.1 and figure 10-27: the allowed changes of state. */
  #writeBase(lo: number, hi: number): boolean {
    const s = this.#s;
    const known = ~0xfff | reg.BASE_BSP | reg.BASE_ENABLE | (this.#options.hasX2Apic ? reg.BASE_X2APIC : 0);
    if ((lo & ~known) !== 0 || hi >= 2 ** ((this.#options.physicalBits ?? 52) - 32)) return false;
    const enable = (lo & reg.BASE_ENABLE) !== 0;
    const x2Apic = (lo & reg.BASE_X2APIC) !== 0;
    if (x2Apic && !enable) return false;
    if (this.isX2Apic && enable && !x2Apic) return false;
    if (!this.enabled && x2Apic) return false;
    const wasX2Apic = this.isX2Apic;
    const wasEnabled = this.enabled;
    s.baseLo = ((lo & ~reg.BASE_BSP) | (s.baseLo & reg.BASE_BSP)) >>> 0;
    s.baseHi = hi;
    if (x2Apic && !wasX2Apic) {
      s.id = this.#options.id;
      s.ldr = reg.x2ApicLdr(s.id);
    }
    if (!enable && wasEnabled) {
      // SDM Vol. 3A 10.4.3: once disabled it comes back as after power-on
      s.id = this.#options.id;
      this.#resetRegisters();
      if (this.#options.isBootProcessor) s.lvt[reg.LVT_LINT0] = DELIVERY_EXTINT << 8;
    }
    this.#baseChanged();
    this.#update();
    return true;
  }

  #readRegister(index: number): number {
    const s = this.#s;
    if (index >= reg.ISR && index < reg.ISR + 8) return s.isr[index - reg.ISR]!;
    if (index >= reg.TMR && index < reg.TMR + 8) return s.tmr[index - reg.TMR]!;
    if (index >= reg.IRR && index < reg.IRR + 8) return s.irr[index - reg.IRR]!;
    if (index >= reg.LVT && index < reg.LVT + reg.LVT_COUNT) return s.lvt[index - reg.LVT]!;
    switch (index) {
      case reg.ID:
        return (s.id << 24) >>> 0;
      case reg.VERSION:
        return reg.VERSION_VALUE;
      case reg.TPR:
        return s.tpr;
      case reg.APR:
        return this.arbitrationPriority();
      case reg.PPR:
        return processorPriority(this.#s);
      case reg.LDR:
        return s.ldr;
      case reg.DFR:
        return s.dfr;
      case reg.SVR:
        return s.svr;
      case reg.ESR:
        return s.esr;
      case reg.ICR:
        return s.icrLo;
      case reg.ICR_HI:
        return s.icrHi;
      case reg.INITIAL_COUNT:
        return s.initialCount;
      case reg.CURRENT_COUNT:
        return this.#timer.currentCount();
      case reg.DIVIDE:
        return s.divide;
      case reg.EOI:
      case reg.RRD:
        return 0;
      default:
        this.#error(reg.ERROR_ILLEGAL_REGISTER);
        return 0;
    }
  }

  #writeRegister(index: number, value: number): void {
    const s = this.#s;
    if (index === reg.EOI) this.#endOfInterrupt();
    else if (index === reg.TPR) {
      s.tpr = value & 0xff;
      this.#update();
    } else if (index === reg.INITIAL_COUNT) this.#timer.writeInitialCount(value);
    else if (index >= reg.LVT && index < reg.LVT + reg.LVT_COUNT) this.#writeLvt(index - reg.LVT, value);
    else if (index === reg.DIVIDE) this.#timer.writeDivide(value);
    else if (index === reg.SVR) this.#writeSvr(value);
    else if (index === reg.ESR) {
      s.esr = s.newErrors;
      s.newErrors = 0;
    } else if (!reg.isReadOnly(index)) this.#error(reg.ERROR_ILLEGAL_REGISTER);
  }

  #writeSvr(value: number): void {
    const s = this.#s;
    s.svr = value & 0x1ff;
    // SDM Vol. 3A 10.4.7.2: a software-disabled APIC has all its LVT entries masked.
    if (!this.#softwareEnabled) for (let i = 0; i < reg.LVT_COUNT; i++) s.lvt[i]! |= LVT_MASKED;
    this.#update();
  }

  #writeLvt(entry: number, value: number): void {
    const s = this.#s;
    const masked = this.#softwareEnabled ? 0 : LVT_MASKED;
    const before = s.lvt[entry]!;
    s.lvt[entry] = ((value & reg.LVT_WRITABLE[entry]!) | (before & ~reg.LVT_WRITABLE[entry]!) | masked) >>> 0;
    if (entry === reg.LVT_TIMER) this.#timer.modeChanged(before);
    if (entry === reg.LVT_LINT0) this.#update();
  }

  #setLint0(level: boolean): void {
    const s = this.#s;
    const rose = level && !s.lint0;
    s.lint0 = level;
    const mode = (s.lvt[reg.LVT_LINT0]! >>> 8) & 7;
    if (rose && this.enabled && mode !== DELIVERY_EXTINT) this.#signalLvt(reg.LVT_LINT0);
    this.#update();
  }

  #signalLvt(entry: number): void {
    const lvt = this.#s.lvt[entry]!;
    if (!this.enabled) {
      // Without an APIC the pins are INTR and NMI (SDM Vol. 3A 10.4.3).
      if (entry === reg.LVT_LINT1) this.#cpu.nmi();
      return;
    }
    if ((lvt & LVT_MASKED) !== 0) return;
    const mode = entry === reg.LVT_TIMER || entry === reg.LVT_ERROR ? DELIVERY_FIXED : (lvt >>> 8) & 7;
    if (mode === DELIVERY_FIXED)
      this.#request(lvt & 0xff, entry === reg.LVT_LINT0 && (lvt & reg.LVT_LEVEL) !== 0);
    else this.deliver(mode, lvt & 0xff, false);
  }

  #request(vector: number, isLevel: boolean): void {
    const s = this.#s;
    if (vector < 16) {
      this.#error(reg.ERROR_RECEIVED_VECTOR);
      return;
    }
    requestVector(s, vector, isLevel);
    this.#update();
  }

  #endOfInterrupt(): void {
    const levelVector = endVector(this.#s);
    if (levelVector >= 0) this.#bus.broadcastEoi(levelVector);
    this.#update();
  }

  #error(bit: number): void {
    const s = this.#s;
    const isNew = (s.newErrors & bit) === 0;
    s.newErrors |= bit;
    // The error vector may itself be illegal: signal a kind of error once until ESR is written.
    if (isNew) this.#signalLvt(reg.LVT_ERROR);
  }

  /** SDM Vol. 3A 10.6.1: writing the low half of ICR sends. */
  #sendIpi(lo: number, destination: number): void {
    const s = this.#s;
    s.icrLo = (lo & reg.ICR_WRITABLE) >>> 0;
    const deliveryMode = (lo >>> 8) & 7;
    const vector = lo & 0xff;
    const shorthand = (lo >>> 18) & 3;
    const isLevel = (lo & (1 << 15)) !== 0;
    const isDeassert = deliveryMode === DELIVERY_INIT && isLevel && (lo & (1 << 14)) === 0;
    if (isDeassert) return;
    if (deliveryMode <= 1 && vector < 16) {
      this.#error(reg.ERROR_SENT_VECTOR);
      return;
    }
    // IPIs are edge-triggered on all processors since the Pentium 4, whatever the trigger bit says.
    if (shorthand === 1) this.deliver(deliveryMode, vector, false);
    else if (shorthand === 0) {
      this.#bus.send({
        destination,
        isLogical: (lo & (1 << 11)) !== 0,
        deliveryMode,
        vector,
        isLevel: false,
      });
    } else {
      for (const agent of this.#bus.agents) {
        if (shorthand === 2 || agent !== this) agent.deliver(deliveryMode, vector, false);
      }
    }
  }

  /** The vector to be acknowledged next, or -1. */
  #deliverableVector(): number {
    return this.#softwareEnabled && this.enabled ? deliverableVector(this.#s) : -1;
  }

  #extIntPending(): boolean {
    const s = this.#s;
    const source = this.#options.extInt;
    if (source === undefined) return false;
    if (s.extIntRequested) return source.hasInterrupt();
    if (!s.lint0) return false;
    const lvt = s.lvt[reg.LVT_LINT0]!;
    const passes = !this.enabled || ((lvt & LVT_MASKED) === 0 && ((lvt >>> 8) & 7) === DELIVERY_EXTINT);
    return passes && source.hasInterrupt();
  }

  #update(): void {
    this.#cpu.setInterruptPending(this.hasInterrupt());
  }
}

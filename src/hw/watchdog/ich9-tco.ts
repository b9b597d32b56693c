/**
 * TCO timer of the ICH9 (order 316972, 13.9): a watchdog that counts down every 0.6 s; the first time-out asks for an SMI, the second resets.
 *
 *     +0 TCO_RLD  +2 TCO_DAT_IN  +3 TCO_DAT_OUT  +4 TCO1_STS  +6 TCO2_STS  +8 TCO1_CNT  +a TCO2_CNT  +c TCO_MESSAGE1, 2  +e TCO_WDCNT
 *     +10 SW_IRQ_GEN  +12 TCO_TMR
 */
import type { Device } from '../../core/device.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import type { Timer, TimerService } from '../../core/timer.ts';
import { bytes, defineState, num, stateful } from '../../core/vmstate.ts';

export const TCO_PORTS = 32;

const TICK_NS = 600_000_000;
const RLD = 0x00;
const DAT_IN = 0x02;
const DAT_OUT = 0x03;
const STS1 = 0x04;
const STS2 = 0x06;
const CNT1 = 0x08;
const CNT2 = 0x0a;
const SW_IRQ_GEN = 0x10;
const TMR = 0x12;

const STS1_SW_SMI = 0x02;
const STS1_INT = 0x04;
const STS1_TIMEOUT = 0x08;
const STS2_SECOND = 0x02;
const STS2_BOOT = 0x04;
const CNT1_HALT = 0x0800;
const CNT1_LOCK = 0x1000;

const schema = defineState('ich9-tco', 1, {
  registers: bytes(TCO_PORTS),
  /** When the count reaches zero; −1: halted. */
  deadlineNs: num(-1),
  /** Ticks left while halted. */
  left: num(4),
});

export interface TcoPorts {
  readonly timers: TimerService;
  requestSmi(): void;
  /** The second time-out in a row. */
  onExpired(): void;
  /** False: the NO REBOOT strap keeps the second time-out from having an effect. */
  isRebootAllowed(): boolean;
}

export class Ich9Tco implements MmioDevice, Device {
  readonly vmstate;
  readonly #s = schema.create();
  readonly #ports: TcoPorts;
  readonly #timer: Timer;

  constructor(ports: TcoPorts) {
    this.#ports = ports;
    this.#timer = ports.timers.create(() => this.#timeout());
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#arm() });
    this.#setDefaults();
  }

  reset(): void {
    schema.reset(this.#s);
    this.#setDefaults();
    this.#arm();
  }

  #setDefaults(): void {
    this.#put(TMR, 4);
    this.#put(CNT2, 8);
    this.#s.registers[SW_IRQ_GEN] = 3;
    this.#put(CNT1, 0);
  }

  #get(at: number): number {
    return this.#s.registers[at]! | (this.#s.registers[at + 1]! << 8);
  }

  #put(at: number, value: number): void {
    this.#s.registers[at] = value & 0xff;
    this.#s.registers[at + 1] = value >> 8;
  }

  #set(at: number, bits: number): void {
    this.#put(at, this.#get(at) | bits);
  }

  // --- counting

  #reload(): void {
    this.#s.left = Math.max(1, this.#get(TMR) & 0x3ff);
    if ((this.#get(CNT1) & CNT1_HALT) === 0)
      this.#s.deadlineNs = this.#ports.timers.nowNs() + this.#s.left * TICK_NS;
    this.#arm();
  }

  #remaining(): number {
    const { deadlineNs, left } = this.#s;
    if (deadlineNs < 0) return left;
    return Math.max(0, Math.ceil((deadlineNs - this.#ports.timers.nowNs()) / TICK_NS));
  }

  #setHalted(halted: boolean): void {
    const s = this.#s;
    if (halted && s.deadlineNs >= 0) {
      s.left = this.#remaining();
      s.deadlineNs = -1;
    } else if (!halted && s.deadlineNs < 0) {
      s.deadlineNs = this.#ports.timers.nowNs() + s.left * TICK_NS;
    }
    this.#arm();
  }

  #arm(): void {
    if (this.#s.deadlineNs < 0) this.#timer.cancel();
    else this.#timer.arm(this.#s.deadlineNs);
  }

  #timeout(): void {
    const isSecond = (this.#get(STS1) & STS1_TIMEOUT) !== 0;
    this.#set(STS1, STS1_TIMEOUT);
    if (!isSecond) {
      this.#ports.requestSmi();
      this.#reload();
      return;
    }
    this.#s.deadlineNs = -1;
    if (!this.#ports.isRebootAllowed()) return;
    this.#set(STS2, STS2_SECOND | STS2_BOOT);
    this.#ports.onExpired();
  }

  // --- registers

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  #readByte(at: number): number {
    if ((at & ~1) === RLD) return (this.#remaining() >> (8 * (at & 1))) & 0xff;
    return this.#s.registers[at] ?? 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    const at = offset & ~1;
    if (at === RLD) {
      this.#reload();
      return;
    }
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    const wasLocked = (this.#get(CNT1) & CNT1_LOCK) !== 0;
    if (at === CNT1) this.#setHalted((this.#get(CNT1) & CNT1_HALT) !== 0);
    if (wasLocked) this.#set(CNT1, CNT1_LOCK);
  }

  #writeByte(at: number, value: number): void {
    const { registers } = this.#s;
    switch (at) {
      case STS1:
      case STS1 + 1:
      case STS2:
      case STS2 + 1:
        registers[at]! &= ~value;
        break;
      case DAT_IN:
        registers[at] = value;
        this.#set(STS1, STS1_SW_SMI);
        this.#ports.requestSmi();
        break;
      case DAT_OUT:
        registers[at] = value;
        this.#set(STS1, STS1_INT);
        break;
      default:
        if (at < TCO_PORTS) registers[at] = value;
    }
  }
}

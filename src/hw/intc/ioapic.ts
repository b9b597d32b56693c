/**
 * Intel 82093AA I/O APIC (data sheet order 290566) with 24 inputs; version 0x20 adds the EOI register of the ICH
 * family (I/O Controller Hub 10 data sheet 13.5.4).
 *
 *     0x00 IOREGSEL   0x10 IOWIN   0x40 EOI (write only)
 *     index 0 ID, 1 version, 2 arbitration, 0x10 + 2n / 0x11 + 2n redirection entry n low / high
 */
import type { Device } from '../../core/device.ts';
import { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { defineState, stateful, u8, u32, words } from '../../core/vmstate.ts';
import { type ApicBus, type ApicMessage, DELIVERY_FIXED, DELIVERY_LOWEST, msiOf } from './apic-bus.ts';

export const IOAPIC_PINS = 24;
export const IOAPIC_SIZE = 0x1000;
export const IOAPIC_MMIO: MmioOptions = { impl: { min: 4, max: 4 } };

/** A message-signalled interrupt. */
export interface Msi {
  readonly address: number;
  readonly data: number;
}

const VERSION = 0x20;
const MASKED = 1 << 16;
const LEVEL = 1 << 15;
const REMOTE_IRR = 1 << 14;
const LOGICAL = 1 << 11;
/** Delivery status and remote IRR belong to the controller. */
const READ_ONLY = (1 << 12) | REMOTE_IRR;
const WRITABLE_LOW = 0x1ffff & ~READ_ONLY;

const schema = defineState('ioapic', 1, {
  id: u8(),
  select: u8(),
  /** Levels of the inputs; not changed by reset. */
  lines: u32(),
  /** Requests not yet sent. */
  irr: u32(),
  low: words(IOAPIC_PINS, MASKED),
  high: words(IOAPIC_PINS),
});

export class IoApic implements MmioDevice, Device {
  readonly inputs: readonly IrqLine[];
  readonly vmstate;
  readonly #s = schema.create();
  readonly #bus: ApicBus;
  readonly #onRoutes: ((routes: readonly Msi[]) => void) | undefined;

  /** `onRoutes` is told what the inputs send whenever that changes. */
  constructor(bus: ApicBus, onRoutes?: (routes: readonly Msi[]) => void) {
    this.#bus = bus;
    this.#onRoutes = onRoutes;
    this.inputs = IrqLine.array(IOAPIC_PINS, (n, level) => this.#setInput(n, level));
    this.vmstate = stateful(schema, this.#s);
    bus.onEoi((vector) => this.#endOfInterrupt(vector));
  }

  reset(): void {
    const lines = this.#s.lines;
    schema.reset(this.#s);
    this.#s.lines = lines;
    this.#routesChanged();
  }

  read(offset: number, _size: AccessSize): number {
    if (offset === 0x00) return this.#s.select;
    if (offset !== 0x10) return 0;
    return this.#readRegister(this.#s.select);
  }

  write(offset: number, _size: AccessSize, value: number): void {
    if (offset === 0x00) this.#s.select = value & 0xff;
    else if (offset === 0x10) this.#writeRegister(this.#s.select, value);
    else if (offset === 0x40) this.#endOfInterrupt(value & 0xff);
  }

  /** What the monitor's `info pic` shows. */
  describe(): string {
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    const pins = Array.from({ length: IOAPIC_PINS }, (_, n) => {
      return `  pin ${n.toString().padEnd(2)} 0x${hex(this.#s.high[n]!)}${hex(this.#s.low[n]!)}`;
    });
    return [`ioapic: id=${this.#s.id} sel=${this.#s.select} irr=${hex(this.#s.irr)}`, ...pins].join('\n');
  }

  #readRegister(index: number): number {
    if (index === 0 || index === 2) return (this.#s.id << 24) >>> 0;
    if (index === 1) return VERSION | ((IOAPIC_PINS - 1) << 16);
    const pin = (index - 0x10) >> 1;
    if (index < 0x10 || pin >= IOAPIC_PINS) return 0;
    return (index & 1) === 0 ? this.#s.low[pin]! : this.#s.high[pin]!;
  }

  #writeRegister(index: number, value: number): void {
    if (index === 0) {
      this.#s.id = (value >>> 24) & 15;
      return;
    }
    const pin = (index - 0x10) >> 1;
    if (index < 0x10 || pin >= IOAPIC_PINS) return;
    if ((index & 1) !== 0) {
      this.#s.high[pin] = value & 0xff000000;
      this.#routesChanged();
      return;
    }
    let low = (value & WRITABLE_LOW) | (this.#s.low[pin]! & READ_ONLY);
    // An entry that becomes edge-triggered forgets its remote IRR (82093AA 3.2.4).
    if ((low & LEVEL) === 0) low &= ~REMOTE_IRR;
    this.#s.low[pin] = low;
    this.#routesChanged();
    const bit = 1 << pin;
    if ((low & LEVEL) !== 0) this.#s.irr = ((this.#s.irr & ~bit) | (this.#s.lines & bit)) >>> 0;
    this.#service();
  }

  #routesChanged(): void {
    this.#onRoutes?.(Array.from({ length: IOAPIC_PINS }, (_, pin) => msiOf(this.#message(pin))));
  }

  #message(pin: number): ApicMessage {
    const low = this.#s.low[pin]!;
    return {
      destination: this.#s.high[pin]! >>> 24,
      isLogical: (low & LOGICAL) !== 0,
      deliveryMode: (low >>> 8) & 7,
      vector: low & 0xff,
      isLevel: (low & LEVEL) !== 0,
    };
  }

  #setInput(pin: number, level: boolean): void {
    const s = this.#s;
    const bit = 1 << pin;
    const low = s.low[pin]!;
    const rising = level && (s.lines & bit) === 0;
    s.lines = (level ? s.lines | bit : s.lines & ~bit) >>> 0;
    if ((low & LEVEL) !== 0) {
      s.irr = (level ? s.irr | bit : s.irr & ~bit) >>> 0;
    } else if (rising && (low & MASKED) === 0) {
      // Edges at a masked input are lost (82093AA 3.2.4, "Interrupt Mask").
      s.irr = (s.irr | bit) >>> 0;
    }
    if (level) this.#service();
  }

  /** Sends what is pending. Delivery can come back here (an EOI within it), so entries are re-read each time. */
  #service(): void {
    const s = this.#s;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const bit = 1 << pin;
      if ((s.irr & bit) === 0) continue;
      const low = s.low[pin]!;
      if ((low & MASKED) !== 0) continue;
      const isLevel = (low & LEVEL) !== 0;
      if (isLevel && (low & REMOTE_IRR) !== 0) continue;
      const deliveryMode = (low >>> 8) & 7;
      if (!isLevel) s.irr = (s.irr & ~bit) >>> 0;
      else if (deliveryMode === DELIVERY_FIXED || deliveryMode === DELIVERY_LOWEST)
        s.low[pin] = low | REMOTE_IRR;
      this.#bus.send(this.#message(pin));
    }
  }

  #endOfInterrupt(vector: number): void {
    const s = this.#s;
    let again = false;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = s.low[pin]!;
      if ((low & 0xff) !== vector || (low & LEVEL) === 0 || (low & REMOTE_IRR) === 0) continue;
      s.low[pin] = low & ~REMOTE_IRR;
      again ||= (s.irr & (1 << pin)) !== 0;
    }
    if (again) this.#service();
  }
}

/**
 * LPC bridge of the ICH9 (I/O Controller Hub 9 datasheet, order 316972, chapter 13; chipset configuration registers: chapter 10): routing
 * of PIRQA…H, the PM block's place, and the root complex register block.
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { array, bytes, defineState, stateful, u32 } from '../../core/vmstate.ts';
import { PciFunction } from './pci-device.ts';

export const ROOT_COMPLEX_BYTES = 0x4000;

const PMBASE = 0x40;
const ACPI_CTRL = 0x44;
const ACPI_CTRL_ENABLE = 0x80;
const PIRQ_A_ROUTE = 0x60;
const PIRQ_E_ROUTE = 0x68;
const PIRQ_DISABLED = 0x80;
const GEN_PMCON_1 = 0xa0;
const RCBA = 0xf0;
const RCBA_ENABLE = 1;

/** Registers of the root complex block: interrupt routes of devices 31, 29, 28, 27, 26, 25 (10.1.26 on); configuration status. */
const DEVICE_ROUTES: ReadonlyArray<readonly [slot: number, register: number]> = [
  [31, 0x3140],
  [29, 0x3144],
  [28, 0x3146],
  [27, 0x3148],
  [26, 0x314c],
  [25, 0x3150],
];
const ROUTE_DEFAULT = 0x3210;
const GCS = 0x3410;
/** NO REBOOT: the second time-out of the TCO timer has no effect. */
const GCS_NO_REBOOT = 0x20;

const SLOTS = 32;
const PINS = 4;
const PIRQS = 8;

const schema = defineState('ich9-lpc', 1, {
  /** Per PIRQ: the slots that hold it, a bit for each pin of eight slots. */
  asserted: array(SLOTS, u32()),
  rootComplex: bytes(ROOT_COMPLEX_BYTES),
});

export interface Ich9Ports {
  /** 16 lines used by PCI interrupts alone. */
  readonly isaIrqs: readonly IrqLine[];
  /** Inputs of the I/O APIC of PIRQA…H. */
  readonly gsis: readonly IrqLine[];
  /** Where the PM block's 128 ports lie; −1: nowhere. */
  onPmBase(port: number): void;
  /** Where the root complex block lies; −1: nowhere. */
  onRootComplexBase(address: number): void;
  /** The ISA interrupt (or input 20 and up of the I/O APIC) of the SCI changed. */
  onSciRoute(gsi: number): void;
}

export class Ich9Lpc implements Device {
  readonly pci: PciFunction;
  readonly rootComplex: MmioDevice;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #ports: Ich9Ports;
  readonly #driven = new Set<number>();
  #pmBase = -1;
  #rootComplexBase = -1;

  constructor(ports: Ich9Ports) {
    this.#ports = ports;
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x2918,
      classCode: 0x060100,
      revision: 2,
      multifunction: true,
    });
    this.#describeConfig();
    this.rootComplex = {
      read: (offset, size) => this.#readRootComplex(offset, size),
      write: (offset, size, value) => this.#writeRootComplex(offset, size, value),
    };
    this.pci.onConfigWritten = () => this.#configChanged();
    this.pci.onReset = () => this.#configChanged();
    this.#resetRootComplex();
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#configChanged() });
  }

  #describeConfig(): void {
    const { pci } = this;
    pci.set(PMBASE, 4, 1);
    pci.allow(PMBASE, 4, 0xff80);
    pci.allow(ACPI_CTRL, 1, 0x87);
    for (const route of [PIRQ_A_ROUTE, PIRQ_E_ROUTE]) {
      for (let i = 0; i < 4; i++) {
        pci.set(route + i, 1, PIRQ_DISABLED);
        pci.allow(route + i, 1, 0x8f);
      }
    }
    pci.allow(0x64, 1, 0xff); // serial IRQ control
    pci.allow(0x80, 4, 0xffff); // decode ranges
    for (const at of [0x84, 0x88, 0x8c, 0x90]) pci.allow(at, 4, 0xffffffff);
    pci.allow(GEN_PMCON_1, 2, 0xffef);
    pci.allow(0xd8, 4, 0xffffffff);
    pci.allow(RCBA, 4, 0xffffc001);
  }

  reset(): void {
    this.#resetRootComplex();
    this.pci.reset();
  }

  #resetRootComplex(): void {
    this.#s.rootComplex.fill(0);
    for (const [, register] of DEVICE_ROUTES) this.#poke16(register, ROUTE_DEFAULT);
    this.#poke16(GCS, GCS_NO_REBOOT);
  }

  #poke16(at: number, value: number): void {
    this.#s.rootComplex[at] = value & 0xff;
    this.#s.rootComplex[at + 1] = value >> 8;
  }

  /** Where the PM block lies; −1: nowhere. */
  get pmBase(): number {
    return this.#pmBase;
  }

  get isRebootAllowed(): boolean {
    return (this.#s.rootComplex[GCS]! & GCS_NO_REBOOT) === 0;
  }

  /** Give this to the bus; pins count from 1 for INTA#. */
  readonly route = (slot: number, pin: number, level: boolean): void => {
    const bit = (1 << (pin - 1)) >>> 0;
    const before = this.#s.asserted[slot]!;
    this.#s.asserted[slot] = level ? before | bit : before & ~bit;
    this.#update();
  };

  /** The PIRQ that pin 0…3 of a slot leads to. */
  #pirqOf(slot: number, pin: number): number {
    const own = DEVICE_ROUTES.find(([of]) => of === slot);
    if (own !== undefined) {
      const { rootComplex } = this.#s;
      return ((rootComplex[own[1]]! | (rootComplex[own[1] + 1]! << 8)) >> (4 * pin)) & 7;
    }
    return slot === 30 ? 4 + pin : 4 + ((slot + pin) & 3);
  }

  #update(): void {
    const isHigh = new Array<boolean>(PIRQS).fill(false);
    for (let slot = 0; slot < SLOTS; slot++) {
      const pins = this.#s.asserted[slot]!;
      for (let pin = 0; pins !== 0 && pin < PINS; pin++)
        if ((pins & (1 << pin)) !== 0) isHigh[this.#pirqOf(slot, pin)] = true;
    }
    const high = new Set<number>();
    isHigh.forEach((level, pirq) => {
      this.#ports.gsis[pirq]!.set(level);
      const route = this.pci.config[(pirq < 4 ? PIRQ_A_ROUTE : PIRQ_E_ROUTE) + (pirq & 3)]!;
      if (level && (route & PIRQ_DISABLED) === 0) high.add(route & 15);
    });
    for (const irq of this.#driven) if (!high.has(irq)) this.#ports.isaIrqs[irq]?.lower();
    for (const irq of high) this.#ports.isaIrqs[irq]?.raise();
    this.#driven.clear();
    for (const irq of high) this.#driven.add(irq);
  }

  #configChanged(): void {
    const { pci } = this;
    const enabled = (pci.config[ACPI_CTRL]! & ACPI_CTRL_ENABLE) !== 0;
    const pmBase = pci.readConfig(PMBASE, 2) & 0xff80;
    this.#place(enabled && pmBase !== 0 ? pmBase : -1);
    const select = pci.config[ACPI_CTRL]! & 7;
    this.#ports.onSciRoute(select < 3 ? 9 + select : select >= 4 ? 16 + select : 9);
    const rcba = pci.readConfig(RCBA, 4);
    const base = (rcba & RCBA_ENABLE) === 0 ? -1 : (rcba & 0xffffc000) >>> 0;
    if (base !== this.#rootComplexBase) {
      this.#rootComplexBase = base;
      this.#ports.onRootComplexBase(base);
    }
    this.#update();
  }

  #place(pmBase: number): void {
    if (pmBase === this.#pmBase) return;
    this.#pmBase = pmBase;
    this.#ports.onPmBase(pmBase);
  }

  #readRootComplex(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#s.rootComplex[offset + i]! << (8 * i);
    return value >>> 0;
  }

  #writeRootComplex(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#s.rootComplex[offset + i] = value >>> (8 * i);
    this.#update();
  }
}

/** What firmware does: PM block and root complex block in place, SCI on interrupt 9, routes of PIRQA…H. */
export function programIch9(
  pci: PciFunction,
  places: { readonly pmBase: number; readonly rootComplexBase: number },
  routes: readonly number[],
): void {
  pci.writeConfig(PMBASE, 4, places.pmBase | 1);
  pci.writeConfig(ACPI_CTRL, 1, ACPI_CTRL_ENABLE);
  pci.writeConfig(RCBA, 4, (places.rootComplexBase | RCBA_ENABLE) >>> 0);
  routes.forEach((irq, n) => {
    pci.writeConfig((n < 4 ? PIRQ_A_ROUTE : PIRQ_E_ROUTE) + (n & 3), 1, irq);
  });
}

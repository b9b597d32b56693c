/**
 * Intel 82441FX host bridge (i440FX; data sheet order 290549) with configuration mechanism #1 (PCI Local Bus
 * Specification 3.0, 3.2.2.3.2), and the 82371SB ISA bridge (PIIX3; order 290550) with its interrupt routing.
 */
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { array, defineState, stateful, u32 } from '../../core/vmstate.ts';
import { allOnes } from '../../util/bits.ts';
import type { PciBus } from './pci-bus.ts';
import { PciFunction } from './pci-device.ts';

/** CONFIG_ADDRESS, port 0xcf8: 32-bit accesses only; others reach the ports beneath (0xcf9). */
export const PCI_ADDRESS_MMIO: MmioOptions = { valid: { min: 4, max: 4 } };

const schema = defineState('pci-config', 1, { address: u32() });

/** The two registers of mechanism #1. */
export class PciConfigPorts implements Device {
  /** 4 ports at 0xcf8. */
  readonly address: MmioDevice;
  /** 4 ports at 0xcfc. */
  readonly data: MmioDevice;
  readonly vmstate;
  readonly #s = schema.create();

  constructor(bus: PciBus) {
    const s = this.#s;
    this.address = {
      read: () => s.address,
      write: (_offset, _size, value) => {
        s.address = value;
      },
    };
    this.data = {
      read: (offset: number, size: AccessSize): number => {
        if (s.address < 0x80000000) return allOnes(size);
        return bus.readConfig((s.address >>> 8) & 0xffff, (s.address & 0xff) | offset, size);
      },
      write: (offset: number, size: AccessSize, value: number): void => {
        if (s.address < 0x80000000) return;
        bus.writeConfig((s.address >>> 8) & 0xffff, (s.address & 0xff) | offset, size, value);
      },
    };
    this.vmstate = stateful(schema, s);
  }

  reset(): void {
    this.#s.address = 0;
  }
}

const PAM = 0x59;
const PAM_REGISTERS = 7;
const SMRAM = 0x72;
const SMRAM_ENABLE = 0x08;
const SMRAM_LOCK = 0x10;
const SMRAM_CLOSED = 0x20;
const SMRAM_OPEN = 0x40;
const SMRAM_WRITABLE = 0x78;

/** A part of the BIOS area: who answers reads and writes, RAM (true) or the bus. */
export interface ShadowSegment {
  readonly addr: number;
  readonly size: number;
  readonly readsRam: boolean;
  readonly writesRam: boolean;
}

/**
 * Creates the i440FX. `onShadowChanged` gets all 13 segments when one of the PAM registers changed (3.2.14), `onSmramChanged` is called
 * when the SMRAM register did (`smramOf`).
 */
export function createI440fx(
  onShadowChanged?: (segments: readonly ShadowSegment[]) => void,
  onSmramChanged?: () => void,
): PciFunction {
  const bridge = new PciFunction({ vendorId: 0x8086, deviceId: 0x1237, classCode: 0x060000, revision: 2 });
  bridge.allow(0x50, 2, 0xffff); // memory controller configuration
  for (let i = 0; i < PAM_REGISTERS; i++) bridge.allow(PAM + i, 1, i === 0 ? 0x30 : 0x33);
  bridge.set(SMRAM, 1, 0x02);
  bridge.allow(SMRAM, 1, SMRAM_WRITABLE);
  bridge.onConfigWritten = (offset, size) => {
    if (offset < PAM + PAM_REGISTERS && offset + size > PAM) onShadowChanged?.(shadowSegments(bridge.config));
    if (offset > SMRAM || offset + size <= SMRAM) return;
    lockSmram(bridge);
    onSmramChanged?.();
  };
  bridge.onReset = () => {
    bridge.allow(SMRAM, 1, SMRAM_WRITABLE);
    onShadowChanged?.(shadowSegments(bridge.config));
    onSmramChanged?.();
  };
  return bridge;
}

/** Once D_LCK is set D_OPEN is clear, and only D_CLS may change until a reset. */
export function lockSmram(bridge: PciFunction, at = SMRAM): void {
  const locked = (bridge.config[at]! & SMRAM_LOCK) !== 0;
  if (locked) bridge.config[at]! &= ~SMRAM_OPEN;
  bridge.allow(at, 1, locked ? SMRAM_CLOSED : SMRAM_WRITABLE);
}

export interface SmramState {
  readonly isOpen: boolean;
  readonly isEnabled: boolean;
}

/** SMRAM (3.2.21): RAM behind the video memory for everybody, or for processors in system management mode. D_CLS has no effect. */
export function smramOf(bridge: PciFunction, at = SMRAM): SmramState {
  const value = bridge.config[at]!;
  return { isOpen: (value & SMRAM_OPEN) !== 0, isEnabled: (value & SMRAM_ENABLE) !== 0 };
}

/** The 13 segments as the PAM registers from offset `pam` have them. */
export function shadowSegments(config: Uint8Array, pam = PAM): ShadowSegment[] {
  const nibble = (addr: number, size: number, value: number): ShadowSegment => {
    return { addr, size, readsRam: (value & 1) !== 0, writesRam: (value & 2) !== 0 };
  };
  const segments = [nibble(0xf0000, 0x10000, config[pam]! >> 4)];
  for (let i = 0; i < 12; i++) {
    const value = config[pam + 1 + (i >> 1)]! >> ((i & 1) * 4);
    segments.push(nibble(0xc0000 + i * 0x4000, 0x4000, value));
  }
  return segments;
}

const PIRQ_ROUTE = 0x60;
const PIRQ_DISABLED = 0x80;

const routerSchema = defineState('piix3-pirq', 1, {
  /** Per PIRQ: the slots that hold it, a bit each (one pin of a slot leads to one PIRQ). */
  asserted: array(4, u32()),
});

/** The PIIX3 function, and the routing of PIRQA…D to ISA interrupts (4.1.10). */
export class Piix3 implements Device {
  readonly pci: PciFunction;
  readonly vmstate;
  readonly #s = routerSchema.create();
  readonly #isaIrqs: readonly IrqLine[];
  readonly #driven = new Set<number>();

  /** `isaIrqs`: 16 lines used by PCI interrupts alone, wired-OR with those of ISA devices by the board. */
  constructor(isaIrqs: readonly IrqLine[]) {
    this.#isaIrqs = isaIrqs;
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x7000,
      classCode: 0x060100,
      multifunction: true,
    });
    this.pci.set(0x4c, 1, 0x4d);
    this.pci.set(0x4e, 2, 0x0003);
    this.pci.allow(0x4c, 1, 0xff);
    this.pci.allow(0x4e, 2, 0xffff);
    for (let i = 0; i < 4; i++) {
      this.pci.set(PIRQ_ROUTE + i, 1, PIRQ_DISABLED);
      this.pci.allow(PIRQ_ROUTE + i, 1, 0x8f);
    }
    this.pci.set(0x69, 1, 0x02);
    this.pci.allow(0x69, 1, 0xfe);
    this.pci.onConfigWritten = () => this.#update();
    this.pci.onReset = () => this.#update();
    this.vmstate = stateful(routerSchema, this.#s, { postLoad: () => this.#update() });
  }

  reset(): void {
    this.pci.reset();
  }

  /** Give this to the bus: pin n of slot s is wired to PIRQ (s + n − 2) modulo 4, with n from 1 for INTA#. */
  readonly route = (slot: number, pin: number, level: boolean): void => {
    const pirq = (slot + pin - 2) & 3;
    const bit = 1 << (slot & 31);
    const before = this.#s.asserted[pirq]!;
    this.#s.asserted[pirq] = (level ? before | bit : before & ~bit) >>> 0;
    this.#update();
  };

  #update(): void {
    const high = new Set<number>();
    for (let pirq = 0; pirq < 4; pirq++) {
      const route = this.pci.config[PIRQ_ROUTE + pirq]!;
      if (this.#s.asserted[pirq] !== 0 && (route & PIRQ_DISABLED) === 0) high.add(route & 15);
    }
    for (const irq of this.#driven) if (!high.has(irq)) this.#isaIrqs[irq]?.lower();
    for (const irq of high) this.#isaIrqs[irq]?.raise();
    this.#driven.clear();
    for (const irq of high) this.#driven.add(irq);
  }
}

/**
 * AHCI host bus adapter (Serial ATA AHCI 1.3.1): generic host control, up to 32 ports, one interrupt; as PCI function the SATA controller
 * of the ICH9 (order 316972, chapter 15).
 *
 *     +0 CAP  +4 GHC  +8 IS  +c PI  +10 VS   ports from +100, 0x80 apart
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { Msi } from '../pci/msi.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { AhciPort } from './ahci-port.ts';

const CAP = 0x00;
const GHC = 0x04;
const IS = 0x08;
const PI = 0x0c;
const VS = 0x10;
const PORTS_AT = 0x100;
const PORT_BYTES = 0x80;
const ABAR_BYTES = 0x1000;

/** 64-bit addresses, queueing, AHCI only, generation 1, 32 slots. */
const CAP_FIXED = 0xc014_1f00;
const GHC_RESET = 1;
const GHC_INTERRUPTS = 2;
const GHC_AHCI = 0x8000_0000;
const VERSION = 0x0001_0000;

const INDEX_PORTS = 32;
const INDEX = 0x10;
const DATA = 0x14;
const INDEX_BAR = 4;
const ABAR = 5;
const MSI_AT = 0x80;
const SATA_AT = 0xa8;
const SATA_CAPABILITY = 0x12;

const schema = defineState('ahci', 1, { ghc: u32(GHC_AHCI), is: u32(), index: u32() });

export class Ahci implements Device {
  readonly pci: PciFunction;
  readonly ports: readonly AhciPort[];
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #msi: Msi;
  #isAsserted = false;

  constructor(memory: AddressSpace, msi: MsiSink, portCount = 6) {
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x2922,
      classCode: 0x010601,
      revision: 2,
      interruptPin: 1,
    });
    this.pci.allow(0x90, 1, 0xff); // address map: the mode of the ports, AHCI
    this.pci.set(0x90, 1, 0x40);
    this.pci.addCapability(SATA_CAPABILITY, 8, SATA_AT);
    this.pci.set(SATA_AT + 2, 2, 0x0010);
    this.pci.set(SATA_AT + 4, 4, ((INDEX >> 2) << 4) | (INDEX_BAR + 4));
    this.#msi = new Msi(this.pci, msi, MSI_AT);
    const canMaster = (): boolean => (this.pci.command & PCI_COMMAND_MASTER) !== 0;
    this.ports = Array.from(
      { length: portCount },
      () => new AhciPort(memory, canMaster, () => this.#update()),
    );
    const index = MemoryRegion.mmio('ahci-idp', INDEX_PORTS, this.#indexPorts(), {
      impl: { min: 4, max: 4 },
    });
    this.pci.addBar(INDEX_BAR, 'io', index);
    const registers: MmioDevice = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
    };
    this.pci.addBar(
      ABAR,
      'memory32',
      MemoryRegion.mmio('ahci', ABAR_BYTES, registers, { impl: { min: 4, max: 4 } }),
    );
    this.vmstate = combineStates('ahci', [
      ['pci', this.pci.vmstate],
      ['hba', stateful(schema, this.#s, { postLoad: () => this.#update() })],
      ...this.ports.map((port, n) => [`port${n}`, port.vmstate] as const),
    ]);
  }

  reset(): void {
    this.pci.reset();
    this.#resetHba();
  }

  #resetHba(): void {
    schema.reset(this.#s);
    for (const port of this.ports) port.reset();
    this.#update();
  }

  // --- registers

  #read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case CAP:
        return (CAP_FIXED | (this.ports.length - 1)) >>> 0;
      case GHC:
        return s.ghc;
      case IS:
        return s.is;
      case PI:
        return 2 ** this.ports.length - 1;
      case VS:
        return VERSION;
      default:
        return this.#portAt(offset)?.read(offset & (PORT_BYTES - 1)) ?? 0;
    }
  }

  #write(offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case GHC:
        if ((value & GHC_RESET) !== 0) this.#resetHba();
        else s.ghc = (GHC_AHCI | (value & GHC_INTERRUPTS)) >>> 0;
        this.#update();
        break;
      case IS:
        s.is = (s.is & ~value) >>> 0;
        this.#update();
        break;
      default:
        this.#portAt(offset)?.write(offset & (PORT_BYTES - 1), value);
    }
  }

  #portAt(offset: number): AhciPort | undefined {
    return offset < PORTS_AT ? undefined : this.ports[Math.floor((offset - PORTS_AT) / PORT_BYTES)];
  }

  /** Index and data registers, through which code without access to memory above 1 MiB works (15.3). */
  #indexPorts(): MmioDevice {
    return {
      read: (offset: number, _size: AccessSize): number => {
        if (offset === INDEX) return this.#s.index;
        return offset === DATA ? this.#read(this.#s.index) : 0;
      },
      write: (offset: number, _size: AccessSize, value: number): void => {
        if (offset === INDEX) this.#s.index = value & 0xffc;
        else if (offset === DATA) this.#write(this.#s.index, value);
      },
    };
  }

  /** IS.IPS follows the ports; it is cleared by writing ones, and comes back while a port still wants an interrupt. */
  #update(): void {
    const s = this.#s;
    let wanted = 0;
    this.ports.forEach((port, n) => {
      if (port.interrupts !== 0) wanted |= 1 << n;
    });
    s.is = (s.is | wanted) >>> 0;
    const asserted = (s.ghc & GHC_INTERRUPTS) !== 0 && s.is !== 0;
    const rises = asserted && !this.#isAsserted;
    this.#isAsserted = asserted;
    if (this.#msi.enabled) {
      if (rises) this.#msi.notify();
      this.pci.setIntx(false);
    } else this.pci.setIntx(asserted);
  }
}

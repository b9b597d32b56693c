/**
 * SMBus host controller of the ICH9 (order 316972, chapter 19), with nobody on the bus: every transaction ends with a device error.
 *
 *     +0 HST_STS  +2 HST_CNT  +3 HST_CMD  +4 XMIT_SLVA  +5 HST_D0  +6 HST_D1  +7 HOST_BLOCK_DB  +d AUX_CTL
 */
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { bytes, defineState, type Stateful, stateful } from '../../core/vmstate.ts';
import { PciFunction } from '../pci/pci-device.ts';

const SMBUS_PORTS = 64;
const BAR = 4;
const HOSTC = 0x40;
const HOSTC_ENABLE = 1;

const HST_STS = 0x00;
const HST_CNT = 0x02;
const STS_DEVICE_ERROR = 0x04;
/** Interrupt, device error, bus error, failed, byte done; the in-use semaphore is bit 6. */
const STS_CLEARED = 0x9e;
const STS_IN_USE = 0x40;
const CNT_INTERRUPT = 0x01;
const CNT_KILL = 0x02;
const CNT_START = 0x40;

const schema = defineState('ich9-smbus', 1, { registers: bytes(16) });

export class Ich9Smbus implements MmioDevice, Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();

  constructor() {
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x2930,
      classCode: 0x0c0500,
      revision: 2,
      interruptPin: 1,
    });
    this.pci.set(0x0e, 1, 0x80);
    this.pci.allow(HOSTC, 1, 0x07);
    const region = MemoryRegion.mmio('ich9-smbus', SMBUS_PORTS, this, { impl: { min: 1, max: 1 } });
    this.pci.addBar(BAR, 'io', region);
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#update() });
  }

  reset(): void {
    schema.reset(this.#s);
    this.#update();
  }

  read(offset: number, _size: AccessSize): number {
    const value = this.#s.registers[offset] ?? 0;
    // The first reader takes the semaphore.
    if (offset === HST_STS) this.#s.registers[HST_STS] = value | STS_IN_USE;
    return value;
  }

  write(offset: number, _size: AccessSize, value: number): void {
    const { registers } = this.#s;
    if (offset === HST_STS) {
      registers[HST_STS]! &= ~(value & (STS_CLEARED | STS_IN_USE));
    } else if (offset === HST_CNT) {
      registers[HST_CNT] = value & ~CNT_START;
      const isEnabled = (this.pci.config[HOSTC]! & HOSTC_ENABLE) !== 0;
      if ((value & CNT_START) !== 0 && (value & CNT_KILL) === 0 && isEnabled)
        registers[HST_STS]! |= STS_DEVICE_ERROR;
    } else if (offset < registers.length) registers[offset] = value;
    this.#update();
  }

  #update(): void {
    const { registers } = this.#s;
    const wants = (registers[HST_CNT]! & CNT_INTERRUPT) !== 0;
    this.pci.setIntx(wants && (registers[HST_STS]! & STS_CLEARED) !== 0);
  }
}

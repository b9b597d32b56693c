/**
 * One IDE channel with up to two drives: command block and control block registers (ATA/ATAPI-6, chapter 7).
 *
 *     command block: +0 data (16/32 bits)  +1 error/features  +2 count  +3…+5 LBA  +6 device  +7 status/command
 *     control block: +0 (0x3f6) alternate status/device control
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { AccessSize, MmioDevice, MmioOptions } from '../../core/memory-region.ts';
import { below, defineState, stateful, u8 } from '../../core/vmstate.ts';
import * as ata from './ata.ts';
import type { AtaDisk } from './ata-disk.ts';
import type { AtapiCdrom } from './atapi-cdrom.ts';
import type { BusMasterChannel } from './bus-master.ts';
import type { IdeDrive, IdeHost } from './ide-drive.ts';

export type AnyIdeDrive = AtaDisk | AtapiCdrom;

export const IDE_COMMAND_PORTS = 8;
/** The data register takes words and double words; the others bytes. */
export const IDE_COMMAND_MMIO: MmioOptions = { unaligned: true };

const schema = defineState('ide-channel', 1, { selected: below(2), control: u8() });

export class IdeChannel implements IdeHost, Device {
  readonly memory: AddressSpace;
  /** 8 ports. */
  readonly command: MmioDevice;
  /** 1 port. */
  readonly control: MmioDevice;
  readonly vmstate;
  busMaster: BusMasterChannel | undefined;

  readonly #s = schema.create();
  readonly #irq: IrqLine;
  readonly #drives: Array<AnyIdeDrive | undefined> = [undefined, undefined];

  constructor(irq: IrqLine, memory: AddressSpace) {
    this.#irq = irq;
    this.memory = memory;
    this.vmstate = stateful(schema, this.#s);
    this.command = {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    };
    this.control = {
      read: () => this.#alternateStatus(),
      write: (_offset, _size, value) => this.#writeControl(value & 0xff),
    };
  }

  get drives(): ReadonlyArray<AnyIdeDrive | undefined> {
    return this.#drives;
  }

  /** Connects a drive as unit 0 (master) or 1 (slave). */
  attach(unit: number, drive: AnyIdeDrive): void {
    this.#drives[unit] = drive;
    drive.host = this;
  }

  detach(unit: number): void {
    const drive = this.#drives[unit];
    if (drive !== undefined) drive.host = undefined;
    this.#drives[unit] = undefined;
  }

  /** The drives are devices of the board, which resets them. */
  reset(): void {
    this.#s.selected = 0;
    this.#s.control = 0;
    this.setIrq(false);
  }

  // --- IdeHost

  setIrq(level: boolean): void {
    if (level && (this.#s.control & ata.CONTROL_NIEN) !== 0) return;
    if (level) this.busMaster?.onInterrupt();
    this.#irq.set(level);
  }

  requestDma(drive: IdeDrive): void {
    this.busMaster?.onDriveReady(drive);
  }

  dmaDone(isShort: boolean): void {
    this.busMaster?.onDone(isShort);
  }

  // --- registers

  get #active(): AnyIdeDrive | undefined {
    return this.#drives[this.#s.selected];
  }

  /** The drive whose registers are read; a lone master also answers for nobody but itself. */
  #read(offset: number, size: AccessSize): number {
    const drive = this.#active;
    if (offset === 0) return this.#readData(drive, size);
    let value = 0;
    for (let i = 0; i < size && offset + i < IDE_COMMAND_PORTS; i++) {
      value |= this.#readRegister(drive, offset + i) << (8 * i);
    }
    return value >>> 0;
  }

  #readData(drive: IdeDrive | undefined, size: AccessSize): number {
    return drive?.readData(size) ?? 0;
  }

  #readRegister(drive: IdeDrive | undefined, register: number): number {
    if (drive === undefined) return this.#readAbsent(register);
    if (register === 7) this.#irq.lower();
    return drive.readRegister(register, (this.#s.control & ata.CONTROL_HOB) !== 0);
  }

  /** No drive is selected: all zero, but for the device register of a present master (9.16.2). */
  #readAbsent(register: number): number {
    const other = this.#drives[1 - this.#s.selected];
    return register === 6 && other !== undefined ? other.s.device : 0;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset === 0) {
      this.#active?.writeData(size, value);
      return;
    }
    for (let i = 0; i < size && offset + i < IDE_COMMAND_PORTS; i++) {
      this.#writeRegister(offset + i, (value >>> (8 * i)) & 0xff);
    }
  }

  #writeRegister(register: number, value: number): void {
    if (register === 7) {
      this.#writeCommand(value);
      return;
    }
    this.#s.control &= ~ata.CONTROL_HOB;
    if (register === 6) this.#s.selected = (value & ata.DEVICE_SLAVE) === 0 ? 0 : 1;
    for (const drive of this.#drives) {
      // A drive that works does not take registers, but selection is heard by both.
      if (drive !== undefined && (register === 6 || (drive.s.status & ata.STATUS_BSY) === 0)) {
        drive.writeRegister(register, value);
      }
    }
  }

  #writeCommand(command: number): void {
    this.#s.control &= ~ata.CONTROL_HOB;
    if (command === ata.CMD_DIAGNOSTIC) {
      this.#diagnose();
      return;
    }
    const drive = this.#active;
    if (drive === undefined) return;
    this.#irq.lower();
    drive.writeCommand(command);
  }

  /** EXECUTE DEVICE DIAGNOSTIC goes to both drives; the first answers. */
  #diagnose(): void {
    if (this.#drives.every((drive) => drive === undefined)) return;
    this.#s.selected = 0;
    for (const drive of this.#drives) {
      if (drive === undefined) continue;
      drive.s.device &= ~ata.DEVICE_SLAVE;
      drive.softReset();
    }
    this.setIrq(true);
  }

  #alternateStatus(): number {
    return this.#active?.s.status ?? 0;
  }

  /** SRST: the drives are busy while it is set, and show their signature when it falls. */
  #writeControl(value: number): void {
    const before = this.#s.control;
    this.#s.control = value;
    const rises = (value & ~before & ata.CONTROL_SRST) !== 0;
    const falls = (before & ~value & ata.CONTROL_SRST) !== 0;
    for (const drive of this.#drives) {
      if (drive === undefined) continue;
      if (rises) {
        drive.softReset();
        drive.s.status = ata.STATUS_BSY | ata.STATUS_DSC;
      } else if (falls) drive.softReset();
    }
    if (falls) {
      this.#s.selected = 0;
      for (const drive of this.#drives) if (drive !== undefined) drive.s.device &= ~ata.DEVICE_SLAVE;
    }
    if ((value & ata.CONTROL_NIEN) !== 0) this.#irq.lower();
  }
}

/**
 * Bus-master IDE, one channel ("Programming Interface for Bus Master IDE Controller", revision 1.0; 82371SB 2.6).
 *
 *     +0 command: bit 0 start, bit 3 direction   +2 status   +4 descriptor table (32 bits)
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import type { DmaSegment } from '../../core/dma.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { bool, defineState, stateful, u8, u32 } from '../../core/vmstate.ts';
import type { IdeDrive } from './ide-drive.ts';

export const BUS_MASTER_PORTS = 8;

const COMMAND_START = 0x01;
const COMMAND_WRITABLE = 0x09;
const STATUS_ACTIVE = 0x01;
const STATUS_ERROR = 0x02;
const STATUS_INTERRUPT = 0x04;
const STATUS_CAPABLE = 0x60;
const PRD_BYTES = 8;
const PRD_LAST = 0x8000_0000;
/** The table lies within 64 KiB. */
const MAX_PRDS = 8192;

/** Beyond all physical addresses: DMA reads ones there. */
const NOWHERE = 2 ** 52;

const schema = defineState('ide-bus-master', 1, {
  command: u8(),
  status: u8(),
  table: u32(),
  isTableUsedUp: bool(true),
});

export class BusMasterChannel implements MmioDevice, Device {
  readonly vmstate;
  /** Whether the function may master the bus (PCI command register). */
  isEnabled: () => boolean = () => true;
  readonly #s = schema.create();
  readonly #memory: AddressSpace;
  readonly #waitingDrive: () => IdeDrive | undefined;

  /** `waitingDrive` finds the drive of the channel whose command waits for DMA. */
  constructor(memory: AddressSpace, waitingDrive: () => IdeDrive | undefined) {
    this.#memory = memory;
    this.#waitingDrive = waitingDrive;
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    schema.reset(this.#s);
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  #readByte(offset: number): number {
    const s = this.#s;
    if (offset === 0) return s.command;
    if (offset === 2) return s.status;
    return offset >= 4 ? (s.table >>> (8 * (offset - 4))) & 0xff : 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #writeByte(offset: number, value: number): void {
    const s = this.#s;
    if (offset === 0) this.#writeCommand(value);
    else if (offset === 2) {
      const cleared = value & (STATUS_ERROR | STATUS_INTERRUPT);
      s.status = (s.status & ~cleared & ~STATUS_CAPABLE) | (value & STATUS_CAPABLE);
    } else if (offset >= 4) {
      const shift = 8 * (offset - 4);
      s.table = ((s.table & ~(0xff << shift)) | (value << shift)) >>> 0;
      s.table = (s.table & ~3) >>> 0;
    }
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    const before = s.command;
    s.command = value & COMMAND_WRITABLE;
    const starts = (value & ~before & COMMAND_START) !== 0;
    const stops = (before & ~value & COMMAND_START) !== 0;
    if (starts) {
      s.status |= STATUS_ACTIVE;
      const drive = this.#waitingDrive();
      if (drive !== undefined) this.onDriveReady(drive);
    } else if (stops && (s.status & STATUS_ACTIVE) !== 0) {
      if (this.#waitingDrive()?.cancelDma() ?? true) s.status &= ~STATUS_ACTIVE;
    }
  }

  /** A drive's command wants data moved. */
  onDriveReady(drive: IdeDrive): void {
    const started = (this.#s.command & COMMAND_START) !== 0 && (this.#s.status & STATUS_ACTIVE) !== 0;
    if (!started) return;
    drive.runDma((sizeBytes) => this.#gather(sizeBytes));
  }

  /** The drive raised its interrupt. */
  onInterrupt(): void {
    this.#s.status |= STATUS_INTERRUPT;
  }

  /** A transfer has ended. Active stays set when the table describes more than the drive had. */
  onDone(isShort: boolean): void {
    const s = this.#s;
    const isStopped = (s.command & COMMAND_START) === 0;
    if (isShort || s.isTableUsedUp || isStopped) s.status &= ~STATUS_ACTIVE;
  }

  /** Segments of exactly `sizeBytes`; undefined if the table has fewer. */
  #gather(sizeBytes: number): readonly DmaSegment[] | undefined {
    const segments: DmaSegment[] = [];
    let left = sizeBytes;
    this.#s.isTableUsedUp = false;
    for (let n = 0; n < MAX_PRDS && left > 0; n++) {
      const at = this.#s.table + n * PRD_BYTES;
      // A function that may not master the bus reads nothing from it, and what it would write is lost.
      const isMaster = this.isEnabled();
      const addr = isMaster ? (this.#memory.read(at, 4) & ~1) >>> 0 : NOWHERE;
      const word = isMaster ? this.#memory.read(at + 4, 4) : 0;
      const size = word & 0xfffe || 0x1_0000;
      const used = Math.min(size, left);
      segments.push({ addr, sizeBytes: used });
      left -= used;
      if (word >= PRD_LAST) {
        this.#s.isTableUsedUp = used === size;
        break;
      }
    }
    return left > 0 ? undefined : segments;
  }
}

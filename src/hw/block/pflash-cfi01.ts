/**
 * Parallel NOR flash with the Intel command set (Common Flash Memory Interface, AMD publication 100 / JESD68.01; commands as in the Intel
 * 28F128J3 datasheet, order 290667, section 4), one byte wide. In read-array mode the guest reads the array in place as ROM; any write
 * begins a command, during which reads come here.
 *
 *     10, 40 program a byte   20 d0 erase a block   50 clear status   60 lock bits   70 status   90 identifiers   98 query
 *     e8 program a buffer   ff read array
 */
import { BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { Device } from '../../core/device.ts';
import type { GuestRam } from '../../core/guest-ram.ts';
import type { AccessSize, MmioDevice } from '../../core/memory-region.ts';
import { below, defineState, type Stateful, stateful, u8, u32 } from '../../core/vmstate.ts';

export const FLASH_BLOCK_BYTES = 4096;

const READY = 0x80;
const PROGRAM_ERROR = 0x10;
const ERASE_ERROR = 0x20;
const SECTOR_BYTES = 512;

/** What a command waits for. */
const CYCLE_COMMAND = 0;
const CYCLE_DATA = 1;
const CYCLE_COUNT = 2;
const CYCLE_BUFFER = 3;
const CYCLE_CONFIRM = 4;
const CYCLES = 5;

const READ_ARRAY = 0xff;
const READ_STATUS = 0x70;
const CONFIRM = 0xd0;

const schema = defineState('pflash-cfi01', 1, {
  command: u8(READ_ARRAY),
  status: u8(READY),
  cycle: below(CYCLES),
  /** Bytes of a buffer that are still to come. */
  left: u32(),
});

export interface FlashParts {
  readonly ram: GuestRam;
  /** Where the array lies in the RAM buffer. */
  readonly ramOffset: number;
  readonly sizeBytes: number;
  readonly backend: BlockBackend;
  /** The guest reads the array in place (true), or this device. */
  onArrayMode(isArray: boolean): void;
  guestError(text: string): void;
}

export class PflashCfi01 implements MmioDevice, Device {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #parts: FlashParts;
  readonly #query: Uint8Array;
  /** Range of the array that the file does not have yet; empty: from ≥ to. */
  #dirty = { from: Number.POSITIVE_INFINITY, to: 0 };
  #isWriting = false;

  constructor(parts: FlashParts) {
    this.#parts = parts;
    this.#query = queryTable(parts.sizeBytes);
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#modeChanged() });
  }

  /** Fills the array from the back end; `done` gets 0 or the error. */
  load(done: (error: number) => void): void {
    const view = this.#array.subarray(0, this.#parts.sizeBytes);
    this.#parts.backend.read(0, [view], (error) => {
      this.#parts.ram.notifyWrite(this.#parts.ramOffset, view.length);
      done(error);
    });
  }

  get #array(): Uint8Array {
    const { ram, ramOffset, sizeBytes } = this.#parts;
    return ram.bytes.subarray(ramOffset, ramOffset + sizeBytes);
  }

  reset(): void {
    schema.reset(this.#s);
    this.#modeChanged();
  }

  #modeChanged(): void {
    this.#parts.onArrayMode(this.#s.command === READ_ARRAY);
  }

  // --- reads while a command is under way

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  #readByte(offset: number): number {
    switch (this.#s.command) {
      case READ_ARRAY:
        return this.#array[offset]!;
      case 0x90: // no manufacturer, no device; blocks are not locked
        return 0;
      case 0x98:
        return this.#query[offset & 0xff] ?? 0;
      default:
        return this.#s.status;
    }
  }

  // --- writes

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #writeByte(offset: number, value: number): void {
    switch (this.#s.cycle) {
      case CYCLE_COMMAND:
        this.#begin(value);
        break;
      case CYCLE_DATA:
        this.#second(offset, value);
        break;
      case CYCLE_COUNT:
        this.#s.left = value + 1;
        this.#s.cycle = CYCLE_BUFFER;
        break;
      case CYCLE_BUFFER:
        this.#program(offset, value);
        if (--this.#s.left === 0) this.#s.cycle = CYCLE_CONFIRM;
        break;
      default:
        this.#s.cycle = CYCLE_COMMAND;
        if (value !== CONFIRM) this.#s.status |= PROGRAM_ERROR | ERASE_ERROR;
        this.#s.status |= READY;
    }
  }

  #begin(command: number): void {
    const s = this.#s;
    switch (command) {
      case 0x10:
      case 0x40:
      case 0x20:
      case 0x60:
        this.#enter(command, CYCLE_DATA);
        break;
      case 0xe8:
        s.status |= READY;
        this.#enter(command, CYCLE_COUNT);
        break;
      case 0x50:
        s.status = 0;
        this.#enter(READ_ARRAY, CYCLE_COMMAND);
        break;
      case READ_STATUS:
      case 0x90:
      case 0x98:
        this.#enter(command, CYCLE_COMMAND);
        break;
      case 0x00:
      case 0xf0:
      case READ_ARRAY:
        this.#enter(READ_ARRAY, CYCLE_COMMAND);
        break;
      default:
        this.#parts.guestError(`pflash: unknown command 0x${command.toString(16)}`);
        this.#enter(READ_ARRAY, CYCLE_COMMAND);
    }
  }

  #enter(command: number, cycle: number): void {
    const wasArray = this.#s.command === READ_ARRAY;
    this.#s.command = command;
    this.#s.cycle = cycle;
    if (wasArray !== (command === READ_ARRAY)) this.#modeChanged();
  }

  #second(offset: number, value: number): void {
    const s = this.#s;
    s.cycle = CYCLE_COMMAND;
    if (s.command === 0x10 || s.command === 0x40) this.#program(offset, value);
    else if (value === READ_ARRAY) {
      this.#enter(READ_ARRAY, CYCLE_COMMAND);
      return;
    } else if (s.command === 0x20) {
      if (value === CONFIRM) this.#erase(offset);
      else s.status |= PROGRAM_ERROR | ERASE_ERROR;
    }
    s.status |= READY;
  }

  /** Programming clears bits. QEMU's flash stores what is written, and firmware relies on no more than that. */
  #program(offset: number, value: number): void {
    if (this.#parts.backend.isReadOnly) this.#s.status |= PROGRAM_ERROR;
    else if (offset < this.#parts.sizeBytes) {
      this.#array[offset] = value;
      this.#changed(offset, 1);
    }
  }

  #erase(offset: number): void {
    if (this.#parts.backend.isReadOnly) {
      this.#s.status |= ERASE_ERROR;
      return;
    }
    const start = offset - (offset % FLASH_BLOCK_BYTES);
    this.#array.fill(0xff, start, start + FLASH_BLOCK_BYTES);
    this.#changed(start, FLASH_BLOCK_BYTES);
  }

  // --- write back

  #changed(offset: number, sizeBytes: number): void {
    this.#parts.ram.notifyWrite(this.#parts.ramOffset + offset, sizeBytes);
    const { from, to } = this.#dirty;
    const first = offset - (offset % SECTOR_BYTES);
    const end = Math.ceil((offset + sizeBytes) / SECTOR_BYTES) * SECTOR_BYTES;
    this.#dirty = { from: Math.min(from, first), to: Math.max(to, end) };
    this.#writeBack();
  }

  /** One request at a time: what changes meanwhile goes with the next. */
  #writeBack(): void {
    const { from, to } = this.#dirty;
    if (this.#isWriting || from >= to) return;
    this.#isWriting = true;
    this.#dirty = { from: Number.POSITIVE_INFINITY, to: 0 };
    this.#parts.backend.write(from, [this.#array.slice(from, to)], (error) => {
      this.#isWriting = false;
      if (error !== BLOCK_OK) this.#parts.guestError(`pflash: writing back failed with error ${error}`);
      this.#writeBack();
    });
  }
}

/** Query data (JESD68.01, 2.4): Intel command set, one region of equal blocks. */
function queryTable(sizeBytes: number): Uint8Array {
  const table = new Uint8Array(0x60);
  const blocks = sizeBytes / FLASH_BLOCK_BYTES;
  table.set([0x51, 0x52, 0x59, 0x01, 0x00, 0x31], 0x10); // "QRY", command set 1, its table at 0x31
  table.set([0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04, 0x00], 0x1b); // voltages, times
  table.set([Math.ceil(Math.log2(sizeBytes)), 0x02, 0x00, 0x08, 0x00, 0x01], 0x27); // size, interface, buffer, one region
  table.set(
    [(blocks - 1) & 0xff, (blocks - 1) >> 8, (FLASH_BLOCK_BYTES >> 8) & 0xff, FLASH_BLOCK_BYTES >> 16],
    0x2d,
  );
  table.set([0x50, 0x52, 0x49, 0x31, 0x30], 0x31); // "PRI" 1.0
  table[0x3f] = 1; // one protection field
  return table;
}

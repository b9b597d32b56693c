/**
 * Floppy disk controller 82077AA (Intel 290166), a superset of the 8272A and the NEC µPD765.
 *
 *     +0 status A  +1 status B  +2 digital output  +3 tape drive  +4 main status/data rate  +5 data  +7 digital input/CCR
 */
import { BLOCK_OK, type BlockBackend } from '../../core/block-backend.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { MmioDevice } from '../../core/memory-region.ts';
import { array, below, bool, bytes, defineState, stateful, struct, u8, u16 } from '../../core/vmstate.ts';
import type { DmaChannel } from '../dma/i8237.ts';
import {
  DEFAULT_FLOPPY,
  FLOPPY_SECTOR_BYTES,
  type FloppyGeometry,
  floppyGeometry,
} from './floppy-geometry.ts';

export const FDC_PORTS = 6;
/** The digital input register, apart from the others: between them lies a port of the IDE channel. */
export const FDC_DIR_PORT = 7;

const DOR_NOT_RESET = 0x04;
const DOR_DMA = 0x08;

const MSR_READY = 0x80;
const MSR_TO_HOST = 0x40;
const MSR_NON_DMA = 0x20;
const MSR_BUSY = 0x10;
const DSR_RESET = 0x80;
const DIR_CHANGED = 0x80;

// Status registers 0…3
const ST0_ABNORMAL = 0x40;
const ST0_INVALID = 0x80;
const ST0_SEEK_END = 0x20;
const ST0_READY_CHANGED = 0xc0;
const ST1_MISSING_ADDRESS = 0x01;
const ST1_NOT_WRITABLE = 0x02;
const ST1_NO_DATA = 0x04;
const ST1_OVERRUN = 0x10;
const ST1_END_OF_CYLINDER = 0x80;
const ST2_WRONG_CYLINDER = 0x10;

const PHASE_COMMAND = 0;
const PHASE_EXECUTION = 1;
const PHASE_RESULT = 2;
const FIFO_BYTES = 16;
const MAX_SECTOR_BYTES = 512;

const schema = defineState('fdc', 1, {
  dor: u8(DOR_NOT_RESET | DOR_DMA),
  tdr: u8(),
  dsr: u8(),
  phase: below(3),
  /** Command or result bytes. */
  fifo: bytes(FIFO_BYTES),
  fifoAt: below(FIFO_BYTES + 1),
  fifoEnd: below(FIFO_BYTES + 1),
  status0: u8(),
  /** SENSE INTERRUPT STATUS answers still owed after a reset. */
  resetSenses: below(5),
  irq: bool(),
  nonDma: bool(),
  config: u8(),
  precompensation: u8(),
  timer0: u8(),
  timer1: u8(),
  lock: bool(),
  perpendicular: u8(),
  eot: u8(),
  /** Sector being transferred. */
  sector: u8(1),
  head: u8(),
  cylinder: u8(),
  data: bytes(MAX_SECTOR_BYTES),
  dataAt: u16(),
  /** A back-end request is under way. */
  isWaiting: bool(),
  tracks: array(2, u8()),
  changed: array(2, bool(true)),
  drives: array(2, struct({ isPresent: bool() })),
});

interface FloppyDrive {
  readonly backend: BlockBackend;
  geometry: FloppyGeometry;
}

interface Command {
  /** Bytes with the command itself. */
  readonly length: number;
  run(): void;
}

export class FloppyController implements MmioDevice, Device {
  readonly vmstate;
  /** The digital input register at offset 7. */
  readonly directionPort: MmioDevice;
  readonly #s = schema.create();
  readonly #irq: IrqLine;
  readonly #dma: DmaChannel;
  readonly #drives: Array<FloppyDrive | undefined> = [undefined, undefined];
  /** A reset makes what the back end still does meaningless. */
  #generation = 0;

  constructor(irq: IrqLine, dma: DmaChannel) {
    this.#irq = irq;
    this.#dma = dma;
    this.directionPort = {
      read: () => this.#digitalInput(),
      write: (_offset, _size, value) => {
        this.#s.dsr = (this.#s.dsr & ~3) | (value & 3);
      },
    };
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#postLoad() });
  }

  /** Connects drive 0 (A:) or 1 (B:). */
  attach(unit: number, backend: BlockBackend): void {
    const drive = { backend, geometry: geometryOf(backend) };
    this.#drives[unit] = drive;
    this.#s.drives[unit]!.isPresent = true;
    backend.onMediumChanged = () => {
      drive.geometry = geometryOf(backend);
      this.#s.changed[unit] = true;
    };
  }

  /** Type of a drive for CMOS byte 0x10; 0: none. */
  driveType(unit: number): number {
    return this.#drives[unit]?.geometry.drive ?? 0;
  }

  reset(): void {
    this.#generation++;
    const s = this.#s;
    const { drives } = s;
    schema.reset(s);
    s.drives = drives;
    this.#setIrq(false);
  }

  #postLoad(): void {
    this.#generation++;
    const s = this.#s;
    s.fifoAt = Math.min(s.fifoAt, s.fifoEnd);
    s.dataAt = Math.min(s.dataAt, MAX_SECTOR_BYTES);
    s.cylinder = Math.min(s.cylinder, 255);
    this.#irq.set(s.irq);
    if (!s.isWaiting) return;
    s.isWaiting = false;
    if (s.phase === PHASE_EXECUTION) this.#restart();
  }

  #restart(): void {
    const command = this.#s.fifo[0]! & 0x1f;
    if (command === 0x05 || command === 0x09) this.#writeSector();
    else if (command === 0x06 || command === 0x0c || command === 0x02) this.#readSector();
    else this.#finishTransfer(0, 0, 0);
  }

  // --- registers

  read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case 0: // status A: interrupt pending, second drive absent
        return (s.irq ? 0x80 : 0) | (this.#drives[1] === undefined ? 0x40 : 0);
      case 1:
        return 0xc0 | ((s.dor & 1) << 5) | ((s.dor >> 4) & 3);
      case 2:
        return s.dor;
      case 3:
        return s.tdr;
      case 4:
        return this.#mainStatus();
      case 5:
        return this.#readData();
      default:
        return 0xff;
    }
  }

  write(offset: number, _size: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case 2:
        this.#writeOutput(value & 0xff);
        break;
      case 3:
        s.tdr = value & 0x03;
        break;
      case 4:
        if ((value & DSR_RESET) !== 0) this.#controllerReset();
        s.dsr = value & 0x7f;
        break;
      case 5:
        this.#writeData(value & 0xff);
        break;
      default: // read only
    }
  }

  #writeOutput(value: number): void {
    const s = this.#s;
    const leavesReset = (value & ~s.dor & DOR_NOT_RESET) !== 0;
    s.dor = value;
    if ((value & DOR_NOT_RESET) === 0) {
      this.#generation++;
      s.phase = PHASE_COMMAND;
      s.fifoAt = 0;
      s.isWaiting = false;
      this.#setIrq(false);
    } else if (leavesReset) this.#controllerReset();
  }

  /** Afterwards an interrupt, and an answer for each of four drives (290166, 4.2). */
  #controllerReset(): void {
    this.#generation++;
    const s = this.#s;
    s.phase = PHASE_COMMAND;
    s.fifoAt = 0;
    s.isWaiting = false;
    if (!s.lock) {
      s.config = 0;
      s.precompensation = 0;
    }
    s.nonDma = false;
    s.status0 = ST0_READY_CHANGED;
    s.resetSenses = 4;
    this.#setIrq(true);
  }

  #mainStatus(): number {
    const s = this.#s;
    if ((s.dor & DOR_NOT_RESET) === 0) return 0;
    if (s.phase === PHASE_RESULT) return MSR_READY | MSR_TO_HOST | MSR_BUSY;
    if (s.phase === PHASE_COMMAND) return MSR_READY | (s.fifoAt > 0 ? MSR_BUSY : 0);
    if (!s.nonDma || s.isWaiting) return MSR_BUSY;
    return MSR_READY | MSR_NON_DMA | MSR_BUSY | (this.#isWrite ? 0 : MSR_TO_HOST);
  }

  #digitalInput(): number {
    const unit = this.#s.dor & 3;
    if (unit > 1 || this.#drives[unit] === undefined) return DIR_CHANGED;
    return this.#s.changed[unit] ? DIR_CHANGED : 0;
  }

  #setIrq(level: boolean): void {
    this.#s.irq = level;
    this.#irq.set(level);
  }

  get #isWrite(): boolean {
    const command = this.#s.fifo[0]! & 0x1f;
    return command === 0x05 || command === 0x09 || command === 0x0d;
  }

  // --- data register

  #readData(): number {
    const s = this.#s;
    if (s.phase === PHASE_EXECUTION) return s.nonDma && !this.#isWrite ? this.#readDataByte() : 0;
    if (s.phase !== PHASE_RESULT) return 0;
    this.#setIrq(false);
    const value = s.fifo[s.fifoAt] ?? 0;
    s.fifoAt = Math.min(s.fifoAt + 1, s.fifoEnd);
    if (s.fifoAt === s.fifoEnd) {
      s.phase = PHASE_COMMAND;
      s.fifoAt = 0;
    }
    return value;
  }

  #writeData(value: number): void {
    const s = this.#s;
    if ((s.dor & DOR_NOT_RESET) === 0) return;
    if (s.phase === PHASE_EXECUTION) {
      if (s.nonDma && this.#isWrite) this.#writeDataByte(value);
      return;
    }
    if (s.phase !== PHASE_COMMAND) return;
    if (s.fifoAt === 0) this.#setIrq(false);
    s.fifo[s.fifoAt] = value;
    s.fifoAt++;
    const command = this.#command(s.fifo[0]!);
    if (s.fifoAt < command.length) return;
    s.fifoAt = 0;
    command.run();
  }

  #command(code: number): Command {
    const data: Command = { length: 9, run: () => this.#startTransfer() };
    switch (code & 0x1f) {
      case 0x02: // READ TRACK
      case 0x05: // WRITE DATA
      case 0x06: // READ DATA
      case 0x09: // WRITE DELETED DATA
      case 0x0c: // READ DELETED DATA
      case 0x11: // SCAN EQUAL, LOW OR EQUAL, HIGH OR EQUAL
      case 0x16: // VERIFY
      case 0x19:
      case 0x1d:
        return data;
      default:
        return this.#shortCommand(code);
    }
  }

  #shortCommand(code: number): Command {
    const s = this.#s;
    switch (code) {
      case 0x03: // SPECIFY
        return { length: 3, run: () => this.#specify() };
      case 0x04: // SENSE DRIVE STATUS
        return { length: 2, run: () => this.#answer(this.#status3()) };
      case 0x07: // RECALIBRATE
        return { length: 2, run: () => this.#seek(s.fifo[1]! & 3, 0) };
      case 0x08: // SENSE INTERRUPT STATUS
        return { length: 1, run: () => this.#senseInterrupt() };
      case 0x0e: // DUMPREG
        return { length: 1, run: () => this.#dumpRegisters() };
      case 0x0f: // SEEK
        return { length: 3, run: () => this.#seek(s.fifo[1]! & 3, s.fifo[2]!) };
      case 0x10: // VERSION
        return { length: 1, run: () => this.#answer(0x90) };
      case 0x12: // PERPENDICULAR MODE
        return { length: 2, run: () => this.#store(() => (s.perpendicular = s.fifo[1]!)) };
      case 0x13: // CONFIGURE
        return { length: 4, run: () => this.#store(() => this.#configure()) };
      case 0x14: // UNLOCK
      case 0x94: // LOCK
        return { length: 1, run: () => this.#setLock(code === 0x94) };
      case 0x18: // PART ID
        return { length: 1, run: () => this.#answer(0x41) };
      case 0x8f: // RELATIVE SEEK out and in
      case 0xcf:
        return { length: 3, run: () => this.#relativeSeek(code === 0xcf ? 1 : -1) };
      default:
        if ((code & 0xbf) === 0x0a) return { length: 2, run: () => this.#readId() };
        if ((code & 0xbf) === 0x0d) return { length: 6, run: () => this.#format() };
        return { length: 1, run: () => this.#answer(ST0_INVALID) };
    }
  }

  /** Result phase with these bytes, without an interrupt. */
  #answer(...result: readonly number[]): void {
    const s = this.#s;
    s.fifo.set(result);
    s.fifoAt = 0;
    s.fifoEnd = result.length;
    s.phase = PHASE_RESULT;
  }

  #store(action: () => void): void {
    action();
    this.#s.phase = PHASE_COMMAND;
  }

  #specify(): void {
    const s = this.#s;
    s.timer0 = s.fifo[1]!;
    s.timer1 = s.fifo[2]! >> 1;
    s.nonDma = (s.fifo[2]! & 1) !== 0;
    s.phase = PHASE_COMMAND;
  }

  #configure(): void {
    this.#s.config = this.#s.fifo[2]!;
    this.#s.precompensation = this.#s.fifo[3]!;
  }

  #setLock(lock: boolean): void {
    this.#s.lock = lock;
    this.#answer(lock ? 0x10 : 0);
  }

  #dumpRegisters(): void {
    const s = this.#s;
    const lock = (s.lock ? 0x80 : 0) | (s.perpendicular & 0x7f);
    this.#answer(
      ...[s.tracks[0]!, s.tracks[1]!, 0, 0, s.timer0, (s.timer1 << 1) | (s.nonDma ? 1 : 0)],
      ...[s.eot, lock, s.config, s.precompensation],
    );
  }

  #status3(): number {
    const s = this.#s;
    const unit = s.fifo[1]! & 3;
    const head = (s.fifo[1]! >> 2) & 1;
    s.head = head;
    const drive = this.#drives[unit];
    const isTrack0 = (s.tracks[unit] ?? 0) === 0;
    const isProtected = drive?.backend.isReadOnly === true;
    return 0x28 | unit | (head << 2) | (isTrack0 ? 0x10 : 0) | (isProtected ? 0x40 : 0);
  }

  #senseInterrupt(): void {
    const s = this.#s;
    if (s.resetSenses > 0) {
      const unit = 4 - s.resetSenses;
      s.resetSenses--;
      this.#setIrq(false);
      this.#answer(ST0_READY_CHANGED | unit, s.tracks[unit] ?? 0);
      return;
    }
    const isPending = s.irq || (s.status0 & ST0_SEEK_END) !== 0;
    this.#setIrq(false);
    if (!isPending) {
      this.#answer(ST0_INVALID);
      return;
    }
    const unit = s.dor & 3;
    this.#answer(s.status0, s.tracks[unit] ?? 0);
    s.status0 = 0;
  }

  #seek(unit: number, track: number): void {
    const s = this.#s;
    s.phase = PHASE_COMMAND;
    const drive = this.#drives[unit];
    const isAbsent = drive === undefined;
    if (!isAbsent) {
      s.tracks[unit] = Math.min(track, 83);
      // Stepping with a disk in the drive takes back the change line.
      if (drive.backend.sizeBytes > 0) s.changed[unit] = false;
    }
    s.status0 = ST0_SEEK_END | unit | (isAbsent && track === 0 ? 0x50 : 0);
    s.resetSenses = 0;
    this.#setIrq(true);
  }

  #relativeSeek(direction: number): void {
    const s = this.#s;
    const unit = s.fifo[1]! & 3;
    const steps = s.fifo[2]! * direction;
    this.#seek(unit, Math.max(0, (s.tracks[unit] ?? 0) + steps));
  }

  // --- transfers

  get #unit(): number {
    return this.#s.fifo[1]! & 3;
  }

  #startTransfer(): void {
    const s = this.#s;
    s.phase = PHASE_EXECUTION;
    s.cylinder = s.fifo[2]!;
    s.head = s.fifo[3]! & 1;
    s.sector = s.fifo[4]!;
    s.eot = s.fifo[6]!;
    s.dataAt = 0;
    const drive = this.#drives[this.#unit];
    if (drive === undefined || drive.backend.sizeBytes === 0) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_MISSING_ADDRESS, 0);
      return;
    }
    const { geometry } = drive;
    const track = s.tracks[this.#unit]!;
    if (s.cylinder >= geometry.tracks || (s.cylinder !== track && (s.config & 0x40) === 0)) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_NO_DATA, s.cylinder === track ? 0 : ST2_WRONG_CYLINDER);
    } else if (s.head >= geometry.heads || s.sector < 1 || s.sector > geometry.sectors) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_NO_DATA, 0);
    } else if (this.#isWrite && drive.backend.isReadOnly) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_NOT_WRITABLE, 0);
    } else this.#firstSector();
  }

  #firstSector(): void {
    const command = this.#s.fifo[0]! & 0x1f;
    if (!this.#s.nonDma) this.#dma.setRequest(true);
    if (this.#isWrite) this.#wantSector();
    else if (command === 0x16) this.#finishTransfer(0, 0, 0);
    else if (command === 0x11 || command === 0x19 || command === 0x1d) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_NO_DATA, 0x04);
    } else this.#readSector();
  }

  /** Byte offset of the present sector; the drive has been checked. */
  get #offset(): number {
    const s = this.#s;
    const geometry = this.#drives[this.#unit]?.geometry ?? DEFAULT_FLOPPY;
    const track = s.cylinder * geometry.heads + s.head;
    return (track * geometry.sectors + s.sector - 1) * FLOPPY_SECTOR_BYTES;
  }

  #backendCall(done: (error: number) => void): (error: number) => void {
    const generation = this.#generation;
    this.#s.isWaiting = true;
    return (error) => {
      if (generation !== this.#generation) return;
      this.#s.isWaiting = false;
      done(error);
    };
  }

  #readSector(): void {
    const s = this.#s;
    const drive = this.#drives[this.#unit];
    if (drive === undefined) return;
    const done = this.#backendCall((error) => {
      if (error !== BLOCK_OK) this.#finishTransfer(ST0_ABNORMAL, ST1_NO_DATA, 0x20);
      else if (s.nonDma) {
        s.dataAt = 0;
        this.#setIrq(true);
      } else this.#giveSector();
    });
    drive.backend.read(this.#offset, [s.data], done);
  }

  /** A sector to memory by DMA; the next one follows until the terminal count or the last sector. */
  #giveSector(): void {
    if (!this.#dma.isEnabled) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_OVERRUN, 0);
      return;
    }
    const count = this.#dma.toMemory(this.#s.data);
    if (this.#dma.isTerminal || count < this.#s.data.length) this.#endSector(true);
    else this.#endSector(false);
  }

  /** Takes a sector from memory. */
  #wantSector(): void {
    const s = this.#s;
    if (s.nonDma) {
      s.dataAt = 0;
      this.#setIrq(true);
      return;
    }
    if (!this.#dma.isEnabled) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_OVERRUN, 0);
      return;
    }
    s.data.fill(0);
    this.#dma.fromMemory(s.data);
    this.#writeSector();
  }

  #writeSector(): void {
    const drive = this.#drives[this.#unit];
    if (drive === undefined) return;
    const done = this.#backendCall((error) => {
      if (error !== BLOCK_OK) this.#finishTransfer(ST0_ABNORMAL, ST1_NO_DATA, 0x20);
      else this.#endSector(!this.#s.nonDma && this.#dma.isTerminal);
    });
    drive.backend.write(this.#offset, [this.#s.data], done);
  }

  /** Goes to the next sector; with MT set the other head follows the first. */
  #endSector(isTerminal: boolean): void {
    const s = this.#s;
    const geometry = this.#drives[this.#unit]?.geometry ?? DEFAULT_FLOPPY;
    const last = Math.min(s.eot, geometry.sectors);
    const isLast = s.sector >= last;
    const multiTrack = (s.fifo[0]! & 0x80) !== 0;
    let isEnd = isTerminal;
    if (!isLast) s.sector++;
    else {
      s.sector = 1;
      if (multiTrack && s.head === 0 && geometry.heads > 1) s.head = 1;
      else {
        if (multiTrack) s.head = 0;
        s.cylinder = (s.cylinder + 1) & 0xff;
        // Non-DMA transfers have no terminal count: they end here, as if it had come.
        if (!isTerminal && !s.nonDma) {
          this.#finishTransfer(ST0_ABNORMAL, ST1_END_OF_CYLINDER, 0);
          return;
        }
        isEnd = true;
      }
    }
    if (isEnd) this.#finishTransfer(0, 0, 0);
    else if (this.#isWrite) this.#wantSector();
    else this.#readSector();
  }

  #finishTransfer(status0: number, status1: number, status2: number): void {
    const s = this.#s;
    this.#dma.setRequest(false);
    const st0 = status0 | this.#unit | (s.head << 2);
    s.status0 = 0;
    this.#answer(st0, status1, status2, s.cylinder, s.head, s.sector, 2);
    this.#setIrq(true);
  }

  #readDataByte(): number {
    const s = this.#s;
    if (s.isWaiting) return 0;
    this.#setIrq(false);
    const value = s.data[s.dataAt] ?? 0;
    s.dataAt++;
    if (s.dataAt >= s.data.length) this.#endSector(false);
    return value;
  }

  #writeDataByte(value: number): void {
    const s = this.#s;
    if (s.isWaiting) return;
    this.#setIrq(false);
    s.data[s.dataAt] = value;
    s.dataAt++;
    if (s.dataAt >= s.data.length) this.#writeSector();
  }

  #readId(): void {
    const s = this.#s;
    const drive = this.#drives[this.#unit];
    s.head = (s.fifo[1]! >> 2) & 1;
    s.cylinder = s.tracks[this.#unit] ?? 0;
    s.sector = 1;
    if (drive === undefined || drive.backend.sizeBytes === 0) {
      this.#finishTransfer(ST0_ABNORMAL, ST1_MISSING_ADDRESS, 0);
    } else this.#finishTransfer(0, 0, 0);
  }

  /** FORMAT TRACK: the sectors of the track are filled; their numbering stays as it is. */
  #format(): void {
    const s = this.#s;
    const drive = this.#drives[this.#unit];
    s.phase = PHASE_EXECUTION;
    s.head = (s.fifo[1]! >> 2) & 1;
    s.cylinder = s.tracks[this.#unit] ?? 0;
    s.sector = 1;
    const isMissing = drive === undefined || drive.backend.sizeBytes === 0;
    if (isMissing || drive.backend.isReadOnly || s.head >= drive.geometry.heads) {
      this.#finishTransfer(ST0_ABNORMAL, isMissing ? ST1_MISSING_ADDRESS : ST1_NOT_WRITABLE, 0);
      return;
    }
    // The sector ids come by DMA; what they say is what the format of the disk says.
    this.#dma.fromMemory(new Uint8Array(4 * s.fifo[3]!));
    const track = new Uint8Array(drive.geometry.sectors * FLOPPY_SECTOR_BYTES).fill(s.fifo[5]!);
    const done = this.#backendCall((error) => {
      this.#finishTransfer(error === BLOCK_OK ? 0 : ST0_ABNORMAL, 0, 0);
    });
    drive.backend.write(this.#offset, [track], done);
  }
}

function geometryOf(backend: BlockBackend): FloppyGeometry {
  return backend.sizeBytes === 0 ? DEFAULT_FLOPPY : floppyGeometry(backend.sizeBytes);
}

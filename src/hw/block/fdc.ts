/**
 * Floppy disk controller 82077AA (Intel 290166), a superset of the 8272A and the NEC µPD765.
 *
 *     +0 status A  +1 status B  +2 digital output  +3 tape drive  +4 main status/data rate  +5 data  +7 digital input/CCR
 */
import type { BlockBackend } from '../../core/block-backend.ts';
import type { Device } from '../../core/device.ts';
import type { IrqLine } from '../../core/irq.ts';
import type { MmioDevice } from '../../core/memory-region.ts';
import { stateful } from '../../core/vmstate.ts';
import type { DmaChannel } from '../dma/i8237.ts';
import * as f from './fdc-state.ts';
import * as transfer from './fdc-transfer.ts';
import { DEFAULT_FLOPPY, floppyGeometry } from './floppy-geometry.ts';

export const FDC_PORTS = 6;
/** The digital input register, apart from the others: between them lies a port of the IDE channel. */
export const FDC_DIR_PORT = 7;

interface Command {
  /** Bytes with the command itself. */
  readonly length: number;
  run(): void;
}

export class FloppyController implements MmioDevice, Device {
  readonly vmstate;
  /** The digital input register at offset 7. */
  readonly directionPort: MmioDevice;
  readonly #s = f.fdcSchema.create();
  readonly #irq: IrqLine;
  readonly #transfer: transfer.FloppyTransfer;
  readonly #drives: Array<f.FloppyDrive | undefined> = [undefined, undefined];

  constructor(irq: IrqLine, dma: DmaChannel) {
    this.#irq = irq;
    this.#transfer = new transfer.FloppyTransfer(this.#s, dma, {
      drive: (unit) => this.#drives[unit],
      setIrq: (level) => this.#setIrq(level),
      answer: (...result) => this.#answer(...result),
      step: (unit, track) => this.#step(unit, track),
    });
    this.directionPort = {
      read: () => this.#digitalInput(),
      write: (_offset, _size, value) => {
        this.#s.dsr = (this.#s.dsr & ~3) | (value & 3);
      },
    };
    this.vmstate = stateful(f.fdcSchema, this.#s, { postLoad: () => this.#postLoad() });
  }

  /** Connects drive 0 (A:) or 1 (B:). `type`: as CMOS byte 0x10 has it; 0: by the disk that is in it. */
  attach(unit: number, backend: BlockBackend, type = 0): void {
    this.#drives[unit] = { backend, type };
    this.#s.drives[unit]!.isPresent = true;
    this.#noteFormat(unit);
    backend.onMediumChanged = () => {
      this.#noteFormat(unit);
      this.#s.changed[unit] = true;
    };
  }

  detach(unit: number): void {
    this.#transfer.cancel();
    this.#drives[unit] = undefined;
    this.#s.drives[unit]!.isPresent = false;
  }

  isAttached(unit: number): boolean {
    return this.#drives[unit] !== undefined;
  }

  /** The format stays when the disk is taken out. */
  #noteFormat(unit: number): void {
    const drive = this.#drives[unit];
    if (!f.hasDisk(drive)) return;
    const { tracks, heads, sectors } = floppyGeometry(drive.backend.sizeBytes);
    Object.assign(this.#s.formats[unit]!, { tracks, heads, sectors });
  }

  /** Type of a drive for CMOS byte 0x10; 0: none. */
  driveType(unit: number): number {
    const drive = this.#drives[unit];
    if (drive === undefined || drive.type !== 0) return drive?.type ?? 0;
    return f.hasDisk(drive) ? floppyGeometry(drive.backend.sizeBytes).drive : DEFAULT_FLOPPY.drive;
  }

  reset(): void {
    this.#transfer.cancel();
    const s = this.#s;
    const { drives, formats } = s;
    f.fdcSchema.reset(s);
    s.drives = drives;
    s.formats = formats;
    this.#setIrq(false);
  }

  #postLoad(): void {
    const s = this.#s;
    const { isWaiting } = s;
    this.#transfer.cancel();
    s.fifoAt = Math.min(s.fifoAt, s.fifoEnd);
    s.dataAt = Math.min(s.dataAt, f.MAX_SECTOR_BYTES);
    s.cylinder = Math.min(s.cylinder, 255);
    this.#irq.set(s.irq);
    if (isWaiting && s.phase === f.PHASE_EXECUTION) this.#transfer.restart();
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
        if ((value & f.DSR_RESET) !== 0) this.#controllerReset();
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
    const leavesReset = (value & ~s.dor & f.DOR_NOT_RESET) !== 0;
    s.dor = value;
    if ((value & f.DOR_NOT_RESET) === 0) {
      this.#transfer.cancel();
      s.phase = f.PHASE_COMMAND;
      s.fifoAt = 0;
      this.#setIrq(false);
    } else if (leavesReset) this.#controllerReset();
  }

  /** Afterwards an interrupt, and an answer for each of four drives (290166, 4.2). */
  #controllerReset(): void {
    this.#transfer.cancel();
    const s = this.#s;
    s.phase = f.PHASE_COMMAND;
    s.fifoAt = 0;
    if (!s.lock) {
      s.config = f.CONFIG_IMPLIED_SEEK | f.CONFIG_NO_FIFO;
      s.precompensation = 0;
    }
    s.nonDma = false;
    s.status0 = f.ST0_READY_CHANGED;
    s.resetSenses = 4;
    this.#setIrq(true);
  }

  #mainStatus(): number {
    const s = this.#s;
    if ((s.dor & f.DOR_NOT_RESET) === 0) return 0;
    if (s.phase === f.PHASE_RESULT) return f.MSR_READY | f.MSR_TO_HOST | f.MSR_BUSY;
    if (s.phase === f.PHASE_COMMAND) return f.MSR_READY | (s.fifoAt > 0 ? f.MSR_BUSY : 0);
    const { isProgrammed, isWrite } = this.#transfer;
    if (!isProgrammed || s.isWaiting) return f.MSR_BUSY;
    return f.MSR_READY | f.MSR_NON_DMA | f.MSR_BUSY | (isWrite ? 0 : f.MSR_TO_HOST);
  }

  #digitalInput(): number {
    const unit = this.#s.dor & 3;
    if (unit > 1 || this.#drives[unit] === undefined) return f.DIR_CHANGED;
    return this.#s.changed[unit] ? f.DIR_CHANGED : 0;
  }

  #setIrq(level: boolean): void {
    this.#s.irq = level;
    this.#irq.set(level);
  }

  // --- data register

  #readData(): number {
    const s = this.#s;
    const { isProgrammed, isWrite } = this.#transfer;
    if (s.phase === f.PHASE_EXECUTION) return isProgrammed && !isWrite ? this.#transfer.readByte() : 0;
    if (s.phase !== f.PHASE_RESULT) return 0;
    const value = s.fifo[s.fifoAt] ?? 0;
    s.fifoAt = Math.min(s.fifoAt + 1, s.fifoEnd);
    if (s.fifoAt === s.fifoEnd) {
      s.phase = f.PHASE_COMMAND;
      s.fifoAt = 0;
      this.#setIrq(false);
    }
    return value;
  }

  #writeData(value: number): void {
    const s = this.#s;
    if ((s.dor & f.DOR_NOT_RESET) === 0) return;
    if (s.phase === f.PHASE_EXECUTION) {
      const { isProgrammed, isWrite } = this.#transfer;
      if (isProgrammed && isWrite) this.#transfer.writeByte(value);
      return;
    }
    if (s.phase !== f.PHASE_COMMAND) return;
    if (s.fifoAt === 0) this.#setIrq(false);
    s.fifo[s.fifoAt] = value;
    s.fifoAt++;
    const command = this.#command(s.fifo[0]!);
    if (s.fifoAt < command.length) return;
    s.fifoAt = 0;
    command.run();
  }

  #command(code: number): Command {
    switch (code & 0x1f) {
      case transfer.READ_TRACK:
      case transfer.WRITE_DATA:
      case transfer.READ_DATA:
      case transfer.WRITE_DELETED:
      case transfer.READ_DELETED:
      case transfer.SCAN_EQUAL:
      case transfer.VERIFY:
      case transfer.SCAN_LOW:
      case transfer.SCAN_HIGH:
        return { length: 9, run: () => this.#transfer.start() };
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
        if ((code & 0xbf) === 0x0a) return { length: 2, run: () => this.#transfer.readId() };
        if ((code & 0xbf) === 0x0d) return { length: 6, run: () => this.#transfer.format() };
        return { length: 1, run: () => this.#answer(f.ST0_INVALID) };
    }
  }

  /** Result phase with these bytes, without an interrupt. */
  #answer(...result: readonly number[]): void {
    const s = this.#s;
    s.fifo.set(result);
    s.fifoAt = 0;
    s.fifoEnd = result.length;
    s.phase = f.PHASE_RESULT;
  }

  #store(action: () => void): void {
    action();
    this.#s.phase = f.PHASE_COMMAND;
  }

  #specify(): void {
    const s = this.#s;
    s.timer0 = s.fifo[1]!;
    s.timer1 = s.fifo[2]! >> 1;
    s.nonDma = (s.fifo[2]! & 1) !== 0;
    s.phase = f.PHASE_COMMAND;
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
      this.#answer(f.ST0_READY_CHANGED | unit, s.tracks[unit] ?? 0);
      return;
    }
    const isPending = s.irq || (s.status0 & f.ST0_SEEK_END) !== 0;
    this.#setIrq(false);
    if (!isPending) {
      this.#answer(f.ST0_INVALID);
      return;
    }
    const unit = s.dor & 3;
    this.#answer(s.status0, s.tracks[unit] ?? 0);
    s.status0 = 0;
  }

  #seek(unit: number, track: number): void {
    const s = this.#s;
    s.phase = f.PHASE_COMMAND;
    const drive = this.#drives[unit];
    const isAbsent = drive === undefined;
    this.#step(unit, track);
    s.status0 = f.ST0_SEEK_END | unit | (isAbsent && track === 0 ? 0x50 : 0);
    s.resetSenses = 0;
    this.#setIrq(true);
  }

  /** Moves the head. In a drive that has had no disk it stays where it is, as in QEMU. */
  #step(unit: number, track: number): void {
    const s = this.#s;
    const drive = this.#drives[unit];
    const to = Math.min(track, f.LAST_TRACK, s.formats[unit]?.tracks ?? 0);
    if (drive === undefined || s.tracks[unit] === to) return;
    s.tracks[unit] = to;
    // Stepping with a disk in the drive takes back the change line.
    if (f.hasDisk(drive)) s.changed[unit] = false;
  }

  #relativeSeek(direction: number): void {
    const s = this.#s;
    const unit = s.fifo[1]! & 3;
    const steps = s.fifo[2]! * direction;
    this.#seek(unit, Math.max(0, (s.tracks[unit] ?? 0) + steps));
  }
}

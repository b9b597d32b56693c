/** One port of an AHCI HBA: registers (AHCI 1.3.1, 3.3), command list, received FISes, native command queueing (Serial ATA 3.0, 13.6). */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { DmaBuffer } from '../../core/dma.ts';
import { bool, defineState, num, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import * as fis from './ahci-fis.ts';
import * as ata from './ata.ts';
import { AtaDisk } from './ata-disk.ts';
import type { AnyIdeDrive } from './ide-channel.ts';
import type { IdeDrive, IdeHost } from './ide-drive.ts';
import { PHASE_DATA_IN } from './ide-drive.ts';

// Offsets of the registers
const CLB = 0x00;
const CLBU = 0x04;
const FB = 0x08;
const FBU = 0x0c;
const IS = 0x10;
const IE = 0x14;
const CMD = 0x18;
const TFD = 0x20;
const SIG = 0x24;
const SSTS = 0x28;
const SCTL = 0x2c;
const SERR = 0x30;
const SACT = 0x34;
const CI = 0x38;

const IS_D2H = 1 << 0;
const IS_PIO_SETUP = 1 << 1;
const IS_SET_DEVICE_BITS = 1 << 3;
const IS_CONNECT_CHANGE = 1 << 6;
const IS_OVERFLOW = 1 << 24;
const IS_TASK_FILE_ERROR = 1 << 30;
const IE_WRITABLE = 0xfdc000ff;

const CMD_START = 1 << 0;
const CMD_SPIN_UP = 1 << 1;
const CMD_POWER_ON = 1 << 2;
const CMD_OVERRIDE = 1 << 3;
const CMD_RECEIVE = 1 << 4;
const CMD_CURRENT_SLOT = 0x1f << 8;
const CMD_RECEIVE_RUNNING = 1 << 14;
const CMD_RUNNING = 1 << 15;
/** ST, SUD, POD, FRE, ATAPI, DLAE, ALPE, ASP; the interface communication control reads as idle. */
const CMD_WRITABLE = 0x0f00_0017;

/** A device is there and communicates, generation 1, active (3.3.10). */
const SSTS_PRESENT = 0x113;
const SCTL_DET = 0x0f;
const SIGNATURE_DISK = 0x0000_0101;
const SIGNATURE_ATAPI = 0xeb14_0101;
const SIGNATURE_NONE = 0xffff_ffff;
const SERR_EXCHANGED = 1 << 26;

const READ_FPDMA = 0x60;
const WRITE_FPDMA = 0x61;
const SLOTS = 32;
const PACKET_BYTES = 12;

const schema = defineState('ahci-port', 1, {
  list: num(),
  received: num(),
  is: u32(),
  ie: u32(),
  cmd: u32(CMD_SPIN_UP | CMD_POWER_ON),
  sctl: u32(),
  serr: u32(),
  sact: u32(),
  ci: u32(),
  sig: u32(SIGNATURE_NONE),
  tfd: u32(0x7f),
  /** Slot + 1 of the command that the drive works on; 0: none. */
  busy: u32(),
  /** Queued commands that the back end works on, a bit each. */
  queued: u32(),
  bytesMoved: u32(),
  /** An error has stopped the command list until the driver clears ST. */
  stopped: bool(),
  /** A software reset has been asked for, and not yet ended. */
  inSoftReset: bool(),
  /** The signature after a reset waits for a place to go. */
  owesSignature: bool(),
});

export class AhciPort implements IdeHost, Device {
  readonly memory: AddressSpace;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #canMaster: () => boolean;
  readonly #onInterrupt: () => void;
  readonly #drives: [AnyIdeDrive | undefined] = [undefined];
  #cursor: fis.PrdCursor | undefined;
  #header: fis.CommandHeader | undefined;
  #isIssuing = false;
  /** Queued commands under way belong to the generation in which they were made. */
  #generation = 0;

  /** `canMaster`: the function may reach memory. `onInterrupt` is called when `interrupts` may have changed. */
  constructor(memory: AddressSpace, canMaster: () => boolean, onInterrupt: () => void) {
    this.memory = memory;
    this.#canMaster = canMaster;
    this.#onInterrupt = onInterrupt;
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.#postLoad() });
  }

  /** The one place of the port. */
  get drives(): ReadonlyArray<AnyIdeDrive | undefined> {
    return this.#drives;
  }

  attach(_unit: number, drive: AnyIdeDrive): void {
    this.#drives[0] = drive;
    drive.host = this;
    this.#resetLink();
  }

  get #drive(): AnyIdeDrive | undefined {
    return this.#drives[0];
  }

  /** Causes that are pending and enabled. */
  get interrupts(): number {
    return (this.#s.is & this.#s.ie) >>> 0;
  }

  /** HBA reset. */
  reset(): void {
    schema.reset(this.#s);
    this.#drive?.reset();
    this.#resetLink();
  }

  /** What a COMRESET does: the drive shows its signature; commands under way are forgotten. */
  #resetLink(): void {
    const s = this.#s;
    const drive = this.#drive;
    this.#forgetCommands();
    s.tfd = drive === undefined ? 0x7f : 0x80 | 0x50;
    s.sig = SIGNATURE_NONE;
    if (drive === undefined) return;
    this.#announce(drive);
  }

  #announce(drive: AnyIdeDrive): void {
    const s = this.#s;
    s.sig = drive.isPacket ? SIGNATURE_ATAPI : SIGNATURE_DISK;
    s.owesSignature = true;
    this.#takeTaskFile(drive);
    this.#sendSignature();
  }

  #sendSignature(): void {
    const s = this.#s;
    const drive = this.#drive;
    if (!s.owesSignature || drive === undefined || (s.cmd & CMD_RECEIVE) === 0) return;
    s.owesSignature = false;
    this.#receive(fis.RX_D2H, fis.d2hFis(drive.s));
    this.#raise(IS_D2H);
  }

  #forgetCommands(): void {
    const s = this.#s;
    this.#generation++;
    s.busy = 0;
    s.queued = 0;
    s.stopped = false;
    this.#header = undefined;
    this.#cursor = undefined;
  }

  // --- registers

  read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case CLB:
        return s.list % 2 ** 32;
      case CLBU:
        return Math.floor(s.list / 2 ** 32);
      case FB:
        return s.received % 2 ** 32;
      case FBU:
        return Math.floor(s.received / 2 ** 32);
      case IS:
        return s.is;
      case IE:
        return s.ie;
      case CMD:
        return s.cmd;
      case TFD:
        return s.tfd;
      case SIG:
        return s.sig;
      case SSTS:
        return this.#drive === undefined || (s.sctl & SCTL_DET) === 4 ? 0 : SSTS_PRESENT;
      case SCTL:
        return s.sctl;
      case SERR:
        return s.serr;
      case SACT:
        return s.sact;
      case CI:
        return s.ci;
      default:
        return 0;
    }
  }

  write(offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case CLB:
        s.list = s.list - (s.list % 2 ** 32) + ((value & ~0x3ff) >>> 0);
        break;
      case CLBU:
        s.list = (s.list % 2 ** 32) + value * 2 ** 32;
        break;
      case FB:
        s.received = s.received - (s.received % 2 ** 32) + ((value & ~0xff) >>> 0);
        break;
      case FBU:
        s.received = (s.received % 2 ** 32) + value * 2 ** 32;
        break;
      case IS:
        s.is = (s.is & ~value) >>> 0;
        this.#onInterrupt();
        break;
      case IE:
        s.ie = (value & IE_WRITABLE) >>> 0;
        this.#onInterrupt();
        break;
      case CMD:
        this.#writeCommand(value);
        break;
      case SCTL:
        this.#writeControl(value);
        break;
      case SERR:
        s.serr = (s.serr & ~value) >>> 0;
        break;
      case SACT:
        if ((s.cmd & CMD_START) !== 0) s.sact = (s.sact | value) >>> 0;
        break;
      case CI:
        if ((s.cmd & CMD_START) === 0) break;
        s.ci = (s.ci | value) >>> 0;
        this.#issue();
        break;
      default: // read only
    }
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    const before = s.cmd;
    let next = (before & ~CMD_WRITABLE) | (value & CMD_WRITABLE);
    const isStarted = (value & CMD_START) !== 0;
    next = isStarted ? next | CMD_RUNNING : next & ~CMD_RUNNING;
    next = (value & CMD_RECEIVE) !== 0 ? next | CMD_RECEIVE_RUNNING : next & ~CMD_RECEIVE_RUNNING;
    s.cmd = next >>> 0;
    if ((value & CMD_OVERRIDE) !== 0) {
      s.tfd &= ~(ata.STATUS_BSY | ata.STATUS_DRQ);
      this.#cancelDrive();
    }
    if (!isStarted && (before & CMD_START) !== 0) this.#stop();
    this.#sendSignature();
    this.#issue();
  }

  /** ST was cleared: nothing is issued any more (10.3.2). What a drive works on goes on until its reset. */
  #stop(): void {
    const s = this.#s;
    s.ci = 0;
    s.sact = 0;
    s.cmd = (s.cmd & ~CMD_CURRENT_SLOT) >>> 0;
    this.#forgetCommands();
    this.#cancelDrive();
  }

  /** A command that the host has given up must not hold the drive. */
  #cancelDrive(): void {
    const drive = this.#drive;
    if (drive?.isBusy === true) drive.abort();
  }

  #writeControl(value: number): void {
    const s = this.#s;
    const before = s.sctl & SCTL_DET;
    s.sctl = value & 0xfff;
    if (before !== 1 || (value & SCTL_DET) !== 0) return;
    this.#drive?.reset();
    s.ci = 0;
    s.sact = 0;
    this.#resetLink();
    if (this.#drive !== undefined) {
      s.serr = (s.serr | SERR_EXCHANGED) >>> 0;
      this.#raise(IS_CONNECT_CHANGE);
    }
  }

  #raise(causes: number): void {
    this.#s.is = (this.#s.is | causes) >>> 0;
    this.#onInterrupt();
  }

  #receive(at: number, bytes: Uint8Array): void {
    if ((this.#s.cmd & CMD_RECEIVE) !== 0 && this.#canMaster())
      fis.dmaWrite(this.memory, this.#s.received + at, bytes);
  }

  #takeTaskFile(drive: IdeDrive): void {
    this.#s.tfd = (drive.s.error << 8) | drive.s.status;
  }

  // --- issuing

  /** Starts commands until the drive is busy. */
  #issue(): void {
    if (this.#isIssuing) return;
    this.#isIssuing = true;
    const s = this.#s;
    for (let slot = 0; slot < SLOTS; slot++) {
      if ((s.cmd & CMD_START) === 0 || s.stopped || s.busy !== 0 || !this.#canMaster()) break;
      const bit = (1 << slot) >>> 0;
      if ((s.ci & bit) === 0 || (s.queued & bit) !== 0) continue;
      if (!this.#start(slot)) break;
      if (s.ci !== 0 && s.busy === 0) slot = -1; // commands may have come in behind
    }
    this.#isIssuing = false;
  }

  /** Hands the command of a slot to the drive; false: there is none. */
  #start(slot: number): boolean {
    const s = this.#s;
    const drive = this.#drive;
    if (drive === undefined) return false;
    s.cmd = ((s.cmd & ~CMD_CURRENT_SLOT) | (slot << 8)) >>> 0;
    const header = fis.readHeader(this.memory, s.list, slot);
    const command = fis.readCommandFis(this.memory, header);
    if (command[0] !== fis.FIS_H2D) {
      s.ci = (s.ci & ~(1 << slot)) >>> 0;
      return true;
    }
    if ((command[1]! & 0x80) === 0) this.#control(slot, command[15]!, drive);
    else if (command[2] === READ_FPDMA || command[2] === WRITE_FPDMA)
      this.#startQueued(slot, header, command);
    else this.#startCommand(slot, header, command, drive);
    return true;
  }

  /** A control register FIS: software reset (AHCI 10.4.1). */
  #control(slot: number, control: number, drive: AnyIdeDrive): void {
    const s = this.#s;
    s.ci = (s.ci & ~(1 << slot)) >>> 0;
    const isReset = (control & ata.CONTROL_SRST) !== 0;
    if (isReset) {
      this.#generation++;
      s.queued = 0;
      s.inSoftReset = true;
      drive.softReset();
      s.tfd = ata.STATUS_BSY;
    } else if (s.inSoftReset) {
      s.inSoftReset = false;
      drive.softReset();
      this.#announce(drive);
    }
  }

  #startCommand(slot: number, header: fis.CommandHeader, command: Uint8Array, drive: AnyIdeDrive): void {
    const s = this.#s;
    s.busy = slot + 1;
    s.bytesMoved = 0;
    this.#header = header;
    this.#cursor = new fis.PrdCursor(this.memory, header);
    // The register's previous content is its high half.
    const pairs = [
      [1, 11, 3],
      [2, 13, 12],
      [3, 8, 4],
      [4, 9, 5],
      [5, 10, 6],
    ] as const;
    for (const [register, high, low] of pairs) {
      drive.writeRegister(register, command[high]!);
      drive.writeRegister(register, command[low]!);
    }
    drive.writeRegister(6, command[7]!);
    s.tfd = ata.STATUS_BSY;
    const code = command[2]!;
    if (code === ata.CMD_DIAGNOSTIC || (code === ata.CMD_DEVICE_RESET && drive.isPacket)) {
      drive.softReset();
      this.commandDone(drive);
      return;
    }
    drive.writeCommand(code);
    if (s.busy !== 0) s.tfd = (drive.s.error << 8) | drive.s.status | ata.STATUS_BSY;
  }

  // --- IdeHost

  readonly isSerial = true;

  setIrq(): void {} // FISes bring interrupts

  requestDma(drive: IdeDrive): void {
    const cursor = this.#cursor;
    if (cursor === undefined) return;
    drive.runDma((sizeBytes) => {
      const segments = cursor.take(sizeBytes);
      if (segments !== undefined) this.#s.bytesMoved = sizeBytes;
      return segments;
    });
  }

  /** The table of the command is too short: the transfer overflows. */
  dmaDone(isShort: boolean): void {
    const drive = this.#drive;
    if (!isShort || drive === undefined) return;
    drive.s.error = ata.ERROR_ABRT;
    drive.s.status = ata.STATUS_READY | ata.STATUS_ERR;
    this.#s.is = (this.#s.is | IS_OVERFLOW) >>> 0;
    this.commandDone(drive);
  }

  /** A data block by PIO: all of it moves at once. */
  dataReady(drive: IdeDrive): void {
    const header = this.#header;
    const cursor = this.#cursor;
    if (header === undefined || cursor === undefined) return;
    if (drive.isPacket && drive.s.phase !== PHASE_DATA_IN) {
      drive.moveBlock((block) => block.set(fis.readPacket(this.memory, header, PACKET_BYTES)));
      return;
    }
    const toHost = drive.s.phase === PHASE_DATA_IN;
    const before = drive.s.status;
    drive.moveBlock((block) => {
      const segments = cursor.take(block.length) ?? [];
      const buffer = new DmaBuffer(this.memory, segments, toHost);
      if (toHost) {
        buffer.fill(block);
        buffer.commit();
      } else buffer.read(block);
      this.#s.bytesMoved += buffer.sizeBytes;
      const after = drive.s.status & ~ata.STATUS_DRQ;
      this.#receive(fis.RX_PIO_SETUP, fis.pioSetupFis(drive.s, toHost, before, after, block.length));
      this.#raise(IS_PIO_SETUP);
    });
  }

  commandDone(drive: IdeDrive): void {
    const s = this.#s;
    if (s.busy === 0) return;
    const slot = s.busy - 1;
    s.busy = 0;
    this.#header = undefined;
    this.#cursor = undefined;
    fis.writeByteCount(this.memory, s.list, slot, s.bytesMoved);
    this.#takeTaskFile(drive);
    this.#receive(fis.RX_D2H, fis.d2hFis(drive.s));
    if ((drive.s.status & ata.STATUS_ERR) !== 0) {
      s.stopped = true;
      this.#raise(IS_D2H | IS_TASK_FILE_ERROR);
      return;
    }
    s.ci = (s.ci & ~(1 << slot)) >>> 0;
    this.#raise(IS_D2H);
    this.#issue();
  }

  // --- native command queueing

  #startQueued(slot: number, header: fis.CommandHeader, command: Uint8Array): void {
    const s = this.#s;
    const drive = this.#drive;
    const tag = command[12]! >> 3;
    const sectors = command[3]! | (command[11]! << 8) || 65536;
    const low = command[4]! + command[5]! * 2 ** 8 + command[6]! * 2 ** 16;
    const lba = low + command[8]! * 2 ** 24 + command[9]! * 2 ** 32 + command[10]! * 2 ** 40;
    const isWrite = command[2] === WRITE_FPDMA;
    const segments = new fis.PrdCursor(this.memory, header).take(sectors * ata.SECTOR_BYTES);
    const bit = (1 << slot) >>> 0;
    if (!(drive instanceof AtaDisk) || tag !== slot) {
      this.#failQueued(ata.ERROR_ABRT);
      return;
    }
    if (segments === undefined) {
      this.#s.is = (this.#s.is | IS_OVERFLOW) >>> 0;
      this.#failQueued(ata.ERROR_ABRT);
      return;
    }
    // The drive has taken the command: the bus is free for the next one.
    s.queued = (s.queued | bit) >>> 0;
    s.ci = (s.ci & ~bit) >>> 0;
    const generation = this.#generation;
    const buffer = new DmaBuffer(this.memory, segments, !isWrite);
    drive.queued({ lba, sectors, isWrite, isForced: (command[7]! & 0x80) !== 0 }, buffer, (error) => {
      if (generation !== this.#generation) return;
      s.queued = (s.queued & ~bit) >>> 0;
      if (error !== 0) {
        this.#failQueued(error);
        return;
      }
      fis.writeByteCount(this.memory, s.list, slot, buffer.sizeBytes);
      this.#endQueued(bit);
    });
  }

  #endQueued(bit: number): void {
    const s = this.#s;
    s.sact = (s.sact & ~bit) >>> 0;
    s.tfd = ata.STATUS_READY;
    this.#receive(fis.RX_SET_DEVICE_BITS, fis.setDeviceBitsFis(ata.STATUS_READY, 0, bit));
    this.#raise(IS_SET_DEVICE_BITS);
  }

  #failQueued(error: number): void {
    const s = this.#s;
    const status = ata.STATUS_READY | ata.STATUS_ERR;
    s.stopped = true;
    s.tfd = (error << 8) | status;
    this.#receive(fis.RX_SET_DEVICE_BITS, fis.setDeviceBitsFis(status, error, 0));
    this.#raise(IS_SET_DEVICE_BITS | IS_TASK_FILE_ERROR);
  }

  /** Commands under way when the snapshot was taken begin again. */
  #postLoad(): void {
    const s = this.#s;
    this.#generation++;
    s.busy = Math.min(s.busy, SLOTS);
    s.ci = (s.ci | s.queued) >>> 0;
    s.queued = 0;
    if (s.busy !== 0) {
      s.ci = (s.ci | (1 << (s.busy - 1))) >>> 0;
      s.busy = 0;
      this.#drive?.abort();
    }
    this.#onInterrupt();
    this.#issue();
  }
}

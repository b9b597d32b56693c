/**
 * What ATA disks and ATAPI drives share: the task file, data blocks by programmed I/O, DMA hand-over and completion
 * (ATA/ATAPI-6, T13 1410D, chapters 7 and 9).
 */

import type { AddressSpace } from '../../core/address-space.ts';
import { DmaBuffer, type DmaSegment } from '../../core/dma.ts';
import { below, bool, bytes, num, u8, u32 } from '../../core/vmstate.ts';
import * as ata from './ata.ts';

/** The largest data block by programmed I/O: a packet command's byte count is 16 bits. */
export const PIO_BUFFER_BYTES = 0x1_0000;

/** What a drive waits for. */
export const PHASE_IDLE = 0;
/** The guest reads (or writes) the data block. */
export const PHASE_DATA_IN = 1;
export const PHASE_DATA_OUT = 2;
/** The back end works on a data block, or a flush and the like. */
export const PHASE_BACKEND = 3;
/** A DMA transfer waits for the bus master, or runs. */
export const PHASE_DMA = 4;
const PHASES = 5;

/** Fields of a drive's state; devices add their own. */
export const driveFields = {
  feature: u8(),
  hobFeature: u8(),
  count: u8(1),
  hobCount: u8(),
  lbaLow: u8(1),
  hobLbaLow: u8(),
  lbaMid: u8(),
  hobLbaMid: u8(),
  lbaHigh: u8(),
  hobLbaHigh: u8(),
  device: u8(ata.DEVICE_ALWAYS),
  status: u8(ata.STATUS_READY),
  error: u8(1),
  command: u8(),
  phase: below(PHASES),
  buffer: bytes(PIO_BUFFER_BYTES),
  bufferAt: u32(),
  bufferEnd: u32(),
  /** The present command uses 48-bit addresses. */
  isExt: bool(),
  /** Next sector of the present command, and how many are left. */
  lba: num(),
  left: u32(),
  /** Sectors in a data block of the present command. */
  perBlock: u32(1),
};

export interface DriveState {
  feature: number;
  hobFeature: number;
  count: number;
  hobCount: number;
  lbaLow: number;
  hobLbaLow: number;
  lbaMid: number;
  hobLbaMid: number;
  lbaHigh: number;
  hobLbaHigh: number;
  device: number;
  status: number;
  error: number;
  command: number;
  phase: number;
  buffer: Uint8Array;
  bufferAt: number;
  bufferEnd: number;
  isExt: boolean;
  lba: number;
  left: number;
  perBlock: number;
}

/** What a drive needs of what it is connected to: an IDE channel, an AHCI port. */
export interface IdeHost {
  /** Serial ATA: commands can be queued. */
  readonly isSerial?: boolean;
  readonly memory: AddressSpace;
  setIrq(level: boolean): void;
  /** A command wants to move data by DMA; the host calls `runDma` when its bus master runs, maybe at once. */
  requestDma(drive: IdeDrive): void;
  /** The transfer has ended; `isShort`: the host's list of segments was too short for it. */
  dmaDone(isShort: boolean): void;
  /** A data block is ready for programmed I/O. */
  dataReady?(drive: IdeDrive): void;
  /** The command has ended. */
  commandDone?(drive: IdeDrive): void;
}

export abstract class IdeDrive {
  /** Words: the drive is ATAPI, with the signature of one. */
  abstract readonly isPacket: boolean;
  s: DriveState;
  host: IdeHost | undefined;
  /** Requests under way belong to the generation in which they were made; a reset begins a new one. */
  #generation = 0;

  constructor(state: DriveState) {
    this.s = state;
  }

  /** Carries out a command written to the command register. */
  protected abstract execute(command: number): void;
  /** The guest has read the whole data block. */
  protected abstract onBlockRead(): void;
  /** The guest has written the whole data block. */
  protected abstract onBlockWritten(): void;
  /** The host's bus master runs: bytes of the transfer, and whether they go to memory. */
  protected abstract dmaLength(): { readonly sizeBytes: number; readonly toMemory: boolean };
  protected abstract transferDma(buffer: DmaBuffer): void;
  /** A snapshot was loaded while the back end worked: the request starts again. */
  protected abstract restart(): void;

  /** Power-on and hardware reset. */
  reset(): void {
    this.#generation++;
    const { s } = this;
    s.phase = PHASE_IDLE;
    s.bufferAt = 0;
    s.bufferEnd = 0;
    s.device = ata.DEVICE_ALWAYS;
    s.feature = 0;
    s.command = 0;
    this.setSignature();
    s.status = ata.STATUS_READY;
  }

  /** SRST, DEVICE RESET, EXECUTE DEVICE DIAGNOSTIC: the signature says what kind of device this is (9.12). */
  softReset(): void {
    this.#generation++;
    this.s.phase = PHASE_IDLE;
    this.setSignature();
    this.s.status = this.isPacket ? 0 : ata.STATUS_READY;
  }

  protected setSignature(): void {
    const { s } = this;
    s.device &= ~0x0f;
    s.count = 1;
    s.lbaLow = 1;
    s.lbaMid = this.isPacket ? 0x14 : 0;
    s.lbaHigh = this.isPacket ? 0xeb : 0;
    s.hobCount = 0;
    s.hobLbaLow = 0;
    s.hobLbaMid = 0;
    s.hobLbaHigh = 0;
    s.error = 1; // diagnostic code: passed
  }

  get isBusy(): boolean {
    return (this.s.status & (ata.STATUS_BSY | ata.STATUS_DRQ)) !== 0;
  }

  /** Registers 1…6; the previous content becomes the "high order byte". */
  writeRegister(register: number, value: number): void {
    const { s } = this;
    switch (register) {
      case 1:
        s.hobFeature = s.feature;
        s.feature = value;
        break;
      case 2:
        s.hobCount = s.count;
        s.count = value;
        break;
      case 3:
        s.hobLbaLow = s.lbaLow;
        s.lbaLow = value;
        break;
      case 4:
        s.hobLbaMid = s.lbaMid;
        s.lbaMid = value;
        break;
      case 5:
        s.hobLbaHigh = s.lbaHigh;
        s.lbaHigh = value;
        break;
      default:
        s.device = value | ata.DEVICE_ALWAYS;
    }
  }

  readRegister(register: number, hob: boolean): number {
    const { s } = this;
    switch (register) {
      case 1:
        return hob ? s.hobFeature : s.error;
      case 2:
        return hob ? s.hobCount : s.count;
      case 3:
        return hob ? s.hobLbaLow : s.lbaLow;
      case 4:
        return hob ? s.hobLbaMid : s.lbaMid;
      case 5:
        return hob ? s.hobLbaHigh : s.lbaHigh;
      case 6:
        return s.device;
      default:
        return s.status;
    }
  }

  writeCommand(command: number): void {
    const { s } = this;
    const isReset = this.isPacket && command === ata.CMD_DEVICE_RESET;
    if (this.isBusy && !isReset) return;
    s.command = command;
    s.error = 0;
    s.status = ata.STATUS_READY;
    this.execute(command);
  }

  // --- programmed I/O

  /** A word (or double word, or byte) of the data block; anything outside a block reads as 0. */
  readData(size: number): number {
    const { s } = this;
    if (s.phase !== PHASE_DATA_IN) return 0;
    const at = s.bufferAt;
    let value = 0;
    for (let i = 0; i < size; i++) value |= s.buffer[at + i]! << (8 * i);
    this.#advance(size);
    return value >>> 0;
  }

  writeData(size: number, value: number): void {
    const { s } = this;
    if (s.phase !== PHASE_DATA_OUT) return;
    const at = s.bufferAt;
    const count = Math.min(size, s.bufferEnd - at);
    for (let i = 0; i < count; i++) s.buffer[at + i] = value >>> (8 * i);
    this.#advance(size);
  }

  #advance(size: number): void {
    const { s } = this;
    s.bufferAt = Math.min(s.bufferAt + size, s.bufferEnd);
    if (s.bufferAt < s.bufferEnd) return;
    s.status &= ~ata.STATUS_DRQ;
    if (s.phase === PHASE_DATA_IN) this.onBlockRead();
    else this.onBlockWritten();
  }

  /** Offers `size` bytes of the buffer, from `start`, to the guest. */
  protected offerBlock(size: number, start = 0): void {
    this.#openBlock(PHASE_DATA_IN, size, start);
    this.raiseIrq();
    this.host?.dataReady?.(this);
  }

  /** Waits for `size` bytes of the guest; the first block of a command comes without an interrupt. */
  protected wantBlock(size: number, withIrq: boolean): void {
    this.#openBlock(PHASE_DATA_OUT, size, 0);
    if (withIrq) this.raiseIrq();
    this.host?.dataReady?.(this);
  }

  #openBlock(phase: number, size: number, start: number): void {
    const { s } = this;
    s.phase = phase;
    s.bufferAt = start;
    s.bufferEnd = start + size;
    s.status = ata.STATUS_READY | ata.STATUS_DRQ;
  }

  /** The host moves the whole data block at once: `move` fills it, or takes what it holds. */
  moveBlock(move: (block: Uint8Array) => void): void {
    const { s } = this;
    move(s.buffer.subarray(s.bufferAt, s.bufferEnd));
    this.#advance(s.bufferEnd - s.bufferAt);
  }

  /** The host has given up the present command. */
  abort(): void {
    this.#generation++;
    this.s.phase = PHASE_IDLE;
    this.s.status = ata.STATUS_READY;
  }

  // --- completion

  protected raiseIrq(): void {
    this.host?.setIrq(true);
  }

  /** Ends the command well. */
  protected finish(withIrq = true): void {
    const { s } = this;
    s.phase = PHASE_IDLE;
    s.status = ata.STATUS_READY;
    if (withIrq) this.raiseIrq();
    this.host?.commandDone?.(this);
  }

  /** Ends the command with an error. */
  protected fail(error: number, status = ata.STATUS_DRDY): void {
    const { s } = this;
    s.phase = PHASE_IDLE;
    s.error = error;
    s.status = status | ata.STATUS_ERR;
    this.raiseIrq();
    this.host?.commandDone?.(this);
  }

  // --- back end and DMA

  /** Marks the drive busy; the result runs its callback unless a reset came in between. */
  protected backendCall(done: (error: number) => void): (error: number) => void {
    const generation = this.#generation;
    this.s.phase = PHASE_BACKEND;
    this.s.status = ata.STATUS_BSY | ata.STATUS_DSC;
    return (error) => {
      if (generation === this.#generation) done(error);
    };
  }

  protected waitForDma(): void {
    this.s.phase = PHASE_DMA;
    this.s.status = ata.STATUS_READY | ata.STATUS_DRQ;
    this.host?.requestDma(this);
  }

  get wantsDma(): boolean {
    return this.s.phase === PHASE_DMA && (this.s.status & ata.STATUS_DRQ) !== 0;
  }

  /** The bus master runs. `gather` gives segments for so many bytes, or undefined if its list has fewer. */
  runDma(gather: (sizeBytes: number) => readonly DmaSegment[] | undefined): void {
    const { host } = this;
    if (host === undefined || !this.wantsDma) return;
    const { sizeBytes, toMemory } = this.dmaLength();
    const segments = gather(sizeBytes);
    if (segments === undefined) {
      this.s.phase = PHASE_IDLE;
      this.s.status = ata.STATUS_READY;
      host.dmaDone(true);
      return;
    }
    this.transferDma(new DmaBuffer(host.memory, segments, toMemory));
  }

  /** Marks a DMA transfer as running. */
  protected dmaCall(done: (error: number) => void): (error: number) => void {
    const call = this.backendCall(done);
    this.s.phase = PHASE_DMA;
    return call;
  }

  /** The guest stopped the bus master. False: data is on its way already, and the transfer completes as if nothing had been. */
  cancelDma(): boolean {
    if (this.s.phase !== PHASE_DMA) return true;
    if (!this.wantsDma) return false;
    this.#generation++;
    this.s.phase = PHASE_IDLE;
    this.s.status = ata.STATUS_READY;
    return true;
  }

  /** After a snapshot was loaded. */
  postLoad(state: DriveState): void {
    this.s = state;
    this.#generation++;
    state.bufferEnd = Math.min(state.bufferEnd, PIO_BUFFER_BYTES);
    state.bufferAt = Math.min(state.bufferAt, state.bufferEnd);
    if (state.phase === PHASE_BACKEND) this.restart();
    else if (state.phase === PHASE_DMA) state.status = ata.STATUS_READY | ata.STATUS_DRQ;
  }
}

/**
 * Intel's HD audio controllers of the ICH6 and the ICH9, PCI 8086:2668 and 8086:293e (High Definition Audio Specification 1.0a, chapters 3
 * and 4): four streams in, four out, up to 15 codecs.
 *
 *   00 capabilities, version   04 payloads   08 global control   0c wake enable, state change   10 global status
 *   20 interrupt control   24 interrupt status   30 wall clock   40 CORB   50 RIRB   60 immediate commands   70 positions   80 streams
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Clock } from '../../core/clock.ts';
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import { type AccessSize, MemoryRegion, type MmioDevice } from '../../core/memory-region.ts';
import { bool, defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { Msi } from '../pci/msi.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import type { HdaCodec } from './hda-codec.ts';
import { HdaStream, STREAM_BYTES } from './hda-stream.ts';

const BAR_BYTES = 0x4000;
const INPUTS = 4;
const OUTPUTS = 4;
const STREAMS_AT = 0x80;
export const HDA_CODECS = 15;

/** Four streams each way, 64-bit addresses. */
const CAPABILITIES = (OUTPUTS << 12) | (INPUTS << 8) | 1;
const VERSION = 0x0100;
const PAYLOADS = 0x001d003c;
const RUNNING = 1;
const RING_RUN = 2;
const RING_SIZE = 0x42; // 256 entries, and no other size
const RING_ENTRIES = 256;
const RESPONSE_INTERRUPT_ENABLE = 1;
const RESPONSE_INTERRUPT = 1;
const GLOBAL_INTERRUPTS = 0x8000_0000;
const CONTROLLER_INTERRUPTS = 0x4000_0000;
const IMMEDIATE_VALID = 2;
const IMMEDIATE_BUSY = 1;
const POSITIONS_ENABLED = 1;
const RING_RESET = 0x8000;
const WALL_CLOCK_HZ = 24e6;
const MAX_ADDRESS = 2 ** 52;

const schema = defineState('intel-hda', 1, {
  globalControl: u32(),
  wakeEnable: u16(),
  stateChange: u16(),
  interruptControl: u32(),
  corbLow: u32(),
  corbHigh: u32(),
  corbWrite: u16(),
  corbRead: u16(),
  corbControl: u8(),
  rirbLow: u32(),
  rirbHigh: u32(),
  rirbWrite: u16(),
  rirbInterruptCount: u16(),
  rirbControl: u8(),
  rirbStatus: u8(),
  rirbCount: u16(),
  immediateCommand: u32(),
  immediateResponse: u32(),
  immediateStatus: u16(),
  positionsLow: u32(),
  positionsHigh: u32(),
  level: bool(),
});

export interface IntelHdaPorts {
  readonly memory: AddressSpace;
  readonly clock: Clock;
  readonly msi: MsiSink;
}

export interface IntelHdaOptions {
  readonly deviceId: number;
  readonly revision: number;
  readonly hasMsi: boolean;
}

export class IntelHda implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: IntelHdaPorts;
  readonly #msi: Msi | undefined;
  readonly #streams: readonly HdaStream[];
  readonly #codecs = new Map<number, HdaCodec>();

  constructor(ports: IntelHdaPorts, { deviceId, revision, hasMsi }: IntelHdaOptions) {
    this.#ports = ports;
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId,
      classCode: 0x040300,
      revision,
      interruptPin: 1,
    });
    this.pci.set(0x40, 1, 1); // HDCTL: high definition, not AC '97
    this.#msi = hasMsi ? new Msi(this.pci, ports.msi, 0x60) : undefined;
    this.#streams = Array.from({ length: INPUTS + OUTPUTS }, (_, n) => this.#createStream(n));
    const device: MmioDevice = {
      read: (offset, size) => partOf(this.#read(offset & ~3), offset & 3, size),
      write: (offset, size, value) => this.#writePart(offset, size, value),
    };
    this.pci.addBar(0, 'memory32', MemoryRegion.mmio('intel-hda', BAR_BYTES, device));
    this.vmstate = combineStates('intel-hda-pci', [
      ['pci', this.pci.vmstate],
      ['hda', stateful(schema, this.#s, { postLoad: () => this.#restartStreams() })],
      ...this.#streams.map((stream, n) => [`stream${n}`, stream.vmstate] as const),
    ]);
  }

  #createStream(n: number): HdaStream {
    return new HdaStream({
      memory: this.#ports.memory,
      canMaster: () => (this.pci.command & PCI_COMMAND_MASTER) !== 0,
      onRun: (before) => this.#streamChanged(n, before),
      onInterrupt: () => this.#driveInterrupt(),
      onMoved: () => this.#tellPosition(n),
    });
  }

  /** The lowest free address, or undefined. */
  freeAddress(): number | undefined {
    for (let address = 0; address < HDA_CODECS; address++) if (!this.#codecs.has(address)) return address;
    return undefined;
  }

  /** False: somebody is there. */
  attach(address: number, codec: HdaCodec): boolean {
    if (this.#codecs.has(address)) return false;
    this.#codecs.set(address, codec);
    return true;
  }

  detach(codec: HdaCodec): void {
    for (const [address, there] of this.#codecs) if (there === codec) this.#codecs.delete(address);
  }

  reset(): void {
    this.pci.reset();
    this.#resetController();
    this.#driveInterrupt();
  }

  #resetController(): void {
    const { level } = this.#s;
    schema.reset(this.#s);
    this.#s.level = level;
    for (const stream of this.#streams) stream.reset();
    for (const codec of this.#codecs.values()) codec.reset();
  }

  // ---- registers

  #read(offset: number): number {
    const s = this.#s;
    if (offset >= STREAMS_AT) {
      const stream = this.#streams[Math.floor((offset - STREAMS_AT) / STREAM_BYTES)];
      return stream?.read((offset - STREAMS_AT) % STREAM_BYTES) ?? 0;
    }
    switch (offset) {
      case 0x00:
        return CAPABILITIES | (VERSION << 16);
      case 0x04:
        return PAYLOADS;
      case 0x08:
        return s.globalControl;
      case 0x0c:
        return s.wakeEnable | (s.stateChange << 16);
      case 0x20:
        return s.interruptControl;
      case 0x24:
        return this.#interruptStatus();
      case 0x30:
        return Math.floor((this.#ports.clock.nowNs() * WALL_CLOCK_HZ) / 1e9) % 2 ** 32;
      case 0x40:
        return s.corbLow;
      case 0x44:
        return s.corbHigh;
      case 0x48:
        return s.corbWrite | (s.corbRead << 16);
      case 0x4c:
        return s.corbControl | (RING_SIZE << 16);
      case 0x50:
        return s.rirbLow;
      case 0x54:
        return s.rirbHigh;
      case 0x58:
        return s.rirbWrite | (s.rirbInterruptCount << 16);
      case 0x5c:
        return s.rirbControl | (s.rirbStatus << 8) | (RING_SIZE << 16);
      case 0x60:
        return s.immediateCommand;
      case 0x64:
        return s.immediateResponse;
      case 0x68:
        return s.immediateStatus;
      case 0x70:
        return s.positionsLow;
      case 0x74:
        return s.positionsHigh;
      default:
        return 0;
    }
  }

  #writePart(offset: number, size: AccessSize, value: number): void {
    const shift = 8 * (offset & 3);
    const mask = ((size === 4 ? 0xffffffff : (1 << (8 * size)) - 1) << shift) >>> 0;
    const moved = (value << shift) >>> 0;
    const at = offset & ~3;
    if (at >= STREAMS_AT) {
      const stream = this.#streams[Math.floor((at - STREAMS_AT) / STREAM_BYTES)];
      stream?.write((at - STREAMS_AT) % STREAM_BYTES, moved, mask);
    } else this.#write(at, moved, mask);
  }

  #write(offset: number, value: number, mask: number): void {
    const s = this.#s;
    const merged = (old: number): number => ((old & ~mask) | (value & mask)) >>> 0;
    const has = (bit: number): boolean => (value & mask & bit) !== 0;
    switch (offset) {
      case 0x08:
        this.#writeGlobalControl(merged(s.globalControl));
        break;
      case 0x0c:
        s.wakeEnable = merged(s.wakeEnable) & 0x7fff;
        s.stateChange &= ~((value & mask) >>> 16);
        break;
      case 0x20:
        s.interruptControl = merged(s.interruptControl);
        break;
      case 0x40:
        s.corbLow = (merged(s.corbLow) & ~0x7f) >>> 0;
        break;
      case 0x44:
        s.corbHigh = merged(s.corbHigh);
        break;
      case 0x48:
        if ((mask & 0xffff) !== 0) s.corbWrite = merged(s.corbWrite) & 0xff;
        if (mask >>> 16 !== 0) s.corbRead = has(RING_RESET << 16) ? RING_RESET : s.corbRead & 0xff;
        this.#runCorb();
        break;
      case 0x4c:
        s.corbControl = merged(s.corbControl) & 3;
        this.#runCorb();
        break;
      case 0x50:
        s.rirbLow = (merged(s.rirbLow) & ~0x7f) >>> 0;
        break;
      case 0x54:
        s.rirbHigh = merged(s.rirbHigh);
        break;
      case 0x58:
        if (has(RING_RESET)) s.rirbWrite = 0;
        if (mask >>> 16 !== 0) s.rirbInterruptCount = (merged(0) >>> 16) & 0xff;
        break;
      case 0x5c:
        if ((mask & 0xff) !== 0) s.rirbControl = merged(s.rirbControl) & 7;
        s.rirbStatus &= ~(((value & mask) >>> 8) & 5);
        if (s.rirbStatus === 0) s.rirbCount = 0;
        this.#runCorb();
        break;
      case 0x60:
        s.immediateCommand = merged(s.immediateCommand);
        break;
      case 0x68:
        s.immediateStatus &= ~(value & mask & IMMEDIATE_VALID);
        if (has(IMMEDIATE_BUSY)) this.#runImmediate();
        break;
      case 0x70:
        s.positionsLow = (merged(s.positionsLow) & ~0x7e) >>> 0;
        break;
      case 0x74:
        s.positionsHigh = merged(s.positionsHigh);
    }
    this.#driveInterrupt();
  }

  #writeGlobalControl(value: number): void {
    const s = this.#s;
    if ((value & RUNNING) === 0) this.#resetController();
    // Out of reset, the codecs that are there announce themselves (4.3).
    else if ((s.globalControl & RUNNING) === 0)
      s.stateChange = [...this.#codecs.keys()].reduce((bits, address) => bits | (1 << address), 0);
    s.globalControl = value & 0x101;
  }

  // ---- commands

  #command(command: number): number {
    const codec = this.#codecs.get(command >>> 28);
    const response = codec?.command((command >>> 20) & 0x7f, command & 0xfffff) ?? 0;
    // The verb may have told the codec another stream.
    if (((command >> 8) & 0xfff) === 0x706) this.#restartStreams();
    return response >>> 0;
  }

  #runCorb(): void {
    const s = this.#s;
    if ((s.corbControl & RING_RUN) === 0 || (s.corbRead & RING_RESET) !== 0) return;
    for (let n = 0; n < RING_ENTRIES && s.corbRead !== s.corbWrite; n++) {
      // Responses wait to be seen (3.3.27).
      if (s.rirbCount > 0 && s.rirbCount === (s.rirbInterruptCount || RING_ENTRIES)) return;
      s.corbRead = (s.corbRead + 1) & 0xff;
      const view = this.#ringEntry(s.corbHigh, s.corbLow + 4 * s.corbRead, 4);
      const command = view.getUint32(0, true);
      this.#respond(this.#command(command), command >>> 28);
    }
  }

  #ringEntry(high: number, low: number, bytes: number): DataView {
    const view = new DataView(new ArrayBuffer(bytes));
    const address = high * 2 ** 32 + low;
    if (this.#canMaster && address + bytes < MAX_ADDRESS)
      this.#ports.memory.readBytes(address, new Uint8Array(view.buffer));
    return view;
  }

  get #canMaster(): boolean {
    return (this.pci.command & PCI_COMMAND_MASTER) !== 0;
  }

  #respond(response: number, codec: number): void {
    const s = this.#s;
    if ((s.rirbControl & RING_RUN) === 0) return;
    s.rirbWrite = (s.rirbWrite + 1) & 0xff;
    const entry = new DataView(new ArrayBuffer(8));
    entry.setUint32(0, response, true);
    entry.setUint32(4, codec, true);
    const address = s.rirbHigh * 2 ** 32 + s.rirbLow + 8 * s.rirbWrite;
    if (this.#canMaster && address + 8 < MAX_ADDRESS)
      this.#ports.memory.writeBytes(address, new Uint8Array(entry.buffer));
    s.rirbCount++;
    const isDue = s.rirbCount === (s.rirbInterruptCount || RING_ENTRIES) || s.corbRead === s.corbWrite;
    if (isDue && (s.rirbControl & RESPONSE_INTERRUPT_ENABLE) !== 0) s.rirbStatus |= RESPONSE_INTERRUPT;
    else if (isDue) s.rirbCount = 0;
  }

  #runImmediate(): void {
    const s = this.#s;
    s.immediateResponse = this.#command(s.immediateCommand);
    s.immediateStatus = IMMEDIATE_VALID;
  }

  // ---- streams

  #streamChanged(n: number, before: number): void {
    const stream = this.#streams[n]!;
    const isOutput = n >= INPUTS;
    for (const codec of this.#codecs.values()) {
      if (before !== stream.number || !stream.isRunning) codec.streamChanged(before, isOutput, undefined);
      if (stream.isRunning) codec.streamChanged(stream.number, isOutput, stream);
    }
  }

  #restartStreams(): void {
    this.#streams.forEach((stream, n) => {
      if (stream.isRunning) this.#streamChanged(n, stream.number);
    });
  }

  /** The positions of all streams, eight bytes each (3.3.31). */
  #tellPosition(n: number): void {
    const s = this.#s;
    if ((s.positionsLow & POSITIONS_ENABLED) === 0 || !this.#canMaster) return;
    const address = s.positionsHigh * 2 ** 32 + (s.positionsLow & ~POSITIONS_ENABLED) + 8 * n;
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, this.#streams[n]!.position, true);
    if (address + 4 < MAX_ADDRESS) this.#ports.memory.writeBytes(address, new Uint8Array(view.buffer));
  }

  // ---- interrupts

  #interruptStatus(): number {
    const s = this.#s;
    let status = this.#streams.reduce((bits, stream, n) => bits | (stream.hasInterrupt ? 1 << n : 0), 0);
    if ((s.rirbStatus & RESPONSE_INTERRUPT) !== 0) status |= CONTROLLER_INTERRUPTS;
    if ((s.stateChange & s.wakeEnable) !== 0) status |= CONTROLLER_INTERRUPTS;
    return (status & s.interruptControl) !== 0 ? (status | GLOBAL_INTERRUPTS) >>> 0 : status >>> 0;
  }

  #driveInterrupt(): void {
    const s = this.#s;
    const enabled = (s.interruptControl & GLOBAL_INTERRUPTS) !== 0;
    const controller = this.#interruptStatus() & s.interruptControl & CONTROLLER_INTERRUPTS;
    const stream = this.#streams.some((one, n) => one.interrupts && (s.interruptControl & (1 << n)) !== 0);
    const level = enabled && (controller !== 0 || stream);
    const rises = level && !s.level;
    s.level = level;
    if (this.#msi?.enabled === true) {
      if (rises) this.#msi.notify();
    } else this.pci.setIntx(level);
  }
}

/** The bytes of a 32-bit register that an access reads. */
function partOf(word: number, at: number, size: AccessSize): number {
  return ((word >>> (8 * at)) & (size === 4 ? -1 : (1 << (8 * size)) - 1)) >>> 0;
}

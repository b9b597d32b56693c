/**
 * A pair of 8237A DMA controllers as the PC AT wires them (Intel 231466; page registers and cascade: IBM PC AT Technical
 * Reference). Channels 0…3 move bytes, 5…7 words; channel 4 is the cascade.
 *
 *     controller: +0…7 address and count of its channels, low byte first   +8 status/command   +9 request   +a mask bit
 *     +b mode   +c clear byte pointer   +d master clear   +e clear mask   +f all masks
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { DmaBuffer } from '../../core/dma.ts';
import type { MmioDevice } from '../../core/memory-region.ts';
import { array, bool, defineState, stateful, struct, u8, u16 } from '../../core/vmstate.ts';

export const DMA_CONTROLLER_PORTS = 16;
/** The second controller's registers lie at even ports. */
export const DMA_SLAVE_PORTS = 32;
export const DMA_PAGE_PORTS = 16;

const MODE_READ_MEMORY = 2;
const MODE_WRITE_MEMORY = 1;
const MODE_AUTO = 0x10;
const MODE_DOWN = 0x20;
const COMMAND_DISABLE = 0x04;
/** Page register (port − 0x80) of each channel. */
const PAGE_OF_CHANNEL = [7, 3, 1, 2, 15, 11, 9, 10] as const;

const schema = defineState('i8237', 1, {
  channels: array(
    8,
    struct({ baseAddress: u16(), baseCount: u16(), address: u16(), count: u16(), mode: u8() }),
  ),
  pages: array(16, u8()),
  masks: array(2, u8(0x0f)),
  commands: array(2, u8()),
  terminal: array(2, u8()),
  requests: array(2, u8()),
  highByte: array(2, bool()),
});

/** One channel as a device uses it. */
export interface DmaChannel {
  /** The device asks for service (DREQ). */
  setRequest(level: boolean): void;
  /** Moves bytes to memory and returns how many the channel took; `isTerminal` tells of the terminal count. */
  toMemory(bytes: Uint8Array): number;
  /** Fills `bytes` from memory. */
  fromMemory(bytes: Uint8Array): number;
  /** Verify mode and others move nothing but count. */
  readonly isEnabled: boolean;
  readonly isTerminal: boolean;
}

export class I8237Pair implements Device {
  /** Ports 0x00 and 0xc0 (a register every two ports). */
  readonly first: MmioDevice;
  readonly second: MmioDevice;
  /** Ports 0x80…0x8f. */
  readonly pages: MmioDevice;
  readonly vmstate;
  readonly #s = schema.create();
  readonly #memory: AddressSpace;

  constructor(memory: AddressSpace) {
    this.#memory = memory;
    this.vmstate = stateful(schema, this.#s);
    this.first = {
      read: (offset) => this.#read(0, offset),
      write: (offset, _size, value) => this.#write(0, offset, value & 0xff),
    };
    this.second = {
      read: (offset) => this.#read(1, offset >> 1),
      write: (offset, _size, value) => this.#write(1, offset >> 1, value & 0xff),
    };
    this.pages = {
      read: (offset) => this.#s.pages[offset & 15]!,
      write: (offset, _size, value) => {
        this.#s.pages[offset & 15] = value & 0xff;
      },
    };
  }

  reset(): void {
    schema.reset(this.#s);
  }

  channel(n: number): DmaChannel {
    const controller = n >> 2;
    const bit = 1 << (n & 3);
    const s = this.#s;
    const isEnabled = (): boolean =>
      ((s.masks[controller]! & bit) | (s.commands[controller]! & COMMAND_DISABLE)) === 0;
    return {
      setRequest: (level) => {
        s.requests[controller] = level ? s.requests[controller]! | bit : s.requests[controller]! & ~bit;
      },
      toMemory: (bytes) => (isEnabled() ? this.#move(n, bytes, true) : 0),
      fromMemory: (bytes) => (isEnabled() ? this.#move(n, bytes, false) : 0),
      get isEnabled() {
        return isEnabled();
      },
      get isTerminal() {
        return (s.terminal[controller]! & bit) !== 0;
      },
    };
  }

  #move(n: number, bytes: Uint8Array, toMemory: boolean): number {
    const channel = this.#s.channels[n]!;
    const unit = n >= 4 ? 2 : 1;
    const left = (channel.count + 1) * unit;
    const size = Math.min(bytes.length, left);
    const transfer = (channel.mode >> 2) & 3;
    const matches = transfer === (toMemory ? MODE_WRITE_MEMORY : MODE_READ_MEMORY);
    if (matches) this.#copy(n, bytes.subarray(0, size), toMemory);
    this.#advance(n, Math.ceil(size / unit));
    return size;
  }

  /** The address counter wraps within its page. */
  #copy(n: number, bytes: Uint8Array, toMemory: boolean): void {
    const channel = this.#s.channels[n]!;
    const isWide = n >= 4;
    const page = this.#s.pages[PAGE_OF_CHANNEL[n]!]!;
    const base = (isWide ? page & 0xfe : page) << 16;
    const start = isWide ? channel.address << 1 : channel.address;
    const limit = isWide ? 0x2_0000 : 0x1_0000;
    const isDown = (channel.mode & MODE_DOWN) !== 0;
    const ordered = isDown ? bytes.slice() : bytes;
    const lowest = isDown ? start - bytes.length + 1 : start;
    if (isDown && toMemory) ordered.reverse();
    const first = Math.min(bytes.length, limit - (lowest & (limit - 1)));
    const segments = [{ addr: base + (lowest & (limit - 1)), sizeBytes: first }];
    if (first < bytes.length) segments.push({ addr: base, sizeBytes: bytes.length - first });
    const buffer = new DmaBuffer(this.#memory, segments, toMemory);
    if (toMemory) {
      buffer.fill(ordered);
      buffer.commit();
    } else {
      buffer.read(ordered);
      if (isDown) bytes.set(ordered.reverse());
    }
  }

  #advance(n: number, units: number): void {
    const s = this.#s;
    const channel = s.channels[n]!;
    const step = (channel.mode & MODE_DOWN) !== 0 ? -units : units;
    channel.address = (channel.address + step) & 0xffff;
    const isEnd = units > channel.count;
    channel.count = (channel.count - units) & 0xffff;
    if (!isEnd) return;
    const controller = n >> 2;
    const bit = 1 << (n & 3);
    s.terminal[controller] = s.terminal[controller]! | bit;
    if ((channel.mode & MODE_AUTO) !== 0) {
      channel.address = channel.baseAddress;
      channel.count = channel.baseCount;
    } else s.masks[controller] = s.masks[controller]! | bit;
  }

  #read(controller: number, register: number): number {
    const s = this.#s;
    if (register < 8) {
      const channel = s.channels[controller * 4 + (register >> 1)]!;
      return this.#half(controller, (register & 1) === 0 ? channel.address : channel.count);
    }
    if (register === 8) {
      const value = s.terminal[controller]! | (s.requests[controller]! << 4);
      s.terminal[controller] = 0;
      return value;
    }
    return register === 15 ? s.masks[controller]! | 0xf0 : 0xff;
  }

  #half(controller: number, value: number): number {
    const isHigh = this.#s.highByte[controller]!;
    this.#s.highByte[controller] = !isHigh;
    return isHigh ? value >> 8 : value & 0xff;
  }

  #write(controller: number, register: number, value: number): void {
    const s = this.#s;
    if (register < 8) {
      this.#writeCounter(controller, register, value);
      return;
    }
    const bit = 1 << (value & 3);
    switch (register) {
      case 8:
        s.commands[controller] = value;
        break;
      case 9:
        s.requests[controller] =
          (value & 4) !== 0 ? s.requests[controller]! | bit : s.requests[controller]! & ~bit;
        break;
      case 10:
        s.masks[controller] = (value & 4) !== 0 ? s.masks[controller]! | bit : s.masks[controller]! & ~bit;
        break;
      case 11:
        s.channels[controller * 4 + (value & 3)]!.mode = value;
        break;
      case 12:
        s.highByte[controller] = false;
        break;
      case 13:
        s.highByte[controller] = false;
        s.masks[controller] = 0x0f;
        s.terminal[controller] = 0;
        s.requests[controller] = 0;
        s.commands[controller] = 0;
        break;
      case 14:
        s.masks[controller] = 0;
        break;
      default:
        s.masks[controller] = value & 0x0f;
    }
  }

  #writeCounter(controller: number, register: number, value: number): void {
    const s = this.#s;
    const channel = s.channels[controller * 4 + (register >> 1)]!;
    const isHigh = s.highByte[controller]!;
    s.highByte[controller] = !isHigh;
    const put = (old: number): number => (isHigh ? (old & 0xff) | (value << 8) : (old & 0xff00) | value);
    if ((register & 1) === 0) {
      channel.baseAddress = put(channel.baseAddress);
      channel.address = channel.baseAddress;
    } else {
      channel.baseCount = put(channel.baseCount);
      channel.count = channel.baseCount;
      if (isHigh) s.terminal[controller] = s.terminal[controller]! & ~(1 << (register >> 1));
    }
  }
}

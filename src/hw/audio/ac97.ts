/**
 * The AC '97 controller of the ICH, PCI 8086:2415 (Intel 82801AA datasheet 290655, chapter 13), with one codec.
 *
 *   BAR 0: the codec's registers.   BAR 1: bus master; PCM in at 00, PCM out at 10, microphone at 20:
 *   +00 base of 32 descriptors   +04 current   +05 last valid   +06 status   +08 samples left   +0a prefetched   +0b control
 *   2c global control   30 global status   34 codec access semaphore
 *
 * A descriptor is the address of a buffer, its length in samples (bits 15:0), and flags: bit 31 interrupt, bit 30 silence at the end.
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { AudioBackend, AudioVoice } from '../../core/audio.ts';
import type { Device } from '../../core/device.ts';
import {
  type AccessSize,
  MemoryRegion,
  type MmioDevice,
  type MmioOptions,
} from '../../core/memory-region.ts';
import { defineState, type Stateful, stateful, u8 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { Ac97Codec } from './ac97-codec.ts';
import { Ac97Engine, type EnginePorts } from './ac97-engine.ts';

const CODEC_BYTES = 1024;
const MASTER_BYTES = 256;
const CODEC_REGISTERS = 128;
/** The codec's registers have 16 bits. */
const WORDS: MmioOptions = { impl: { min: 2, max: 2 } };
/** Registers of an engine; the rest of its 16 bytes belongs to the controller. */
const ENGINE_USED = 12;

const GLOBAL_CONTROL = 0x2c;
const GLOBAL_STATUS = 0x30;
const SEMAPHORE = 0x34;

/** Cleared by software to reset the codec, set in normal operation. */
const COLD_RESET = 1 << 1;
const WARM_RESET = 1 << 2;
const CONTROL_WRITABLE = 0x3f;
const PRIMARY_READY = 1 << 8;
/** Interrupts of PCM in, PCM out and microphone. */
const ENGINE_INTERRUPT = [1 << 5, 1 << 6, 1 << 7] as const;

const schema = defineState('ac97', 1, { control: u8(COLD_RESET), semaphore: u8() });

export interface Ac97Ports {
  readonly memory: AddressSpace;
  readonly audio: AudioBackend;
}

export class Ac97 implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #codec = new Ac97Codec();
  readonly #engines: readonly [Ac97Engine, Ac97Engine, Ac97Engine];

  constructor({ memory, audio }: Ac97Ports) {
    this.pci = new PciFunction({
      vendorId: 0x8086,
      deviceId: 0x2415,
      classCode: 0x040100,
      revision: 1,
      interruptPin: 1,
    });
    const { pci } = this;
    const codec = this.#codec;
    const gain = (side: 'left' | 'right') => (): number => codec.outputGain(side);
    const engine = (rateHz: () => number, connect: (engine: Ac97Engine) => AudioVoice): Ac97Engine => {
      const ports: EnginePorts = {
        memory,
        rateHz,
        canMaster: () => (pci.command & PCI_COMMAND_MASTER) !== 0,
        gains: [gain('left'), gain('right')],
        connect,
        onInterrupt: () => this.#driveInterrupt(),
      };
      return new Ac97Engine(ports);
    };
    const input = (e: Ac97Engine): AudioVoice => audio.addInput((from, frames) => e.record(from, frames));
    const output = (e: Ac97Engine): AudioVoice => audio.addOutput((into, frames) => e.play(into, frames));
    this.#engines = [
      engine(() => codec.inputRateHz, input),
      engine(() => codec.outputRateHz, output),
      engine(() => codec.microphoneRateHz, input),
    ];
    pci.addBar(0, 'io', MemoryRegion.mmio('ac97-nam', CODEC_BYTES, this.#codecPorts(), WORDS));
    pci.addBar(1, 'io', MemoryRegion.mmio('ac97-nabm', MASTER_BYTES, this.#masterPorts()));
    this.vmstate = combineStates('ac97-pci', [
      ['pci', pci.vmstate],
      ['ac97', stateful(schema, this.#s)],
      ['codec', codec.vmstate],
      ['in', this.#engines[0].vmstate],
      ['out', this.#engines[1].vmstate],
      ['mic', this.#engines[2].vmstate],
    ]);
  }

  reset(): void {
    this.pci.reset();
    schema.reset(this.#s);
    this.#codec.reset();
    for (const engine of this.#engines) engine.reset();
  }

  #codecPorts(): MmioDevice {
    return {
      read: (offset) => {
        this.#s.semaphore = 0;
        return offset < CODEC_REGISTERS ? this.#codec.read(offset) : 0xffff;
      },
      write: (offset, _size, value) => {
        this.#s.semaphore = 0;
        if (offset < CODEC_REGISTERS) this.#codec.write(offset, value);
      },
    };
  }

  #masterPorts(): MmioDevice {
    return {
      read: (offset, size) => {
        let value = 0;
        for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
        return value >>> 0;
      },
      write: (offset: number, size: AccessSize, value: number) => {
        for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
      },
    };
  }

  #readByte(offset: number): number {
    const engine = this.#engines[offset >> 4];
    if (engine !== undefined && (offset & 15) < ENGINE_USED) return engine.read(offset & 15);
    if (offset === GLOBAL_CONTROL) return this.#s.control;
    if (offset >= GLOBAL_STATUS && offset < GLOBAL_STATUS + 4)
      return (this.#globalStatus() >> (8 * (offset - GLOBAL_STATUS))) & 0xff;
    return offset === SEMAPHORE ? this.#takeSemaphore() : 0;
  }

  /** Reading it takes it; an access to the codec gives it back (13.2.10). */
  #takeSemaphore(): number {
    const taken = this.#s.semaphore;
    this.#s.semaphore = 1;
    return taken;
  }

  #globalStatus(): number {
    return this.#engines.reduce(
      (status, engine, n) => status | (engine.interrupts ? ENGINE_INTERRUPT[n]! : 0),
      PRIMARY_READY,
    );
  }

  #writeByte(offset: number, value: number): void {
    const engine = this.#engines[offset >> 4];
    if (engine !== undefined && (offset & 15) < ENGINE_USED) engine.write(offset & 15, value);
    else if (offset === GLOBAL_CONTROL) this.#writeControl(value);
  }

  #writeControl(value: number): void {
    if ((value & COLD_RESET) === 0) {
      this.#codec.reset();
      for (const engine of this.#engines) engine.reset();
      this.#driveInterrupt();
    }
    // A warm reset is over at once.
    this.#s.control = value & CONTROL_WRITABLE & ~WARM_RESET;
  }

  #driveInterrupt(): void {
    this.pci.setIntx(this.#engines.some((engine) => engine.interrupts));
  }
}

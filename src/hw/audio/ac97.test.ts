import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import type { PcmParameters, PcmSink, PcmSource } from '../../core/audio.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { type AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { Ac97 } from './ac97.ts';

const CODEC = 0xc000;
const MASTER = 0xc400;
const [IN, OUT] = [0x00, 0x10];
const [BASE, CURRENT, LAST, STATUS, LEFT, CONTROL] = [0, 4, 5, 6, 8, 11];
const [RUN, LVBIE, IOCE] = [1, 4, 16];
const LIST = 0x1000;

class Voice {
  parameters: PcmParameters | undefined;
  readonly transfer: PcmSource | PcmSink;

  constructor(transfer: PcmSource | PcmSink) {
    this.transfer = transfer;
  }

  get isRunning(): boolean {
    return this.parameters !== undefined;
  }

  start(parameters: PcmParameters): void {
    this.parameters = parameters;
  }

  stop(): void {
    this.parameters = undefined;
  }
}

function world() {
  const root = MemoryRegion.container('memory', 2 ** 32);
  root.add(0, MemoryRegion.ram('ram', 65536, 0));
  const ram = new Uint8Array(65536);
  const memory = new AddressSpace('memory', root, new GuestRam(ram));
  const io = MemoryRegion.container('io', 65536);
  const ports = new AddressSpace('io', io, new GuestRam(new Uint8Array(0)));
  const pin = { level: false };
  const bus = new PciBus(root, io, (_slot, _pin, level) => (pin.level = level));
  const voices: Voice[] = [];
  const add = (transfer: PcmSource | PcmSink): Voice => {
    const voice = new Voice(transfer);
    voices.push(voice);
    return voice;
  };
  const device = new Ac97({ memory, audio: { addOutput: add, addInput: add } });
  bus.add(4, 0, device.pci);
  device.reset();
  device.pci.writeConfig(0x10, 4, CODEC);
  device.pci.writeConfig(0x14, 4, MASTER);
  device.pci.writeConfig(4, 2, 5);
  const view = new DataView(ram.buffer);
  return {
    device,
    pin,
    view,
    input: voices[0]!,
    output: voices[1]!,
    read: (port: number, size: AccessSize) => ports.read(port, size),
    write: (port: number, size: AccessSize, value: number) => ports.write(port, size, value),
    describe: (n: number, address: number, samples: number, flags = 0) => {
      view.setUint32(LIST + 8 * n, address, true);
      view.setUint32(LIST + 8 * n + 4, (samples | flags) >>> 0, true);
    },
    play: (frames: number): number[] => {
      const into = new Int16Array(2 * frames);
      const got = (voices[1]!.transfer as PcmSource)(into, frames);
      return [...into.subarray(0, 2 * got)];
    },
  };
}

test('the codec: identity, defaults, variable rates', () => {
  const w = world();
  assert.equal(w.read(CODEC + 0x7c, 4), 0x76008384);
  assert.equal(w.read(CODEC + 2, 2), 0x8000);
  w.write(CODEC + 0x2c, 2, 22050);
  assert.equal(w.read(CODEC + 0x2c, 2), 48000, 'fixed without VRA');
  w.write(CODEC + 0x2a, 2, 1);
  w.write(CODEC + 0x2c, 2, 22050);
  assert.equal(w.read(CODEC + 0x2c, 2), 22050);
  w.write(CODEC, 2, 0);
  assert.equal(w.read(CODEC + 0x2c, 2), 48000, 'a reset');
  assert.equal(w.read(CODEC + 0x26, 2) & 15, 15, 'ready');
});

test('the semaphore is taken by reading it and given back by the codec', () => {
  const w = world();
  assert.deepEqual([w.read(MASTER + 0x34, 1), w.read(MASTER + 0x34, 1)], [0, 1]);
  w.read(CODEC + 2, 2);
  assert.equal(w.read(MASTER + 0x34, 1), 0);
  assert.equal(w.read(MASTER + 0x30, 4), 0x100, 'the codec is ready');
});

/** Full level: 0 dB. */
function unmute(w: ReturnType<typeof world>): void {
  w.write(CODEC + 2, 2, 0);
  w.write(CODEC + 0x18, 2, 0x0808);
}

test('descriptors are played in turn; interrupts on completion and at the last', () => {
  const w = world();
  unmute(w);
  for (let i = 0; i < 8; i++) w.view.setInt16(0x2000 + 2 * i, 100 + i, true);
  w.describe(0, 0x2000, 4, 0x8000_0000);
  w.describe(1, 0x2008, 4);
  w.write(MASTER + OUT + BASE, 4, LIST);
  w.write(MASTER + OUT + LAST, 1, 1);
  w.write(MASTER + OUT + CONTROL, 1, RUN | LVBIE | IOCE);
  assert.deepEqual(w.output.parameters, { rateHz: 48000, channels: 2 });
  assert.deepEqual(w.play(1), [100, 101]);
  assert.equal(w.read(MASTER + OUT + LEFT, 2), 2);
  assert.equal(w.pin.level, false);
  assert.deepEqual(w.play(1), [102, 103]);
  assert.equal(w.read(MASTER + OUT + CURRENT, 1), 1);
  assert.equal(w.read(MASTER + OUT + STATUS, 2), 8);
  assert.equal(w.read(MASTER + 0x30, 4), 0x140);
  assert.equal(w.pin.level, true);
  w.write(MASTER + OUT + STATUS, 2, 8);
  assert.equal(w.pin.level, false);
  assert.deepEqual(w.play(4), [104, 105, 106, 107], 'and then halts');
  assert.equal(w.read(MASTER + OUT + STATUS, 2), 7);
  assert.equal(w.output.isRunning, false);
  assert.equal(w.pin.level, true);
});

test('a halted engine goes on when the last valid index moves; a stopped one where it was', () => {
  const w = world();
  unmute(w);
  for (let i = 0; i < 8; i++) w.view.setInt16(0x2000 + 2 * i, i, true);
  w.describe(0, 0x2000, 4);
  w.describe(1, 0x2008, 4);
  w.write(MASTER + OUT + BASE, 4, LIST);
  w.write(MASTER + OUT + CONTROL, 1, RUN);
  assert.deepEqual(w.play(8), [0, 1, 2, 3]);
  w.write(MASTER + OUT + LAST, 1, 1);
  assert.equal(w.output.isRunning, true);
  assert.deepEqual(w.play(1), [4, 5]);
  w.write(MASTER + OUT + CONTROL, 1, 0);
  assert.equal(w.output.isRunning, false);
  w.write(MASTER + OUT + CONTROL, 1, RUN);
  assert.deepEqual(w.play(8), [6, 7]);
});

test('volumes: muted at first, 1.5 dB a step', () => {
  const w = world();
  w.view.setInt16(0x2000, 10000, true);
  w.view.setInt16(0x2002, 10000, true);
  const once = (): number[] => {
    w.describe(0, 0x2000, 2);
    w.write(MASTER + OUT + CONTROL, 1, 2);
    w.write(MASTER + OUT + BASE, 4, LIST);
    w.write(MASTER + OUT + CONTROL, 1, RUN);
    return w.play(1);
  };
  assert.deepEqual(once(), [0, 0]);
  unmute(w);
  assert.deepEqual(once(), [10000, 10000]);
  w.write(CODEC + 2, 2, 0x0400);
  assert.deepEqual(once(), [5011, 10000], '6 dB on the left');
});

test('recording writes guest memory', () => {
  const w = world();
  w.describe(0, 0x3000, 4, 0x8000_0000);
  w.write(MASTER + IN + BASE, 4, LIST);
  w.write(MASTER + IN + CONTROL, 1, RUN | IOCE);
  (w.input.transfer as PcmSink)(Int16Array.of(1, -2, 3, -4), 2);
  assert.deepEqual(
    [0, 2, 4, 6].map((o) => w.view.getInt16(0x3000 + o, true)),
    [1, -2, 3, -4],
  );
  assert.equal(w.pin.level, true);
});

testStateRoundTrip('AC97', () => world().device);

test('a ring of empty descriptors, and a function that may not master, end', () => {
  const w = world();
  for (let n = 0; n < 32; n++) w.describe(n, 0x2000, 0);
  w.write(MASTER + OUT + BASE, 4, LIST);
  w.write(MASTER + OUT + LAST, 1, 31);
  w.write(MASTER + OUT + CONTROL, 1, RUN);
  assert.deepEqual(w.play(1000), []);
  w.device.pci.writeConfig(4, 2, 1);
  w.write(MASTER + OUT + CONTROL, 1, 2);
  w.write(MASTER + OUT + BASE, 4, 0xfffffff8);
  w.write(MASTER + OUT + CONTROL, 1, RUN);
  assert.deepEqual(w.play(1000), []);
});

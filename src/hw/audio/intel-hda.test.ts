import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import type { AudioBackend, PcmParameters, PcmSource } from '../../core/audio.ts';
import { ManualClock } from '../../core/clock.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { type AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { HdaCodec, hdaFormat } from './hda-codec.ts';
import { IntelHda } from './intel-hda.ts';

const BAR = 0x8000_0000;
const CORB = 0x1000;
const RIRB = 0x2000;
const LIST = 0x3000;
const POSITIONS = 0x4000;
const BUFFER = 0x5000;
const OUT0 = 0x80 + 4 * 0x20;
const DAC = 2;

function world() {
  const root = MemoryRegion.container('memory', 2 ** 36);
  root.add(0, MemoryRegion.ram('ram', 65536, 0));
  const ram = new Uint8Array(65536);
  const memory = new AddressSpace('memory', root, new GuestRam(ram));
  const pin = { level: false };
  const bus = new PciBus(
    root,
    MemoryRegion.container('io', 65536),
    (_slot, _pin, level) => (pin.level = level),
  );
  const voices: { source: PcmSource; parameters: PcmParameters | undefined }[] = [];
  const voice = (source: PcmSource) => {
    const state = { source, parameters: undefined as PcmParameters | undefined };
    voices.push(state);
    return {
      get isRunning() {
        return state.parameters !== undefined;
      },
      start: (parameters: PcmParameters) => void (state.parameters = parameters),
      stop: () => void (state.parameters = undefined),
    };
  };
  const audio: AudioBackend = { addOutput: voice, addInput: () => voice(() => 0) };
  const ports = { memory, clock: new ManualClock(), msi: { sendMsi: () => {} } };
  const device = new IntelHda(ports, { deviceId: 0x2668, revision: 1, hasMsi: false });
  device.attach(0, new HdaCodec({ deviceId: 0x11, output: 0x01014010, input: undefined }, audio));
  bus.add(4, 0, device.pci);
  device.reset();
  device.pci.writeConfig(0x10, 4, BAR);
  device.pci.writeConfig(4, 2, 6);
  const read = (offset: number, size: AccessSize): number => memory.read(BAR + offset, size);
  const write = (offset: number, size: AccessSize, value: number): void =>
    memory.write(BAR + offset, size, value);
  write(0x08, 4, 1);
  return { device, pin, view: new DataView(ram.buffer), voice: voices[0]!, read, write };
}

type World = ReturnType<typeof world>;

/** By the immediate registers. */
function verb(w: World, node: number, value: number): number {
  w.write(0x60, 4, (node << 20) | value);
  w.write(0x68, 2, 1);
  assert.equal(w.read(0x68, 2), 2);
  return w.read(0x64, 4);
}

test('a codec announces itself out of reset and tells what it has', () => {
  const w = world();
  assert.equal(w.read(0x00, 2), 0x4401);
  assert.equal(w.read(0x0e, 2), 1);
  w.write(0x0e, 2, 1);
  assert.equal(w.read(0x0e, 2), 0);
  assert.equal(verb(w, 0, 0xf0000), 0x1af40011);
  assert.equal(verb(w, 1, 0xf0004), 0x00020002, 'two widgets from node 2');
  assert.equal(verb(w, 3, 0xf1c00), 0x01014010);
  assert.equal(verb(w, 4, 0xf0009), 0, 'no input');
  w.write(0x60, 4, 0x10000000 | 0xf0000);
  w.write(0x68, 2, 1);
  assert.equal(w.read(0x64, 4), 0, 'nobody at the next address');
});

test('commands and responses by the rings, one interrupt for each', () => {
  const w = world();
  w.view.setUint32(CORB + 4, 0x000f0000, true);
  w.view.setUint32(CORB + 8, 0x000f0002, true);
  w.write(0x20, 4, 0xc0000000);
  w.write(0x40, 4, CORB);
  w.write(0x4a, 2, 0x8000);
  assert.equal(w.read(0x4a, 2), 0x8000);
  w.write(0x4a, 2, 0);
  w.write(0x4c, 1, 2);
  w.write(0x50, 4, RIRB);
  w.write(0x58, 2, 0x8000);
  w.write(0x5a, 2, 1);
  w.write(0x5c, 1, 3);
  w.write(0x48, 2, 2);
  assert.equal(w.read(0x58, 2), 1, 'the second waits until the first was seen');
  assert.equal(w.view.getUint32(RIRB + 8, true), 0x1af40011);
  assert.equal(w.pin.level, true);
  assert.equal(w.read(0x24, 4) >>> 0, 0xc0000000);
  w.write(0x5d, 1, 5);
  assert.equal(w.read(0x58, 2), 2);
  assert.equal(w.view.getUint32(RIRB + 16, true), 0x100101);
  w.write(0x5d, 1, 5);
  assert.equal(w.pin.level, false);
});

/** Two entries of eight bytes, the second interrupts; stream 5. */
function startStream(w: World): void {
  verb(w, DAC, 0x70600 | (5 << 4));
  verb(w, DAC, 0x20000 | 0x0011);
  w.view.setUint32(LIST, BUFFER, true);
  w.view.setUint32(LIST + 8, 8, true);
  w.view.setUint32(LIST + 16, BUFFER + 0x100, true);
  w.view.setUint32(LIST + 24, 8, true);
  w.view.setUint32(LIST + 28, 1, true);
  for (let i = 0; i < 4; i++) {
    w.view.setInt16(BUFFER + 2 * i, 10 + i, true);
    w.view.setInt16(BUFFER + 0x100 + 2 * i, 20 + i, true);
  }
  w.write(0x20, 4, 0x80000010);
  w.write(0x70, 4, POSITIONS | 1);
  w.write(OUT0 + 0x08, 4, 16);
  w.write(OUT0 + 0x0c, 2, 1);
  w.write(OUT0 + 0x12, 2, 0x0011);
  w.write(OUT0 + 0x18, 4, LIST);
  w.write(OUT0 + 2, 1, 5 << 4);
  w.write(OUT0, 1, 6);
}

function play(w: World, frames: number): number[] {
  const into = new Int16Array(2 * frames);
  return [...into.subarray(0, 2 * w.voice.source(into, frames))];
}

test('a stream goes round its buffer, tells its position and interrupts', () => {
  const w = world();
  startStream(w);
  assert.deepEqual(w.voice.parameters, { rateHz: 48000, channels: 2 });
  assert.deepEqual(play(w, 3), [10, 11, 12, 13, 20, 21]);
  assert.equal(w.read(OUT0 + 4, 4), 12);
  assert.equal(w.view.getUint32(POSITIONS + 8 * 4, true), 12);
  assert.equal(w.pin.level, false);
  assert.deepEqual(play(w, 2), [22, 23, 10, 11]);
  assert.equal(w.read(OUT0 + 4, 4), 4);
  assert.equal(w.pin.level, true);
  assert.equal(w.read(0x24, 4) >>> 0, 0x80000010);
  w.write(OUT0 + 3, 1, 4);
  assert.equal(w.pin.level, false);
  w.write(OUT0, 1, 0);
  assert.equal(w.voice.parameters, undefined);
});

test('gain and mute of the converter', () => {
  const w = world();
  startStream(w);
  w.view.setInt16(BUFFER, 10000, true);
  w.view.setInt16(BUFFER + 2, 10000, true);
  verb(w, DAC, 0x3a000 | (0x4a - 20));
  verb(w, DAC, 0x39000 | 0x80);
  assert.deepEqual(play(w, 1), [1000, 0], '20 dB on the left, the right muted');
  assert.equal(verb(w, DAC, 0xb2000), 0x4a - 20);
});

test('formats', () => {
  assert.deepEqual(hdaFormat(0x0011), { rateHz: 48000, channels: 2 });
  assert.deepEqual(hdaFormat(0x4010), { rateHz: 44100, channels: 1 });
  assert.deepEqual(hdaFormat(0x0511), { rateHz: 8000, channels: 2 });
  assert.deepEqual(hdaFormat(0x0811), { rateHz: 96000, channels: 2 });
  assert.equal(hdaFormat(0x0031), undefined, '24 bits');
  assert.equal(hdaFormat(0x8011), undefined, 'not PCM');
});

test('lists of empty entries, wild addresses and no length end', () => {
  for (const size of [0, 4, 0xffffffff]) {
    const w = world();
    startStream(w);
    w.view.setUint32(LIST + 4, 0xffffffff, true);
    for (const entry of [8, 24]) w.view.setUint32(LIST + entry, size, true);
    assert.ok(play(w, 1000).length <= 2000);
    w.write(OUT0 + 0x1c, 4, 0xffffffff);
    play(w, 1000);
    w.write(OUT0 + 0x08, 4, 0);
    assert.deepEqual(play(w, 10), []);
  }
});

testStateRoundTrip('intel-hda', () => world().device);

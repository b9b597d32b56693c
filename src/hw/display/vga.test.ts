import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { Vga } from './vga.ts';

const VIDEO = 2 ** 20;

function world(videoBytes = VIDEO) {
  const vga = new Vga(new Uint8Array(videoBytes), new TimerQueue(new ManualClock()));
  vga.reset();
  const out = (port: number, value: number): void => vga.ports.write(port - 0x3b0, 1, value);
  const inp = (port: number): number => vga.ports.read(port - 0x3b0, 1);
  const indexed = (port: number, values: Readonly<Record<number, number>>): void => {
    for (const [index, value] of Object.entries(values)) {
      out(port, Number(index));
      out(port + 1, value);
    }
  };
  const attributes = (values: Readonly<Record<number, number>>): void => {
    inp(0x3da);
    for (const [index, value] of Object.entries(values)) {
      out(0x3c0, Number(index));
      out(0x3c0, value);
    }
    out(0x3c0, 0x20);
  };
  const palette = (index: number, r: number, g: number, b: number): void => {
    out(0x3c8, index);
    for (const value of [r, g, b]) out(0x3c9, value);
  };
  const vbe = (index: number, value: number): void => {
    vga.vbePorts.write(0, 2, index);
    vga.vbePorts.write(1, 2, value);
  };
  const pixel = (x: number, y: number): number => vga.surface.pixels[y * vga.surface.width + x]!;
  return { vga, out, inp, indexed, attributes, palette, vbe, pixel };
}

test('80x25 text: characters, glyphs from plane 2, colours, nine dots, cursor', () => {
  const { vga, indexed, attributes, palette, out, pixel } = world();
  out(0x3c2, 0x67);
  indexed(0x3c4, { 1: 0, 2: 3, 3: 0, 4: 2 });
  indexed(0x3ce, { 5: 0x10, 6: 0x0e, 8: 0xff });
  indexed(0x3d4, { 1: 79, 7: 0x1f, 9: 0x4f, 10: 13, 11: 14, 0x12: 0x8f, 0x13: 40, 0x17: 0xa3, 0x18: 0xff });
  attributes({ 1: 1, 7: 7, 0x10: 0x0c, 0x12: 15 });
  palette(7, 42, 42, 42);
  palette(1, 0, 0, 63);
  vga.video[4 * (0x41 * 32) + 2] = 0x81; // first line of "A"
  vga.window.write(0x18000, 2, 0x1741); // "A", grey on blue
  vga.window.write(0x18002, 1, 0x42);
  assert.equal(vga.video[0], 0x41);
  assert.equal(vga.video[1], 0x17);
  vga.update();
  assert.deepEqual([vga.surface.width, vga.surface.height], [720, 400]);
  assert.deepEqual(
    [0, 1, 7, 8].map((x) => pixel(x, 0)),
    [0xaaaaaa, 0x0000ff, 0xaaaaaa, 0x0000ff],
  );
  assert.deepEqual(vga.text()!.slice(0, 2), ['AB', '']);
  assert.equal(pixel(3, 13), 0xaaaaaa, 'the cursor on the first character');
  assert.equal(vga.update(), undefined, 'nothing has changed');
  vga.window.write(0x18000 + 160 * 2, 1, 0x41);
  const dirty = vga.update();
  assert.ok(dirty === undefined || dirty.y === 32, 'only that row');
});

test('mode 13h: one byte a pixel, doubled both ways', () => {
  const { vga, indexed, attributes, palette, pixel } = world();
  indexed(0x3c4, { 1: 1, 2: 15, 4: 14 });
  indexed(0x3ce, { 5: 0x40, 6: 0x05, 8: 0xff });
  indexed(0x3d4, { 1: 79, 7: 0x1f, 9: 0x41, 0x12: 0x8f, 0x13: 40, 0x17: 0xa3, 0x18: 0xff });
  attributes({ 0x10: 0x41 });
  palette(5, 63, 0, 0);
  vga.window.write(320 * 2 + 3, 1, 5);
  assert.equal(vga.window.read(320 * 2 + 3, 1), 5);
  vga.update();
  assert.deepEqual([vga.surface.width, vga.surface.height], [640, 400]);
  assert.deepEqual([pixel(6, 4), pixel(7, 5), pixel(5, 4), pixel(6, 6)], [0xff0000, 0xff0000, 0, 0]);
  assert.equal(vga.text(), undefined);
});

test('16 colours: write modes, read mode 1', () => {
  const { vga, indexed, attributes, palette, pixel } = world();
  indexed(0x3c4, { 1: 1, 2: 15, 4: 6 });
  indexed(0x3ce, { 0: 0, 1: 0, 3: 0, 4: 0, 5: 0, 6: 5, 7: 15, 8: 0xff });
  indexed(0x3d4, { 1: 79, 7: 0x3e, 9: 0x40, 0x12: 0xdf, 0x13: 40, 0x17: 0xe3, 0x18: 0xff });
  attributes({ 4: 4, 9: 9, 0x10: 1, 0x12: 15 });
  palette(4, 63, 0, 0);
  palette(9, 0, 63, 0);
  indexed(0x3ce, { 5: 2 });
  vga.window.write(0, 1, 4); // eight pixels of colour 4
  vga.window.read(0, 1);
  indexed(0x3ce, { 8: 0x80 });
  vga.window.write(0, 1, 9); // the first of colour 9
  vga.update();
  assert.deepEqual([vga.surface.width, vga.surface.height], [640, 480]);
  assert.deepEqual([pixel(0, 0), pixel(1, 0), pixel(7, 0), pixel(8, 0)], [0x00ff00, 0xff0000, 0xff0000, 0]);
  indexed(0x3ce, { 2: 9, 5: 8 });
  assert.equal(vga.window.read(0, 1), 0x80);
  indexed(0x3ce, { 5: 1, 8: 0xff });
  vga.window.write(1, 1, 0); // write mode 1 copies the latches
  assert.equal(vga.video[4], vga.video[0]);
});

test('Bochs VBE: identification, a 32-bit mode, memory BAR, nonsense', () => {
  const { vga, vbe, pixel } = world();
  vga.vbePorts.write(0, 2, 0);
  assert.equal(vga.vbePorts.read(1, 2), 0xb0c5);
  for (const [index, value] of [
    [1, 320],
    [2, 200],
    [3, 32],
    [4, 0x41],
  ] as const)
    vbe(index, value);
  vga.video.set([0x30, 0x20, 0x10, 0], 4 * (320 + 2));
  vga.update();
  assert.deepEqual([vga.surface.width, vga.surface.height, pixel(2, 1)], [320, 200, 0x102030]);
  assert.equal(vga.mmio.read(0x502, 2), 320);
  assert.equal(vga.mmio.read(0x604, 4), 0x1e1e1e1e);
  vbe(1, 0xffff);
  vbe(2, 0xffff);
  vbe(8, 0xffff);
  vga.update();
  assert.ok(vga.surface.width * vga.surface.height * 4 <= VIDEO);
});

testStateRoundTrip('vga', () => world(0x20000).vga);
testHostileInput(
  'vga',
  () => {
    const { vga } = world(0x40000);
    let n = 0;
    return {
      size: 0x60,
      device: {
        read: (offset, size) =>
          offset < 0x30 ? vga.ports.read(offset, size) : vga.window.read((offset - 0x30) * 0xab0, size),
        write: (offset, size, value) => {
          if (offset < 0x30) vga.ports.write(offset, size, value);
          else if (offset < 0x34) vga.vbePorts.write(0, 2, value & 15);
          else if (offset < 0x40) vga.vbePorts.write(1, 2, value & 0xffff);
          else vga.window.write((offset - 0x30) * 0xab0, size, value);
          if (n++ % 400 === 0) {
            vga.update();
            vga.text();
          }
        },
      },
    };
  },
  8000,
);

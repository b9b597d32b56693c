import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, inflateSync } from 'node:zlib';
import { DisplaySurface } from '../core/display-surface.ts';
import { encodePng, encodePpm } from './image.ts';

test('PPM and PNG of two pixels', () => {
  const surface = new DisplaySurface(2, 1);
  surface.pixels.set([0x010203, 0xfffefd]);
  const ppm = encodePpm(surface);
  assert.equal(Buffer.from(ppm.subarray(0, 11)).toString(), 'P6\n2 1\n255\n');
  assert.deepEqual([...ppm.subarray(11)], [1, 2, 3, 255, 254, 253]);
  const png = Buffer.from(encodePng(surface, (bytes) => deflateSync(bytes)));
  assert.equal(png.toString('latin1', 12, 16), 'IHDR');
  const length = png.readUInt32BE(33);
  assert.deepEqual([...inflateSync(png.subarray(41, 41 + length))], [0, 1, 2, 3, 255, 254, 253]);
  assert.equal(png.readUInt32BE(png.length - 4), 0xae426082, 'CRC of IEND');
});

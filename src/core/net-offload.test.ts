import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inetChecksum } from '../util/inet-checksum.ts';
import {
  createMeta,
  FRAME_NEEDS_CHECKSUM,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  PLAIN_FRAME,
} from './net-backend.ts';
import { completeFrame } from './net-offload.ts';
import { randomSource } from './vmstate-roundtrip.cases.ts';

function all(frame: Uint8Array, meta = createMeta()): Uint8Array[] {
  const out: Uint8Array[] = [];
  completeFrame(frame, meta, (complete) => out.push(complete.slice()) > 0);
  return out;
}

/** Ethernet, IPv4 and TCP headers and `payload` bytes. */
function tcpFrame(payload: number, isV6 = false): Uint8Array {
  const ip = isV6 ? 40 : 20;
  const frame = new Uint8Array(14 + ip + 20 + payload);
  const view = new DataView(frame.buffer);
  view.setUint16(12, isV6 ? 0x86dd : 0x0800);
  if (isV6) {
    frame[14] = 0x60;
    frame[20] = 6;
    frame[23] = 1;
    frame[45] = 2;
  } else {
    frame.set([0x45, 0, 0, 0, 0, 7, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2], 14);
    view.setUint16(16, ip + 20 + payload);
  }
  const tcp = 14 + ip;
  view.setUint32(tcp + 4, 0xfffffff0);
  frame[tcp + 12] = 0x50;
  frame[tcp + 13] = 0x19; // ACK, PSH, FIN
  for (let i = 0; i < payload; i++) frame[tcp + 20 + i] = i * 7;
  return frame;
}

/** Sum over pseudo header and segment; 0 when the checksum is right. */
function tcpSum(frame: Uint8Array, isV6 = false): number {
  const tcp = isV6 ? 54 : 34;
  const length = frame.length - tcp;
  const addresses = isV6 ? frame.slice(22, 54) : frame.slice(26, 34);
  const pseudo = new Uint8Array([...addresses, 0, 6, length >> 8, length & 0xff]);
  return inetChecksum(new Uint8Array([...pseudo, ...frame.slice(tcp)]), 0, pseudo.length + length);
}

test('a plain frame passes, an unfinished checksum is filled in', () => {
  assert.deepEqual(all(tcpFrame(10), { ...PLAIN_FRAME }), [tcpFrame(10)]);
  const frame = tcpFrame(11);
  const pseudo = ~inetChecksum(new Uint8Array([...frame.slice(26, 34), 0, 6, 0, 31]), 0, 12) & 0xffff;
  frame[50] = pseudo >> 8;
  frame[51] = pseudo & 0xff;
  const meta = { ...createMeta(), flags: FRAME_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 16 };
  assert.equal(tcpSum(all(frame, meta)[0]!), 0);
});

for (const isV6 of [false, true])
  test(`segmentation of TCP over IPv${isV6 ? 6 : 4}`, () => {
    const frame = tcpFrame(2500, isV6);
    const meta = { ...createMeta(), flags: 1, gsoType: isV6 ? GSO_TCPV6 : GSO_TCPV4, gsoSize: 1000 };
    const parts = all(frame, { ...meta, checksumStart: isV6 ? 54 : 34, checksumOffset: 16 });
    const headers = isV6 ? 74 : 54;
    assert.deepEqual(
      parts.map((part) => part.length - headers),
      [1000, 1000, 500],
    );
    for (const part of parts) assert.equal(tcpSum(part, isV6), 0);
    const joined = parts.flatMap((part) => [...part.slice(headers)]);
    assert.deepEqual(Uint8Array.from(joined), frame.slice(headers));
    const sequences = parts.map((part) => new DataView(part.buffer).getUint32(headers - 16));
    assert.deepEqual(sequences, [0xfffffff0, 0xfffffff0 + 1000 - 2 ** 32, 0xfffffff0 + 2000 - 2 ** 32]);
    assert.deepEqual(
      parts.map((part) => part[headers - 7]),
      [0x10, 0x10, 0x19],
      'FIN and PSH only on the last',
    );
    if (isV6) return;
    for (const part of parts) assert.equal(inetChecksum(part, 14, 20), 0);
    assert.deepEqual(
      parts.map((part) => part[19]),
      [7, 8, 9],
      'identification',
    );
  });

test('a large UDP datagram becomes fragments', () => {
  const frame = tcpFrame(2500);
  frame[23] = 17;
  const parts = all(frame, { ...createMeta(), gsoType: GSO_UDP, gsoSize: 1480 });
  assert.deepEqual(
    parts.map((part) => new DataView(part.buffer).getUint16(20)),
    [0x2000, 185],
  );
  assert.deepEqual(
    parts.map((part) => part.length - 34),
    [1480, 1040],
  );
});

test('nonsense from a guest never reaches beyond the frame', () => {
  const next = randomSource(5);
  for (let i = 0; i < 3000; i++) {
    const frame = tcpFrame(Math.floor(next() * 3000), next() < 0.5);
    for (let n = 0; n < 5; n++) frame[12 + Math.floor(next() * 60)] = next() * 256;
    const meta = {
      flags: Math.floor(next() * 4),
      gsoType: [0, 1, 3, 4, 0x81, 99][Math.floor(next() * 6)]!,
      headerBytes: Math.floor(next() * 65536),
      gsoSize: Math.floor(next() ** 4 * 65536),
      checksumStart: Math.floor(next() ** 4 * 65536),
      checksumOffset: Math.floor(next() ** 4 * 65536),
    };
    for (const part of all(frame.subarray(0, Math.floor(14 + next() * (frame.length - 14))), meta))
      assert.ok(part.length <= frame.length + 66000);
  }
});

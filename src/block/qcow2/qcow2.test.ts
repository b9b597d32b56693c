import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { NodeBlockHost } from '../../host/node/block/node-block-host.ts';
import { createImage } from '../create.ts';
import type { CheckResult } from '../driver.ts';
import type { NodeOptions } from '../node-options.ts';
import { BlockGraph } from '../open.ts';
import { zstdDecompress } from '../zstd/decoder.ts';
import { zstdCompress } from '../zstd/encoder.ts';
import type { Qcow2Node } from './qcow2-node.ts';

const dir = mkdtempSync(join(tmpdir(), 'lyrebird-qcow2-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const host = new NodeBlockHost();
const qemuImg = spawnSync('qemu-img', ['--version']).status === 0;
const needsQemu = { skip: qemuImg ? false : 'qemu-img (Debian: qemu-utils) is not installed' };

let made = 0;
async function make(sizeBytes: number, options: NodeOptions = {}): Promise<string> {
  const path = join(dir, `${made++}.qcow2`);
  await createImage(host, 'qcow2', path, sizeBytes, options);
  return path;
}

async function open(path: string, more: NodeOptions = {}): Promise<Qcow2Node> {
  const graph = new BlockGraph(host);
  return (await graph.open({ driver: 'qcow2', filename: path, ...more }, path)) as Qcow2Node;
}

function assertClean(result: CheckResult): void {
  assert.deepEqual(
    { corruptions: result.corruptions, leaks: result.leaks, errors: result.checkErrors },
    { corruptions: 0, leaks: 0, errors: 0 },
    result.messages.slice(0, 5).join('\n'),
  );
}

function qemuCheck(path: string): void {
  if (!qemuImg) return;
  const run = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stdout + run.stderr);
}

/** Deterministic pseudo-random numbers below `limit`. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const SIZE = 2 ** 20 + 512 * 3;

/** Random requests against an array that says what the disk must hold. */
async function exercise(node: Qcow2Node, expected: Uint8Array, seed: number, rounds: number): Promise<void> {
  const next = random(seed);
  for (let i = 0; i < rounds; i++) {
    const sectors = 1 + next(i % 5 === 0 ? 600 : 40);
    const offset = 512 * next(Math.floor(expected.length / 512));
    const length = Math.min(sectors * 512, expected.length - offset);
    switch (next(8)) {
      case 0:
        await node.writeZeroes(offset, length, next(2) === 0);
        expected.fill(0, offset, offset + length);
        break;
      case 1:
        await node.discard(offset, length);
        // What is discarded may be anything; zeroes are written so that it is known again.
        await node.writeZeroes(offset, length, true);
        expected.fill(0, offset, offset + length);
        break;
      case 2:
        await node.flush();
        break;
      case 3: {
        const into = new Uint8Array(length);
        await node.read(offset, into);
        assert.ok(
          Buffer.from(into).equals(Buffer.from(expected.subarray(offset, offset + length))),
          `read at ${offset}`,
        );
        break;
      }
      default: {
        const bytes = new Uint8Array(length).fill(1 + next(255));
        await node.write(offset, bytes);
        expected.set(bytes, offset);
      }
    }
  }
}

async function assertContent(node: Qcow2Node, expected: Uint8Array): Promise<void> {
  const all = new Uint8Array(expected.length);
  await node.read(0, all);
  assert.ok(Buffer.from(all).equals(Buffer.from(expected)));
}

describe('random requests', () => {
  const variants: NodeOptions[] = [
    {},
    { compat: '0.10' },
    { cluster_size: '512' },
    { cluster_size: '4k', refcount_bits: '1' },
    { cluster_size: '4k', refcount_bits: '64' },
    { extended_l2: 'on', cluster_size: '16k' },
    { lazy_refcounts: 'on', cluster_size: '2k' },
  ];
  for (const options of variants) {
    test(JSON.stringify(options), async () => {
      const path = await make(SIZE, options);
      const expected = new Uint8Array(SIZE);
      for (let session = 0; session < 2; session++) {
        const node = await open(path, { 'l2-cache-size': '8k' });
        await exercise(node, expected, 7 + session, 120);
        await assertContent(node, expected);
        await node.flush();
        await node.close();
        const again = await open(path);
        await assertContent(again, expected);
        assertClean(await again.check('none'));
        await again.close();
      }
      qemuCheck(path);
    });
  }
});

test('over a backing image, shorter than the disk', async () => {
  for (const options of [{}, { compat: '0.10' }, { extended_l2: 'on', cluster_size: '16k' }]) {
    const raw = join(dir, 'backing.raw');
    const below = new Uint8Array(SIZE / 2 - 256).map((_, i) => (i * 7) >> 4);
    writeFileSync(raw, below);
    const path = await make(SIZE, { ...options, backing_file: raw, backing_fmt: 'raw' });
    const expected = new Uint8Array(SIZE);
    expected.set(below);
    const node = await open(path);
    await assertContent(node, expected);
    await exercise(node, expected, 99, 150);
    await assertContent(node, expected);
    await node.close();
    qemuCheck(path);
  }
});

test('requests at the same time', async () => {
  const path = await make(4 * SIZE, { cluster_size: '4k' });
  const node = await open(path, { 'l2-cache-size': '8k' });
  const expected = new Uint8Array(4 * SIZE);
  const next = random(5);
  // Disjoint ranges, because overlapping ones have no order.
  const slots = 200;
  const slotBytes = Math.floor(expected.length / slots / 512) * 512;
  await Promise.all(
    Array.from({ length: slots }, async (_, slot) => {
      const offset = slot * slotBytes + 512 * next(8);
      const bytes = new Uint8Array(slotBytes - 8 * 512).fill(slot + 1);
      await node.write(offset, bytes);
      expected.set(bytes, offset);
      if (slot % 7 === 0) await node.flush();
      if (slot % 5 === 0) {
        await node.writeZeroes(offset, 8192, true);
        expected.fill(0, offset, offset + 8192);
      }
    }),
  );
  await assertContent(node, expected);
  assertClean(await node.check('none'));
  await node.close();
});

test('snapshots: create, change, apply, delete', async () => {
  for (const options of [
    {},
    { compat: '0.10' },
    { extended_l2: 'on', cluster_size: '16k' },
  ] as NodeOptions[]) {
    const path = await make(SIZE, options);
    const node = await open(path);
    const first = new Uint8Array(SIZE);
    await exercise(node, first, 11, 60);
    await node.snapshots.create('one', 1000, 0);
    const second = Uint8Array.from(first);
    await exercise(node, second, 12, 60);
    await node.snapshots.create('two', 2000, 0);
    await exercise(node, second, 13, 60);
    assertClean(await node.check('none'));
    const view = await node.openSnapshot('one');
    const bytes = new Uint8Array(SIZE);
    await view.read(0, bytes);
    assert.ok(Buffer.from(bytes).equals(Buffer.from(first)));
    await node.snapshots.apply('one');
    await assertContent(node, first);
    await node.snapshots.delete('two');
    assert.deepEqual(
      node.snapshots.list().map(({ id, name }) => [id, name]),
      [['1', 'one']],
    );
    assertClean(await node.check('none'));
    await exercise(node, first, 14, 60);
    await node.snapshots.delete('1');
    await assertContent(node, first);
    assertClean(await node.check('none'));
    await node.close();
    qemuCheck(path);
  }
});

test('a snapshot is refused where counts have no room', async () => {
  const node = await open(await make(SIZE, { refcount_bits: '1' }));
  await node.write(0, new Uint8Array(512).fill(1));
  await assert.rejects(node.snapshots.create('x', 0, 0), /maximum/);
  assertClean(await node.check('none'));
  await node.close();
});

test('resize, and what was behind the end does not come back', async () => {
  const path = await make(SIZE);
  const node = await open(path);
  await node.write(0, new Uint8Array(SIZE).fill(9));
  await node.resize(65536 + 512);
  await node.resize(64 * 2 ** 30);
  const bytes = new Uint8Array(SIZE);
  await node.read(0, bytes);
  assert.ok(bytes.subarray(0, 66048).every((byte) => byte === 9));
  assert.ok(bytes.subarray(66048).every((byte) => byte === 0));
  await node.write(64 * 2 ** 30 - 512, new Uint8Array(512).fill(3));
  assertClean(await node.check('none'));
  await node.close();
  qemuCheck(path);
});

test('a file larger than its first refcount table', async () => {
  const path = await make(2 ** 30, { cluster_size: '512', refcount_bits: '64' });
  const node = await open(path);
  // 64 counts a block, 64 blocks a table: 2 MiB are counted by the first table.
  const bytes = new Uint8Array(2 ** 20).fill(5);
  for (let i = 0; i < 3; i++) await node.write(i * 2 ** 20, bytes);
  await node.write(2 ** 29, bytes.subarray(0, 700 * 512));
  assertClean(await node.check('none'));
  await node.close();
  qemuCheck(path);
});

test('compressed clusters, zlib and zstd', needsQemu, async () => {
  const raw = join(dir, 'text.raw');
  writeFileSync(raw, Buffer.from('compressible text '.repeat(60_000)).subarray(0, 2 ** 20));
  for (const type of ['zlib', 'zstd']) {
    const path = join(dir, `compressed-${type}.qcow2`);
    const args = ['convert', '-c', '-O', 'qcow2', '-o', `compression_type=${type}`, raw, path];
    assert.equal(spawnSync('qemu-img', args).status, 0);
    const node = await open(path);
    const expected = Uint8Array.from(readFileSync(raw));
    await assertContent(node, expected);
    await exercise(node, expected, 21, 60);
    const cluster = new Uint8Array(65536).fill(65);
    await node.writeCompressed(0, cluster);
    expected.set(cluster);
    await node.writeCompressed(65536, cluster);
    expected.set(cluster, 65536);
    await assertContent(node, expected);
    assertClean(await node.check('none'));
    await node.close();
    qemuCheck(path);
  }
});

test('zstd frames of its own', () => {
  const next = random(3);
  for (const length of [0, 1, 17, 1000, 70_000, 300_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (next(10) < 7 ? (i >> 3) & 255 : next(256)));
    assert.ok(Buffer.from(zstdDecompress(zstdCompress(bytes), length)).equals(Buffer.from(bytes)));
  }
  assert.throws(() => zstdDecompress(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xa0, 1, 0, 0), 10), /damaged/);
});

test('repairs: leaks, wrong counts, a dirty image', async () => {
  const path = await make(SIZE, { cluster_size: '4k' });
  const expected = new Uint8Array(SIZE);
  const node = await open(path);
  await exercise(node, expected, 31, 80);
  await node.flush();
  const leaked = await node.image.refcounts.allocate(3);
  await node.image.refcounts.set(leaked + 4096, 7);
  await node.close();
  let broken = await open(path);
  const found = await broken.check('none');
  assert.equal(found.leaks, 3);
  const fixed = await broken.check('leaks');
  assert.equal(fixed.fixedLeaks, 3);
  assertClean(fixed);
  await broken.close();
  // A count of 0 for a cluster in use, and the whole refcount table gone.
  const bytes = readFileSync(path);
  const table = Number(bytes.readBigUInt64BE(48));
  bytes.fill(0, table, table + 4096);
  bytes.writeUInt32BE(1, 76); // dirty
  writeFileSync(path, bytes);
  broken = await open(path);
  assertClean(await broken.check('none'));
  await assertContent(broken, expected);
  await broken.close();
  qemuCheck(path);
});

test('external data file', async () => {
  for (const raw of ['off', 'on']) {
    const data = join(dir, `data-${raw}`);
    const path = await make(SIZE, { data_file: data, data_file_raw: raw });
    const node = await open(path);
    const expected = new Uint8Array(SIZE);
    await exercise(node, expected, 41, 80);
    await assertContent(node, expected);
    assertClean(await node.check('none'));
    await node.close();
    const again = await open(path);
    await assertContent(again, expected);
    await again.close();
    qemuCheck(path);
    if (raw === 'on') assert.ok(readFileSync(data).subarray(0, SIZE).equals(Buffer.from(expected)));
  }
});

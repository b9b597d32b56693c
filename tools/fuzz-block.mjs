// "npm run fuzz:block [-- SECONDS [SEED]]": images of every format with bytes changed at random and cut short, opened, read, written
// and checked. They may be refused or fail with an I/O error; anything else, or more than 10 s for one image, ends the run with
// status 1 and the image is kept. Needs a build.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const dist = new URL('../dist/', import.meta.url);
const { NodeBlockHost } = await import(new URL('host/node/block/node-block-host.js', dist));
const { BlockGraph } = await import(new URL('block/open.js', dist));
const { createImage } = await import(new URL('block/create.js', dist));

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now() % 1e9);
const SIZE = 4 * 2 ** 20;
const LIMIT_MS = 10_000;
const MOST_READ = 2 ** 26;
const host = new NodeBlockHost();
const dir = mkdtempSync(join(tmpdir(), 'lyrebird-fuzz-'));
let state = seed >>> 0;
const next = (limit) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
};

const SUBJECTS = [
  ['qcow2', {}],
  ['qcow2', { compat: '0.10', cluster_size: '512' }],
  ['qcow2', { extended_l2: 'on', cluster_size: '16k', compression_type: 'zstd' }],
  ['vmdk', {}],
  ['vmdk', { subformat: 'monolithicFlat' }],
  ['vdi', {}],
  ['vpc', {}],
  ['vpc', { subformat: 'fixed' }],
  ['vhdx', { block_size: '1M' }],
];

async function originals() {
  const made = [];
  for (const [i, [format, options]] of SUBJECTS.entries()) {
    const path = join(dir, `${i}.${format}`);
    await createImage(host, format, path, SIZE, options);
    const node = await new BlockGraph(host).open({ driver: format, filename: path }, path);
    await node.write(70_000 - (70_000 % 512), new Uint8Array(9 * 512).fill(7));
    if (node.writeCompressed)
      await node.writeCompressed(2 ** 20, new Uint8Array(Math.min(node.clusterSizeBytes, 65536)).fill(3));
    if (node.snapshots) await node.snapshots.create('one', 1, 0);
    await node.write(2 ** 21, new Uint8Array(512).fill(9));
    await node.close();
    made.push({ format, path });
  }
  return made;
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

/** Most changes go where the tables are. */
function mutate(bytes) {
  const out = Buffer.from(bytes);
  const count = 1 + next(12);
  for (let i = 0; i < count; i++) {
    const range = [512, 4096, 262_144, 1_200_000, out.length][next(5)];
    const base = next(8) === 0 ? Math.max(0, out.length - 2048) : 0;
    const at = Math.min(out.length - 1, base + next(Math.min(range, out.length)));
    const width = [1, 1, 2, 4, 8][next(5)];
    for (let j = at; j < Math.min(out.length, at + width); j++)
      out[j] = next(2) === 0 ? INTERESTING[next(INTERESTING.length)] : next(256);
  }
  return next(6) === 0 ? out.subarray(0, next(out.length)) : out;
}

const isExpected = (error) => error.name === 'UserError' || error.name === 'BlockError';

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!isExpected(error)) throw error;
    return undefined;
  }
}

async function exercise(format, path) {
  const options = { driver: format, filename: path, backing: null };
  for (const isReadOnly of [true, false]) {
    const node = await attempt(() =>
      new BlockGraph(host).open(options, path, { isReadOnly, isForCheck: isReadOnly }),
    );
    if (node === undefined) continue;
    const size = Math.min(node.sizeBytes, MOST_READ);
    const bytes = new Uint8Array(65536);
    for (let at = 0; at + 512 <= size; at += 65536) {
      const part = bytes.subarray(0, Math.min(65536, size - at));
      await attempt(() => node.read(at, part));
    }
    await attempt(() => node.status(0, Math.max(1, node.sizeBytes)));
    if (node.check) await attempt(() => node.check(isReadOnly ? 'none' : 'all'));
    if (!isReadOnly) {
      for (let i = 0; i < 8; i++) {
        const at = 512 * next(Math.max(1, Math.floor(size / 512) - 16));
        if (at + 4096 <= node.sizeBytes) await attempt(() => node.write(at, bytes.subarray(0, 4096)));
        if (at + 4096 <= node.sizeBytes) await attempt(() => node.writeZeroes(at, 4096, true));
      }
      await attempt(() => node.flush());
      if (node.snapshots)
        for (const { id } of node.snapshots.list().slice(0, 2))
          await attempt(() => node.snapshots.delete(id));
    }
    await attempt(() => node.close());
  }
}

const subjects = await originals();
const end = Date.now() + seconds * 1000;
const victim = join(dir, 'victim');
let rounds = 0;
console.log(`# seed ${seed}`);
try {
  while (Date.now() < end) {
    const { format, path } = subjects[rounds % subjects.length];
    writeFileSync(victim, mutate(readFileSync(path)));
    copyFileSync(victim, `${victim}.copy`);
    const watchdog = setTimeout(() => {
      console.log(
        `not ok: more than ${LIMIT_MS} ms for an image of format ${format}: ${victim}.copy, seed ${seed}, round ${rounds}`,
      );
      process.exit(1);
    }, LIMIT_MS);
    const started = performance.now();
    await exercise(format, victim);
    clearTimeout(watchdog);
    if (performance.now() - started > LIMIT_MS) throw new Error('too slow');
    rounds++;
  }
  rmSync(dir, { recursive: true, force: true });
  console.log(`${rounds} passed, 0 failed`);
} catch (error) {
  console.log(`not ok: ${victim}.copy, seed ${seed}, round ${rounds}\n${error.stack}`);
  process.exitCode = 1;
}

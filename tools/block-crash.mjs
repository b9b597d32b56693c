// "npm run test:block-crash [-- ROUNDS [SEED]]": writes at random to qcow2 images in a process of its own, kills it with SIGKILL at a
// random moment, and looks: the image must be consistent apart from leaked clusters (by our check, and by qemu-img's where it is
// installed), and no sector may be older than the last flush that had completed. Needs a build.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = new URL('../dist/', import.meta.url);
const { NodeBlockHost } = await import(new URL('host/node/block/node-block-host.js', dist));
const { BlockGraph } = await import(new URL('block/open.js', dist));
const { createImage } = await import(new URL('block/create.js', dist));

const SIZE = 8 * 2 ** 20;
const SECTOR = 512;
const host = new NodeBlockHost();

function random(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** The n-th request of a run: what, where, how long. */
function* requests(seed) {
  const next = random(seed);
  for (let seq = 1; ; seq++) {
    const sectors = next(4) === 0 ? 1 + next(400) : 1 + next(16);
    const first = next(SIZE / SECTOR - sectors);
    const kind = next(10);
    yield { seq, kind: kind === 0 ? 'zero' : kind === 1 ? 'flush' : 'write', first, sectors };
  }
}

/** Every sector says which request of which run wrote it. */
function stamp(run, seq, sectors) {
  const words = new Uint32Array((sectors * SECTOR) / 4);
  for (let i = 0; i < words.length; i += 2) {
    words[i] = run;
    words[i + 1] = seq;
  }
  return new Uint8Array(words.buffer);
}

const open = (path, readOnly) =>
  new BlockGraph(host).open({ driver: 'qcow2', filename: path, 'l2-cache-size': '64k' }, path, {
    isReadOnly: readOnly,
  });

async function child(path, run, seed) {
  const node = await open(path, false);
  process.stdout.write('ready\n');
  for (const { seq, kind, first, sectors } of requests(seed)) {
    if (kind === 'flush') {
      await node.flush();
      process.stdout.write(`flushed ${seq}\n`);
    } else if (kind === 'zero') await node.writeZeroes(first * SECTOR, sectors * SECTOR, seq % 2 === 0);
    else await node.write(first * SECTOR, stamp(run, seq, sectors));
  }
}

function killAfter(path, run, seed, delayMs) {
  return new Promise((resolve) => {
    const process_ = spawn(
      process.execPath,
      [fileURLToPath(import.meta.url), 'child', path, String(run), String(seed)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let flushed = 0;
    let text = '';
    process_.stdout.on('data', (data) => {
      text += data;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) {
        if (line === 'ready') setTimeout(() => process_.kill('SIGKILL'), delayMs);
        else flushed = Number(line.split(' ')[1]);
      }
    });
    process_.on('close', (code) => resolve({ flushed, code }));
  });
}

/** For every sector the values it may have: the last one that was flushed, or any written since. */
async function verify(path, before, run, seed, flushed) {
  const limit = flushed + 20_000;
  const allowed = before.map((value) => [value]);
  const last = before.slice();
  for (const { seq, kind, first, sectors } of requests(seed)) {
    if (seq > limit) break;
    if (kind === 'flush') continue;
    const value = kind === 'zero' ? 0 : run * 2 ** 32 + seq;
    for (let i = first; i < first + sectors; i++) {
      if (seq <= flushed) {
        allowed[i] = [value];
        last[i] = value;
      } else allowed[i].push(value);
    }
  }
  const node = await open(path, true);
  const bytes = new Uint8Array(SIZE);
  await node.read(0, bytes);
  await node.close();
  const words = new Uint32Array(bytes.buffer);
  const now = last;
  for (let i = 0; i < now.length; i++) {
    const at = (i * SECTOR) / 4;
    const value = words[at] * 2 ** 32 + words[at + 1];
    if (!allowed[i].includes(value))
      throw new Error(
        `sector ${i} holds request ${words[at + 1]} of run ${words[at]}, older than the last flush (${flushed})`,
      );
    for (let j = 0; j < SECTOR / 4; j += 2)
      if (words[at + j] !== words[at] || words[at + j + 1] !== words[at + 1])
        throw new Error(`sector ${i} is torn`);
    now[i] = value;
  }
  return now;
}

async function assertConsistent(path) {
  if (spawnSync('qemu-img', ['--version']).status === 0) {
    const check = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' });
    // 3: leaked clusters, nothing else. A lazy image says that it is dirty, and qemu-img then counts what the repair would mend.
    if (![0, 3].includes(check.status))
      throw new Error(`qemu-img check: ${check.status}\n${check.stdout}${check.stderr}`);
  }
  const node = await new BlockGraph(host).open({ driver: 'qcow2', filename: path }, path, {
    isReadOnly: true,
    isForCheck: true,
  });
  const result = await node.check('none');
  await node.close();
  if (result.corruptions > 0 || result.checkErrors > 0)
    throw new Error(result.messages.slice(0, 10).join('\n'));
  return result.leaks;
}

async function main(rounds, seed) {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-crash-'));
  const variants = [
    {},
    { cluster_size: '4k' },
    { extended_l2: 'on', cluster_size: '32k' },
    { compat: '0.10', cluster_size: '512' },
  ];
  const next = random(seed);
  let leaks = 0;
  let flushes = 0;
  try {
    const images = [];
    for (const [i, options] of variants.entries()) {
      const path = join(dir, `${i}.qcow2`);
      await createImage(host, 'qcow2', path, SIZE, options);
      images.push({ path, content: new Array(SIZE / SECTOR).fill(0) });
    }
    for (let round = 1; round <= rounds; round++) {
      const image = images[round % images.length];
      const runSeed = next(2 ** 31);
      const { flushed } = await killAfter(image.path, round, runSeed, 20 + next(300));
      leaks += await assertConsistent(image.path);
      image.content = await verify(image.path, image.content, round, runSeed, flushed);
      flushes += flushed > 0 ? 1 : 0;
      // Shared clusters are written to in another way.
      if (round % 10 < images.length) {
        const node = await open(image.path, false);
        await node.check('leaks');
        if (node.snapshots.list().length < 3) await node.snapshots.create(`round ${round}`, 0, 0);
        else await node.snapshots.delete(node.snapshots.list()[0].id);
        await node.close();
      }
      if (round % 10 === 0)
        console.log(`# ${round} rounds, ${leaks} clusters leaked, ${flushes} rounds with a flush`);
    }
    console.log(`${rounds} passed, 0 failed`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'child')
  await child(process.argv[3], Number(process.argv[4]), Number(process.argv[5]));
else await main(Number(process.argv[2] ?? 100), Number(process.argv[3] ?? Date.now() % 1e9));

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NodeBlockHost } from '../../host/node/block/node-block-host.ts';
import { createImage } from '../create.ts';
import type { NodeOptions } from '../node-options.ts';
import { BlockGraph } from '../open.ts';

const dir = mkdtempSync(join(tmpdir(), 'lyrebird-formats-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const host = new NodeBlockHost();
const qemuImg = spawnSync('qemu-img', ['--version']).status === 0;
const skip = qemuImg ? false : 'qemu-img (Debian: qemu-utils) is not installed';
const SIZE = 5 * 2 ** 20 + 512;

function content(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at += 300_000) bytes.fill((at / 1000) & 255, at, at + 70_000);
  return bytes;
}

const open = (format: string, path: string) =>
  new BlockGraph(host).open({ driver: format, filename: path }, path);

const VARIANTS: ReadonlyArray<readonly [string, NodeOptions]> = [
  ['raw', {}],
  ['vdi', {}],
  ['vdi', { static: 'on' }],
  ['vpc', {}],
  ['vpc', { subformat: 'fixed' }],
  ['vhdx', { block_size: '1M' }],
  ['vhdx', { subformat: 'fixed', block_size: '1M' }],
  ['vmdk', {}],
  ['vmdk', { subformat: 'monolithicFlat' }],
  ['vmdk', { subformat: 'twoGbMaxExtentSparse' }],
];

VARIANTS.forEach(([format, options], i) => {
  test(`${format} ${JSON.stringify(options)}: written, read again, read by qemu-img`, async () => {
    const path = join(dir, `${i}.${format}`);
    const raw = join(dir, `${i}.reference`);
    const expected = content();
    await createImage(host, format, path, SIZE, options);
    const node = await open(format, path);
    assert.equal(node.sizeBytes, SIZE);
    for (let at = 0; at < SIZE; at += 99_840) await node.write(at, expected.subarray(at, at + 99_840));
    await node.writeZeroes(300_032, 4096, true);
    expected.fill(0, 300_032, 304_128);
    await node.flush();
    await node.close();
    const again = await open(format, path);
    const bytes = new Uint8Array(SIZE);
    await again.read(0, bytes);
    assert.ok(Buffer.from(bytes).equals(Buffer.from(expected)));
    await again.close();
    if (!qemuImg) return;
    writeFileSync(raw, expected);
    const run = spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', format, raw, path], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });
});

for (const [format, options] of [
  ['qed', ''],
  ['vmdk', 'subformat=streamOptimized'],
  ['vhdx', ''],
  ['vdi', ''],
  ['vpc', 'force_size=on'],
] as const) {
  test(`${format} ${options}: made by qemu-img`, { skip }, async () => {
    const raw = join(dir, 'source.raw');
    const expected = content();
    writeFileSync(raw, expected);
    const path = join(dir, `made.${format}`);
    const args = [
      'convert',
      '-f',
      'raw',
      '-O',
      format,
      ...(options === '' ? [] : ['-o', options]),
      raw,
      path,
    ];
    assert.equal(spawnSync('qemu-img', args).status, 0);
    const node = await open(format, path);
    const bytes = new Uint8Array(SIZE);
    await node.read(0, bytes);
    assert.ok(Buffer.from(bytes).equals(Buffer.from(expected)));
    await node.close();
  });
}

test('truncated images are refused', async () => {
  for (const format of ['qcow2', 'vdi', 'vpc', 'vhdx', 'vmdk']) {
    const path = join(dir, `cut.${format}`);
    await createImage(host, format, path, SIZE, {});
    const bytes = readFileSync(path);
    for (const length of [0, 4, 100, 511]) {
      writeFileSync(path, bytes.subarray(0, length));
      await assert.rejects(open(format, path), { name: 'UserError' }, `${format} of ${length} bytes`);
    }
  }
});

test('http: ranges of a file on a web server', async () => {
  const bytes = Buffer.from(content());
  const server = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined || request.url !== '/disk.img') {
      response.writeHead(404).end();
      return;
    }
    const part = bytes.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${bytes.length}` }).end(part);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const node = await new BlockGraph(host).open(`${url}/disk.img`, 'http', { isReadOnly: true });
    assert.equal(node.sizeBytes, SIZE);
    const into = new Uint8Array(400_000);
    await node.read(1_000_000, into);
    assert.ok(Buffer.from(into).equals(bytes.subarray(1_000_000, 1_400_000)));
    await node.close();
    await assert.rejects(
      new BlockGraph(host).open(`${url}/none`, 'http', { isReadOnly: true }),
      /status 404/,
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

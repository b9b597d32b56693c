// The tools that make test guests: cpio writer, initramfs, apt sources, vmlinux out of a bzImage.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseSources } from '../../tools/guests/apt.mjs';
import { writeCpio } from '../../tools/guests/cpio.mjs';
import { buildInitramfs, PROMPT } from '../../tools/guests/initramfs.mjs';
import { bzImagePayload, extractVmlinux, unlz4Legacy } from '../../tools/guests/vmlinux.mjs';

/** Reads back a newc archive as a map from path to `{ mode, data }`. */
function readCpio(archive) {
  const entries = new Map();
  for (let at = 0; ; ) {
    const field = (i) => Number.parseInt(archive.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16);
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString('latin1', at + 110, at + 109 + nameSize);
    const start = (at + 110 + nameSize + 3) & ~3;
    if (name === 'TRAILER!!!') return entries;
    entries.set(name, { mode, data: archive.subarray(start, start + size) });
    at = (start + size + 3) & ~3;
  }
}

test('cpio archives hold directories, files, links and devices', () => {
  const entries = readCpio(
    writeCpio([
      { path: 'dev', type: 'dir', mode: 0o755 },
      { path: 'dev/console', type: 'char', mode: 0o600, rdev: [5, 1] },
      { path: 'odd', type: 'file', mode: 0o644, data: 'five!' },
      { path: 'link', type: 'link', mode: 0o777, target: '/odd' },
    ]),
  );
  assert.deepEqual([...entries.keys()], ['dev', 'dev/console', 'odd', 'link']);
  assert.equal(entries.get('dev').mode, 0o040755);
  assert.equal(entries.get('dev/console').mode, 0o020600);
  assert.equal(entries.get('odd').data.toString(), 'five!');
  assert.equal(entries.get('link').data.toString(), '/odd');
});

test('the initramfs is the same bytes every time and starts a shell', () => {
  const first = buildInitramfs(Buffer.from('busybox'));
  assert.deepEqual(first, buildInitramfs(Buffer.from('busybox')));
  const init = readCpio(gunzipSync(first)).get('init');
  assert.equal(init.mode, 0o100755);
  assert.ok(init.data.toString().includes(PROMPT));
});

test('sources are read in both of apt’s formats', () => {
  const found = parseSources(`deb [signed-by=/k.gpg] http://a/debian bookworm main contrib
# deb http://off/debian bookworm main

Types: deb
URIs: http://b/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /s.gpg

Types: deb
Enabled: no
URIs: http://c/debian
Suites: bookworm
Components: main
`);
  assert.deepEqual(found, [
    { uri: 'http://a/debian', suite: 'bookworm', keyring: '/k.gpg' },
    { uri: 'http://b/debian', suite: 'bookworm', keyring: '/s.gpg' },
    { uri: 'http://b/debian', suite: 'bookworm-updates', keyring: '/s.gpg' },
  ]);
});

/** A minimal bzImage around `payload`, which unpacks to `size` bytes. */
function bzImage(payload, size) {
  const image = Buffer.alloc(1024 + 64 + payload.length + 4);
  image[0x1f1] = 1;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(64, 0x248);
  image.writeUInt32LE(payload.length + 4, 0x24c);
  payload.copy(image, 1024 + 64);
  image.writeUInt32LE(size, image.length - 4);
  return image;
}

const ELF = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(100, 'abc')]);

test('vmlinux comes out of a gzip payload', () => {
  assert.deepEqual(extractVmlinux(bzImage(gzipSync(ELF), ELF.length)).vmlinux, ELF);
});

for (const [program, args, format] of [
  ['xz', ['--check=crc32', '--x86', '--lzma2=dict=1MiB', '-c'], 'xz'],
  ['zstd', ['-q', '-c'], 'zstd'],
  ['lz4', ['-l', '-c'], 'lz4'],
]) {
  test(`vmlinux comes out of a payload made by ${program}`, (t) => {
    const packed = spawnSync(program, args, { input: ELF });
    if (packed.error || packed.status !== 0) return t.skip(`${program} is not installed`);
    const result = extractVmlinux(bzImage(packed.stdout, ELF.length));
    assert.deepEqual(result.vmlinux, ELF);
    assert.equal(result.format, format);
  });
}

test('LZ4 matches may overlap what they produce', () => {
  // token: 1 literal, match of 4 + 5; distance 1: "a" followed by nine more
  const block = Buffer.from([0x15, 0x61, 0x01, 0x00, 0x10, 0x62]);
  const frame = Buffer.concat([
    Buffer.from([0x02, 0x21, 0x4c, 0x18]),
    Buffer.from([block.length, 0, 0, 0]),
    block,
  ]);
  assert.equal(unlz4Legacy(frame, 11).toString(), `${'a'.repeat(10)}b`);
});

test('what is not a bzImage is refused with a reason', () => {
  assert.throws(() => extractVmlinux(Buffer.from('short')), /not a bzImage/);
  const image = bzImage(gzipSync(ELF), ELF.length);
  assert.throws(() => bzImagePayload(image.subarray(0, image.length - 20)), /truncated/);
  assert.throws(() => extractVmlinux(bzImage(Buffer.from('unknown!'), 8)), /unknown kernel compression/);
});

test('fetch-guests names a guest it does not know', () => {
  const script = fileURLToPath(new URL('../../tools/fetch-guests.mjs', import.meta.url));
  const run = spawnSync(process.execPath, [script, 'nonsense'], { encoding: 'utf8' });
  assert.equal(run.status, 1);
  assert.match(run.stderr, /^fetch-guests: no guest "nonsense"/);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { randomSource } from '../../../core/vmstate-roundtrip.cases.ts';
import { P9Reader, P9Writer } from '../../../fsdev/p9-codec.ts';
import { P9Server } from '../../../fsdev/p9-server.ts';
import { openLocalShare } from './local-share.ts';
import { loadPosixCalls } from './posix-calls.ts';
import type { SecurityModel } from './security-model.ts';

const skip = process.platform === 'linux' ? false : 'shares need a Linux host';
const work = fs.mkdtempSync(join(tmpdir(), 'lyrebird-share-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

const [ENOENT, EEXIST, ENOTDIR, EISDIR, EINVAL, EROFS, ELOOP] = [2, 17, 20, 21, 22, 30, 40];
const NO_FID = 0xffffffff;

/** Speaks 9P2000.L to a server. */
class Client {
  readonly server: P9Server;
  readonly path: string;
  #tag = 0;

  constructor(
    model: SecurityModel = 'none',
    isReadOnly = false,
    path = fs.mkdtempSync(join(work, 'share-')),
  ) {
    this.path = path;
    const options = { path, securityModel: model, isReadOnly, fileMode: 0o600, folderMode: 0o700 };
    this.server = new P9Server(openLocalShare(options, 'test'));
    assert.equal(this.call(100, (w) => w.u32(65536).text('9P2000.L')).u32(), 65536);
    this.call(104, (w) => w.u32(0).u32(NO_FID).text('root').text('').u32(0));
  }

  raw(type: number, fill: (w: P9Writer) => void): Uint8Array {
    const w = new P9Writer(new Uint8Array(70000));
    w.u32(0)
      .u8(type)
      .u16(++this.#tag & 0xffff);
    fill(w);
    new DataView(w.bytes.buffer).setUint32(0, w.at, true);
    return this.server.handle(w.bytes.subarray(0, w.at), 70000);
  }

  /** The reply's body; throws for an error. */
  call(type: number, fill: (w: P9Writer) => void): P9Reader {
    const reply = this.raw(type, fill);
    const view = new DataView(reply.buffer, reply.byteOffset);
    assert.equal(view.getUint32(0, true), reply.length);
    if (reply[4] === 7) throw new Error(`errno ${view.getUint32(7, true)}`);
    assert.equal(reply[4], type + 1);
    return new P9Reader(reply, 7);
  }

  fails(errno: number | readonly number[], action: () => unknown): void {
    assert.throws(action, (error: Error) => {
      assert.ok(
        [errno].flat().includes(Number(error.message.slice(6))),
        `${error.message} is not ${String(errno)}`,
      );
      return true;
    });
  }

  /** How many names were found. */
  walk(from: number, to: number, ...names: string[]): number {
    return this.call(110, (w) => {
      w.u32(from).u32(to).u16(names.length);
      for (const name of names) w.text(name);
    }).u16();
  }

  clunk(fid: number): void {
    this.call(120, (w) => w.u32(fid));
  }

  create(folder: number, fid: number, name: string, content: string, flags = 2): void {
    this.walk(folder, fid);
    this.call(14, (w) => w.u32(fid).text(name).u32(flags).u32(0o640).u32(0));
    this.write(fid, 0, content);
  }

  write(fid: number, offset: number, text: string): number {
    return this.call(118, (w) => {
      w.u32(fid).u64(BigInt(offset)).u32(text.length);
      for (const c of text) w.u8(c.charCodeAt(0));
    }).u32();
  }

  open(fid: number, flags = 0): void {
    this.call(12, (w) => w.u32(fid).u32(flags));
  }

  read(fid: number, offset = 0, count = 60000): string {
    const q = this.call(116, (w) => w.u32(fid).u64(BigInt(offset)).u32(count));
    return Buffer.from(q.bytes(q.u32())).toString('latin1');
  }

  stat(fid: number): { mode: number; uid: number; gid: number; links: bigint; rdev: bigint; size: bigint } {
    const q = this.call(24, (w) => w.u32(fid).u64(0x7ffn));
    q.bytes(8 + 13);
    const [mode, uid, gid] = [q.u32(), q.u32(), q.u32()];
    return { mode, uid, gid, links: q.u64(), rdev: q.u64(), size: q.u64() };
  }

  list(fid: number, count = 60000): string[] {
    const names: string[] = [];
    for (let offset = 0n; ; ) {
      const q = this.call(40, (w) => w.u32(fid).u64(offset).u32(count));
      const bytes = q.bytes(q.u32());
      if (bytes.length === 0) return names;
      const r = new P9Reader(bytes, 0);
      for (let left = bytes.length; left > 0; ) {
        r.bytes(13);
        offset = r.u64();
        r.u8();
        names.push(r.text());
        left -= 13 + 8 + 1 + 2 + names.at(-1)!.length;
      }
    }
  }

  symlink(folder: number, name: string, target: string): void {
    this.call(16, (w) => w.u32(folder).text(name).text(target).u32(0));
  }

  mkdir(folder: number, name: string): void {
    this.call(72, (w) => w.u32(folder).text(name).u32(0o755).u32(0));
  }

  rename(from: number, name: string, to: number, newName: string): void {
    this.call(74, (w) => w.u32(from).text(name).u32(to).text(newName));
  }

  unlink(folder: number, name: string, flags = 0): void {
    this.call(76, (w) => w.u32(folder).text(name).u32(flags));
  }
}

test('files are made, written, read, renamed and removed', { skip }, () => {
  const c = new Client();
  c.mkdir(0, 'dir');
  c.walk(0, 1, 'dir');
  c.create(1, 2, 'a', 'hello');
  assert.equal(fs.readFileSync(join(c.path, 'dir/a'), 'utf8'), 'hello');
  assert.equal(fs.statSync(join(c.path, 'dir/a')).mode & 0o7777, 0o640);
  c.write(2, 5, ' world');
  assert.equal(c.read(2, 6), 'world');
  c.call(50, (w) => w.u32(2).u32(0));
  c.rename(1, 'a', 0, 'b\xe4');
  assert.equal(c.read(2), 'hello world', 'an open file keeps its content');
  assert.deepEqual(fs.readdirSync(c.path).sort(), ['b\ufffd', 'dir']);
  assert.equal(c.walk(0, 3, 'b\xe4'), 1);
  c.call(70, (w) => w.u32(1).u32(3).text('hard'));
  assert.equal(c.stat(3).links, 2n);
  c.call(26, (w) =>
    w
      .u32(3)
      .u32(1 | 8 | 0x20 | 0x100)
      .u32(0o600)
      .u32(0)
      .u32(0)
      .u64(4n)
      .u64(0n)
      .u64(0n)
      .u64(1000n)
      .u64(0n),
  );
  assert.deepEqual([c.stat(3).mode & 0o777, c.stat(3).size], [0o600, 4n]);
  assert.equal(fs.statSync(join(c.path, 'dir/hard')).mtimeMs, 1e6);
  c.walk(0, 4, 'dir');
  c.open(4);
  assert.deepEqual(c.list(4).sort(), ['.', '..', 'hard']);
  c.fails([39], () => c.unlink(0, 'dir', 0x200));
  c.unlink(1, 'hard');
  c.unlink(0, 'dir', 0x200);
  c.call(122, (w) => w.u32(3));
  assert.deepEqual(fs.readdirSync(c.path), []);
  c.fails(9, () => c.stat(3));
});

test('a long folder is listed in pieces', { skip }, () => {
  const c = new Client();
  const names = Array.from({ length: 500 }, (_, i) => `file-${i}`);
  for (const name of names) fs.writeFileSync(join(c.path, name), '');
  c.walk(0, 1);
  c.open(1);
  assert.deepEqual(c.list(1, 700).sort(), ['.', '..', ...names].sort());
});

test('no way leads out of the folder', { skip }, () => {
  const outside = fs.mkdtempSync(join(work, 'outside-'));
  fs.writeFileSync(join(outside, 'secret'), 'secret');
  const c = new Client();
  fs.symlinkSync(outside, join(c.path, 'out'));
  fs.symlinkSync(join(outside, 'secret'), join(c.path, 'file'));
  c.walk(0, 9, '..', '..', '..');
  assert.equal(c.walk(9, 10, 'file'), 1, 'the root is its own parent');
  c.fails(ELOOP, () => c.open(10));
  assert.equal(c.walk(0, 11, 'out'), 1);
  assert.equal(c.stat(11).mode & 0o170000, 0o120000);
  c.fails([ENOTDIR, ELOOP, ENOENT], () => c.walk(11, 12, 'secret'));
  c.fails([ENOTDIR, ELOOP], () => c.mkdir(11, 'x'));
  c.fails([ENOTDIR, ELOOP], () => c.create(11, 13, 'x', 'x'));
  c.fails([ENOTDIR, ELOOP], () => c.unlink(11, 'secret'));
  c.walk(0, 14);
  c.fails(EEXIST, () => c.call(14, (w) => w.u32(14).text('file').u32(0o1101).u32(0o600).u32(0)));
  for (const name of ['../secret', '/etc/passwd', 'out/secret', '', '.', 'a\0b']) {
    c.fails([ENOENT, EINVAL], () => c.walk(0, 20, name));
    c.fails([ENOENT, EEXIST, EINVAL], () => c.mkdir(0, name));
    c.fails([ENOENT, EEXIST, EINVAL], () => c.rename(0, 'file', 0, name));
    c.fails([ENOENT, EEXIST, EINVAL], () => c.unlink(0, name));
    c.fails([ENOENT, EEXIST, EINVAL], () => c.symlink(0, name, 'x'));
  }
  // A folder that becomes a link behind the server's back stays the folder it was.
  c.mkdir(0, 'd');
  c.walk(0, 30, 'd');
  fs.renameSync(join(c.path, 'd'), join(c.path, 'e'));
  fs.symlinkSync(outside, join(c.path, 'd'));
  c.create(30, 31, 'new', 'x');
  assert.deepEqual(fs.readdirSync(join(c.path, 'e')), ['new']);
  assert.deepEqual(fs.readdirSync(outside), ['secret']);
  assert.equal(fs.readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  // Changing a link's owner or times changes the link.
  const before = fs.statSync(join(outside, 'secret'));
  c.call(26, (w) =>
    w
      .u32(10)
      .u32(0x10 | 0x20 | 0x180)
      .u32(0)
      .u32(0)
      .u32(0)
      .u64(0n)
      .u64(5n)
      .u64(0n)
      .u64(5n)
      .u64(0n),
  );
  assert.equal(fs.statSync(join(outside, 'secret')).mtimeMs, before.mtimeMs);
  assert.equal(fs.lstatSync(join(c.path, 'file')).mtimeMs, 5000);
});

test('pipes and devices are seen, but not opened', { skip }, () => {
  const c = new Client();
  assert.equal(spawnSync('mkfifo', [join(c.path, 'pipe')]).status, 0);
  c.walk(0, 1, 'pipe');
  assert.equal(c.stat(1).mode & 0o170000, 0o010000);
  c.fails(19, () => c.open(1, 2));
  c.walk(0, 2);
  c.fails(EEXIST, () => c.call(14, (w) => w.u32(2).text('pipe').u32(2).u32(0o600).u32(0)));
});

test('a read-only share changes nothing', { skip }, () => {
  const path = fs.mkdtempSync(join(work, 'share-'));
  fs.writeFileSync(join(path, 'a'), 'text');
  const c = new Client('none', true, path);
  c.fails(EROFS, () => c.mkdir(0, 'x'));
  c.fails(EROFS, () => c.unlink(0, 'a'));
  c.walk(0, 1, 'a');
  c.fails(EROFS, () => c.open(1, 1));
  c.fails(EROFS, () => c.open(1, 0o1000));
  c.open(1);
  assert.equal(c.read(1), 'text');
  c.walk(0, 2);
  c.fails(EISDIR, () => {
    const free = new Client('none', false, path);
    free.walk(0, 2);
    free.open(2, 1);
  });
});

for (const model of ['mapped-file', 'mapped-xattr'] as const) {
  const missing = skip || (model === 'mapped-xattr' && xattrMissing());
  test(`security_model=${model} keeps owners, permissions, links and devices beside the files`, {
    skip: missing,
  }, () => {
    const c = new Client(model);
    c.create(0, 1, 'f', 'content');
    c.call(26, (w) => w.u32(1).u32(7).u32(0o4755).u32(1234).u32(77).u64(0n).u64(0n).u64(0n).u64(0n).u64(0n));
    assert.deepEqual([c.stat(1).mode, c.stat(1).uid, c.stat(1).gid], [0o104755, 1234, 77]);
    assert.equal(fs.statSync(join(c.path, 'f')).mode & 0o7777, 0o600);
    c.symlink(0, 'link', '/somewhere/else');
    c.walk(0, 2, 'link');
    assert.equal(c.stat(2).mode & 0o170000, 0o120000);
    const q = c.call(22, (w) => w.u32(2));
    assert.equal(q.text(), '/somewhere/else');
    assert.ok(fs.lstatSync(join(c.path, 'link')).isFile());
    c.call(18, (w) => w.u32(0).text('null').u32(0o020666).u32(1).u32(3).u32(0));
    c.walk(0, 3, 'null');
    assert.deepEqual([c.stat(3).mode, c.stat(3).rdev], [0o020666, 0x103n]);
    c.fails(19, () => c.open(3));
    c.rename(0, 'f', 0, 'g');
    assert.equal(c.walk(0, 4, 'g'), 1);
    assert.equal(c.stat(4).uid, 1234);
    c.walk(0, 5);
    c.open(5);
    assert.deepEqual(c.list(5).sort(), ['.', '..', 'g', 'link', 'null']);
    c.fails(ENOENT, () => c.walk(0, 6, '.virtfs_metadata'.slice(0, model === 'mapped-file' ? undefined : 5)));
    c.mkdir(0, 'd');
    c.walk(0, 7, 'd');
    c.create(7, 8, 'x', '');
    c.unlink(7, 'x');
    c.unlink(0, 'd', 0x200);
    assert.equal(fs.existsSync(join(c.path, 'd')), false);
  });
}

function xattrMissing(): string | false {
  const calls = loadPosixCalls();
  if (calls === undefined) return 'koffi is not installed';
  const probe = join(work, 'probe');
  fs.writeFileSync(probe, '');
  try {
    calls.setXattr(probe, 'user.lyrebird', Uint8Array.of(1), 0);
    return false;
  } catch {
    return 'no extended attributes here';
  }
}

test('extended attributes are set, listed, read and removed', { skip: skip || xattrMissing() }, () => {
  const c = new Client();
  c.create(0, 1, 'f', '');
  const set = (value: string): void => {
    c.walk(0, 2, 'f');
    c.call(32, (w) => w.u32(2).text('user.colour').u64(BigInt(value.length)).u32(0));
    if (value !== '') c.write(2, 0, value);
    c.clunk(2);
  };
  const get = (name: string): string => {
    const size = c.call(30, (w) => w.u32(1).u32(3).text(name)).u64();
    const text = c.read(3);
    assert.equal(BigInt(text.length), size);
    c.clunk(3);
    return text;
  };
  set('blue');
  assert.equal(get('user.colour'), 'blue');
  assert.match(get(''), /user\.colour\0/);
  set('');
  c.fails(61, () => get('user.colour'));
});

test('random messages are answered, and touch nothing outside', { skip }, () => {
  const next = randomSource(0x9b);
  const c = new Client();
  const marker = join(work, 'marker');
  fs.writeFileSync(marker, 'untouched');
  const types = [
    8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 102, 108, 110, 116, 118, 120,
    122,
  ];
  const names = ['a', 'b', '..', '../marker', 'a/b', '', '.'];
  for (let i = 0; i < 6000; i++) {
    const type = types[Math.floor(next() * types.length)]!;
    const reply = c.raw(type, (w) => {
      w.u32(Math.floor(next() * 6));
      for (let parts = Math.floor(next() * 6); parts > 0; parts--) {
        const kind = next();
        if (kind < 0.4) w.text(names[Math.floor(next() * names.length)]!);
        else if (kind < 0.8) w.u32(Math.floor(next() * 8));
        else w.u64(BigInt(Math.floor(next() * 2 ** 50)));
      }
    });
    assert.ok(reply.length >= 7 && (reply[4] === 7 || reply[4] === type + 1));
    if (i % 50 === 0 && c.raw(24, (w) => w.u32(0).u64(0n))[4] === 7)
      c.raw(104, (w) => w.u32(0).u32(NO_FID).text('').text('').u32(0));
  }
  assert.equal(fs.readFileSync(marker, 'utf8'), 'untouched');
  c.server.reset();
});

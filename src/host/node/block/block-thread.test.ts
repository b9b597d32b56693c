import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BlockConfig } from '../../../block/drive-config.ts';
import { BlockChannel } from '../../../block/io/block-channel.ts';
import { DriveOptions } from '../../../cli/drive-options.ts';
import type { BlockBackend } from '../../../core/block-backend.ts';
import { Doorbell } from '../../../util/ring.ts';
import { NodeBlockThread } from './block-threads.ts';

const dir = mkdtempSync(join(tmpdir(), 'lyrebird-block-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, bytes: Uint8Array): string => {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
};

function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}

function parse(...args: string[]): BlockConfig {
  const drives = new DriveOptions();
  for (let i = 0; i < args.length; i += 2)
    if (args[i] === '-drive') drives.addDrive(args[i + 1]!);
    else drives.addBlockdev(args[i + 1]!);
  return drives.finish();
}

/** A machine thread in miniature: RAM, a doorbell, and drives by id. */
class Rig {
  readonly ram = new Uint8Array(new SharedArrayBuffer(1 << 20));
  readonly warnings: string[];
  readonly channel: BlockChannel;
  stops = 0;
  readonly #thread: NodeBlockThread;
  readonly #doorbell = new SharedArrayBuffer(16);

  static async create(...args: string[]): Promise<Rig> {
    const warnings: string[] = [];
    return new Rig(await NodeBlockThread.open(parse(...args), (text) => warnings.push(text)), warnings);
  }

  private constructor(thread: NodeBlockThread, warnings: string[]) {
    this.#thread = thread;
    this.warnings = warnings;
    this.channel = new BlockChannel(thread.start.channel, this.ram.buffer, { onStop: () => this.stops++ });
    // the kick word lies in the machine's memory, behind what the tests use
    thread.attach({
      ram: this.ram.buffer as SharedArrayBuffer,
      kick: { buffer: this.ram.buffer as SharedArrayBuffer, byteOffset: this.ram.length - 4, bits: 1 },
      control: this.#doorbell,
    });
  }

  backend(id: string): BlockBackend {
    const { drives, nodes } = this.#thread.start;
    const drive = [...drives, ...nodes].find(({ config }) => config.id === id)!;
    return this.channel.createBackend(drive.medium, drive.config);
  }

  /** Waits outside the event loop, as the machine thread does. */
  wait(start: (done: (error: number) => void) => void): number {
    const bell = new Doorbell(new Int32Array(this.#doorbell));
    let result = -1;
    start((error) => (result = error));
    assert.equal(result, -1, 'completed before the call returned');
    const deadline = Date.now() + 10_000;
    while (result < 0) {
      const seen = bell.read();
      this.channel.poll();
      if (result < 0) bell.wait(seen, 100);
      assert.ok(Date.now() < deadline, 'no completion');
    }
    return result;
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}

test('reads and writes a raw file through guest RAM and through other memory', async () => {
  const content = pattern(256 * 1024);
  const path = file('raw.img', content);
  const rig = await Rig.create('-drive', `file=${path},format=raw,if=none,id=d0`);
  // Let the attach message arrive: the thread sleeps outside its event loop.
  const disk = rig.backend('d0');
  assert.equal(disk.sizeBytes, content.length);
  const into = rig.ram.subarray(4096, 8192);
  assert.equal(
    rig.wait((done) => disk.read(8192, [into], done)),
    0,
  );
  assert.deepEqual([...into], [...content.subarray(8192, 12288)]);

  const scattered = [rig.ram.subarray(0, 512), new Uint8Array(1024), rig.ram.subarray(9000, 9512)];
  assert.equal(
    rig.wait((done) => disk.read(512, scattered, done)),
    0,
  );
  assert.deepEqual(Buffer.concat(scattered), Buffer.from(content.subarray(512, 512 + 2048)));

  rig.ram.fill(0xaa, 0, 512);
  const outside = new Uint8Array(512).fill(0x55);
  assert.equal(
    rig.wait((done) => disk.write(1024, [rig.ram.subarray(0, 512), outside], done)),
    0,
  );
  assert.equal(
    rig.wait((done) => disk.flush(done)),
    0,
  );
  assert.equal(
    rig.wait((done) => disk.writeZeroes(4096, 1024, true, done)),
    0,
  );
  await rig.close();
  const now = readFileSync(path);
  assert.equal(now[1024], 0xaa);
  assert.equal(now[1536], 0x55);
  assert.ok(now.subarray(4096, 5120).every((byte) => byte === 0));
  assert.equal(now[5120], content[5120]);
});

test('a request larger than the ring takes is sent in pieces', async () => {
  const content = pattern(3 << 20, 9);
  const path = file('large.img', content);
  const rig = await Rig.create('-drive', `file=${path},format=raw,if=none,id=d0`);
  const disk = rig.backend('d0');
  const into = new Uint8Array(content.length);
  assert.equal(
    rig.wait((done) => disk.read(0, [into], done)),
    0,
  );
  assert.ok(Buffer.from(into).equals(Buffer.from(content)));
  const sectors = Array.from({ length: 2000 }, (_, i) => rig.ram.subarray(i * 520, i * 520 + 512));
  assert.equal(
    rig.wait((done) => disk.read(512, sectors, done)),
    0,
  );
  assert.ok(Buffer.concat(sectors).equals(Buffer.from(content.subarray(512, 512 + 2000 * 512))));
  await rig.close();
});

test('errors: beyond the end, read-only, no medium', async () => {
  const path = file('small.img', pattern(4096));
  const rig = await Rig.create(
    '-drive',
    `file=${path},format=raw,if=none,id=ro,readonly=on`,
    '-drive',
    'if=none,id=empty,media=cdrom',
  );
  const disk = rig.backend('ro');
  const empty = rig.backend('empty');
  const view = rig.ram.subarray(0, 512);
  assert.equal(disk.isReadOnly, true);
  assert.equal(
    rig.wait((done) => disk.read(4096, [view], done)),
    5,
  );
  assert.equal(
    rig.wait((done) => disk.read(-512, [view], done)),
    22,
  );
  assert.equal(
    rig.wait((done) => disk.write(0, [view], done)),
    30,
  );
  assert.equal(empty.sizeBytes, 0);
  assert.equal(
    rig.wait((done) => empty.read(0, [view], done)),
    123,
  );
  await rig.close();
});

test('snapshot=on keeps writes away from the image', async () => {
  const content = pattern(200_704, 3);
  const path = file('base.img', content);
  const rig = await Rig.create('-drive', `file=${path},format=raw,if=none,id=d0,snapshot=on`);
  const disk = rig.backend('d0');
  rig.ram.fill(0x77, 0, 1024);
  assert.equal(
    rig.wait((done) => disk.write(65536 - 512, [rig.ram.subarray(0, 1024)], done)),
    0,
  );
  const into = new Uint8Array(content.length);
  assert.equal(
    rig.wait((done) => disk.read(0, [into], done)),
    0,
  );
  const expected = Uint8Array.from(content);
  expected.fill(0x77, 65536 - 512, 65536 + 512);
  assert.ok(Buffer.from(into).equals(Buffer.from(expected)));
  await rig.close();
  assert.ok(readFileSync(path).equals(Buffer.from(content)));
});

test('-blockdev chains nodes by name; a guessed raw image is warned of', async () => {
  const path = file('named.img', pattern(8192));
  const rig = await Rig.create(
    '-blockdev',
    `driver=file,node-name=f0,filename=${path}`,
    '-blockdev',
    '{"driver":"raw","node-name":"r0","file":"f0","offset":4096}',
    '-drive',
    `file=${file('guess.img', new Uint8Array(512))},if=none,id=g`,
  );
  const disk = rig.backend('r0');
  assert.equal(disk.sizeBytes, 4096);
  const view = rig.ram.subarray(0, 512);
  assert.equal(
    rig.wait((done) => disk.read(0, [view], done)),
    0,
  );
  assert.equal(view[0], pattern(8192)[4096]);
  assert.match(rig.warnings.join(), /probing guessed raw/);
  await rig.close();
});

test('what cannot be opened names the option', async () => {
  await assert.rejects(Rig.create('-drive', 'file=/nonexistent/x.img'), {
    name: 'UserError',
    message: /Could not open '\/nonexistent\/x.img'/,
  });
  await assert.rejects(Rig.create('-drive', `file=${file('x', new Uint8Array(512))},format=nope`), {
    name: 'UserError',
    message: /Unknown driver 'nope'/,
  });
});

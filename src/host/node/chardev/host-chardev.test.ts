import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CharStream } from '../../../chardev/char-stream.ts';
import { UserError } from '../../../util/errors.ts';
import { FdWriter } from './fd-writer.ts';
import { FileStream } from './file.ts';
import { PtyStream } from './pty.ts';
import { type SocketOptions, SocketStream } from './socket.ts';
import { escapeTelnet, TelnetDecoder } from './telnet.ts';

const directory = mkdtempSync(join(tmpdir(), 'lyrebird-chardev-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** Collects what a stream brings in. */
function collect(stream: CharStream): { text: string; breaks: number; until(text: string): Promise<void> } {
  const seen = {
    text: '',
    breaks: 0,
    async until(text: string): Promise<void> {
      for (let i = 0; i < 400 && !seen.text.includes(text); i++) await sleep(5);
      assert.ok(seen.text.includes(text), `got ${JSON.stringify(seen.text)}`);
    },
  };
  stream.connect({
    input: (bytes) => {
      seen.text += Buffer.from(bytes).toString('latin1');
    },
    writable: () => {},
    sendBreak: () => seen.breaks++,
  });
  return seen;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const base: SocketOptions = {
  server: true,
  wait: false,
  telnet: false,
  noDelay: false,
  reconnectSeconds: 0,
  option: '-serial x',
};

async function peerText(socket: Socket, end: string): Promise<string> {
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
  });
  for (let i = 0; i < 400 && !text.endsWith(end); i++) await sleep(5);
  return text;
}

test('a UNIX server: one peer at a time, both directions, a new peer afterwards', async () => {
  const path = join(directory, 'sock');
  const stream = await SocketStream.open({ ...base, path });
  const seen = collect(stream);
  for (const round of ['one', 'two']) {
    const peer = connect(path);
    peer.write(`from ${round}`);
    await seen.until(`from ${round}`);
    const second = connect(path);
    await new Promise((resolve) => second.once('close', resolve).resume());
    stream.write(Buffer.from(`to ${round}`));
    assert.equal(await peerText(peer, round), `to ${round}`);
    peer.destroy();
    await sleep(20);
  }
  await stream.dispose();
});

test('telnet: greeting, doubled IAC, commands, break', async () => {
  const stream = await SocketStream.open({ ...base, path: join(directory, 'telnet'), telnet: true });
  const seen = collect(stream);
  const peer = connect(join(directory, 'telnet'));
  peer.write(
    Buffer.from([0x61, 255, 255, 255, 251, 31, 255, 250, 31, 0, 80, 255, 240, 0x62, 13, 0, 255, 243, 0x63]),
  );
  await seen.until('c');
  assert.equal(seen.text, 'a\xffb\rc');
  assert.equal(seen.breaks, 1);
  stream.write(Uint8Array.of(0x78, 255, 0x79));
  const text = await peerText(peer, 'y');
  assert.ok(text.startsWith('\xff\xfb\x01\xff\xfb\x03'));
  assert.ok(text.endsWith('x\xff\xffy'));
  peer.destroy();
  await stream.dispose();
  assert.deepEqual([...escapeTelnet(Uint8Array.of(1, 2))], [1, 2]);
  assert.deepEqual([...new TelnetDecoder(() => {}).decode(Uint8Array.of(13, 10, 65))], [13, 65]);
});

test('a TCP client, and addresses that cannot be had', async () => {
  const server = createServer((socket) => socket.write('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stream = await SocketStream.open({ ...base, host: '127.0.0.1', port, server: false });
  await collect(stream).until('hello');
  const refused = (error: Error): boolean =>
    error instanceof UserError && error.message.startsWith('-serial x: cannot ');
  await assert.rejects(SocketStream.open({ ...base, host: '127.0.0.1', port }), refused);
  await stream.dispose();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(SocketStream.open({ ...base, host: '127.0.0.1', port, server: false }), refused);
});

test('a file gets everything; one that cannot be written is refused', async () => {
  const path = join(directory, 'file');
  const stream = new FileStream(path, false, '-serial');
  for (let i = 0; i < 100; i++) stream.write(Buffer.from(`line ${i}\n`));
  await stream.dispose();
  assert.equal(readFileSync(path, 'utf8').split('\n').length, 101);
  assert.throws(
    () => new FileStream('/nonexistent/x', false, '-serial'),
    /^UserError: -serial: cannot write \/nonexistent\/x: no such/,
  );
});

test('a descriptor is written without blocking and in order', async () => {
  const path = join(directory, 'fd');
  const fd = openSync(path, 'w');
  const writer = new FdWriter(fd);
  let writable = 0;
  writer.onWritable = () => writable++;
  assert.ok(writer.write(Buffer.from('a')));
  assert.ok(!writer.write(new Uint8Array(70_000).fill(0x62)));
  writer.write(Buffer.from('c'));
  await writer.flush(1000);
  assert.equal(readFileSync(path, 'latin1'), `a${'b'.repeat(70_000)}c`);
  assert.equal(writable, 1);
  closeSync(fd);
  const broken = new FdWriter(9999);
  broken.write(Buffer.from('x'));
  await broken.flush(1000);
  assert.ok(broken.write(Buffer.from('y')), 'after an error everything is swallowed');
});

test('a pseudo-terminal, where the host has them', async (t) => {
  let stream: PtyStream;
  try {
    stream = new PtyStream('-serial pty');
  } catch (error) {
    assert.ok(error instanceof UserError);
    return t.skip(error.message);
  }
  const seen = collect(stream);
  assert.ok(stream.write(new Uint8Array(1 << 20)), 'nobody listens: output is dropped');
  const fd = openSync(stream.path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  writeSync(fd, 'typed\n');
  await seen.until('typed\n');
  stream.write(Buffer.from('answer'));
  const buffer = Buffer.alloc(100);
  let text = '';
  for (let i = 0; i < 200 && !text.includes('answer'); i++) {
    await sleep(5);
    try {
      text += buffer.toString('latin1', 0, readSync(fd, buffer));
    } catch {
      // nothing yet
    }
  }
  assert.equal(text, 'answer');
  closeSync(fd);
  await stream.dispose();
});

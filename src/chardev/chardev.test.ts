import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharFrontend } from '../core/char-backend.ts';
import { UserError } from '../util/errors.ts';
import { CharChannel } from './char-channel.ts';
import { CharPump } from './char-pump.ts';
import type { CharStream, CharStreamClient } from './char-stream.ts';
import { CharMux } from './mux.ts';
import { RingCharBackend } from './ring-backend.ts';
import { parseChardev, parseCharSpec } from './spec.ts';

/** A host stream that can be full. */
class FakeStream implements CharStream {
  output = '';
  takes = true;
  paused = false;
  disposals = 0;
  client: CharStreamClient | undefined;
  write(bytes: Uint8Array): boolean {
    this.output += Buffer.from(bytes).toString('latin1');
    return this.takes;
  }
  connect(client: CharStreamClient): void {
    this.client = client;
  }
  pauseInput(): void {
    this.paused = true;
  }
  resumeInput(): void {
    this.paused = false;
  }
  async dispose(): Promise<void> {
    this.disposals++;
  }
  type(text: string): void {
    this.client!.input(Buffer.from(text, 'latin1'));
  }
}

class FakeDevice implements CharFrontend {
  received: number[] = [];
  room = 16;
  writable = 0;
  breaks = 0;
  onReceivable: (() => void) | undefined;
  canReceive(): number {
    return this.room;
  }
  receive(byte: number): void {
    this.received.push(byte);
    this.room--;
  }
  onWritable(): void {
    this.writable++;
  }
  onBreak(): void {
    this.breaks++;
  }
}

function pair(): {
  stream: FakeStream;
  device: FakeDevice;
  backend: RingCharBackend;
  pump: CharPump;
  counts: { news: number; wakes: number };
} {
  const channel = CharChannel.create();
  const counts = { news: 0, wakes: 0 };
  const backend = new RingCharBackend(new CharChannel(channel.buffer), () => counts.news++);
  const device = new FakeDevice();
  backend.connect(device);
  const stream = new FakeStream();
  const pump = new CharPump(channel, stream, () => counts.wakes++);
  return { stream, device, backend, pump, counts };
}

test('device to stream: order, back pressure, nothing lost', () => {
  const { stream, device, backend, pump, counts } = pair();
  stream.takes = false;
  let sent = 0;
  while (backend.write(sent & 0xff)) sent++;
  assert.equal(sent, 65536);
  assert.ok(backend.isBlocked);
  pump.poll();
  assert.equal(counts.wakes, 1, 'room was made: the machine thread is woken');
  assert.equal(stream.output.length, 16384, 'a stream that is full gets no more');
  backend.poll();
  assert.equal(device.writable, 1);
  assert.ok(backend.write(0x41));
  stream.takes = true;
  stream.client!.writable();
  assert.equal(stream.output.length, sent + 1);
  for (let i = 0; i < sent; i++) assert.equal(stream.output.charCodeAt(i), i & 0xff);
});

test('stream to device: waits for room, pauses the stream when the ring is full', () => {
  const { stream, device, backend, pump } = pair();
  stream.client!.input(new Uint8Array(70_000).fill(7));
  assert.ok(stream.paused);
  backend.poll();
  assert.equal(device.received.length, 16);
  device.room = 20_000;
  device.onReceivable!();
  assert.equal(device.received.length, 20_016);
  pump.poll();
  assert.ok(!stream.paused);
  device.room = 100_000;
  backend.poll();
  assert.equal(device.received.length, 70_000);
  backend.sendBreak();
  backend.poll();
  assert.equal(device.breaks, 1);
});

test('finish hands over what is left, and gives up on a stream that takes nothing', async () => {
  const sleep = async (): Promise<void> => {};
  const good = pair();
  for (const c of 'bye') good.backend.write(c.charCodeAt(0));
  await good.pump.finish(sleep, 100);
  assert.equal(good.stream.output, 'bye');
  const bad = pair();
  bad.stream.takes = false;
  for (let i = 0; i < 40_000; i++) bad.backend.write(0x2e);
  await bad.pump.finish(sleep, 100);
  assert.ok(bad.stream.output.length < 40_000);
});

test('mux: Ctrl-A commands', () => {
  const terminal = new FakeStream();
  let quits = 0;
  const mux = new CharMux(terminal, { onQuit: () => quits++, nowMs: () => 61_234 });
  const log: string[] = [];
  const user = (name: string): CharStream => {
    const port = mux.addPort();
    port.connect({
      input: (bytes) => log.push(`${name}:${Buffer.from(bytes).toString('latin1')}`),
      writable: () => log.push(`${name} writable`),
      sendBreak: () => log.push(`${name} break`),
      opened: () => log.push(`${name} opened`),
    });
    return port;
  };
  const console_ = user('console');
  const monitor = user('monitor');
  terminal.type('ab\x01\x01c');
  assert.deepEqual(log.splice(0), ['console:ab', 'console:\x01c']);
  terminal.type('x\x01');
  terminal.type('cinfo');
  assert.deepEqual(log.splice(0), ['console:x', 'monitor opened', 'monitor:info']);
  terminal.type('\x01b');
  assert.deepEqual(log.splice(0), ['monitor break']);
  terminal.type('\x01c\x01b\x01zq');
  assert.deepEqual(log.splice(0), ['console opened', 'console break', 'console:q']);
  terminal.type('\x01h');
  assert.match(terminal.output, /C-a x/);
  terminal.output = '';
  terminal.type('\x01t');
  monitor.write(Buffer.from('one\ntwo'));
  assert.equal(terminal.output, '[00:01:01.234] one\n[00:01:01.234] two');
  console_.pauseInput();
  assert.ok(terminal.paused);
  terminal.type('\x01c');
  assert.ok(!terminal.paused, 'the monitor in front is not paused');
  terminal.type('\x01x');
  assert.equal(quits, 1);
});

test('mux: the terminal is released with its last user', async () => {
  const terminal = new FakeStream();
  const mux = new CharMux(terminal, { onQuit: () => {}, nowMs: () => 0 });
  const ports = [mux.addPort(), mux.addPort()];
  await ports[0]!.dispose();
  assert.equal(terminal.disposals, 0);
  await ports[1]!.dispose();
  assert.equal(terminal.disposals, 1);
});

test('specifications as QEMU spells them', () => {
  const spec = (text: string): unknown => parseCharSpec(text, '-serial').spec;
  assert.deepEqual(parseCharSpec('mon:stdio', '-serial'), {
    spec: { kind: 'stdio', signal: undefined },
    mux: true,
  });
  assert.deepEqual(spec('file:/tmp/a:b,c'), { kind: 'file', path: '/tmp/a:b,c', append: false });
  assert.deepEqual(spec('chardev:x'), { kind: 'chardev', id: 'x' });
  const socket = {
    path: undefined,
    host: '',
    port: 0,
    server: false,
    wait: false,
    telnet: false,
    noDelay: false,
    reconnectSeconds: 0,
  };
  assert.deepEqual(spec('tcp::4444,server=on,wait=off'), {
    kind: 'socket',
    ...socket,
    port: 4444,
    server: true,
  });
  assert.deepEqual(spec('telnet:127.0.0.1:23,server,nowait'), {
    ...{ kind: 'socket', ...socket, host: '127.0.0.1', port: 23 },
    ...{ server: true, telnet: true },
  });
  assert.deepEqual(spec('tcp:[::1]:5,server'), {
    kind: 'socket',
    ...socket,
    host: '::1',
    port: 5,
    server: true,
    wait: true,
  });
  assert.deepEqual(spec('unix:/run/x,server=on'), {
    kind: 'socket',
    ...socket,
    path: '/run/x',
    server: true,
    wait: true,
  });
  assert.deepEqual(parseChardev('socket,id=s,host=h,port=9,server=on,wait=off,telnet=on').spec, {
    ...{ kind: 'socket', ...socket, host: 'h', port: 9 },
    ...{ server: true, telnet: true },
  });
  assert.deepEqual(parseChardev('file,id=f,path=a,,b,append=on'), {
    id: 'f',
    mux: false,
    spec: { kind: 'file', path: 'a,b', append: true },
  });
  assert.equal(parseChardev('stdio,id=c,mux=on,signal=off').mux, true);
});

test('bad specifications name the option', () => {
  for (const text of [
    '',
    'nonsense',
    'file:',
    'tcp:host',
    'tcp:h:70000',
    'unix:',
    'chardev:',
    'vc',
    'mon:xyz',
    'null:x',
  ]) {
    assert.throws(
      () => parseCharSpec(text, '-serial'),
      (e: Error) => e instanceof UserError && e.message.startsWith('-serial'),
    );
  }
  for (const text of ['tcp:h:1,frob', 'tcp:h:1,server=maybe']) {
    assert.throws(() => parseCharSpec(text, '-serial'), UserError);
  }
  for (const text of ['null', 'file,id=x', 'vga,id=x', 'socket,id=x', 'null,id=x,y=z']) {
    assert.throws(
      () => parseChardev(text),
      (e: Error) => e instanceof UserError && e.message.startsWith('-chardev'),
    );
  }
});

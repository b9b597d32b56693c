import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomSource } from '../../core/vmstate-roundtrip.cases.ts';
import { inetChecksum } from '../../util/inet-checksum.ts';
import { get16, put16, put32 } from './ip-output.ts';
import { createNetwork, FakeStream, type Network, segmentOf } from './test-guest.cases.ts';

const SYN = 2;
const ACK = 16;
const FIN = 1;
const RST = 4;
const WINDOW_OPTIONS = [2, 4, 5, 0xb4, 3, 3, 7, 1];

function arp(network: Network, target: number): Uint8Array[] {
  const frame = new Uint8Array(60);
  frame.fill(0xff, 0, 6);
  frame.set(network.guest.mac, 6);
  frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1], 12);
  frame.set(network.guest.mac, 22);
  frame.set([10, 0, 2, 15], 28);
  frame.set([10, 0, 2, target], 38);
  network.guest.send(frame);
  return network.guest.take();
}

function dhcp(type: number, mac: readonly number[], options: readonly number[] = []): Uint8Array {
  const message = new Uint8Array(300);
  message.set([1, 1, 6, 0, 1, 2, 3, 4]);
  message.set(mac, 28);
  put32(message, 236, 0x63825363);
  message.set([53, 1, type, ...options, 255], 240);
  return message;
}

/** Opens a connection; the guest's next sequence number is 1001. */
async function open(network: Network, port = 80): Promise<{ stream: FakeStream; next: number }> {
  network.guest.sendTcp('10.0.2.2', 5000, port, { flags: SYN, seq: 1000, options: WINDOW_OPTIONS });
  await network.settle();
  const stream = network.host.streams.at(-1)!;
  stream.handlers.connected();
  const answer = segmentOf(network.guest.take()[0]!);
  assert.equal(answer.flags, SYN | ACK);
  assert.equal(answer.ack, 1001);
  network.guest.sendTcp('10.0.2.2', 5000, port, { flags: ACK, seq: 1001, ack: answer.seq + 1 });
  return { stream, next: answer.seq + 1 };
}

test('ARP: router and name server answer, nobody else', async () => {
  const network = await createNetwork();
  assert.deepEqual([...arp(network, 2)[0]!.slice(22, 28)], [0x52, 0x55, 10, 0, 2, 2]);
  assert.equal(arp(network, 3).length, 1);
  assert.equal(arp(network, 77).length, 0);
});

test('DHCP: offer and acknowledgement; a flood takes no more than sixteen addresses', async () => {
  const network = await createNetwork({ bootFile: 'pxelinux.0', dnsSearch: ['example.org'] });
  const { guest } = network;
  const ask = (message: Uint8Array): Uint8Array | undefined => {
    guest.sendUdp('255.255.255.255', 68, 67, message);
    return guest.take()[0]?.slice(42);
  };
  const offer = ask(dhcp(1, [...guest.mac]))!;
  assert.deepEqual([...offer.slice(16, 20)], [10, 0, 2, 15]);
  assert.deepEqual([...offer.slice(240, 243)], [53, 1, 2]);
  assert.equal(Buffer.from(offer.slice(108, 118)).toString(), 'pxelinux.0');
  const ack = ask(dhcp(3, [...guest.mac], [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]))!;
  assert.deepEqual([...ack.slice(240, 243)], [53, 1, 5]);
  const nak = ask(dhcp(3, [...guest.mac], [50, 4, 10, 0, 2, 99]))!;
  assert.deepEqual([...nak.slice(240, 243)], [53, 1, 6]);
  assert.equal(ask(dhcp(3, [...guest.mac], [54, 4, 9, 9, 9, 9])), undefined, 'for another server');
  const given = new Set<number>();
  for (let n = 0; n < 200; n++) given.add(ask(dhcp(1, [2, 0, 0, 0, 0, n]))![19]!);
  assert.equal(given.size, 16);
});

test('ICMP: echo of the router at once, of others through the host', async () => {
  const network = await createNetwork();
  const request = new Uint8Array(16);
  request[0] = 8;
  request[15] = 0x42;
  put16(request, 2, inetChecksum(request, 0, 16));
  for (const target of ['10.0.2.2', '192.0.2.9']) {
    network.guest.sendIp(target, 1, request);
    await network.settle();
    const reply = network.guest.take()[0]!;
    assert.equal(reply[34], 0);
    assert.equal(inetChecksum(reply, 34, 16), 0);
  }
});

test('TCP: both directions, end of each, window and checksum', async () => {
  const network = await createNetwork();
  const { guest } = network;
  const { stream, next } = await open(network);
  assert.deepEqual(stream.target, { kind: 'tcp', address: '127.0.0.1', port: 80 });
  guest.sendTcp('10.0.2.2', 5000, 80, { seq: 1001, ack: next, data: [1, 2, 3] });
  await network.settle();
  assert.deepEqual(stream.written, [1, 2, 3]);
  stream.handlers.data(Uint8Array.of(9, 8, 7));
  await network.settle();
  const answer = segmentOf(guest.take().at(-1)!);
  assert.deepEqual(answer.data, [9, 8, 7]);
  assert.equal(answer.ack, 1004);
  guest.sendTcp('10.0.2.2', 5000, 80, { flags: ACK | FIN, seq: 1004, ack: next + 3 });
  await network.settle();
  assert.equal(stream.ended, true);
  stream.handlers.ended();
  await network.settle();
  const fin = guest.take().map(segmentOf).at(-1)!;
  assert.equal(fin.flags & FIN, FIN);
  guest.sendTcp('10.0.2.2', 5000, 80, { seq: 1005, ack: next + 4 });
  await network.settle();
  assert.equal(network.stack.connections().includes('TCP['), false);
});

test('TCP: segments out of order and twice arrive in order and once', async () => {
  const network = await createNetwork();
  const { stream, next } = await open(network);
  const send = (seq: number, ...data: number[]): void =>
    network.guest.sendTcp('10.0.2.2', 5000, 80, { seq, ack: next, data });
  send(1003, 3, 4);
  send(1007, 7);
  send(1001, 1, 2);
  send(1001, 1, 2, 3);
  send(1005, 5, 6);
  await network.settle();
  assert.deepEqual(stream.written, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(segmentOf(network.guest.take().at(-1)!).ack, 1008);
});

test('TCP: what is not acknowledged is sent again; a dead guest is given up', async () => {
  const network = await createNetwork();
  const { host, guest, settle } = network;
  const { stream } = await open(network);
  stream.handlers.data(Uint8Array.of(1, 2, 3));
  await settle();
  assert.equal(guest.take().length, 1);
  host.advance(400);
  await settle();
  assert.deepEqual(segmentOf(guest.take()[0]!).data, [1, 2, 3]);
  for (let i = 0; i < 200; i++) {
    host.advance(1000);
    await settle();
  }
  assert.equal(stream.destroyed, true);
  assert.equal(segmentOf(guest.take().at(-1)!).flags & RST, RST);
});

test('TCP: three duplicates bring the missing segment at once', async () => {
  const network = await createNetwork();
  const { guest, settle } = network;
  const { stream, next } = await open(network);
  stream.handlers.data(new Uint8Array(10000).map((_, n) => n));
  await settle();
  const first = guest.take().map(segmentOf)[0]!;
  for (let i = 0; i < 4; i++) guest.sendTcp('10.0.2.2', 5000, 80, { seq: 1001, ack: next });
  const again = segmentOf(guest.take()[0]!);
  assert.equal(again.seq, first.seq);
  assert.deepEqual(again.data, first.data);
});

test('TCP: a guest that does not read stops the host; a closed window is probed', async () => {
  const network = await createNetwork();
  const { host, guest, settle } = network;
  const { stream, next } = await open(network);
  guest.sendTcp('10.0.2.2', 5000, 80, { seq: 1001, ack: next, window: 0 });
  for (let i = 0; i < 40; i++) stream.handlers.data(new Uint8Array(65536));
  await settle();
  assert.equal(stream.paused, true);
  assert.equal(guest.take().filter((f) => segmentOf(f).data.length > 0).length, 0);
  host.advance(1000);
  await settle();
  assert.equal(segmentOf(guest.take()[0]!).data.length, 1, 'a probe');
  guest.sendTcp('10.0.2.2', 5000, 80, { seq: 1001, ack: next + 1, window: 100 });
  await settle();
  assert.ok(segmentOf(guest.take()[0]!).data.length > 0);
});

test('TCP: refused connections and unknown segments are reset, resets are not answered', async () => {
  const network = await createNetwork();
  const { guest, host, settle } = network;
  guest.sendTcp('10.0.2.2', 5001, 81, { flags: SYN, seq: 7, options: WINDOW_OPTIONS });
  await settle();
  host.streams[0]!.handlers.closed('ECONNREFUSED');
  assert.equal(segmentOf(guest.take()[0]!).flags & RST, RST);
  guest.sendTcp('10.0.2.2', 5002, 81, { flags: ACK, seq: 7, ack: 99 });
  assert.deepEqual(segmentOf(guest.take()[0]!), {
    flags: RST,
    seq: 99,
    ack: 0,
    window: 0,
    data: [],
    options: [],
  });
  guest.sendTcp('10.0.2.2', 5002, 81, { flags: RST, seq: 7 });
  assert.equal(guest.take().length, 0);
});

test('TCP: a flood of SYNs opens a bounded number of connections', async () => {
  const network = await createNetwork();
  for (let n = 0; n < 6000; n++)
    network.guest.sendTcp('10.0.2.2', 1 + n, 80, { flags: SYN, seq: 1, options: WINDOW_OPTIONS });
  await network.settle();
  assert.equal(network.host.streams.length, 4096);
  network.stack.close();
});

test('hostfwd: a connection from outside reaches the guest', async () => {
  const network = await createNetwork({
    hostForwards: [{ protocol: 'tcp', hostAddress: '', hostPort: 2222, guestAddress: '', guestPort: 22 }],
  });
  const { host, guest, settle } = network;
  let stream: FakeStream | undefined;
  host.accept!({
    address: '127.0.0.1',
    port: 40000,
    open: (handlers) => (stream = new FakeStream(undefined, handlers)),
  });
  await settle();
  const frames = guest.take();
  assert.equal(get16(frames[0]!, 12), 0x0806, 'the guest is asked for first');
  const syn = segmentOf(frames[1]!);
  assert.equal(syn.flags, SYN);
  guest.sendTcp('10.0.2.2', 22, 40000, {
    flags: SYN | ACK,
    seq: 500,
    ack: syn.seq + 1,
    options: WINDOW_OPTIONS,
  });
  guest.sendTcp('10.0.2.2', 22, 40000, { seq: 501, ack: syn.seq + 1, data: [65] });
  await settle();
  assert.deepEqual(stream!.written, [65]);
});

test("UDP and DNS: datagrams out and back; the name server stands for the host's", async () => {
  const network = await createNetwork();
  const { host, guest, settle } = network;
  guest.sendUdp('10.0.2.3', 5353, 53, Uint8Array.of(1, 2));
  await settle();
  assert.deepEqual(host.datagrams[0], { bytes: Uint8Array.of(1, 2), address: '192.0.2.53', port: 53 });
  host.receive!(Uint8Array.of(3), '192.0.2.53', 53);
  const reply = guest.take()[0]!;
  assert.deepEqual([...reply.slice(26, 30)], [10, 0, 2, 3]);
  assert.equal(get16(reply, 36), 5353);
  host.receive!(new Uint8Array(4000), '192.0.2.53', 53);
  assert.equal(guest.take().length, 3, 'a large answer comes in fragments');
});

test("DNS: without a name server the host's own resolver answers", async () => {
  const network = await createNetwork();
  network.host.servers = [];
  const name = [7, ...Buffer.from('example'), 3, ...Buffer.from('org'), 0];
  network.guest.sendUdp(
    '10.0.2.3',
    5353,
    53,
    Uint8Array.of(0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 1, 0, 1),
  );
  await network.settle();
  const reply = network.guest.take()[0]!;
  assert.deepEqual([...reply.slice(-4)], [192, 0, 2, 1]);
});

test('TFTP: blocks, options, and files that are not there', async () => {
  const network = await createNetwork({ tftp: '/srv' });
  const { host, guest } = network;
  host.files.set('a', new Uint8Array(1500).fill(5));
  const ask = (port: number, ...bytes: Array<number | string>): Uint8Array | undefined => {
    const payload = bytes.flatMap((b) => (typeof b === 'string' ? [...Buffer.from(`${b}\0`)] : [b]));
    guest.sendUdp('10.0.2.2', 3000, port, Uint8Array.from(payload));
    const frame = guest.take()[0];
    return frame?.slice(34);
  };
  const oack = ask(69, 0, 1, 'a', 'octet', 'tsize', '0', 'blksize', '1000')!;
  assert.equal(Buffer.from(oack.slice(8)).toString(), '\0\x06tsize\x001500\0blksize\x001000\0');
  const port = get16(oack, 0);
  assert.equal(ask(port, 0, 4, 0, 0)!.length, 8 + 4 + 1000);
  assert.equal(ask(port, 0, 4, 0, 1)!.length, 8 + 4 + 500);
  assert.equal(ask(port, 0, 4, 0, 2), undefined);
  assert.equal(get16(ask(69, 0, 1, '../etc/passwd', 'octet')!, 8), 5);
  assert.equal(get16(ask(69, 0, 2, 'a', 'octet')!, 8), 5);
});

test('restrict: nothing leaves, DHCP and guestfwd work', async () => {
  const network = await createNetwork({
    restrict: true,
    guestForwards: [{ address: '10.0.2.100', port: 7, target: { kind: 'command', command: 'cat' } }],
  });
  const { host, guest, settle } = network;
  guest.sendTcp('10.0.2.2', 5000, 80, { flags: SYN, options: WINDOW_OPTIONS });
  guest.sendTcp('192.0.2.1', 5000, 80, { flags: SYN, options: WINDOW_OPTIONS });
  guest.sendUdp('192.0.2.1', 5000, 53, Uint8Array.of(1));
  guest.sendUdp('10.0.2.3', 5000, 53, Uint8Array.of(1));
  await settle();
  assert.equal(host.streams.length + host.datagrams.length, 0);
  assert.equal(guest.take().length, 0);
  guest.sendUdp('255.255.255.255', 68, 67, dhcp(1, [...guest.mac]));
  assert.equal(guest.take().length, 1);
  guest.sendTcp('10.0.2.100', 5000, 7, { flags: SYN, options: WINDOW_OPTIONS });
  await settle();
  assert.deepEqual(host.streams[0]!.target, { kind: 'command', command: 'cat' });
});

test('a policy allows, denies and answers connections', async () => {
  const asked: string[] = [];
  let served: FakeStream | undefined;
  const network = await createNetwork({}, (request) => {
    asked.push(`${request.protocol} ${request.destination.address}:${request.destination.port}`);
    if (request.destination.port === 1) return { kind: 'allow' };
    if (request.destination.port === 2) return { kind: 'deny' };
    return { kind: 'answer', open: (handlers) => (served = new FakeStream(undefined, handlers)) };
  });
  const { host, guest, settle } = network;
  for (const port of [1, 2, 3])
    guest.sendTcp('192.0.2.7', 5000, port, { flags: SYN, seq: 1, options: WINDOW_OPTIONS });
  await settle();
  assert.deepEqual(asked, ['tcp 192.0.2.7:1', 'tcp 192.0.2.7:2', 'tcp 192.0.2.7:3']);
  assert.equal(host.streams.length, 1);
  assert.deepEqual(
    guest.take().map((frame) => [get16(frame, 34), segmentOf(frame).flags]),
    [
      [2, RST | ACK],
      [3, SYN | ACK],
    ],
  );
  assert.ok(served !== undefined);
});

test('IP fragments of the guest are joined, and never kept without bound', async () => {
  const network = await createNetwork();
  const { host, guest, settle } = network;
  const datagram = new Uint8Array(2408);
  put16(datagram, 0, 5000);
  put16(datagram, 2, 9);
  put16(datagram, 4, datagram.length);
  const send = (offset: number, end: number, more: boolean): void => {
    const frame = new Uint8Array(34 + end - offset);
    frame.set([0x52, 0x55, 10, 0, 2, 2, ...guest.mac, 8, 0, 0x45]);
    put16(frame, 16, 20 + end - offset);
    put16(frame, 20, (offset >> 3) | (more ? 0x2000 : 0));
    frame.set([64, 17, 0, 0, 10, 0, 2, 15, 192, 0, 2, 1], 22);
    put16(frame, 24, inetChecksum(frame, 14, 20));
    frame.set(datagram.subarray(offset, end), 34);
    guest.send(frame);
  };
  send(1600, 2408, false);
  send(0, 800, true);
  send(800, 1600, true);
  await settle();
  assert.equal(host.datagrams[0]!.bytes.length, 2400);
});

test('IPv6: a router advertises itself and answers neighbours', async () => {
  const network = await createNetwork();
  const frame = new Uint8Array(62);
  frame.set([0x33, 0x33, 0, 0, 0, 2, ...network.guest.mac, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 255]);
  frame.set([0xfe, 0x80], 22);
  frame[37] = 9;
  frame.set([0xff, 2], 38);
  frame[53] = 2;
  frame[54] = 133;
  const pseudo = Uint8Array.of(...frame.slice(22, 54), 0, 58, 0, 8, ...frame.slice(54));
  put16(frame, 56, inetChecksum(pseudo, 0, pseudo.length));
  network.guest.send(frame);
  const advertisement = network.guest.take()[0]!;
  assert.equal(advertisement[54], 134);
  assert.deepEqual([...advertisement.slice(86, 88)], [0xfe, 0xc0], 'the prefix');
});

test('frames full of nonsense neither throw nor leave anything behind', async () => {
  const next = randomSource(99);
  const network = await createNetwork({ tftp: '/srv' });
  const { guest, host, stack, settle } = network;
  await open(network);
  const targets = ['10.0.2.2', '10.0.2.3', '255.255.255.255', '192.0.2.1'];
  for (let i = 0; i < 20000; i++) {
    const kind = next();
    const data = Uint8Array.from({ length: Math.floor(next() ** 2 * 120) }, () => next() * 256);
    const target = targets[Math.floor(next() * targets.length)]!;
    if (kind < 0.3) {
      const frame = new Uint8Array(14 + data.length);
      frame.set(data, 14);
      put16(frame, 12, [0x0800, 0x0806, 0x86dd, 0x1234][Math.floor(next() * 4)]!);
      if (next() < 0.7 && frame.length > 14) frame[14] = frame[13] === 0 ? 0x45 : 0x60;
      guest.send(frame);
    } else if (kind < 0.6)
      guest.sendUdp(target, 5000, [53, 67, 69, 547, 49153, 9][Math.floor(next() * 6)]!, data);
    else if (kind < 0.7) guest.sendIp(target, Math.floor(next() * 256), data);
    else {
      guest.sendTcp('10.0.2.2', 5000, 80, {
        flags: next() * 64,
        seq: 1001 + Math.floor(next() ** 3 * 2000),
        ack: 0x11111112 + Math.floor((next() - 0.5) * 20),
        window: next() * 65536,
        data: [...data],
        options: next() < 0.3 ? [2, 4, 0, 1, 3, 3, 99, 0] : [],
      });
      if (next() < 0.2) for (const stream of host.streams.slice(-1)) stream.handlers.data(data.slice());
    }
    if (i % 50 === 0) {
      await settle();
      host.advance(500);
    }
    guest.received.length = 0;
  }
  assert.ok(stack.connections().length < 1e6);
});

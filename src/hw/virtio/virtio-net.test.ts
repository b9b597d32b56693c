import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createMeta,
  type FrameMeta,
  GSO_TCPV4,
  type NetBackend,
  type NetFrontend,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TCPV4,
  PLAIN_FRAME,
} from '../../core/net-backend.ts';
import { randomSource, testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { bringUp, CONFIG, createRig, kick, type PciRig } from './pci-driver.cases.ts';
import { VIRTIO_NET_FEATURES, VirtioNet } from './virtio-net.ts';

const BUFFERS = 0x80000;
const F_MRG_RXBUF = 1n << 15n;

class Wire implements NetBackend {
  isLinkUp = true;
  offloads = 0;
  room = Number.POSITIVE_INFINITY;
  readonly sent: Array<{ frame: Uint8Array; meta: FrameMeta }> = [];
  frontend!: NetFrontend;
  resumed = 0;
  #reserved = new Uint8Array(0);

  connect(frontend: NetFrontend): void {
    this.frontend = frontend;
  }
  send(): boolean {
    return false;
  }
  reserve(length: number): Uint8Array | undefined {
    this.#reserved = new Uint8Array(length);
    return this.room > 0 ? this.#reserved : undefined;
  }
  commit(meta: Readonly<FrameMeta>): void {
    this.room--;
    this.sent.push({ frame: this.#reserved, meta: { ...meta } });
  }
  resume(): void {
    this.resumed++;
  }
  setOffloads(offloads: number): void {
    this.offloads = offloads;
  }
}

function netRig(queuePairs = 1, packed = false): { rig: PciRig; net: VirtioNet; wire: Wire } {
  const wire = new Wire();
  const features = Object.values(VIRTIO_NET_FEATURES).reduce((sum, bit) => sum | bit, 0n);
  const net = new VirtioNet({
    backend: wire,
    mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
    features,
    queuePairs,
    rxQueueSize: 256,
    txQueueSize: 256,
    mtu: 0,
  });
  return { rig: createRig(net, { packed, vectors: 8 }), net, wire };
}

const frame = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, n) => (n < 6 ? 0xff : n & 0xff));

for (const packed of [false, true]) {
  const name = packed ? 'packed' : 'split';
  test(`virtio-net (${name}): a frame with its header goes out; without room the chain waits`, () => {
    const { rig, wire } = netRig(1, packed);
    const { rings } = bringUp(rig, 3);
    rig.ram.view.setUint8(BUFFERS, 1);
    rig.ram.view.setUint8(BUFFERS + 1, GSO_TCPV4);
    rig.ram.view.setUint16(BUFFERS + 4, 1448, true);
    rig.ram.view.setUint16(BUFFERS + 6, 34, true);
    rig.ram.bytes.set(frame(100), BUFFERS + 12);
    wire.room = 0;
    rings[1]!.add([
      { address: BUFFERS, length: 12 },
      { address: BUFFERS + 12, length: 100 },
    ]);
    kick(rig, 1);
    assert.equal(rings[1]!.takeUsed().length, 0);
    wire.room = 10;
    wire.frontend.writable();
    assert.deepEqual(rings[1]!.takeUsed().length, 1);
    assert.deepEqual(wire.sent[0]!.frame, frame(100));
    assert.equal(wire.sent[0]!.meta.gsoSize, 1448);
    assert.equal(wire.sent[0]!.meta.checksumStart, 34);
    assert.equal(wire.offloads & (OFFLOAD_CHECKSUM | OFFLOAD_TCPV4), OFFLOAD_CHECKSUM | OFFLOAD_TCPV4);
  });

  test(`virtio-net (${name}): a frame comes in over as many buffers as it needs, or waits for them`, () => {
    const { rig, wire } = netRig(1, packed);
    const { rings } = bringUp(rig, 3);
    const buffer = (n: number) => [{ address: BUFFERS + 0x1000 * n, length: 512, write: true }];
    const bytes = frame(1000);
    rings[0]!.add(buffer(0));
    assert.equal(wire.frontend.receive(bytes, PLAIN_FRAME), false, 'one buffer is too little');
    assert.equal(rings[0]!.takeUsed().length, 0);
    rings[0]!.add(buffer(1));
    const before = wire.resumed;
    kick(rig, 0);
    assert.ok(wire.resumed > before, 'the driver rang');
    assert.equal(wire.frontend.receive(bytes, PLAIN_FRAME), true);
    wire.frontend.received?.();
    assert.deepEqual(
      rings[0]!.takeUsed().map(({ written }) => written),
      [512, 500],
    );
    assert.equal(rig.ram.view.getUint16(BUFFERS + 10, true), 2, 'num_buffers');
    assert.deepEqual(rig.ram.bytes.slice(BUFFERS + 12, BUFFERS + 512), bytes.slice(0, 500));
    assert.deepEqual(rig.ram.bytes.slice(BUFFERS + 0x1000, BUFFERS + 0x1000 + 500), bytes.slice(500));
  });
}

test('virtio-net: without mergeable buffers a frame that does not fit is lost and takes no buffer', () => {
  const { rig, wire } = netRig();
  const { rings } = bringUp(rig, 3, F_MRG_RXBUF);
  rings[0]!.add([{ address: BUFFERS, length: 200, write: true }]);
  assert.equal(wire.frontend.receive(frame(1000), PLAIN_FRAME), true);
  assert.equal(rings[0]!.takeUsed().length, 0);
  assert.equal(wire.frontend.receive(frame(100), PLAIN_FRAME), true);
  assert.equal(rings[0]!.takeUsed()[0]!.written, 112);
});

test('virtio-net: receive modes, address table and VLANs of the control queue', () => {
  const { rig, net, wire } = netRig();
  const { rings } = bringUp(rig, 3);
  const command = (...bytes: number[]): number => {
    rig.ram.bytes.set(bytes, BUFFERS);
    rings[2]!.add([
      { address: BUFFERS, length: bytes.length },
      { address: BUFFERS + 0x800, length: 1, write: true },
    ]);
    kick(rig, 2);
    rings[2]!.takeUsed();
    return rig.ram.bytes[BUFFERS + 0x800]!;
  };
  const arrives = (...mac: number[]): boolean => {
    const bytes = frame(60);
    bytes.set(mac);
    rings[0]!.add([{ address: BUFFERS + 0x1000, length: 2048, write: true }]);
    wire.frontend.receive(bytes, PLAIN_FRAME);
    return rings[0]!.takeUsed().length > 0;
  };
  const other = [2, 0, 0, 0, 0, 7] as const;
  const group = [1, 0, 0x5e, 0, 0, 9] as const;
  assert.equal(arrives(...other), true, 'promiscuous until the driver says otherwise');
  assert.equal(command(0, 0, 0), 0);
  assert.equal(arrives(...other), false);
  assert.equal(arrives(...net.mac), true);
  assert.equal(arrives(255, 255, 255, 255, 255, 255), true);
  assert.equal(command(1, 0, 1, 0, 0, 0, ...other, 1, 0, 0, 0, ...group), 0);
  assert.equal(arrives(...other), true);
  assert.equal(arrives(...group), true);
  assert.equal(arrives(1, 0, 0x5e, 0, 0, 10), false);
  assert.equal(command(1, 0, 255, 255, 255, 255), 1, 'a table longer than the command');
  assert.equal(command(1, 1, ...other), 0);
  assert.deepEqual([...net.mac], [...other]);
  assert.equal(command(9, 9), 1);
});

test('virtio-net: several pairs of queues; a flow is answered on the pair it was sent on', () => {
  const { rig, wire } = netRig(2);
  const { rings } = bringUp(rig, 5);
  assert.equal(rig.memory.read(CONFIG + 8, 2), 2);
  rig.ram.bytes.set([4, 0, 2, 0], BUFFERS);
  rings[4]!.add([
    { address: BUFFERS, length: 4 },
    { address: BUFFERS + 0x800, length: 1, write: true },
  ]);
  kick(rig, 4);
  assert.equal(rig.ram.bytes[BUFFERS + 0x800], 0);
  rig.ram.bytes.set(frame(60), BUFFERS + 12);
  rings[3]!.add([{ address: BUFFERS, length: 72 }]);
  kick(rig, 3);
  for (const n of [0, 2]) rings[n]!.add([{ address: BUFFERS + 0x1000 * (n + 1), length: 2048, write: true }]);
  wire.frontend.receive(frame(60), PLAIN_FRAME);
  assert.equal(rings[0]!.takeUsed().length, 0);
  assert.equal(rings[2]!.takeUsed().length, 1);
});

test('virtio-net: rings full of nonsense neither throw nor hang', () => {
  const next = randomSource(77);
  const { rig, wire } = netRig();
  for (let round = 0; round < 200; round++) {
    rig.device.reset();
    for (const [at, value] of [
      [0x14, 0x9000_0000],
      [0x20, 0x8000_0000],
      [0x10, 0xc001],
    ] as const)
      rig.device.pci.writeConfig(at, 4, value);
    rig.device.pci.writeConfig(4, 2, 7);
    const { rings } = bringUp(rig, 3);
    for (let i = 0; i < 8; i++) {
      const queue = Math.floor(next() * 3);
      for (let n = 0; n < 64; n++) rig.ram.bytes[BUFFERS + n] = next() * 256;
      const pieces = Array.from({ length: 1 + Math.floor(next() * 3) }, () => ({
        address: Math.floor(next() * 2 ** 20),
        length: Math.floor(next() ** 3 * 70000),
      }));
      rings[queue]!.add(pieces);
      if (next() < 0.3) rig.ram.view.setUint16(0x10000 * (queue + 1) + 14, next() * 65536, true);
      kick(rig, queue);
      wire.frontend.receive(frame(60 + Math.floor(next() * 60000)), createMeta());
    }
  }
});

testStateRoundTrip('virtio-net', () => netRig(2).net);

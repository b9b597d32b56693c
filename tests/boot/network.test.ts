// Debian's kernels with their own drivers on a user-mode network: addresses, names, transfers in both directions, forwarded ports.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, get } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;
/** Of a transfer in each direction. `LYREBIRD_NET_MIB=1024` for the long form. */
const TRANSFER_MIB = Number(process.env['LYREBIRD_NET_MIB'] ?? 24);
const CONNECTIONS = 500;

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

function pattern(bytes: number): Buffer {
  const block = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 4) block.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return block;
}

interface Guest {
  readonly run: GuestProcess;
  ask(command: string): Promise<string>;
}

/** Boots `guest` with the shell and its network modules; loads them and brings eth0 up without an address. */
async function boot(guest: string, dir: string, args: readonly string[]): Promise<Guest> {
  const initrd = join(dir, `initrd-${Math.floor(performance.now())}`);
  const first = readFileSync(guestFile('busybox', 'initrd.gz'));
  const modules = readFileSync(guestFile(guest, 'modules.cpio'));
  writeFileSync(initrd, Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
  const run = new GuestProcess([
    ...emulatorCommand(),
    ...['-m', '512', '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', guestFile(guest, 'vmlinuz'), '-initrd', initrd],
    ...['-append', 'console=ttyS0 quiet no_timer_check'],
    ...args,
  ]);
  const ask = async (command: string): Promise<string> => {
    const mark = `done${Math.floor(performance.now())}`;
    run.send(`${command}; echo ${mark.slice(0, 4)}""${mark.slice(4)}\n`);
    return (await run.expect(mark, BOOT_MS)).text;
  };
  await run.expect(PROMPT, BOOT_MS);
  await ask('/load-network; ip link set lo up; ip link set eth0 up');
  return { run, ask };
}

/** A web server with one large file on a free port of the loopback address, and a count of its connections. */
async function withServer<T>(body: Buffer, use: (port: number) => Promise<T>): Promise<T> {
  const server = createHttpServer((request, response) =>
    response.end(request.url === '/big' ? body : 'hello\n'),
  );
  await new Promise<void>((resolve) => server.listen(0, '::', resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function download(port: number, path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks)));
      response.on('error', reject);
    }).on('error', reject);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Transfers both ways with right checksums: the host's file through wget, the guest's through its own web server. */
async function transfers({ ask }: Guest, forwarded: number, mib = TRANSFER_MIB): Promise<void> {
  const body = pattern(mib * 2 ** 20);
  await withServer(body, async (port) => {
    assert.ok(
      (await ask(`wget -q -O - http://10.0.2.2:${port}/big | md5sum`)).includes(md5(body)),
      'to the guest',
    );
  });
  await ask(
    `dd if=/dev/urandom of=/tmp/big bs=1M count=${Math.min(mib, 128)} 2>/dev/null; httpd -p 80 -h /tmp`,
  );
  const sum = /[0-9a-f]{32}/.exec(await ask('md5sum /tmp/big'))![0];
  assert.equal(md5(await download(forwarded, '/big')), sum, 'from the guest');
}

const CARDS: ReadonlyArray<readonly [model: string, guest: string, options: string]> = [
  ['virtio-net-pci', 'cloud-net', ''],
];

for (const [model, guest, options] of CARDS) {
  test(`${model}: DHCP, ping, DNS, transfers both ways`, { timeout: 2 * BOOT_MS }, async (t) => {
    const missing = emulatorMissing() ?? ensureGuests(guest, 'busybox');
    if (missing !== undefined) return t.skip(missing);
    const dir = mkdtempSync(join(tmpdir(), 'lyrebird-net-'));
    const forwarded = await freePort();
    const machine = await boot(guest, dir, [
      ...['-netdev', `user,id=n0,hostfwd=tcp:127.0.0.1:${forwarded}-:80,domainname=example.test`],
      ...['-device', `${model},netdev=n0${options}`, '-monitor', 'none'],
    ]);
    const { run, ask } = machine;
    try {
      assert.match(
        await ask('udhcpc -i eth0 -n -q'),
        /bound 10\.0\.2\.15\/24 router 10\.0\.2\.2 dns 10\.0\.2\.3/,
      );
      assert.match(await ask('ping -c 3 10.0.2.2'), / 3 packets received/);
      assert.match(await ask('ping -s 4000 -c 1 10.0.2.2'), / 1 packets received/);
      await transfers(machine, forwarded);
      run.send('poweroff -f\n');
      assert.equal(await run.exited(BOOT_MS), 0);
    } finally {
      await run.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

test('virtio-net: IPv6, 500 connections at once, a bad wire', { timeout: 3 * BOOT_MS }, async (t) => {
  const missing = emulatorMissing() ?? ensureGuests('cloud-net', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-net-'));
  const forwarded = await freePort();
  const machine = await boot('cloud-net', dir, [
    ...['-nic', `user,model=virtio-net-pci,id=n0,hostfwd=tcp:127.0.0.1:${forwarded}-:80`, '-monitor', 'none'],
    ...['-object', 'filter-lossy,id=bad,netdev=n0,drop=0.01,reorder=0.02,duplicate=0.01,seed=7'],
  ]);
  const { run, ask } = machine;
  try {
    assert.match(await ask('udhcpc -i eth0 -n -q'), /bound 10\.0\.2\.15/);
    await ask('for i in 1 2 3 4 5 6; do ip addr show eth0 | grep -q fec0 && break; sleep 1; done; sleep 2');
    assert.match(await ask('ping6 -c 5 fec0::2'), / [2-5] packets received/);
    await withServer(pattern(4096), async (port) => {
      assert.match(await ask(`wget -q -O - http://[fec0::2]:${port}/`), /hello/);
    });
    await transfers(machine, forwarded, 2);
    let open = 0;
    let most = 0;
    const server = createServer((socket) => {
      most = Math.max(most, ++open);
      socket.on('error', () => {});
      socket.on('close', () => open--);
      if (open === CONNECTIONS) for (const each of sockets) each.end('all here\n');
      sockets.push(socket);
      if (open === CONNECTIONS) socket.end('all here\n');
    });
    const sockets: Socket[] = [];
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const counted = await ask(
      `rm -f /tmp/c*; i=0; while [ $i -lt ${CONNECTIONS} ]; do sleep 1000 | nc 10.0.2.2 ${port} > /tmp/c$i & i=$((i+1)); done 2>/dev/null; ` +
        `for t in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do n=$(cat /tmp/c* | grep -c here); [ $n = ${CONNECTIONS} ] && break; sleep 1; done; echo served $n`,
    );
    assert.match(counted, new RegExp(`served ${CONNECTIONS}`));
    assert.equal(most, CONNECTIONS);
    server.close();
  } finally {
    await run.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test('restrict=on lets nothing out, guestfwd and hostfwd work', { timeout: 2 * BOOT_MS }, async (t) => {
  const missing = emulatorMissing() ?? ensureGuests('cloud-net', 'busybox');
  if (missing !== undefined) return t.skip(missing);
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-net-'));
  const forwarded = await freePort();
  const { run, ask } = await boot('cloud-net', dir, [
    ...[
      '-nic',
      `user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:${forwarded}-:80,guestfwd=tcp:10.0.2.100:7-cmd:cat`,
    ],
    ...['-monitor', 'none'],
  ]);
  try {
    assert.match(await ask('udhcpc -i eth0 -n -q'), /bound 10\.0\.2\.15/);
    await ask('ip route add default via 10.0.2.2');
    await withServer(Buffer.alloc(0), async (port) => {
      assert.match(await ask(`wget -T 3 -q -O - http://10.0.2.2:${port}/ || echo refused`), /refused/);
    });
    assert.match(await ask('echo to and fro | timeout 5 nc 10.0.2.100 7'), /to and fro\r?\n[^$]*done/);
    await ask('echo from the guest > /tmp/index.html; httpd -p 80 -h /tmp');
    assert.match((await download(forwarded, '/index.html')).toString(), /from the guest/);
  } finally {
    await run.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

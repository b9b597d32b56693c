import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontend } from '../core/char-backend.ts';
import { ManualClock } from '../core/clock.ts';
import { TimerQueue } from '../core/timer.ts';
import { UserError } from '../util/errors.ts';
import { PcBoard } from './pc-board.ts';
import { pcRamBufferBytes } from './pc-memory.ts';

const MiB = 2 ** 20;

class Terminal implements CharBackend {
  output = '';
  frontend: CharFrontend | undefined;
  write(byte: number): boolean {
    this.output += String.fromCharCode(byte);
    return true;
  }
  connect(frontend: CharFrontend): void {
    this.frontend = frontend;
  }
}

function build(memoryBytes = 64 * MiB, firmware?: Uint8Array) {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const log: string[] = [];
  const terminal = new Terminal();
  const debug = new Terminal();
  const cpu = { pending: false };
  const rom = firmware === undefined ? undefined : { name: 'rom', bytes: firmware };
  // High RAM needs no real memory to be looked at.
  const ramBuffer = new Uint8Array(Math.min(pcRamBufferBytes({ memoryBytes, firmware: rom }), 128 * MiB));
  const board = new PcBoard({
    memoryBytes,
    firmware: rom,
    ramBuffer,
    timers,
    wallClock: { nowMs: () => 0 },
    cpus: [
      {
        irqs: {
          setInterruptPending: (pending) => (cpu.pending = pending),
          nmi: () => log.push('nmi'),
          smi: () => {},
          init: () => {},
          sipi: () => {},
        },
        apicId: 0,
        tsc: { nowTicks: () => clock.nowNs(), frequencyHz: 1e9 },
      },
    ],
    currentCpu: () => 0,
    hasX2Apic: true,
    hasTscDeadline: true,
    power: {
      requestReset: (reason) => log.push(`reset ${reason}`),
      requestShutdown: (reason) => log.push(`shutdown ${reason}`),
      requestExit: (status) => log.push(`exit ${status}`),
      requestSuspend: () => log.push('suspend'),
    },
    setA20: (open) => log.push(`a20 ${open}`),
    serial: [terminal],
    debugCon: { iobase: 0x402, readback: 0xe9, backend: debug },
    debugExit: { iobase: 0xf4, iosize: 4 },
    hpet: true,
    acpi: true,
  });
  board.reset();
  log.length = 0;
  const out = (port: number, value: number, size: 1 | 2 | 4 = 1): void => board.io.write(port, size, value);
  const inp = (port: number, size: 1 | 2 | 4 = 1): number => board.io.read(port, size);
  const advance = (ns: number): void => {
    clock.advance(ns);
    timers.runExpired();
  };
  return { board, out, inp, advance, log, terminal, debug, cpu };
}

test('RAM, the VGA hole, the BIOS area, controllers at their addresses', () => {
  const { board } = build();
  const { memory } = board;
  for (const address of [0, 0x9ffff, 0xc0000, 0xfffff, 0x10_0000, 64 * MiB - 4]) {
    memory.write(address, 1, 0x5a);
    assert.equal(memory.read(address, 1), 0x5a, address.toString(16));
  }
  memory.write(0xa0000, 1, 0x5a);
  assert.equal(memory.read(0xa0000, 1), 0xff);
  assert.equal(memory.read(64 * MiB, 4), 0xffffffff);
  assert.equal(memory.read(0xfee00030, 4) & 0xff, 0x14); // local APIC version
  memory.write(0xfec00000, 4, 1);
  assert.equal(memory.read(0xfec00010, 4) >>> 16, 23); // last redirection entry
  assert.equal(memory.read(0xfed00000, 4) >>> 16, 0x8086);
});

test('more than 3.5 GiB of RAM is split at 3 GiB; sizes that cannot be', () => {
  const { board } = build(3840 * MiB);
  assert.equal(board.memory.ramOffsetOf(0xbfff_ffff, 1), 0xbfff_ffff);
  assert.equal(board.memory.find(0xc000_0000), undefined);
  assert.equal(board.memory.ramOffsetOf(2 ** 32, 1), 0xc000_0000);
  assert.equal(board.memory.find(2 ** 32 + 768 * MiB), undefined);
  assert.throws(() => pcRamBufferBytes({ memoryBytes: 1000, firmware: undefined }), UserError);
  assert.throws(() => pcRamBufferBytes({ memoryBytes: MiB + 1, firmware: undefined }), UserError);
  const odd = { name: 'x', bytes: new Uint8Array(100) };
  assert.throws(() => pcRamBufferBytes({ memoryBytes: MiB, firmware: odd }), /-bios x: 100 bytes/);
});

test('firmware shows at the top of 4 GiB and below 1 MiB until it is shadowed', () => {
  const rom = new Uint8Array(256 * 1024).map((_, i) => (i >> 12) & 0xff);
  const { board, out } = build(64 * MiB, rom);
  const { memory } = board;
  assert.equal(memory.read(0xffff_fff0, 1), 63);
  assert.equal(memory.read(0xf_fff0, 1), 63);
  assert.equal(memory.read(0xe_0000, 1), 32);
  memory.write(0xf_0000, 1, 0xaa);
  assert.equal(memory.read(0xf_0000, 1), 48, 'writes to ROM are lost');
  out(0xcf8, 0x8000_0058, 4); // PAM0 is register 0x59
  out(0xcfd, 0x30);
  memory.write(0xf_0000, 1, 0xaa);
  assert.equal(memory.read(0xf_0000, 1), 0xaa);
  out(0xcfd, 0x10);
  memory.write(0xf_0000, 1, 0xbb);
  assert.equal(memory.read(0xf_0000, 1), 0xaa, 'read-only shadow RAM');
});

test('serial port, debug console, debug exit, reset and power ports', () => {
  const { out, inp, log, terminal, debug, board } = build();
  out(0x3f8, 0x41);
  out(0x402, 0x42);
  assert.deepEqual([terminal.output, debug.output, inp(0x402)], ['A', 'B', 0xe9]);
  assert.equal(inp(0x2f8), 0xff, 'there is one serial port');
  out(0xf4, 0x10);
  out(0xcf9, 6);
  out(0x64, 0xfe);
  out(0x92, 3);
  assert.deepEqual(log, [
    'exit 33',
    'reset guest-reset',
    'reset guest-reset',
    'a20 true',
    'reset guest-reset',
  ]);
  log.length = 0;
  out(0x604, 0x2000, 2); // SLP_TYP 0, SLP_EN
  assert.deepEqual(log, ['shutdown guest-shutdown']);
  log.length = 0;
  out(0x92, 0);
  assert.deepEqual(log, ['a20 false']);
  assert.equal(board.io.read(0xcf8, 4), 0);
});

test('the 8254 interrupts through the 8259 pair, and through the I/O APIC on input 2', () => {
  const { board, out, advance, cpu } = build();
  const startPit = (): void => {
    out(0x43, 0x34);
    out(0x40, 0xff);
    out(0x40, 0x03);
  };
  for (const [port, values] of [
    [0x20, [0x11]],
    [0x21, [0x20, 4, 1, 0xfe]],
  ] as const) {
    for (const value of values) out(port, value);
  }
  startPit();
  advance(2e6);
  assert.ok(cpu.pending);
  assert.equal(board.localApics[0]!.acknowledge(), 0x20);
  out(0x20, 0x20);
  assert.ok(!cpu.pending);
  out(0x21, 0xff); // now by the I/O APIC
  const { memory } = board;
  memory.write(0xfee000f0, 4, 0x1ff); // software enable
  memory.write(0xfec00000, 4, 0x14);
  memory.write(0xfec00010, 4, 0x40); // vector 0x40, edge, to APIC 0
  advance(2e6);
  assert.ok(cpu.pending);
  assert.equal(board.localApics[0]!.acknowledge(), 0x40);
});

test('CMOS memory sizes and PCI functions', () => {
  const { out, inp, board } = build(64 * MiB);
  const cmos = (index: number): number => {
    out(0x70, index);
    return inp(0x71);
  };
  assert.equal(cmos(0x15) | (cmos(0x16) << 8), 640);
  assert.equal(cmos(0x34) | (cmos(0x35) << 8), (48 * MiB) / 65536);
  const id = (devfn: number): number => {
    out(0xcf8, (0x8000_0000 | (devfn << 8)) >>> 0, 4);
    return inp(0xcfc, 4);
  };
  assert.equal(id(0), 0x12378086);
  assert.equal(id(8), 0x70008086);
  assert.equal(id(11), 0x71138086);
  assert.equal(id(16), 0xffffffff);
  assert.equal(inp(0x608, 4) >= 0, true);
  assert.ok(board.devices.size >= 15);
});

test('direct boot leaves ACPI tables, BIOS data and the kernel', () => {
  const { board } = build();
  const kernel = new Uint8Array(0x1000);
  const view = new DataView(kernel.buffer);
  [0x1badb002, 0x10000, -(0x1badb002 + 0x10000), 0x100000, 0x100000, 0, 0, 0x100020].forEach((word, i) =>
    view.setUint32(4 * i, word >>> 0, true),
  );
  const state = board.boot({
    kernel: { name: 'k', bytes: kernel },
    modules: [],
    commandLine: '',
    longMode: true,
  });
  assert.equal(state.rip, 0x100020);
  const text = new Uint8Array(8);
  board.memory.readBytes(0xe0000, text);
  assert.equal(String.fromCharCode(...text), 'RSD PTR ');
  assert.equal(board.memory.read(0x400, 2), 0x3f8);
  assert.equal(board.memory.read(0x40e, 2), 0x9fc0);
});

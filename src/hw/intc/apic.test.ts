import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import type { CpuIrqSink } from '../../core/cpu-ports.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { LocalApic } from './apic.ts';
import { ApicBus } from './apic-bus.ts';
import { I8259Pair } from './i8259.ts';
import { IoApic } from './ioapic.ts';

class Cpu implements CpuIrqSink {
  pending = false;
  readonly log: string[] = [];
  setInterruptPending(pending: boolean): void {
    this.pending = pending;
  }
  nmi(): void {
    this.log.push('nmi');
  }
  smi(): void {
    this.log.push('smi');
  }
  init(): void {
    this.log.push('init');
  }
  sipi(vector: number): void {
    this.log.push(`sipi ${vector}`);
  }
}

const TSC_HZ = 2.5e9;

function world(cpus = 1) {
  const clock = new ManualClock(1000);
  const timers = new TimerQueue(clock);
  const bus = new ApicBus();
  const lint0 = new IrqLine((_, level) => apics[0]?.lint0.set(level));
  const pic = new I8259Pair(lint0);
  const tsc = { nowTicks: () => Math.floor((clock.nowNs() * TSC_HZ) / 1e9), frequencyHz: TSC_HZ };
  const sinks = Array.from({ length: cpus }, () => new Cpu());
  const bases: Array<[number, boolean]> = [];
  const apics: LocalApic[] = sinks.map(
    (sink, id) =>
      new LocalApic(
        {
          id,
          isBootProcessor: id === 0,
          hasX2Apic: true,
          tsc,
          ...(id === 0 ? { extInt: pic } : {}),
          onBaseChanged: (base, visible) => bases.push([base, visible]),
        },
        bus,
        sink,
        timers,
      ),
  );
  const ioapic = new IoApic(bus);
  const advance = (ns: number): void => {
    clock.advance(ns);
    timers.runExpired();
  };
  return { clock, timers, bus, pic, apics, apic: apics[0]!, sinks, cpu: sinks[0]!, ioapic, advance, bases };
}

const write = (apic: LocalApic, offset: number, value: number): void => apic.write(offset, 4, value);
const read = (apic: LocalApic, offset: number): number => apic.read(offset, 4);

function setEntry(ioapic: IoApic, pin: number, low: number, high = 0): void {
  ioapic.write(0, 4, 0x11 + 2 * pin);
  ioapic.write(0x10, 4, high);
  ioapic.write(0, 4, 0x10 + 2 * pin);
  ioapic.write(0x10, 4, low);
}

function entry(ioapic: IoApic, pin: number): number {
  ioapic.write(0, 4, 0x10 + 2 * pin);
  return ioapic.read(0x10, 4);
}

test('after reset the 8259 reaches the boot processor through LINT0', () => {
  const { pic, apic, cpu } = world();
  pic.master.write(0, 1, 0x13);
  pic.master.write(1, 1, 0x20);
  pic.master.write(1, 1, 1);
  pic.inputs[1]!.raise();
  assert.ok(cpu.pending);
  assert.equal(apic.acknowledge(), 0x21);
  assert.ok(!cpu.pending);
  pic.master.write(0, 1, 0x20);
  pic.inputs[1]!.lower();
  write(apic, 0x350, 0x10700);
  pic.inputs[1]!.raise();
  assert.ok(!cpu.pending, 'LINT0 masked');
  assert.ok(apic.writeMsr(0x1b, 0xfee00100, 0));
  assert.ok(cpu.pending, 'an APIC switched off passes INTR');
});

test('LINT0 as a fixed vector, LINT1 as NMI', () => {
  const { pic, apic, cpu } = world();
  write(apic, 0xf0, 0x1ff);
  write(apic, 0x350, 0x31);
  pic.master.write(0, 1, 0x13);
  pic.master.write(1, 1, 0x20);
  pic.master.write(1, 1, 1);
  pic.inputs[0]!.raise();
  assert.equal(apic.acknowledge(), 0x31);
  write(apic, 0x360, 0x400);
  apic.lint1.pulse();
  assert.deepEqual(cpu.log, ['nmi']);
});

test('priorities: TPR, PPR, nesting and EOI', () => {
  const { apic, bus, cpu } = world();
  write(apic, 0xf0, 0x1ff);
  bus.sendMsi(0xfee00000, 0x41);
  bus.sendMsi(0xfee00000, 0x52);
  assert.equal(apic.acknowledge(), 0x52);
  assert.equal(read(apic, 0xa0), 0x50);
  assert.ok(!cpu.pending);
  bus.sendMsi(0xfee00000, 0x5f);
  assert.ok(!cpu.pending, 'same class');
  write(apic, 0xb0, 0);
  assert.equal(apic.acknowledge(), 0x5f);
  write(apic, 0xb0, 0);
  apic.setTpr(4);
  assert.equal(read(apic, 0x80), 0x40);
  assert.ok(!cpu.pending);
  apic.setTpr(3);
  assert.equal(apic.acknowledge(), 0x41);
  write(apic, 0xb0, 0);
  write(apic, 0xb0, 0);
  assert.equal(apic.acknowledge(), -1);
});

test('timer: one-shot, periodic, divider, mask', () => {
  const { apic, cpu, advance } = world();
  write(apic, 0xf0, 0x1ff);
  write(apic, 0x3e0, 0xb);
  write(apic, 0x320, 0x40);
  write(apic, 0x380, 1000);
  advance(400);
  assert.equal(read(apic, 0x390), 600);
  advance(599);
  assert.ok(!cpu.pending);
  advance(1);
  assert.equal(apic.acknowledge(), 0x40);
  write(apic, 0xb0, 0);
  assert.equal(read(apic, 0x390), 0);
  advance(1e6);
  assert.ok(!cpu.pending);

  write(apic, 0x3e0, 0x3);
  write(apic, 0x320, 0x20041);
  write(apic, 0x380, 10000);
  for (let i = 0; i < 3; i++) {
    advance(160_000);
    assert.equal(apic.acknowledge(), 0x41);
    write(apic, 0xb0, 0);
    assert.ok(!cpu.pending);
  }
  advance(80_000);
  assert.equal(read(apic, 0x390), 5000);
  write(apic, 0x320, 0x30041);
  advance(160_000);
  assert.ok(!cpu.pending);
  write(apic, 0x380, 0);
  assert.equal(read(apic, 0x390), 0);
});

test('timer: TSC deadline', () => {
  const { apic, cpu, advance, clock } = world();
  write(apic, 0xf0, 0x1ff);
  assert.ok(apic.writeMsr(0x6e0, 5000, 0), 'ignored in other modes');
  assert.deepEqual(apic.readMsr(0x6e0), { lo: 0, hi: 0 });
  write(apic, 0x320, 0x40042);
  const now = (clock.nowNs() * TSC_HZ) / 1e9;
  assert.ok(apic.writeMsr(0x6e0, now + 2500, 0));
  advance(999);
  assert.ok(!cpu.pending);
  advance(1);
  assert.equal(apic.acknowledge(), 0x42);
  write(apic, 0xb0, 0);
  assert.deepEqual(apic.readMsr(0x6e0), { lo: 0, hi: 0 });
  apic.writeMsr(0x6e0, 1, 0);
  assert.equal(apic.acknowledge(), 0x42, 'a deadline in the past');
  write(apic, 0xb0, 0);
  apic.writeMsr(0x6e0, 0xffffffff, 0xffffffff);
  advance(1e12);
  assert.ok(!cpu.pending);
});

test('timer: a change between one-shot and periodic goes on counting, or stays at zero', () => {
  const { apic, advance } = world();
  write(apic, 0x3e0, 0xb);
  write(apic, 0x320, 0x10040);
  write(apic, 0x380, 1000);
  advance(600);
  write(apic, 0x320, 0x30040);
  assert.equal(read(apic, 0x390), 400);
  advance(2500);
  assert.equal(read(apic, 0x390), 900);
  write(apic, 0x320, 0x10040);
  assert.equal(read(apic, 0x390), 900);
  advance(1000);
  assert.equal(read(apic, 0x390), 0);
  write(apic, 0x320, 0x30040);
  advance(10);
  assert.equal(read(apic, 0x390), 0);
});

test('IA32_APIC_BASE: address bits that the processor has not fault; switching off gives the id back', () => {
  const { apic } = world();
  const narrow = new LocalApic(
    { id: 2, isBootProcessor: false, hasX2Apic: false, physicalBits: 40 },
    new ApicBus(),
    new Cpu(),
    new TimerQueue(new ManualClock()),
  );
  assert.ok(!narrow.writeMsr(0x1b, 0xfee00800, 0x100));
  assert.ok(narrow.writeMsr(0x1b, 0xfee00800, 0xff));
  write(narrow, 0x20, 5 << 24);
  assert.equal(read(narrow, 0x20), 5 << 24);
  assert.ok(narrow.writeMsr(0x1b, 0xfee00000, 0));
  assert.ok(narrow.writeMsr(0x1b, 0xfee00800, 0));
  assert.equal(read(narrow, 0x20), 2 << 24);
  assert.ok(apic.writeMsr(0x1b, 0xfee00900, 0xfffff));
});

test('I/O APIC: edge, level with remote IRR and EOI, mask', () => {
  const { apic, cpu, ioapic } = world();
  write(apic, 0xf0, 0x1ff);
  ioapic.write(0, 4, 1);
  assert.equal(ioapic.read(0x10, 4), 0x00170020);
  setEntry(ioapic, 2, 0x30);
  ioapic.inputs[2]!.pulse();
  assert.equal(apic.acknowledge(), 0x30);
  write(apic, 0xb0, 0);
  assert.ok(!cpu.pending);

  setEntry(ioapic, 9, 0x8039);
  ioapic.inputs[9]!.raise();
  assert.equal(apic.acknowledge(), 0x39);
  assert.equal(entry(ioapic, 9) & 0x4000, 0x4000);
  write(apic, 0xb0, 0);
  assert.equal(apic.acknowledge(), 0x39, 'still high: comes again after EOI');
  ioapic.inputs[9]!.lower();
  write(apic, 0xb0, 0);
  assert.equal(entry(ioapic, 9) & 0x4000, 0);
  assert.ok(!cpu.pending);

  setEntry(ioapic, 9, 0x18039);
  ioapic.inputs[9]!.raise();
  assert.ok(!cpu.pending);
  setEntry(ioapic, 9, 0x8039);
  assert.ok(cpu.pending, 'a level is seen on unmasking');
  apic.acknowledge();
  ioapic.inputs[9]!.lower();
  ioapic.write(0x40, 4, 0x39);
  assert.equal(entry(ioapic, 9) & 0x4000, 0, 'the EOI register');

  setEntry(ioapic, 4, 0x10034);
  ioapic.inputs[4]!.pulse();
  setEntry(ioapic, 4, 0x34);
  write(apic, 0xb0, 0);
  assert.ok(!cpu.pending, 'an edge under the mask is lost');
});

test('I/O APIC: ExtINT entry runs the INTA cycle of the 8259', () => {
  const { apic, pic, ioapic } = world();
  write(apic, 0xf0, 0x1ff);
  write(apic, 0x350, 0x10000);
  pic.master.write(0, 1, 0x13);
  pic.master.write(1, 1, 0x20);
  pic.master.write(1, 1, 1);
  setEntry(ioapic, 0, 0x700);
  pic.inputs[0]!.raise();
  ioapic.inputs[0]!.raise();
  assert.equal(apic.acknowledge(), 0x20);
});

test('IPIs: shorthands, INIT, SIPI, logical and cluster destinations, lowest priority', () => {
  const { apics, sinks, bus } = world(3);
  for (const apic of apics) write(apic, 0xf0, 0x1ff);
  write(apics[0]!, 0x300, 0x000c4500);
  write(apics[0]!, 0x300, 0x000c4607);
  assert.deepEqual(
    sinks.map((s) => s.log),
    [[], ['init', 'sipi 7'], ['init', 'sipi 7']],
  );
  assert.equal(apics[1]!.read(0xf0, 4), 0xff, 'INIT resets the registers');
  for (const apic of apics.slice(1)) write(apic, 0xf0, 0x1ff);
  write(apics[0]!, 0x300, 0x00048055 & ~0x8000);
  assert.equal(apics[0]!.acknowledge(), 0x55);
  write(apics[0]!, 0x310, 2 << 24);
  write(apics[0]!, 0x300, 0x66);
  assert.equal(apics[2]!.acknowledge(), 0x66);
  for (const [i, apic] of apics.entries()) write(apic, 0xd0, (1 << i) << 24);
  bus.sendMsi(0xfee00004 | (6 << 12), 0x77);
  assert.deepEqual(
    apics.map((a) => a.acknowledge()),
    [-1, 0x77, 0x77],
    'CPU 2 serves 0x66, and class 7 is above it',
  );
});

test('lowest priority picks the idle one; cluster mode', () => {
  const { apics, bus, sinks } = world(2);
  for (const [i, apic] of apics.entries()) {
    write(apic, 0xf0, 0x1ff);
    write(apic, 0xe0, 0x0fffffff);
    write(apic, 0xd0, (0x20 | (1 << i)) << 24);
  }
  apics[0]!.setTpr(8);
  bus.sendMsi(0xfee00004 | (0x23 << 12), 0x1a0);
  assert.deepEqual(
    sinks.map((s) => s.pending),
    [false, true],
  );
  bus.sendMsi(0xfee00004 | (0x13 << 12), 0xb0);
  assert.equal(apics[1]!.acknowledge(), 0xa0);
  assert.equal(apics[0]!.acknowledge(), -1, 'another cluster');
});

test('x2APIC: mode changes, registers by MSR, what faults', () => {
  const { apic, apics, bases } = world(2);
  assert.equal(apic.readMsr(0x802), undefined);
  assert.ok(!apic.writeMsr(0x1b, 0xfee00400, 0), 'EXTD without EN');
  assert.ok(apic.writeMsr(0x1b, 0xfee00d00, 0));
  assert.deepEqual(bases.at(-1), [0xfee00000, false]);
  assert.ok(!apic.writeMsr(0x1b, 0xfee00900, 0), 'back to xAPIC goes through disabled');
  assert.deepEqual(apic.readMsr(0x803), { lo: 0x50014, hi: 0 });
  assert.deepEqual(apic.readMsr(0x80d), { lo: 1, hi: 0 });
  assert.ok(apic.writeMsr(0x80f, 0x1ff, 0));
  assert.ok(!apic.writeMsr(0x80f, 0x10000, 0));
  assert.ok(!apic.writeMsr(0x80b, 1, 0));
  assert.ok(!apic.writeMsr(0x802, 1, 0));
  assert.ok(!apic.writeMsr(0x831, 0, 0));
  assert.equal(apic.readMsr(0x80b), undefined);
  assert.equal(apic.readMsr(0x80e), undefined);
  assert.ok(apic.writeMsr(0x83f, 0x44, 0));
  assert.equal(apic.acknowledge(), 0x44);
  assert.ok(apic.writeMsr(0x80b, 0, 0));
  write(apics[1]!, 0xf0, 0x1ff);
  assert.ok(apic.writeMsr(0x830, 0x45, 1));
  assert.equal(apics[1]!.acknowledge(), 0x45);
  assert.ok(apic.writeMsr(0x1b, 0xfee00000, 0));
  assert.ok(!apic.enabled);
  assert.ok(apic.writeMsr(0x1b, 0xfec10900, 0));
  assert.deepEqual(bases.at(-1), [0xfec10000, true]);
  assert.deepEqual(apic.readMsr(0x1b), { lo: 0xfec10900, hi: 0 });
});

test('errors are latched by a write to ESR and signalled once', () => {
  const { apic } = world();
  write(apic, 0xf0, 0x1ff);
  write(apic, 0x370, 0x22);
  write(apic, 0x300, 0x40005);
  assert.equal(apic.acknowledge(), 0x22);
  assert.equal(read(apic, 0x280), 0);
  write(apic, 0x280, 0);
  assert.equal(read(apic, 0x280), 0x20);
  write(apic, 0x280, 0);
  assert.equal(read(apic, 0x280), 0);
});

test('software disable masks the LVT', () => {
  const { apic } = world();
  write(apic, 0xf0, 0xff);
  write(apic, 0x320, 0x40);
  assert.equal(read(apic, 0x320), 0x10040);
});

test('the monitor can show them', () => {
  const { apic, ioapic, pic, bus } = world();
  write(apic, 0xf0, 0x1ff);
  bus.sendMsi(0xfee00000, 0x41);
  assert.match(apic.describe(), /IRR {4}65/);
  assert.equal(ioapic.describe().split('\n').length, 25);
  assert.match(pic.describe(), /pic1: irr=00/);
});

testStateRoundTrip('apic', () => ({ vmstate: world().apic.vmstate }));
testStateRoundTrip('ioapic', () => ({ vmstate: world().ioapic.vmstate }));
testHostileInput('apic', () => {
  const { apic, timers, clock, ioapic } = world(2);
  const device = {
    read: (offset: number) => {
      apic.readMsr(0x800 + (offset & 0xff));
      return apic.read(offset, 4);
    },
    write: (offset: number, _size: number, value: number) => {
      apic.write(offset, 4, value);
      apic.writeMsr(offset < 16 ? 0x1b : 0x800 + (offset & 0xff), value, 0);
      ioapic.inputs[value % 24]!.set((value & 0x100) !== 0);
      ioapic.write(offset & 0x50, 4, value);
      ioapic.read(0x10, 4);
      apic.acknowledge();
    },
  };
  return { device, size: 0x400, minAccess: 4, timers, clock };
});

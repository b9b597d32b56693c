import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSpace } from '../../core/address-space.ts';
import { ManualClock } from '../../core/clock.ts';
import { GuestRam } from '../../core/guest-ram.ts';
import { IrqLine } from '../../core/irq.ts';
import { MemoryRegion } from '../../core/memory-region.ts';
import { TimerQueue } from '../../core/timer.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { recordingPower } from '../power.cases.ts';
import { ACPI_PM_MMIO, ACPI_PM_SIZE, AcpiPm } from './acpi-pm.ts';
import { ApmPorts, createPiix4Pm, piix4ApmRaisesSmi, programPiix4Pm, ResetControl } from './piix4-pm.ts';

function world() {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const sci = IrqLine.unconnected();
  const power = recordingPower();
  const acpi = new AcpiPm(sci, power, timers);
  const apm = new ApmPorts(acpi);
  const advance = (ns: number): void => {
    clock.advance(ns);
    timers.runExpired();
  };
  return { clock, timers, sci, power, acpi, apm, advance };
}

test('PM timer: 3.579545 MHz, 24 bits', () => {
  const { acpi, advance } = world();
  assert.equal(acpi.pm.read(8, 4), 0);
  advance(1e9);
  assert.equal(acpi.pm.read(8, 4), 3579545);
  assert.equal(acpi.pm.read(8, 2), 3579545 & 0xffff);
  advance(4e9);
  assert.equal(acpi.pm.read(8, 4), (5 * 3579545) % 2 ** 24);
});

test('ACPI mode by SMI command; the power button raises SCI; status is cleared by writing ones', () => {
  const { acpi, apm, sci } = world();
  apm.write(0, 1, 0xf1);
  assert.equal(acpi.pm.read(4, 2) & 1, 1);
  acpi.pm.write(2, 2, 0x0120);
  acpi.pressPowerButton();
  assert.ok(sci.level);
  assert.equal(acpi.pm.read(0, 2), 0x100);
  acpi.pm.write(0, 2, 0x100);
  assert.ok(!sci.level);
  acpi.pm.write(4, 2, 0);
  assert.ok(acpi.acpiMode, 'SCI_EN is not the guest’s to clear');
  apm.write(0, 1, 0xf0);
  assert.ok(!acpi.acpiMode);
  apm.write(1, 1, 0x33);
  assert.equal(apm.read(1, 1), 0x33);
});

test('timer overflow is a status and an SCI', () => {
  const { acpi, apm, sci, advance } = world();
  apm.write(0, 1, 0xf1);
  acpi.pm.write(2, 2, 1);
  advance(2.3e9);
  assert.ok(!sci.level);
  advance(0.05e9);
  assert.ok(sci.level);
  acpi.pm.write(0, 1, 1);
  assert.ok(!sci.level);
  advance(2.4e9);
  assert.ok(sci.level);
});

test('sleep types', () => {
  const { acpi, power } = world();
  acpi.pm.write(4, 2, 0x0001);
  assert.deepEqual(power.log, []);
  acpi.pm.write(4, 2, 0x2001);
  acpi.pm.write(4, 2, 0x2401);
  acpi.pm.write(5, 1, 0x20);
  assert.deepEqual(power.log, ['shutdown guest-shutdown', 'suspend', 'shutdown guest-shutdown']);
});

test('general-purpose events', () => {
  const { acpi, apm, sci } = world();
  apm.write(0, 1, 0xf1);
  acpi.gpe0.write(2, 2, 0x0004);
  acpi.raiseGpe(2);
  assert.ok(sci.level);
  assert.equal(acpi.gpe0.read(0, 4), 0x00040004);
  acpi.gpe0.write(0, 1, 4);
  assert.ok(!sci.level);
});

test('reset control: a rising edge of bit 2', () => {
  const { power } = world();
  const control = new ResetControl(power);
  control.write(0, 1, 2);
  control.write(0, 1, 6);
  control.write(0, 1, 6);
  assert.equal(control.read(0, 1), 6);
  assert.deepEqual(power.log, ['reset guest-reset']);
});

test('commands raise SMIs once firmware has asked for them', () => {
  const region = MemoryRegion.mmio('pm', ACPI_PM_SIZE, world().acpi.pm, ACPI_PM_MMIO);
  const io = MemoryRegion.container('io', 65536);
  const pci = createPiix4Pm(io, region, true);
  assert.equal(piix4ApmRaisesSmi(pci), false);
  pci.writeConfig(0x58, 4, 1 << 25);
  assert.equal(piix4ApmRaisesSmi(pci), true);
  assert.equal(piix4ApmRaisesSmi(createPiix4Pm(io, region)), true, 'as if set up already');
  let smis = 0;
  new ApmPorts(world().acpi, () => smis++).write(0, 1, 5);
  assert.equal(smis, 1);
});

test('the PCI function places the block', () => {
  const io = MemoryRegion.container('io', 65536);
  const ports = new AddressSpace('io', io, new GuestRam(new Uint8Array(0)));
  const { acpi, advance } = world();
  advance(1e9);
  const pci = createPiix4Pm(io, MemoryRegion.mmio('pm', ACPI_PM_SIZE, acpi.pm, ACPI_PM_MMIO));
  assert.equal(ports.read(0x608, 4), 0xffffffff);
  programPiix4Pm(pci, 0x600);
  assert.equal(ports.read(0x608, 4), 3579545);
  assert.equal(pci.readConfig(0x40, 4), 0x601);
  pci.reset();
  assert.equal(ports.read(0x608, 4), 0xffffffff);
});

testStateRoundTrip('acpi-pm', () => world().acpi);
testStateRoundTrip('piix4-apm', () => world().apm);
testStateRoundTrip('piix3-reset', () => new ResetControl(recordingPower()));
testHostileInput('acpi-pm', () => {
  const { acpi, clock, timers } = world();
  return { device: acpi.pm, size: 64, clock, timers };
});
testHostileInput('gpe0', () => ({ device: world().acpi.gpe0, size: 4 }));

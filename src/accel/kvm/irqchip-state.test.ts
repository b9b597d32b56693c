import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../core/clock.ts';
import { IrqLine } from '../../core/irq.ts';
import { TimerQueue } from '../../core/timer.ts';
import type { SavedState, Stateful } from '../../core/vmstate.ts';
import { LocalApic } from '../../hw/intc/apic.ts';
import { ApicBus } from '../../hw/intc/apic-bus.ts';
import { I8259Pair } from '../../hw/intc/i8259.ts';
import { IoApic } from '../../hw/intc/ioapic.ts';
import { I8254 } from '../../hw/timer/i8254.ts';
import {
  apicBaseOf,
  ioapicFromKernel,
  ioapicToKernel,
  isaLines,
  lapicFromKernel,
  lapicToKernel,
  picsFromKernel,
  picToKernel,
  pitFromKernel,
  pitToKernel,
  tscDeadlineOf,
} from './irqchip-state.ts';

const NOW_NS = 5e9;
const timers = (): TimerQueue => new TimerQueue(new ManualClock(NOW_NS));
const cpu = { setInterruptPending: () => {}, nmi: () => {}, smi: () => {}, init: () => {}, sipi: () => {} };

/** The same fields, but for those named. */
function assertSame(before: SavedState, after: SavedState, ...except: string[]): void {
  const kept = (state: SavedState): unknown =>
    Object.fromEntries(Object.entries(state.fields).filter(([name]) => !except.includes(name)));
  assert.deepEqual(kept(after), kept(before));
}

function saved(device: { readonly vmstate: Stateful }): SavedState {
  return device.vmstate.saveState();
}

test('a local APIC comes back from the register page as it was', () => {
  const apic = new LocalApic({ id: 3, isBootProcessor: true, hasX2Apic: true }, new ApicBus(), cpu, timers());
  apic.write(0xf0, 4, 0x1ff);
  apic.write(0x320, 4, 0x2_0030); // periodic
  apic.write(0x3e0, 4, 0xb);
  apic.write(0x380, 4, 1000);
  apic.write(0xd0, 4, 0x0100_0000);
  apic.deliver(0, 0x41, true);
  const before = saved(apic);
  const page = lapicToKernel(before, NOW_NS + 300);
  assert.equal(new DataView(page.buffer).getUint32(0x390, true), 700);
  const more = { apicBase: apicBaseOf(before), tscDeadline: tscDeadlineOf(before), nowNs: NOW_NS + 300 };
  const after = lapicFromKernel(before, page, more);
  assertSame(before, after, 'isCounting');
  apic.vmstate.loadState(after);
});

test('an I/O APIC and the 8259 pair come back as they were', () => {
  const ioapic = new IoApic(new ApicBus());
  ioapic.write(0, 4, 0x10 + 2 * 9);
  ioapic.write(0x10, 4, 0xa031);
  ioapic.inputs[9]!.raise();
  const before = saved(ioapic);
  assertSame(before, ioapicFromKernel(before, ioapicToKernel(before), 1 << 9));
  const pics = new I8259Pair(IrqLine.unconnected());
  for (const value of [0x11]) pics.master.write(0, 1, value);
  for (const value of [0x20, 4, 1, 0xfe]) pics.master.write(1, 1, value);
  pics.elcrSlave.write(0, 1, 0x0c);
  pics.inputs[0]!.raise();
  pics.inputs[11]!.raise();
  const pair = saved(pics);
  assert.equal(isaLines(pair), 0x805);
  const chips = [picToKernel(pair, 0), picToKernel(pair, 1)] as const;
  assert.equal(chips[1][14], 0x0c);
  assertSame(pair, picsFromKernel(pair, chips, isaLines(pair)));
});

test('an 8254 comes back, its count begun anew', () => {
  const pit = new I8254(IrqLine.unconnected(), timers());
  pit.write(3, 1, 0x34);
  pit.write(0, 1, 0x9c);
  pit.write(0, 1, 0x2e);
  pit.write(3, 1, 0xb6);
  pit.write(2, 1, 0x11);
  const before = saved(pit);
  const bytes = pitToKernel(before);
  assert.equal(new DataView(bytes.buffer).getUint32(0, true), 0x2e9c);
  const after = pitFromKernel(before, bytes, NOW_NS);
  const channels = (state: SavedState): Array<Record<string, unknown>> =>
    (state.fields['channels'] as unknown as Array<Record<string, unknown>>).map((channel) => ({
      ...channel,
      startNs: 0,
    }));
  assert.deepEqual(channels(after)[0], channels(before)[0]);
  assert.equal(channels(after)[2]!['writeHigh'], true);
  pit.vmstate.loadState(after);
});

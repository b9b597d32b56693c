import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { VcpuExit } from '../accel/accelerator.ts';
import { VirtualClock } from '../core/clock.ts';
import { TimerQueue } from '../core/timer.ts';
import { Doorbell } from '../util/ring.ts';
import { ControlChannel } from './control-channel.ts';
import { Lifecycle, type LifecycleEvent, type LifecycleOptions } from './lifecycle.ts';
import { type LoopClient, runMachineLoop } from './machine-loop.ts';
import { runTicker, TickerChannel } from './ticker.ts';

const hostClock = { nowNs: () => Number(process.hrtime.bigint() % 2n ** 52n) };

class ScriptedAccelerator {
  readonly sliceNs = Number.POSITIVE_INFINITY;
  readonly #script: Array<() => VcpuExit>;
  constructor(script: Array<() => VcpuExit>) {
    this.#script = script;
  }
  run(): VcpuExit {
    const step = this.#script.shift();
    assert.ok(step !== undefined, 'the loop ran on');
    return step();
  }
}

interface Rig {
  lifecycle: Lifecycle;
  events: LifecycleEvent[];
  timers: TimerQueue;
  doorbell: Doorbell;
  ticker: TickerChannel;
  run(script: Array<() => VcpuExit>, poll?: () => void): ScriptedAccelerator;
}

function rig(options: Partial<LifecycleOptions> = {}): Rig {
  const clock = new VirtualClock(hostClock);
  const timers = new TimerQueue(clock);
  const events: LifecycleEvent[] = [];
  const doorbell = new Doorbell();
  const ticker = TickerChannel.create();
  const lifecycle = new Lifecycle(
    { startPaused: false, noReboot: false, noShutdown: false, ...options },
    {
      reset: () => {},
      setRunning: (running) => (running ? clock.start() : clock.stop()),
      onEvent: (event) => {
        events.push(event);
        if (event.kind === 'shutdown') doorbell.ring(); // what another thread would do
      },
    },
  );
  const run = (script: Array<() => VcpuExit>, poll = (): void => {}): ScriptedAccelerator => {
    const accelerator = new ScriptedAccelerator(script);
    const client: LoopClient = {
      poll,
      settle: () => lifecycle.settle(),
      get isRunning() {
        return lifecycle.isRunning;
      },
      get isEnded() {
        return lifecycle.isEnded;
      },
      onShutdownCycle: () => lifecycle.requestReset('triple-fault'),
      onFailure: () => {},
      onDebugExit: () => lifecycle.pause(),
    };
    lifecycle.start();
    runMachineLoop(client, { accelerator, timers, hostClock, doorbell, ticker });
    return accelerator;
  };
  return { lifecycle, events, timers, doorbell, ticker, run };
}

const interrupted: VcpuExit = { kind: 'interrupted' };
const halted: VcpuExit = { kind: 'halted' };

test('a halted vCPU sleeps until the timer, not longer, not shorter', () => {
  const r = rig();
  const start = hostClock.nowNs();
  let firedAt = 0;
  const timer = r.timers.create(() => {
    firedAt = hostClock.nowNs();
    r.lifecycle.requestShutdown('guest-shutdown');
  });
  r.run([
    () => {
      timer.arm(r.timers.nowNs() + 20e6);
      return halted;
    },
    () => halted,
    () => halted,
  ]);
  const ms = (firedAt - start) / 1e6;
  assert.ok(ms >= 20 && ms < 200, `${ms} ms`);
  assert.deepEqual(
    r.events.map((e) => e.kind),
    ['resume', 'shutdown', 'end'],
  );
  assert.deepEqual(r.events.at(-1), { kind: 'end', end: { reason: 'guest-shutdown', status: 0 } });
});

test('reset, -no-reboot, -no-shutdown, exit status, triple fault', () => {
  const reboot = rig();
  reboot.run([
    () => {
      reboot.lifecycle.requestReset('guest-reset');
      return interrupted;
    },
    () => ({ kind: 'shutdown' }),
    () => {
      reboot.lifecycle.requestReset('guest-reset');
      reboot.lifecycle.requestExit(3);
      return interrupted;
    },
  ]);
  assert.deepEqual(reboot.events.slice(1), [
    { kind: 'reset', reason: 'guest-reset' },
    { kind: 'reset', reason: 'triple-fault' },
    { kind: 'end', end: { reason: 'guest-exit', status: 3 } },
  ]);

  const once = rig({ noReboot: true });
  once.run([() => ({ kind: 'shutdown' })]);
  assert.deepEqual(once.events.at(-1), { kind: 'end', end: { reason: 'guest-reset', status: 0 } });

  const stays = rig({ noShutdown: true });
  let polls = 0;
  stays.run(
    [
      () => {
        stays.lifecycle.requestShutdown('guest-shutdown');
        return interrupted;
      },
    ],
    () => {
      if (stays.lifecycle.state !== 'shutdown') return;
      polls++;
      stays.lifecycle.quit();
    },
  );
  assert.equal(polls, 1);
  assert.deepEqual(stays.events.at(-1), { kind: 'end', end: { reason: 'host-quit', status: 0 } });
});

test('-S waits for resume; virtual time stands still meanwhile', async () => {
  const r = rig({ startPaused: true });
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     setTimeout(() => { Atomics.add(workerData, 0, 1); Atomics.notify(workerData, 0); }, 30);`,
    { eval: true, workerData: r.doorbell.words },
  );
  let virtualNs = -1;
  let resumed = false;
  r.run(
    [
      () => {
        virtualNs = r.timers.nowNs();
        r.lifecycle.requestShutdown('guest-shutdown');
        return interrupted;
      },
    ],
    () => {
      if (r.lifecycle.state === 'prelaunch' && r.doorbell.read() > 0) {
        resumed = true;
        r.lifecycle.resume();
      }
    },
  );
  assert.ok(resumed);
  assert.ok(virtualNs < 20e6, 'the clock did not run before');
  await worker.terminate();
});

test('ticker: interrupts at the deadline, earlier ones wake it, later ones do not', async () => {
  const channel = TickerChannel.create();
  const kicked = new Int32Array(new SharedArrayBuffer(4));
  const url = new URL('./ticker.js', import.meta.url).href;
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     import(workerData.url).then(({ runTicker }) =>
       runTicker(workerData.words, () => Number(process.hrtime.bigint() % 2n ** 52n), () => {
         Atomics.add(workerData.kicked, 0, 1);
         Atomics.notify(workerData.kicked, 0);
       }));`,
    { eval: true, workerData: { url, words: channel.words, kicked } },
  );
  const publishIn = (ms: number): void => {
    const now = hostClock.nowNs();
    channel.publish(now + ms * 1e6, now);
  };
  const kickedBy = (count: number, ms: number): boolean =>
    Atomics.wait(kicked, 0, count - 1, ms) !== 'timed-out' || Atomics.load(kicked, 0) >= count;
  publishIn(10_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const before = Atomics.load(kicked, 0);
  publishIn(10_000);
  const start = hostClock.nowNs();
  publishIn(20);
  assert.ok(kickedBy(before + 1, 2000));
  assert.ok(hostClock.nowNs() - start >= 20e6);
  for (let i = 0; i < 50; i++) {
    const count = Atomics.load(kicked, 0);
    publishIn(1);
    assert.ok(kickedBy(count + 1, 2000), `round ${i}`);
  }
  publishIn(Number.POSITIVE_INFINITY);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const count = Atomics.load(kicked, 0);
  assert.ok(!kickedBy(count + 1, 50));
  channel.stop();
  await new Promise((resolve) => worker.once('exit', resolve));
  assert.equal(typeof runTicker, 'function');
});

test('control channel: order, any text, a full ring', () => {
  const main = ControlChannel.create();
  const machine = new ControlChannel(main.buffer);
  assert.equal(machine.receive(), undefined);
  assert.ok(main.send({ id: 1, text: 'ä\n€😀' }));
  assert.ok(main.send({ id: 2, data: 'x'.repeat(200_000) }));
  assert.ok(main.send({ id: 3, data: 'y'.repeat(200_000) }));
  assert.ok(!main.send({ id: 4, data: 'z'.repeat(200_000) }));
  assert.deepEqual(machine.receive(), { id: 1, text: 'ä\n€😀' });
  assert.equal((machine.receive() as { id: number }).id, 2);
  assert.ok(main.send({ id: 4, data: 'z'.repeat(200_000) }));
  assert.equal((machine.receive() as { id: number }).id, 3);
  assert.deepEqual(machine.receive(), { id: 4, data: 'z'.repeat(200_000) });
  assert.ok(machine.setNews());
  assert.ok(!machine.setNews());
  main.clearNews();
  assert.ok(machine.setNews());
});

/** The machine thread's loop: guest code, timers and requests of other threads take turns. */
import type { Accelerator, VcpuExit } from '../accel/accelerator.ts';
import type { Clock } from '../core/clock.ts';
import type { TimerQueue } from '../core/timer.ts';
import type { Doorbell } from '../util/ring.ts';
import type { TickerChannel } from './ticker.ts';

/** What the loop drives. */
export interface LoopClient {
  /** Looks at everything other threads may have left (requests, character devices). */
  poll(): void;
  /** Carries out reset, shutdown and the like that devices asked for since the last call. */
  settle(): void;
  /** Guest code may run. */
  readonly isRunning: boolean;
  /** The loop ends. */
  readonly isEnded: boolean;
  /** Triple fault. */
  onShutdownCycle(): void;
  /** The accelerator cannot go on. */
  onFailure(message: string): void;
  onDebugExit(exit: Extract<VcpuExit, { kind: 'debug' }>): void;
}

export interface LoopPorts {
  readonly accelerator: Pick<Accelerator, 'run' | 'sliceNs' | 'interruptAt'>;
  /** Timers in virtual time. */
  readonly timers: TimerQueue;
  /** Host time, which the ticker and sleeping use. Runs at the rate of virtual time. */
  readonly hostClock: Clock;
  /** Rung by other threads. */
  readonly doorbell: Doorbell;
  readonly ticker: TickerChannel;
  /** Time moves only by messages of other threads: no deadline wakes the loop. */
  readonly isTimeManual?: boolean;
}

/** Runs until the client has ended. Never returns to the thread's event loop in between. */
export function runMachineLoop(client: LoopClient, ports: LoopPorts): void {
  const { accelerator, timers, hostClock, doorbell, ticker } = ports;
  const announce = (deadlineNs: number, nowNs: number): void => {
    if (accelerator.interruptAt !== undefined) accelerator.interruptAt(deadlineNs, nowNs);
    else ticker.publish(deadlineNs, nowNs);
  };
  const publish = (): void => {
    const nowNs = hostClock.nowNs();
    const aheadNs = Math.min(timers.nextDeadlineNs() - timers.nowNs(), accelerator.sliceNs);
    announce(nowNs + aheadNs, nowNs);
  };
  timers.onEarlierDeadline = publish;
  for (;;) {
    const rung = doorbell.read();
    client.poll();
    if (client.isRunning) timers.runExpired();
    client.settle();
    if (client.isEnded) return;
    if (!client.isRunning) {
      announce(Number.POSITIVE_INFINITY, hostClock.nowNs());
      doorbell.wait(rung);
      continue;
    }
    publish();
    const exit = accelerator.run();
    switch (exit.kind) {
      case 'interrupted':
        break;
      case 'halted':
        sleep(rung);
        break;
      case 'shutdown':
        client.onShutdownCycle();
        break;
      case 'debug':
        client.onDebugExit(exit);
        break;
      case 'failed':
        client.onFailure(exit.message);
        break;
    }
  }

  function sleep(rung: number): void {
    client.settle();
    if (client.isEnded || !client.isRunning) return;
    if (ports.isTimeManual === true) {
      doorbell.wait(rung);
      return;
    }
    const timeoutMs = (timers.nextDeadlineNs() - timers.nowNs()) / 1e6;
    if (timeoutMs <= 0) return;
    announce(Number.POSITIVE_INFINITY, hostClock.nowNs());
    doorbell.wait(rung, timeoutMs);
  }
}

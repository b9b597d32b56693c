/** Run states of a virtual machine and what resets and shutdowns lead to. */
import type { PowerControl, ResetReason, ShutdownReason } from '../core/reset.ts';
import { unreachable } from '../util/errors.ts';

export type RunState =
  /** Created, `-S`: not yet started. */
  | 'prelaunch'
  | 'running'
  | 'paused'
  /** The guest switched off, `-no-shutdown`. */
  | 'shutdown'
  /** The end; the process or the API call finishes. */
  | 'ended';

/** Why a machine ended. `status` is the exit status QEMU would give. */
export interface MachineEnd {
  readonly reason: ShutdownReason | 'guest-reset' | 'guest-exit' | 'host-quit';
  readonly status: number;
}

export type LifecycleEvent =
  | { readonly kind: 'resume' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'reset'; readonly reason: ResetReason }
  | { readonly kind: 'powerdown' }
  | { readonly kind: 'shutdown'; readonly reason: ShutdownReason | 'guest-reset' }
  | { readonly kind: 'end'; readonly end: MachineEnd };

export interface LifecycleOptions {
  readonly startPaused: boolean;
  readonly noReboot: boolean;
  readonly noShutdown: boolean;
}

export interface LifecycleActions {
  /** Puts the whole machine into its state after power-on. */
  reset(): void;
  /** Time starts or stands still. */
  setRunning(running: boolean): void;
  onEvent(event: LifecycleEvent): void;
}

type Pending =
  | { readonly kind: 'reset'; readonly reason: ResetReason }
  | { readonly kind: 'shutdown'; readonly reason: ShutdownReason }
  | { readonly kind: 'exit'; readonly status: number };

export class Lifecycle implements PowerControl {
  /** Called when a device asked for something: the vCPU must leave guest code. */
  onRequest: (() => void) | undefined;

  readonly #options: LifecycleOptions;
  readonly #actions: LifecycleActions;
  #state: RunState = 'prelaunch';
  #pending: Pending | undefined;

  constructor(options: LifecycleOptions, actions: LifecycleActions) {
    this.#options = options;
    this.#actions = actions;
  }

  get state(): RunState {
    return this.#state;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  get isEnded(): boolean {
    return this.#state === 'ended';
  }

  /** After creation: reset, and run unless `-S`. */
  start(): void {
    this.#actions.reset();
    if (!this.#options.startPaused) this.resume();
  }

  resume(): void {
    if (this.#state !== 'prelaunch' && this.#state !== 'paused') return;
    this.#setState('running');
    this.#actions.onEvent({ kind: 'resume' });
  }

  pause(): void {
    if (this.#state !== 'running') return;
    this.#setState('paused');
    this.#actions.onEvent({ kind: 'stop' });
  }

  quit(): void {
    if (this.isEnded) return;
    this.#end({ reason: 'host-quit', status: 0 });
  }

  // --- PowerControl: requests of devices, from within guest instructions; the strongest wins until `settle`

  requestReset(reason: ResetReason): void {
    this.#request({ kind: 'reset', reason });
  }

  requestShutdown(reason: ShutdownReason): void {
    this.#request({ kind: 'shutdown', reason });
  }

  requestExit(status: number): void {
    this.#request({ kind: 'exit', status });
  }

  /** S3 is not offered to the guest (no \_S3 in the DSDT). */
  requestSuspend(): void {}

  #request(pending: Pending): void {
    const rank = { reset: 0, shutdown: 1, exit: 2 };
    if (this.#pending === undefined || rank[pending.kind] > rank[this.#pending.kind]) this.#pending = pending;
    this.onRequest?.();
  }

  /** Carries out what was requested. */
  settle(): void {
    const pending = this.#pending;
    if (pending === undefined || this.isEnded) return;
    this.#pending = undefined;
    switch (pending.kind) {
      case 'exit':
        this.#end({ reason: 'guest-exit', status: pending.status });
        break;
      case 'shutdown':
        this.#shutdown(pending.reason);
        break;
      case 'reset':
        // QEMU: under -no-reboot a reset by the guest is a shutdown; one by the user is not.
        if (this.#options.noReboot && pending.reason !== 'host-reset') this.#shutdown('guest-reset');
        else this.#reset(pending.reason);
        break;
      default:
        unreachable(pending);
    }
  }

  #reset(reason: ResetReason): void {
    this.#actions.reset();
    this.#actions.onEvent({ kind: 'reset', reason });
    if (this.#state === 'shutdown') this.#setState('paused');
  }

  #shutdown(reason: ShutdownReason | 'guest-reset'): void {
    this.#actions.onEvent({ kind: 'shutdown', reason });
    if (this.#options.noShutdown) this.#setState('shutdown');
    else this.#end({ reason, status: 0 });
  }

  #end(end: MachineEnd): void {
    this.#setState('ended');
    this.#actions.onEvent({ kind: 'end', end });
  }

  #setState(state: RunState): void {
    const ran = this.#state === 'running';
    this.#state = state;
    if (ran !== (state === 'running')) this.#actions.setRunning(!ran);
  }
}

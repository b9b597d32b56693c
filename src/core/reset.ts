/** Reset and power: who is reset, and how devices ask the machine for a reset or for the end. */
import { type Disposable, toDisposable } from '../util/disposal.ts';

export type ResetReason = 'guest-reset' | 'triple-fault' | 'host-reset';
export type ShutdownReason = 'guest-shutdown' | 'guest-panic' | 'host-shutdown';

/**
 * Requests of devices to the machine. Each returns at once; the machine acts on it when the current instruction is done.
 */
export interface PowerControl {
  requestReset(reason: ResetReason): void;
  /** The guest switched the power off. */
  requestShutdown(reason: ShutdownReason): void;
  /** The guest ended the run with an exit status of its own (isa-debug-exit). */
  requestExit(status: number): void;
  /** ACPI S3. */
  requestSuspend(): void;
}

export interface Resettable {
  reset(): void;
}

/** Everything a machine reset resets, in order of registration. */
export class ResetRegistry implements Resettable {
  #items: readonly Resettable[] = [];

  register(item: Resettable): Disposable {
    this.#items = [...this.#items, item];
    return toDisposable(() => {
      this.#items = this.#items.filter((i) => i !== item);
    });
  }

  reset(): void {
    for (const item of this.#items) item.reset();
  }
}

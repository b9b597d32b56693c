import { type Disposable, toDisposable } from './disposal.ts';

/** Subscribes a listener; disposing the result unsubscribes it. */
export type Event<T> = (listener: (value: T) => void) => Disposable;

/** The owner's end of an event. Listeners run in order of subscription, at once, on the caller's stack. */
export class Emitter<T> {
  #listeners: ReadonlyArray<(value: T) => void> = [];

  /** The subscriber's end. */
  readonly event: Event<T> = (listener) => {
    this.#listeners = [...this.#listeners, listener];
    return toDisposable(() => {
      const index = this.#listeners.indexOf(listener);
      if (index >= 0) this.#listeners = this.#listeners.filter((_, i) => i !== index);
    });
  };

  get hasListeners(): boolean {
    return this.#listeners.length > 0;
  }

  /** A listener that (un)subscribes during the call changes only later calls. */
  emit(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }
}

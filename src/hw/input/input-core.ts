/**
 * Where keys and movements from users go: the first device in a list that takes the kind of event. A device that its guest's
 * driver begins to use moves to the front, so the last absolute pointer wins over the mouse.
 */
import type { Key } from './key-table.ts';

export const INPUT_KEY = 1;
export const INPUT_BUTTON = 2;
export const INPUT_RELATIVE = 4;
export const INPUT_ABSOLUTE = 8;

export const BUTTONS = [
  'left',
  'right',
  'middle',
  'side',
  'extra',
  'wheel-up',
  'wheel-down',
  'wheel-left',
  'wheel-right',
] as const;
export type Button = (typeof BUTTONS)[number];
export type Axis = 'x' | 'y';
/** Largest value of an absolute axis. */
export const ABSOLUTE_MAX = 0x7fff;

export type InputEvent =
  | { readonly type: 'key'; readonly key: Key; readonly down: boolean }
  | { readonly type: 'button'; readonly button: Button; readonly down: boolean }
  /** Right and down are positive. */
  | { readonly type: 'relative'; readonly axis: Axis; readonly value: number }
  /** 0 … `ABSOLUTE_MAX`. */
  | { readonly type: 'absolute'; readonly axis: Axis; readonly value: number };

/** A device that takes events. */
export interface InputHandler {
  readonly name: string;
  /** `INPUT_…` bits. */
  readonly takes: number;
  event(event: InputEvent): void;
  /** The events since the last call belong together. */
  sync(): void;
}

/** A device's way to the list. */
export interface InputSeat {
  readonly isActive: boolean;
  activate(): void;
  deactivate(): void;
  leave(): void;
}

const KINDS = {
  key: INPUT_KEY,
  button: INPUT_BUTTON,
  relative: INPUT_RELATIVE,
  absolute: INPUT_ABSOLUTE,
} as const;

interface Entry {
  readonly index: number;
  readonly handler: InputHandler;
}

export class InputCore {
  #list: Entry[] = [];
  #next = 1;

  /** Adds a device behind those that are there. */
  join(handler: InputHandler): InputSeat {
    const entry: Entry = { index: this.#next++, handler };
    const others = (): Entry[] => this.#list.filter((other) => other !== entry);
    this.#list = [...this.#list, entry];
    const core = this;
    return {
      get isActive() {
        return core.#list[0] === entry;
      },
      activate: () => void (this.#list = [entry, ...others()]),
      deactivate: () => void (this.#list = [...others(), entry]),
      leave: () => void (this.#list = others()),
    };
  }

  /** Whether a device takes events of the kind. */
  takes(kind: number): boolean {
    return this.#find(kind) !== undefined;
  }

  /** Sends events that belong together; what nobody takes is lost. */
  send(events: readonly InputEvent[]): void {
    const touched = new Set<InputHandler>();
    for (const event of events) {
      const handler = this.#find(KINDS[event.type]);
      if (handler === undefined) continue;
      handler.event(event);
      touched.add(handler);
    }
    for (const handler of touched) handler.sync();
  }

  /** The pointing devices in order; the first is in use. */
  get mice(): ReadonlyArray<{ readonly name: string; readonly index: number; readonly absolute: boolean }> {
    return this.#list
      .filter(({ handler }) => (handler.takes & (INPUT_RELATIVE | INPUT_ABSOLUTE)) !== 0)
      .map(({ handler, index }) => ({
        name: handler.name,
        index,
        absolute: (handler.takes & INPUT_ABSOLUTE) !== 0,
      }));
  }

  /** Moves a pointing device to the front; false: there is none of that number. */
  selectMouse(index: number): boolean {
    const entry = this.#list.find((e) => e.index === index);
    if (entry === undefined || (entry.handler.takes & (INPUT_RELATIVE | INPUT_ABSOLUTE)) === 0) return false;
    this.#list = [entry, ...this.#list.filter((other) => other !== entry)];
    return true;
  }

  #find(kind: number): InputHandler | undefined {
    return this.#list.find(({ handler }) => (handler.takes & kind) !== 0)?.handler;
  }
}

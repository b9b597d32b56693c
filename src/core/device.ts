import type { Resettable } from './reset.ts';
import type { Stateful } from './vmstate.ts';

/** What a board needs of every device, whatever bus it sits on. */
export interface Device extends Resettable {
  /** Snapshot and migration of its state. */
  readonly vmstate: Stateful;
}

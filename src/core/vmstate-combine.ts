/** A device made of parts that each declare their state. */
import { UserError } from '../util/errors.ts';
import type { SavedState, Stateful } from './vmstate.ts';

/** Saves several states as fields of one. */
export function combineStates(name: string, parts: ReadonlyArray<readonly [string, Stateful]>): Stateful {
  return {
    saveState: (): SavedState => ({
      name,
      version: 1,
      fields: Object.fromEntries(
        parts.map(([key, part]) => {
          const { name: partName, version, fields } = part.saveState();
          return [key, { name: partName, version, fields }];
        }),
      ),
    }),
    loadState: (saved) => loadCombined(name, parts, saved),
    randomizeState: (next) => {
      for (const [, part] of parts) part.randomizeState(next);
    },
  };
}

function loadCombined(
  name: string,
  parts: ReadonlyArray<readonly [string, Stateful]>,
  saved: SavedState,
): void {
  const mismatch = (why: string): UserError => new UserError('SnapshotMismatch', `state of ${name}: ${why}`);
  if (saved.name !== name) throw mismatch(`the snapshot holds ${saved.name}`);
  if (saved.version > 1) throw mismatch(`version ${saved.version} is newer than 1`);
  for (const [key, part] of parts) {
    const field = saved.fields[key];
    if (typeof field !== 'object' || field === null) throw mismatch(`field ${key} is missing`);
    part.loadState(field as unknown as SavedState);
  }
}

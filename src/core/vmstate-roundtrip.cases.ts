/** The round trip every device's state must survive. A device's test calls `testStateRoundTrip`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SavedState, Stateful } from './vmstate.ts';
import { decodeState, encodeState } from './vmstate-codec.ts';

/** A repeatable source of numbers in [0, 1) (xorshift32). */
export function randomSource(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

/**
 * Checks, on random states: what is loaded into a fresh device is saved unchanged, through the binary form as well.
 * `make` gives a new device in a world of its own whose clock stands.
 */
export function testStateRoundTrip(name: string, make: () => { readonly vmstate: Stateful }): void {
  test(`${name}: state survives a round trip`, () => {
    const initial = make().vmstate.saveState();
    const same = make().vmstate;
    same.loadState(initial);
    assert.deepEqual(same.saveState(), initial);
    for (let seed = 1; seed <= 20; seed++) {
      const saved = settledState(make, seed);
      const decoded = decodeState(encodeState(saved));
      const copy = make().vmstate;
      copy.loadState(decoded);
      assert.deepEqual(copy.saveState(), saved);
    }
  });
  test(`${name}: every missing field and a newer version are refused by name`, () => {
    const saved = make().vmstate.saveState();
    for (const field of Object.keys(saved.fields)) {
      const { [field]: _, ...fields } = saved.fields;
      assert.throws(() => make().vmstate.loadState({ ...saved, fields }), new RegExp(field));
    }
    const newer = { ...saved, version: saved.version + 1 };
    assert.throws(() => make().vmstate.loadState(newer), { code: 'SnapshotMismatch' });
  });
}

/** A random state as a device shows it after it has settled on it (derived fields recomputed). */
function settledState(make: () => { readonly vmstate: Stateful }, seed: number): SavedState {
  const device = make().vmstate;
  device.randomizeState(randomSource(seed * 0x9e3779b1));
  const once = make().vmstate;
  once.loadState(device.saveState());
  return once.saveState();
}

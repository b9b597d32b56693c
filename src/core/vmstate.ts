/**
 * Declared device state. One declaration of named fields gives the TypeScript type, the reset values and the snapshot
 * form; every declaration has a version of its own, and a field says since when it exists.
 *
 *     const schema = defineState('i8254-channel', 1, { count: u16(0), gate: bool(true), latched: array(2, u8()) });
 *     type State = StateOf<typeof schema>;
 */
import { UserError } from '../util/errors.ts';

/** A saved value: what `JSON` could hold, plus bytes and bigint. */
export type Saved =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly Saved[]
  | { readonly [name: string]: Saved };

/** A saved state with the name and version of its declaration. */
export interface SavedState {
  readonly name: string;
  readonly version: number;
  readonly fields: { readonly [name: string]: Saved };
}

/** How one field is created, saved, loaded and (for tests) filled at random. */
export interface Field<T> {
  create(): T;
  /** The form that is saved; never shares memory with `value`. */
  save(value: T): Saved;
  /** The value to store in the field, working in `current` where it can; throws `TypeError` on the wrong form. */
  load(saved: Saved, current: T): T;
  /** Any value the field can hold, from a source of numbers in [0, 1). */
  random(next: () => number): T;
  /** The first version of the declaration that has the field; older snapshots leave it at its reset value. */
  readonly since?: number;
}

export type Fields = { readonly [name: string]: Field<unknown> };
export type ValuesOf<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};
export type StateOf<S> = S extends StateSchema<infer F> ? ValuesOf<F> : never;

function unsigned(bits: number, initial: number): Field<number> {
  const limit = 2 ** bits;
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'number' || !Number.isInteger(saved) || saved < 0 || saved >= limit) {
        throw new TypeError(`not an unsigned ${bits}-bit number`);
      }
      return saved;
    },
    random: (next) => Math.floor(next() * limit),
  };
}

export function u8(initial = 0): Field<number> {
  return unsigned(8, initial);
}

export function u16(initial = 0): Field<number> {
  return unsigned(16, initial);
}

export function u32(initial = 0): Field<number> {
  return unsigned(32, initial);
}

/** A small unsigned number below `limit` (an index, an enumeration): a snapshot cannot push it out of range. */
export function below(limit: number, initial = 0): Field<number> {
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'number' || !Number.isInteger(saved) || saved < 0 || saved >= limit) {
        throw new TypeError(`not a number below ${limit}`);
      }
      return saved;
    },
    random: (next) => Math.floor(next() * limit),
  };
}

/** A signed 32-bit number. */
export function i32(initial = 0): Field<number> {
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'number' || saved !== (saved | 0))
        throw new TypeError('not a signed 32-bit number');
      return saved;
    },
    random: (next) => Math.floor(next() * 2 ** 32) | 0,
  };
}

export function u64(initial = 0n): Field<bigint> {
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'bigint' || saved !== BigInt.asUintN(64, saved))
        throw new TypeError('not a 64-bit number');
      return saved;
    },
    random: (next) => (BigInt(Math.floor(next() * 2 ** 32)) << 32n) | BigInt(Math.floor(next() * 2 ** 32)),
  };
}

/** Any number, Infinity included: a time in nanoseconds, a deadline. */
export function num(initial = 0): Field<number> {
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'number' || Number.isNaN(saved)) throw new TypeError('not a number');
      return saved;
    },
    random: (next) => Math.floor(next() * 2 ** 48),
  };
}

export function bool(initial = false): Field<boolean> {
  return {
    create: () => initial,
    save: (value) => value,
    load: (saved) => {
      if (typeof saved !== 'boolean') throw new TypeError('not a boolean');
      return saved;
    },
    random: (next) => next() < 0.5,
  };
}

/** `size` bytes, all `fill` at reset. */
export function bytes(size: number, fill = 0): Field<Uint8Array> {
  return {
    create: () => new Uint8Array(size).fill(fill),
    save: (value) => value.slice(),
    load: (saved, current) => {
      if (!(saved instanceof Uint8Array) || saved.length !== size) throw new TypeError(`not ${size} bytes`);
      current.set(saved);
      return current;
    },
    random: (next) => Uint8Array.from({ length: size }, () => Math.floor(next() * 256)),
  };
}

/** Up to `limit` bytes (a queue's content). Empty at reset. */
export function byteList(limit: number): Field<Uint8Array> {
  return {
    create: () => new Uint8Array(0),
    save: (value) => value.slice(),
    load: (saved) => {
      if (!(saved instanceof Uint8Array) || saved.length > limit)
        throw new TypeError(`not up to ${limit} bytes`);
      return saved.slice();
    },
    random: (next) =>
      Uint8Array.from({ length: Math.floor(next() * (limit + 1)) }, () => Math.floor(next() * 256)),
  };
}

/** `count` unsigned 32-bit numbers. */
export function words(count: number, fill = 0): Field<Uint32Array> {
  return {
    create: () => new Uint32Array(count).fill(fill),
    save: (value) => Array.from(value),
    load: (saved, current) => {
      if (!Array.isArray(saved) || saved.length !== count) throw new TypeError(`not ${count} numbers`);
      const word = u32();
      for (let i = 0; i < count; i++) current[i] = word.load(saved[i] as Saved, 0);
      return current;
    },
    random: (next) => Uint32Array.from({ length: count }, () => Math.floor(next() * 2 ** 32)),
  };
}

/** `count` values of one kind. */
export function array<T>(count: number, element: Field<T>): Field<T[]> {
  return {
    create: () => Array.from({ length: count }, () => element.create()),
    save: (value) => value.map((item) => element.save(item)),
    load: (saved, current) => {
      if (!Array.isArray(saved) || saved.length !== count) throw new TypeError(`not ${count} values`);
      for (let i = 0; i < count; i++) current[i] = element.load(saved[i] as Saved, current[i]!);
      return current;
    },
    random: (next) => Array.from({ length: count }, () => element.random(next)),
  };
}

/** A structure within a state. */
export function struct<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  return {
    create: () => createFields(fields),
    save: (value) => saveFields(fields, value),
    load: (saved, current) => {
      if (!isRecord(saved)) throw new TypeError('not a structure');
      loadFields(fields, saved, current, Number.POSITIVE_INFINITY);
      return current;
    },
    random: (next) => randomFields(fields, next),
  };
}

/** A field that came with version `version` of its declaration. */
export function since<T>(version: number, field: Field<T>): Field<T> {
  return { ...field, since: version };
}

export interface StateSchema<F extends Fields> {
  readonly name: string;
  readonly version: number;
  readonly fields: F;
  /** A state with its reset values. */
  create(): ValuesOf<F>;
  /** Puts every field back to its reset value; buffers and nested objects are replaced. */
  reset(state: ValuesOf<F>): void;
  save(state: ValuesOf<F>): SavedState;
  /** Fills `state`; `UserError` code `SnapshotMismatch` names the field that does not fit. */
  load(state: ValuesOf<F>, saved: SavedState): void;
  /** Random values, for tests. */
  randomize(state: ValuesOf<F>, next: () => number): void;
}

export function defineState<F extends Fields>(name: string, version: number, fields: F): StateSchema<F> {
  return {
    name,
    version,
    fields,
    create: () => createFields(fields),
    reset: (state) => {
      Object.assign(state, createFields(fields));
    },
    save: (state) => ({ name, version, fields: saveFields(fields, state) }),
    load: (state, saved) => {
      if (saved.name !== name) throw mismatch(name, `the snapshot holds ${saved.name}`);
      if (saved.version > version) throw mismatch(name, `version ${saved.version} is newer than ${version}`);
      try {
        loadFields(fields, saved.fields, state, saved.version);
      } catch (error) {
        throw error instanceof TypeError ? mismatch(name, error.message) : error;
      }
    },
    randomize: (state, next) => {
      Object.assign(state, randomFields(fields, next));
    },
  };
}

function mismatch(name: string, why: string): UserError {
  return new UserError('SnapshotMismatch', `state of ${name}: ${why}`);
}

function isRecord(saved: Saved | undefined): saved is { readonly [name: string]: Saved } {
  return typeof saved === 'object' && !Array.isArray(saved) && !(saved instanceof Uint8Array);
}

function createFields<F extends Fields>(fields: F): ValuesOf<F> {
  const out: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) out[name] = fields[name]!.create();
  return out as ValuesOf<F>;
}

function saveFields<F extends Fields>(fields: F, values: ValuesOf<F>): { [name: string]: Saved } {
  const out: { [name: string]: Saved } = {};
  for (const name of Object.keys(fields)) out[name] = fields[name]!.save(values[name]);
  return out;
}

function randomFields<F extends Fields>(fields: F, next: () => number): ValuesOf<F> {
  const out: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) out[name] = fields[name]!.random(next);
  return out as ValuesOf<F>;
}

function loadFields<F extends Fields>(
  fields: F,
  saved: { readonly [name: string]: Saved },
  into: ValuesOf<F>,
  version: number,
): void {
  const values = into as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    const field = fields[name]!;
    const value = Object.hasOwn(saved, name) ? saved[name] : undefined;
    if (value === undefined) {
      if ((field.since ?? 0) <= version) throw new TypeError(`field ${name} is missing`);
      values[name] = field.create();
      continue;
    }
    try {
      values[name] = field.load(value, values[name]);
    } catch (error) {
      throw new TypeError(`field ${name}: ${(error as Error).message}`);
    }
  }
}

/** What a device shows of its state to snapshots and migration. */
export interface Stateful {
  saveState(): SavedState;
  /** Loads and then re-arms timers and re-drives outputs. `UserError` code `SnapshotMismatch`. */
  loadState(saved: SavedState): void;
  /** Puts any valid state into the device; for tests. */
  randomizeState(next: () => number): void;
}

/**
 * Ties a schema to a device's state object. `preSave` brings the state up to date (counters that follow a clock);
 * `postLoad` re-creates what is not state (timers, levels of lines).
 */
export function stateful<F extends Fields>(
  schema: StateSchema<F>,
  state: ValuesOf<F>,
  hooks: { preSave?: () => void; postLoad?: () => void } = {},
): Stateful {
  return {
    saveState: () => {
      hooks.preSave?.();
      return schema.save(state);
    },
    loadState: (saved) => {
      schema.load(state, saved);
      hooks.postLoad?.();
    },
    randomizeState: (next) => schema.randomize(state, next),
  };
}

/** Options of a node, from `-blockdev` (dotted keys or JSON), `-drive`, `--image-opts` or `json:`: a tree of plain values. */
import { UserError } from '../util/errors.ts';

export type OptionValue = string | number | boolean | null | NodeOptions | readonly OptionValue[];

export interface NodeOptions {
  readonly [key: string]: OptionValue | undefined;
}

const TRUE = new Set(['on', 'yes', 'true', 'y']);
const FALSE = new Set(['off', 'no', 'false', 'n']);
const SUFFIXES: Readonly<Record<string, number>> = {
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** A value as messages show it. */
export function textOf(value: OptionValue | undefined): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** `64k`, `1.5G`, `512` (bytes): undefined when it is no size. */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?|0x[0-9a-f]+)([bkmgtp]?)$/i.exec(text.trim());
  if (match === null) return undefined;
  const bytes = Math.floor(Number(match[1]) * SUFFIXES[(match[2] || 'b').toLowerCase()]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `a.b=1,a.c=2` as `{ a: { b: '1', c: '2' } }`; a level whose keys are 0, 1, 2… is a list. */
export function unflatten(flat: Iterable<readonly [string, string]>, what: string): NodeOptions {
  const root: Record<string, OptionValue> = Object.create(null);
  for (const [key, value] of flat) {
    const parts = key.split('.');
    let level: Record<string, OptionValue> = root;
    for (const part of parts.slice(0, -1)) {
      const next = level[part];
      if (next === undefined) level[part] = Object.create(null) as NodeOptions;
      else if (typeof next !== 'object') throw clash(what, key);
      level = level[part] as Record<string, OptionValue>;
    }
    const last = parts.at(-1)!;
    if (last === '' || level[last] !== undefined) throw clash(what, key);
    level[last] = value;
  }
  return listsOf(root) as NodeOptions;
}

function clash(what: string, key: string): UserError {
  return new UserError('BadOption', `${what}: "${key}" is given twice or clashes with another option`);
}

function listsOf(value: OptionValue): OptionValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value as NodeOptions).map(([k, v]) => [k, listsOf(v!)] as const);
  const isList = entries.length > 0 && entries.every(([key]) => /^\d+$/.test(key));
  if (!isList) return Object.fromEntries(entries);
  return entries.sort(([a], [b]) => Number(a) - Number(b)).map(([, v]) => v);
}

const MAX_DEPTH = 64;

/** Text of a JSON object; `UserError` if it is none. */
export function parseJsonOptions(text: string, what: string): NodeOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError('BadJson', `${what}: not valid JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError('BadJson', `${what}: not a JSON object`);
  if (depthOf(value, 0) > MAX_DEPTH) throw new UserError('BadJson', `${what}: nested too deeply`);
  // Dotted keys are allowed inside JSON too ("file.filename").
  const plain = value as Record<string, OptionValue>;
  if (!Object.keys(plain).some((key) => key.includes('.'))) return plain;
  return undot(plain, what);
}

function undot(plain: Record<string, OptionValue>, what: string): NodeOptions {
  const out: Record<string, OptionValue> = {};
  const dotted: Array<[string, string]> = [];
  for (const [key, value] of Object.entries(plain)) {
    if (key.includes('.')) dotted.push([key, textOf(value)]);
    else out[key] = value;
  }
  for (const [key, value] of Object.entries(unflatten(dotted, what))) {
    const old = out[key];
    const mergeable = typeof old === 'object' && old !== null && typeof value === 'object';
    out[key] = mergeable ? { ...(old as NodeOptions), ...(value as NodeOptions) } : value!;
  }
  return out;
}

function depthOf(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return depth;
  let deepest = depth;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner, depth + 1));
  return deepest;
}

/** Reads one level of options and complains about what nobody took. */
export class NodeOptionReader {
  readonly #values: Map<string, OptionValue>;
  readonly what: string;

  /** `what` begins messages. */
  constructor(options: NodeOptions, what: string) {
    this.what = what;
    this.#values = new Map(
      Object.entries(options).filter((entry): entry is [string, OptionValue] => entry[1] !== undefined),
    );
  }

  error(reason: string): UserError {
    return new UserError('BadOption', `${this.what}: ${reason}`);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  take(key: string): OptionValue | undefined {
    const value = this.#values.get(key);
    this.#values.delete(key);
    return value;
  }

  text(key: string): string | undefined {
    const value = this.take(key);
    if (value === undefined) return undefined;
    if (typeof value === 'object') throw this.error(`"${key}" is not a string`);
    return String(value);
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined) throw this.error(`"${key}" is missing`);
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.take(key);
    if (value === undefined) return fallback;
    if (typeof value === 'boolean') return value;
    if (typeof value === 'string' && TRUE.has(value)) return true;
    if (typeof value === 'string' && FALSE.has(value)) return false;
    throw this.error(`"${key}=${textOf(value)}" is neither on nor off`);
  }

  /** A size in bytes, with a suffix or without. */
  size(key: string): number | undefined {
    const value = this.take(key);
    if (value === undefined) return undefined;
    const bytes = typeof value === 'number' ? value : parseByteSize(textOf(value));
    if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0)
      throw this.error(`"${key}=${textOf(value)}" is not a size`);
    return bytes;
  }

  choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.text(key);
    if (value === undefined) return fallback;
    if (!(choices as readonly string[]).includes(value))
      throw this.error(`"${key}=${value}" is not one of ${choices.join(', ')}`);
    return value as T;
  }

  /** A nested object, a string (a reference or a file name), null, or nothing. */
  child(key: string): NodeOptions | string | null | undefined {
    const value = this.take(key);
    if (value === undefined || value === null || typeof value === 'string') return value;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.error(`"${key}" is not a node`);
    return value as NodeOptions;
  }

  /** Takes all that is left. */
  rest(): NodeOptions {
    const rest = Object.fromEntries(this.#values);
    this.#values.clear();
    return rest;
  }

  finish(): void {
    for (const key of this.#values.keys()) throw this.error(`unknown option "${key}"`);
  }
}

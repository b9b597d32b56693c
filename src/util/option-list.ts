/** `key=value,key=value` lists of the command line: every key must be consumed, or it is an unknown one. */
import { UserError } from './errors.ts';

const TRUE = new Set(['on', 'yes', 'true', 'y']);
const FALSE = new Set(['off', 'no', 'false', 'n']);

export class OptionList {
  readonly #what: string;
  readonly #values = new Map<string, string | undefined>();
  /** Every value of a key, in order. */
  readonly #all = new Map<string, string[]>();

  /**
   * A doubled comma stands for one in a value. `what` begins error messages; `first` names the key of a leading value
   * without one (`-m 512`).
   */
  constructor(text: string, what: string, first?: string) {
    this.#what = what;
    if (text === '') return;
    splitCommas(text).forEach((part, index) => {
      const equals = part.indexOf('=');
      if (equals < 0 && index === 0 && first !== undefined) this.#set(first, part);
      else if (equals < 0) this.#set(part, undefined);
      else this.#set(part.slice(0, equals), part.slice(equals + 1));
    });
  }

  #set(key: string, value: string | undefined): void {
    if (key === '') throw this.error('an option without a name');
    this.#values.set(key, value);
    if (value !== undefined) this.#all.set(key, [...(this.#all.get(key) ?? []), value]);
  }

  error(reason: string): UserError {
    return new UserError('BadOption', `${this.#what}: ${reason}`);
  }

  /** Takes everything: keys without a value are `on`. */
  entries(): Record<string, string> {
    const all = Object.fromEntries([...this.#values].map(([key, value]) => [key, value ?? 'on']));
    this.#values.clear();
    return all;
  }

  /** Takes all values of a key that may come several times. */
  list(key: string): readonly string[] {
    this.text(key);
    return this.#all.get(key) ?? [];
  }

  /** The value of `key`, which stays to be taken. */
  peek(key: string): string | undefined {
    return this.#values.get(key);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** Takes the value of `key`; undefined if it is not there. */
  text(key: string): string | undefined {
    if (!this.#values.has(key)) return undefined;
    const value = this.#values.get(key);
    if (value === undefined) throw this.error(`"${key}" needs a value`);
    this.#values.delete(key);
    return value;
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined) throw this.error(`"${key}=" is missing`);
    return value;
  }

  /** `key`, `key=on`, `key=off`. */
  flag(key: string, fallback: boolean): boolean {
    if (!this.#values.has(key)) return fallback;
    const value = this.#values.get(key);
    this.#values.delete(key);
    if (value === undefined || TRUE.has(value)) return true;
    if (FALSE.has(value)) return false;
    throw this.error(`"${key}=${value}" is neither on nor off`);
  }

  /** A non-negative number, decimal or 0x hexadecimal. */
  number(key: string, fallback: number): number {
    const value = this.text(key);
    if (value === undefined) return fallback;
    if (!/^(\d+|0x[0-9a-f]+)$/i.test(value) || !Number.isSafeInteger(Number(value))) {
      throw this.error(`"${key}=${value}" is not a number`);
    }
    return Number(value);
  }

  /** One of `choices`. */
  choice<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.text(key);
    if (value === undefined) return fallback;
    if (!(choices as readonly string[]).includes(value)) {
      throw this.error(`"${key}=${value}" is not one of ${choices.join(', ')}`);
    }
    return value as T;
  }

  /** Takes all that is left, in order. A key without value stands for `on`. */
  rest(): ReadonlyArray<readonly [string, string]> {
    const entries = [...this.#values].map(([key, value]) => [key, value ?? 'on'] as const);
    this.#values.clear();
    return entries;
  }

  /** Complains about the first key nobody took. */
  finish(): void {
    for (const key of this.#values.keys()) throw this.error(`unknown option "${key}"`);
  }
}

function splitCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === ',' && text[i + 1] !== ',') {
      parts.push(part);
      part = '';
    } else {
      part += char;
      if (char === ',') i++;
    }
  }
  return [...parts, part];
}

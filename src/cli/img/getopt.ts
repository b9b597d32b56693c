/** Options as getopt_long reads them: `-f fmt`, `-ffmt`, `-pq`, `--output=json`, `--output json`; the rest are arguments. */
import { UserError } from '../../util/errors.ts';

export interface OptionSpec {
  /** Letters; one that takes a value is followed by a colon: "f:O:pq". */
  readonly short: string;
  /** Names; one that takes a value ends in "=". */
  readonly long?: readonly string[];
}

export class ParsedOptions {
  readonly args: string[] = [];
  readonly #values = new Map<string, string[]>();

  constructor(args: readonly string[], spec: OptionSpec) {
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      if (arg === '--') {
        this.args.push(...args.slice(i + 1));
        return;
      }
      const take = (): string => {
        const value = args[++i];
        if (value === undefined)
          throw new UserError('MissingValue', `option requires an argument -- '${arg}'`);
        return value;
      };
      if (arg.startsWith('--')) this.#long(arg, spec, take);
      else if (arg.startsWith('-') && arg !== '-') this.#short(arg, spec, take);
      else this.args.push(arg);
    }
  }

  #add(name: string, value: string): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }

  #long(arg: string, spec: OptionSpec, take: () => string): void {
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    const long = spec.long ?? [];
    if (long.includes(`${name}=`)) this.#add(name, equals < 0 ? take() : arg.slice(equals + 1));
    else if (long.includes(name) && equals < 0) this.#add(name, '');
    else throw new UserError('UnknownOption', `unrecognized option '${arg}'`);
  }

  #short(arg: string, spec: OptionSpec, take: () => string): void {
    for (let at = 1; at < arg.length; at++) {
      const letter = arg[at]!;
      const found = letter === ':' ? -1 : spec.short.indexOf(letter);
      if (found < 0) throw new UserError('UnknownOption', `invalid option -- '${letter}'`);
      if (spec.short[found + 1] !== ':') {
        this.#add(letter, '');
        continue;
      }
      this.#add(letter, at + 1 < arg.length ? arg.slice(at + 1) : take());
      return;
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The last one given. */
  get(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

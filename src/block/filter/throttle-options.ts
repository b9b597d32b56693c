/** `throttling.*` of `-drive`. */
import type { UserError } from '../../util/errors.ts';
import { NodeOptionReader, type NodeOptions, type OptionValue } from '../node-options.ts';
import { LIMIT_KINDS, type Limit, type LimitKind, type ThrottleLimits } from './throttle.ts';

const LARGEST = 1e15;

export class ThrottleOptions {
  readonly #reader: NodeOptionReader;

  constructor(options: OptionValue, what: string) {
    this.#reader = new NodeOptionReader(options as NodeOptions, what);
  }

  /** Undefined: no limit is set. `id` names the group if the options do not. */
  read(id: string): { group: string; limits: ThrottleLimits } | undefined {
    const limits: Partial<Record<LimitKind, Limit>> = {};
    for (const kind of LIMIT_KINDS) {
      const average = this.#number(kind);
      const burst = this.#number(`${kind}-max`);
      const burstSeconds = this.#number(`${kind}-max-length`) || 1;
      if (average === 0 && burst > 0) throw this.#error(`throttling.${kind}-max needs throttling.${kind}`);
      if (burst > 0 && burst < average)
        throw this.#error(`throttling.${kind}-max is below throttling.${kind}`);
      if (average > 0) limits[kind] = { average, burst, burstSeconds };
    }
    for (const unit of ['bps', 'iops'] as const) {
      const both = limits[`${unit}-total`] !== undefined;
      if (both && (limits[`${unit}-read`] !== undefined || limits[`${unit}-write`] !== undefined))
        throw this.#error(`bps/iops total values and read/write values cannot be used at the same time`);
    }
    const iopsSize = this.#number('iops-size');
    const group = this.#reader.text('group') ?? id;
    this.#reader.finish();
    return Object.keys(limits).length === 0 ? undefined : { group, limits: { limits, iopsSize } };
  }

  #number(key: string): number {
    const value = this.#reader.size(key) ?? 0;
    if (value > LARGEST) throw this.#error(`throttling.${key} must be within [0, ${LARGEST}]`);
    return value;
  }

  #error(reason: string): UserError {
    return this.#reader.error(reason);
  }
}

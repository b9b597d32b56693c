import type { Images } from './common.ts';

/** A command of `lyrebird-img`. */
export interface Verb {
  /** Resolves with the exit status; images it leaves open are closed. */
  run(args: readonly string[], images: Images): Promise<number>;
  /** Status when `run` rejects; 1 if absent. */
  readonly errorStatus?: number;
}

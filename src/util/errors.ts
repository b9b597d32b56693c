/**
 * The three kinds of error, never mixed: a guest's mistake never throws; a user's mistake is a `UserError`; a
 * mistake of ours is an `AssertionError`.
 */

/** Something the user asked for cannot be done. `code` is stable and machine-readable, `message` is one line. */
export class UserError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'UserError';
    this.code = code;
  }
}

/** A bug of ours: an invariant does not hold. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AssertionError';
  }
}

/** Throws `AssertionError` unless `condition` holds. */
export function assert(condition: unknown, message = 'assertion failed'): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Closes a switch over a union: reaching it is a type error, and an `AssertionError` at run time. */
export function unreachable(value: never, what = 'value'): never {
  throw new AssertionError(`unexpected ${what}: ${String(value)}`);
}

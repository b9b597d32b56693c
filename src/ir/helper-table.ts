/**
 * Runtime helpers that IR `call` operations may name. A target declares its own table (`src/target/<arch>/helpers.ts`); the
 * runtime module exports a function of the same name for every row (a test compares the two).
 */
export interface HelperRow {
  /** Number of i64 arguments, 0..3. */
  readonly args: 0 | 1 | 2 | 3;
  /** Returns an i64 result. */
  readonly result?: true;
  /** Reads promoted guest state (slots below LOCAL_SLOT_LIMIT): they are stored to memory before the call. */
  readonly reads?: true;
  /** Writes promoted guest state: it is reloaded after the call. Implies `reads`. */
  readonly writes?: true;
  /** May set the FAULT slot (exception, SMC retry or host exit): checked after the call; RIP and RESTORE are stored before. */
  readonly faults?: true;
  /** Needs the RIP slot to hold the current instruction's RIP although it cannot fault. */
  readonly needsRip?: true;
  /** No effect but its result: may be dropped when the result is unused. */
  readonly pure?: true;
  readonly doc: string;
}

export type HelperTable = Readonly<Record<string, HelperRow>>;

/** A helper as the back ends see it: index = position in the table = `x` field of `call`. */
export interface HelperInfo extends HelperRow {
  readonly index: number;
  readonly name: string;
}

export function expandHelpers(table: HelperTable): readonly HelperInfo[] {
  return Object.entries(table).map(([name, row], index) => ({ index, name, ...row }));
}

/** Index by name. */
export function helperIndexes<T extends HelperTable>(table: T): { readonly [K in keyof T]: number } {
  return Object.fromEntries(Object.keys(table).map((name, i) => [name, i])) as { [K in keyof T]: number };
}

import type { DecodeTable } from './decode-table.ts';
import { compileTables } from './decode-table.ts';
import type { FeatureSet } from './features.ts';
import type { HandlerNames, InsnTable, OpcodeMap } from './insn-row.ts';
import { threeByte38, twoByte } from './table-0f.ts';
import { fmaRows, vex0f, vex0f3a, vex0f38 } from './table-avx.ts';
import { adx38, bmi3a, bmi38 } from './table-bmi.ts';
import { oneByte } from './table-onebyte.ts';
import { sha3a, sha38 } from './table-sha.ts';
import { mmx0f, mmx0f3a, mmx0f38, simd0f, simd0f3a, simd0f38, withXmm } from './table-sse.ts';
import { vexRows } from './table-vex.ts';
import { x87Table } from './table-x87.ts';
import { aluHandlers } from './translate-alu.ts';
import { avxHandlers } from './translate-avx.ts';
import { bitHandlers } from './translate-bits.ts';
import { bmiHandlers } from './translate-bmi.ts';
import { controlHandlers } from './translate-control.ts';
import { moveHandlers } from './translate-move.ts';
import { mulDivHandlers } from './translate-muldiv.ts';
import { shaHandlers } from './translate-sha.ts';
import { shiftHandlers } from './translate-shift.ts';
import { simdHandlers } from './translate-sse.ts';
import { stackHandlers } from './translate-stack.ts';
import { stringHandlers } from './translate-string.ts';
import { systemHandlers } from './translate-system.ts';
import { x87Handlers } from './translate-x87.ts';
import { xsaveHandlers } from './translate-xsave.ts';
import type { Handler } from './translator.ts';
import { vexForm } from './vector-operands.ts';

const sse0f: InsnTable = [...simd0f, ...withXmm(mmx0f)];
const sse0f38: InsnTable = [...simd0f38, ...withXmm(mmx0f38)];
const sse0f3a: InsnTable = [...simd0f3a, ...withXmm(mmx0f3a)];

/** All opcode tables by map; the order of tables of one map does not matter. */
export const X86_TABLES: readonly (readonly [OpcodeMap, InsnTable])[] = [
  [0, oneByte],
  [0, x87Table],
  [1, twoByte],
  [1, sse0f],
  [2, threeByte38],
  [2, sse0f38],
  [3, sse0f3a],
  [5, vex0f],
  [2, adx38],
  [6, bmi38],
  [7, bmi3a],
  [2, sha38],
  [3, sha3a],
  [6, vex0f38],
  [6, fmaRows],
  [7, vex0f3a],
  [5, vexRows(sse0f)],
  [6, vexRows(sse0f38)],
  [7, vexRows(sse0f3a)],
];

type IntegerHandler =
  | HandlerNames<typeof oneByte>
  | HandlerNames<typeof twoByte>
  | HandlerNames<typeof threeByte38>
  | HandlerNames<typeof bmi38>
  | HandlerNames<typeof bmi3a>
  | HandlerNames<typeof adx38>
  | HandlerNames<typeof sha38>
  | HandlerNames<typeof sha3a>;

/** Handlers of AVX that no SSE instruction has. */
type AvxHandler = Exclude<
  HandlerNames<typeof vex0f> | HandlerNames<typeof vex0f38> | HandlerNames<typeof vex0f3a>,
  keyof typeof simdHandlers
>;

/** A row without a handler does not compile. */
const integerHandlers = {
  ...aluHandlers,
  ...moveHandlers,
  ...shiftHandlers,
  ...mulDivHandlers,
  ...bitHandlers,
  ...stackHandlers,
  ...controlHandlers,
  ...stringHandlers,
  ...systemHandlers,
  ...xsaveHandlers,
  ...bmiHandlers,
  ...shaHandlers,
} satisfies Record<IntegerHandler, Handler>;

/** Handler of every name used in the tables. */
export const X86_HANDLERS: Readonly<Record<string, Handler>> = {
  ...integerHandlers,
  ...x87Handlers,
  ...simdHandlers,
  ...(avxHandlers satisfies Record<AvxHandler, Handler>),
};

export interface X86Tables {
  readonly table: DecodeTable;
  /** By row number. */
  readonly handlers: readonly Handler[];
}

/** Handlers of instructions whose first operand is a source too: they write no vector register. */
const NO_DESTINATION: ReadonlySet<string> = new Set([
  'comi',
  'ptest',
  'vtestps',
  'vtestpd',
  'maskmov',
  'pcmpistr',
  'pcmpestr',
]);

/** Compiles the tables for a CPU with the given features. */
export function buildX86Tables(features: FeatureSet): X86Tables {
  const table = compileTables(X86_TABLES, features);
  const handlers = table.rows.map((row, n) => {
    const name = row.as ?? row.name;
    const handler = X86_HANDLERS[name]!;
    return table.rowMap[n]! > 3 && !NO_DESTINATION.has(name) ? vexForm(handler) : handler;
  });
  return { table, handlers };
}

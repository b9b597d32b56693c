import type { FeatureSet } from '../target/x86/features.ts';
import { X86_TABLES } from '../target/x86/handlers.ts';
import type { InsnRow, OpcodeMap } from '../target/x86/insn-row.ts';
import { notComparable } from './differences.ts';
import { Encoding, inRm, type Shape } from './encoder.ts';
import type { Bits } from './image.ts';
import type { OracleCase } from './oracle-case.ts';
import { Random, seedOf } from './random.ts';

/** A row of the opcode tables with what identifies it in reports. */
export interface LabelledRow {
  readonly map: OpcodeMap;
  readonly row: InsnRow;
  readonly label: string;
}

const MAP_NAMES = ['', '0f ', '0f38 ', '0f3a ', '', 'vex.0f ', 'vex.0f38 ', 'vex.0f3a '];

/** `66 0f 6e /r movd Vdq,Ey`: unique among all rows. */
function rowLabel(map: OpcodeMap, row: InsnRow): string {
  const r = row as InsnRow & { readonly l?: number; readonly w?: number };
  const parts = [
    row.prefix && row.prefix !== 'none' ? `${row.prefix} ` : row.prefix === 'none' ? 'np ' : '',
    MAP_NAMES[map],
    row.op.toString(16).padStart(2, '0'),
    row.reg === undefined ? '' : `/${row.reg}`,
    row.rm === undefined ? '' : `.${row.rm}`,
    r.l === undefined ? '' : ` l${r.l}`,
    r.w === undefined ? '' : ` w${r.w}`,
    row.mode ? ` ${row.mode}` : '',
    row.form ? ` ${row.form}` : '',
    ` ${row.name}`,
    row.operands ? ` ${row.operands.join(',')}` : '',
  ];
  return parts.join('');
}

/** Every row of the tables. */
export function allRows(): LabelledRow[] {
  return X86_TABLES.flatMap(([map, table]) =>
    table.map((row) => ({ map, row: row as InsnRow, label: rowLabel(map, row as InsnRow) })),
  );
}

/** Why a row has no cases on this host, undefined if it has some. */
export function whyNot({ row }: LabelledRow, host: FeatureSet): string | undefined {
  const wanted = (row.feature === undefined ? [] : [row.feature].flat()) as readonly string[];
  const missing = wanted.filter((f) => !(host as ReadonlySet<string>).has(f));
  if (missing.length > 0) return `the host has no ${missing.join(', ')}`;
  return notComparable(row);
}

interface Size {
  readonly op16: boolean;
  readonly w: boolean;
  readonly l: boolean;
}

const isSized = (row: InsnRow): boolean =>
  row.name.includes('|') ||
  row.size !== undefined ||
  (row.operands ?? []).some((code) => /[vzyna]$|^[EA]v|^Ey|^Mp|^Ap|^rAX|^eAX/.test(code)) ||
  (row.operands === undefined && /^(ret|iret|pusha|popa|leave|xlatb)/.test(row.name));

/** Operand sizes and vector lengths an encoding is tried with. */
function* sizes(map: OpcodeMap, row: InsnRow, bits: Bits): Generator<Size> {
  const vex = row as InsnRow & { readonly l?: number; readonly w?: number };
  if (map >= 4) {
    for (const l of vex.l === undefined ? [0, 1] : [vex.l])
      for (const w of vex.w === undefined ? [0, 1] : [vex.w]) yield { op16: false, w: w === 1, l: l === 1 };
    return;
  }
  yield { op16: false, w: false, l: false };
  if (row.prefix !== '66' && row.prefix !== 'none' && isSized(row)) yield { op16: true, w: false, l: false };
  if (bits === 64 && isSized(row)) yield { op16: false, w: true, l: false };
}

function forms(row: InsnRow): readonly boolean[] {
  const operands: readonly string[] = row.operands ?? [];
  if (row.form !== undefined) return [row.form === 'mem'];
  if (operands.some((code) => /^M/.test(code) || code.startsWith('VM'))) return [true];
  if (operands.some((code) => /^[RUNCD]/.test(code) && !/^(CL|DX|CS|DS)$/.test(code))) return [false];
  if (operands.some(inRm)) return [false, true];
  return [false];
}

const STRING = /^(ins|outs|movs|cmps|stos|lods|scas)$/;

export interface GenerateOptions {
  readonly host: FeatureSet;
  /** How many encodings of each shape. */
  readonly breadth: number;
  /** Only rows whose label contains this. */
  readonly filter?: string;
}

/** All cases of a row. */
export function* casesOf(labelled: LabelledRow, options: GenerateOptions): Generator<OracleCase> {
  const { map, row, label } = labelled;
  for (const bits of [64, 32] as const) {
    if (row.mode === (bits === 64 ? 'i64' : 'o64')) continue;
    const random = new Random(seedOf(label) + bits);
    const make = (s: Omit<Shape, 'map' | 'row' | 'bits' | 'op'>): OracleCase => {
      const op = row.op + (row.count === undefined ? 0 : random.below(row.count));
      return new Encoding({ map, row, bits, op, ...s }, random).build(label);
    };
    for (const size of sizes(map, row, bits)) {
      for (const memory of forms(row)) {
        const times = options.breadth * (memory || row.count !== undefined ? 2 : 1);
        for (let i = 0; i < times; i++) yield make({ ...size, memory, extra: [] });
        yield* withPrefixes(row, size, memory, make, random);
      }
    }
    if (row.mode === undefined) yield* wrongPrefixes(map, row, make);
  }
}

type Make = (s: Omit<Shape, 'map' | 'row' | 'bits' | 'op'>) => OracleCase;

/** Segment overrides, address size, LOCK and REP where they are legal. */
function* withPrefixes(
  row: InsnRow,
  size: Size,
  memory: boolean,
  make: Make,
  random: Random,
): Generator<OracleCase> {
  const isString = STRING.test(row.name);
  if (isString) {
    for (const rep of [0xf3, 0xf2]) {
      yield make({ ...size, memory, extra: [rep] });
      yield make({ ...size, memory, extra: [rep], addressPrefix: true });
    }
  }
  if (!memory) return;
  yield make({ ...size, memory, extra: [random.pick([0x64, 0x65])] });
  yield make({ ...size, memory, extra: [random.pick([0x26, 0x2e, 0x36, 0x3e])] });
  yield make({ ...size, memory, extra: [], addressPrefix: true });
  if (row.lock) yield make({ ...size, memory, extra: [0xf0] });
}

/** Prefixes that must make the instruction undefined, or must be ignored. */
function* wrongPrefixes(map: OpcodeMap, row: InsnRow, make: Make): Generator<OracleCase> {
  const plain = { op16: false, w: false, l: false };
  const memory = forms(row).includes(true);
  yield make({ ...plain, memory: forms(row)[0]!, extra: [0xf0] });
  if (memory) yield make({ ...plain, memory, extra: [0xf0] });
  if (map >= 4) {
    yield make({ ...plain, memory, extra: [0x66] });
    yield make({ ...plain, memory, extra: [0xf3] });
    yield make({ ...plain, memory, extra: [], strayVvvv: true });
  } else if (row.prefix === undefined && map === 0 && !STRING.test(row.name) && row.name !== 'xchg') {
    yield make({ ...plain, memory, extra: [0xf3] });
    yield make({ ...plain, memory, extra: [0xf2] });
  }
}

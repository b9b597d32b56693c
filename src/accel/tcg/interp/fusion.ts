import { OP, OP_INFO, type OpName } from '../../../ir/ops.ts';
import { FUSED_SEQUENCES } from './sequences.ts';

/**
 * Fused operations: the interpreter runs a frequent sequence in one dispatch. Fusing changes nothing but the opcode of the
 * sequence's first operation, to a number behind the table's opcodes; all other words stay as the front end wrote them. So any
 * reader of IR sees the plain operations by mapping each opcode through `UNFUSED` (and steps by the plain operation's size).
 */
export interface Fusion {
  readonly opcode: number;
  readonly ops: readonly number[];
  /** Size of the whole sequence in bytes. */
  readonly size: number;
  /**
   * The last operation's operand a is the result of the one before, a temporary that nobody else reads: it is handed over
   * without being stored.
   */
  readonly forward: boolean;
}

function isComparison(opcode: number): boolean {
  return ['eq', 'ne', 'ltu', 'lts', 'leu', 'les'].includes(OP_INFO[opcode]!.base);
}

function makeFusion(names: readonly OpName[], index: number): Fusion {
  const ops = names.map((name) => OP[name]);
  if (ops.slice(0, -1).some((op) => OP_INFO[op]!.effect === 'control') || ops.includes(OP.call)) {
    throw new Error(`cannot fuse ${names.join(', ')}`);
  }
  const beforeLast = ops[ops.length - 2]!;
  return {
    opcode: OP_INFO.length + index,
    ops,
    size: ops.reduce((sum, op) => sum + OP_INFO[op]!.size, 0),
    forward: ops[ops.length - 1] === OP.br && isComparison(beforeLast),
  };
}

export const FUSIONS: readonly Fusion[] = FUSED_SEQUENCES.map(makeFusion);

/** The plain opcode behind every opcode that may appear in IR. */
export const UNFUSED: Uint16Array = Uint16Array.from([
  ...OP_INFO.map((i) => i.opcode),
  ...FUSIONS.map((f) => f.ops[0]!),
]);

// ---- the matcher: a trie over plain opcodes

const WORDS: Uint8Array = Uint8Array.from(OP_INFO, (i) => i.size >> 2);
const STRIDE = OP_INFO.length;
const MAX_STATES = 1 + FUSIONS.reduce((sum, f) => sum + f.ops.length, 0);
/** NEXT[state * STRIDE + opcode]: the state behind that operation, 0 if no sequence goes on. State 0 is the start. */
const NEXT = new Uint16Array(MAX_STATES * STRIDE);
/** Fused opcode of a state that ends a sequence, else 0. */
const FUSED = new Uint16Array(MAX_STATES);
const FORWARD = new Uint8Array(MAX_STATES);

function buildTrie(): void {
  let states = 1;
  for (const fusion of FUSIONS) {
    let state = 0;
    for (const op of fusion.ops) {
      const at = state * STRIDE + op;
      if (NEXT[at] === 0) NEXT[at] = states++;
      state = NEXT[at]!;
    }
    FUSED[state] = fusion.opcode;
    FORWARD[state] = fusion.forward ? 1 : 0;
  }
}
buildTrie();

/**
 * Fuses the operations of a finished block in the byte range [start, end), longest sequence first. `tempBase`: first temporary.
 */
export function fuseBlock(words: Int32Array, start: number, end: number, tempBase: number): void {
  const limit = end >>> 2;
  for (let p = start >>> 2; p < limit; ) {
    const first = words[p]! & 0xffff;
    let state = NEXT[first]!;
    let q = p + WORDS[first]!;
    let next = q;
    let fused = 0;
    let previous = p;
    while (state !== 0 && q < limit) {
      const op = words[q]! & 0xffff;
      state = NEXT[state * STRIDE + op]!;
      if (state === 0) break;
      const before = previous;
      previous = q;
      q += WORDS[op]!;
      if (FUSED[state] === 0) continue;
      if (FORWARD[state] !== 0) {
        const d = words[before]! >>> 16;
        if (d < tempBase || (words[previous + 1]! & 0xffff) !== d) continue;
      }
      fused = FUSED[state]!;
      next = q;
    }
    if (fused !== 0) words[p] = (words[p]! & ~0xffff) | fused;
    p = next;
  }
}

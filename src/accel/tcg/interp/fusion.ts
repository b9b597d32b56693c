import { MEM_RMW, OP, OP_INFO, type OpName } from '../../../ir/ops.ts';
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
   * Position of a comparison whose result, a temporary, is the condition of the `br` at the end and is read by nothing else: it
   * is handed over without being stored. -1: none.
   */
  readonly forward: number;
}

function isComparison(opcode: number): boolean {
  return ['eq', 'ne', 'ltu', 'lts', 'leu', 'les'].includes(OP_INFO[opcode]!.base);
}

function makeFusion(names: readonly OpName[], index: number): Fusion {
  const ops = names.map((name) => OP[name]);
  if (ops.slice(0, -1).some((op) => OP_INFO[op]!.effect === 'control') || ops.includes(OP.call)) {
    throw new Error(`cannot fuse ${names.join(', ')}`);
  }
  return {
    opcode: OP_INFO.length + index,
    ops,
    size: ops.reduce((sum, op) => sum + OP_INFO[op]!.size, 0),
    forward: ops.at(-1) === OP.br ? ops.findIndex(isComparison) : -1,
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
/** Position of the forwarded comparison plus 1, 0: none. */
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
    FORWARD[state] = fusion.forward + 1;
  }
}
buildTrie();

/** Loads, which are not fused when they are part of a read-modify-write. */
const IS_LOAD: Uint8Array = Uint8Array.from(OP_INFO, (i) => (i.effect === 'memory-read' ? 1 : 0));

/** Whether the operation at `p` may take part in a sequence. */
function mayFuse(words: Int32Array, p: number, opcode: number): boolean {
  return IS_LOAD[opcode] === 0 || ((words[p + 1]! >>> 16) & MEM_RMW) === 0;
}

/** Word indexes of the operations matched so far. */
const AT = new Int32Array(16);

/** Whether the temporary written at position `from` is the condition of the `br` at position `last` and nothing else between. */
function mayForward(words: Int32Array, from: number, last: number, tempBase: number): boolean {
  const d = words[AT[from]!]! >>> 16;
  if (d < tempBase || (words[AT[last]! + 1]! & 0xffff) !== d) return false;
  for (let i = from + 1; i < last; i++) {
    const ab = words[AT[i]! + 1]!;
    if ((ab & 0xffff) === d || ab >>> 16 === d || words[AT[i]!]! >>> 16 === d) return false;
  }
  return true;
}

/**
 * Fuses the operations of a finished block in the byte range [start, end), longest sequence first. `tempBase`: first temporary.
 */
export function fuseBlock(words: Int32Array, start: number, end: number, tempBase: number): void {
  const limit = end >>> 2;
  for (let p = start >>> 2; p < limit; ) {
    const first = words[p]! & 0xffff;
    let state = mayFuse(words, p, first) ? NEXT[first]! : 0;
    let q = p + WORDS[first]!;
    let next = q;
    let fused = FUSED[state]!;
    AT[0] = p;
    for (let n = 1; state !== 0 && q < limit; n++) {
      const op = words[q]! & 0xffff;
      state = NEXT[state * STRIDE + op]!;
      if (state === 0 || !mayFuse(words, q, op)) break;
      AT[n] = q;
      q += WORDS[op]!;
      if (FUSED[state] === 0) continue;
      if (FORWARD[state] !== 0 && !mayForward(words, FORWARD[state]! - 1, n, tempBase)) continue;
      fused = FUSED[state]!;
      next = q;
    }
    if (fused !== 0) words[p] = (words[p]! & ~0xffff) | fused;
    p = next;
  }
}

/**
 * Fields of an operation as stored (see ./ops.ts): `words` is the memory as Int32Array, `p` the index of the operation's first
 * word (byte address / 4).
 */

export function opcodeAt(words: Int32Array, p: number): number {
  return words[p]! & 0xffff;
}

export function fieldD(words: Int32Array, p: number): number {
  return words[p]! >>> 16;
}

export function fieldA(words: Int32Array, p: number): number {
  return words[p + 1]! & 0xffff;
}

export function fieldB(words: Int32Array, p: number): number {
  return words[p + 1]! >>> 16;
}

export function fieldC(words: Int32Array, p: number): number {
  return words[p + 2]! & 0xffff;
}

export function fieldX(words: Int32Array, p: number): number {
  return words[p + 2]! >>> 16;
}

/** `disp` of a memory operation and the low half of an immediate. */
export function word2(words: Int32Array, p: number): number {
  return words[p + 2]!;
}

/** `restore` of memory operations and calls, `imm` of 'dabc', the high half of an immediate. */
export function word3(words: Int32Array, p: number): number {
  return words[p + 3]!;
}

/**
 * Checks one block of IR. The invariants, which front ends guarantee and passes preserve:
 *
 *  1. Every opcode is in the table; operations follow each other without gaps and none reaches beyond the end of the block.
 *  2. The last operation is a terminator and no other is.
 *  3. A slot operand lies in the state or among the temporaries. NO_SLOT appears only in calls.
 *  4. A promoted slot (below localSlotLimit) is accessed only by integer operations, as a whole: its offset is a multiple of 8.
 *  5. Integer and vector operands in temporaries start at the temporary; float operands may name any lane of one.
 *  6. Every byte of a temporary is written in this block before it is read.
 *  7. A call names an existing helper, gives it as many arguments as it takes and NO_SLOT for the rest, and takes a result only
 *     from a helper that has one.
 *  8. Restore words: offsets (bits 15..0) do not decrease along the block, and stay inside it where its size is given.
 *  9. Memory accesses use known info bits, a valid MMU index, MEM_ALIGN only for 16 bytes (MEM_RMW
 *     means nothing to a store).
 * 10. Immediates are in range: vector shifts below the lane width, `lea` scales 0..3, `vshuffle` indexes below 32.
 */
import { fieldA, fieldB, fieldC, fieldD, fieldX, opcodeAt, word2, word3 } from './fields.ts';
import type { HelperInfo } from './helper-table.ts';
import {
  MEM_ALIGN,
  MEM_MMU_MASK,
  MEM_RMW,
  MEM_STACK,
  NO_SLOT,
  OP_INFO,
  type OpInfo,
  type OpType,
} from './ops.ts';
import { hasRestore, printOp } from './printer.ts';

export interface IrLimits {
  readonly localSlotLimit: number;
  /** Size of the register file. */
  readonly stateSize: number;
  readonly tempBase: number;
  readonly tempLimit: number;
  readonly mmuIndexes: number;
  readonly helpers: readonly HelperInfo[];
  /** Guest bytes of the block, if known. */
  readonly blockBytes?: number;
}

const WIDTH: Readonly<Record<OpType, number>> = { i32: 8, i64: 8, f32: 4, f64: 8, v128: 16 };
const KNOWN_INFO = MEM_MMU_MASK | MEM_RMW | MEM_STACK | MEM_ALIGN;

class Verifier {
  readonly errors: string[] = [];
  private readonly words: Int32Array;
  private readonly limits: IrLimits;
  /** Bit n of an entry: byte n of that temporary has been written. */
  private readonly written: Uint16Array;
  private p = 0;
  private restore = 0;

  constructor(words: Int32Array, limits: IrLimits) {
    this.words = words;
    this.limits = limits;
    this.written = new Uint16Array((limits.tempLimit - limits.tempBase) >>> 4);
  }

  block(start: number, end: number): void {
    let last: OpInfo | undefined;
    for (this.p = start >>> 2; this.p < end >>> 2; ) {
      const info = OP_INFO[opcodeAt(this.words, this.p)];
      if (info === undefined) return this.fail('unknown opcode');
      if ((this.p << 2) + info.size > end) return this.fail('reaches beyond the end of the block');
      if (last?.effect === 'control') return this.fail('follows a terminator');
      this.operation(info);
      last = info;
      this.p += info.size >>> 2;
    }
    if (last?.effect !== 'control') this.errors.push('the block has no terminator');
  }

  private fail(message: string): void {
    const text = printOp(this.words, this.p, this.limits);
    this.errors.push(`0x${(this.p << 2).toString(16)}: ${text}: ${message}`);
  }

  private operation(info: OpInfo): void {
    const { words, p } = this;
    if (hasRestore(info)) this.checkRestore();
    switch (info.format) {
      case 'mem':
        return this.memory(info);
      case 'call':
        return this.call();
      case 'br':
        return this.read(fieldA(words, p), 'i32', 'a');
      case 'goto':
      case 'end':
        return;
      default:
        return this.plain(info);
    }
  }

  private plain(info: OpInfo): void {
    const { words, p } = this;
    const types = operandTypes(info);
    const fields = [fieldA(words, p), fieldB(words, p), info.format === 'dabc' ? fieldC(words, p) : 0];
    for (let i = 0; i < info.args; i++) {
      if (isStateOffset(info, i)) this.stateBytes(fields[i]!, 'a');
      else this.read(fields[i]!, types[i]!, 'abc'[i]!);
    }
    this.immediates(info);
    if (info.base.startsWith('put')) this.stateBytes(fieldD(words, p), 'd');
    else if (info.resultType !== 'none') this.write(fieldD(words, p), info.resultType);
  }

  private immediates(info: OpInfo): void {
    const { words, p } = this;
    const shift = /^v(?:shl|shr|sar)(\d+)$/.exec(info.base);
    if (shift !== null && (word3(words, p) !== 0 || word2(words, p) >>> 0 >= Number(shift[1])))
      this.fail('shift count out of range');
    if (info.base === 'lea' && fieldX(words, p) > 3) this.fail('scale out of range');
    if (info.base === 'vshuffle' && [2, 3, 4, 5].some((i) => (words[p + i]! & 0xe0e0e0e0) !== 0))
      this.fail('lane index out of range');
  }

  private memory(info: OpInfo): void {
    const { words, p } = this;
    const access = fieldB(words, p);
    const isStore = info.effect === 'memory-write';
    const wide = info.base.endsWith('128') || info.base.endsWith('256');
    this.read(fieldA(words, p), 'i64', 'a');
    if ((access & ~KNOWN_INFO) !== 0 || (access & MEM_MMU_MASK) >= this.limits.mmuIndexes)
      this.fail('bad access info');
    if ((access & MEM_ALIGN) !== 0 && !wide) this.fail('MEM_ALIGN on less than 16 bytes');
    if (isStore) this.read(fieldD(words, p), wide ? 'v128' : 'i64', 'd');
    else this.write(fieldD(words, p), wide ? 'v128' : 'i64');
  }

  private call(): void {
    const { words, p } = this;
    const helper = this.limits.helpers[fieldX(words, p)];
    if (helper === undefined) return this.fail('unknown helper');
    [fieldA(words, p), fieldB(words, p), fieldC(words, p)].forEach((slot, i) => {
      if (i < helper.args) this.read(slot, 'i64', 'abc'[i]!);
      else if (slot !== NO_SLOT) this.fail(`${helper.name} takes ${helper.args} arguments`);
    });
    const d = fieldD(words, p);
    if (d === NO_SLOT) return;
    if (helper.result) this.write(d, 'i64');
    else this.fail(`${helper.name} has no result`);
  }

  private checkRestore(): void {
    const offset = word3(this.words, this.p) & 0xffff;
    if (offset < this.restore) this.fail('restore offset goes backwards');
    if (offset >= (this.limits.blockBytes ?? 0x10000)) this.fail('restore offset outside the block');
    this.restore = offset;
  }

  /** Partial access to state that is never promoted. */
  private stateBytes(slot: number, field: string): void {
    if (slot < this.limits.localSlotLimit || slot >= this.limits.stateSize)
      this.fail(`${field}: not an unpromoted state slot`);
  }

  private read(slot: number, type: OpType, field: string): void {
    if (!this.slot(slot, type, field)) return;
    const mask = this.tempMask(slot, type);
    if (slot >= this.limits.tempBase && (this.written[this.tempIndex(slot)]! & mask) !== mask) {
      this.fail(`${field}: temporary read before it is written`);
    }
  }

  private write(slot: number, type: OpType): void {
    if (!this.slot(slot, type, 'd')) return;
    if (slot >= this.limits.tempBase) this.written[this.tempIndex(slot)]! |= this.tempMask(slot, type);
  }

  private tempIndex(slot: number): number {
    return (slot - this.limits.tempBase) >>> 4;
  }

  private tempMask(slot: number, type: OpType): number {
    return (((1 << WIDTH[type]) - 1) << ((slot - this.limits.tempBase) & 15)) & 0xffff;
  }

  /** Whether the slot may be accessed as `type` (invariants 3 to 5). */
  private slot(slot: number, type: OpType, field: string): boolean {
    const { localSlotLimit, stateSize, tempBase, tempLimit } = this.limits;
    const isInteger = type === 'i32' || type === 'i64';
    const width = WIDTH[type];
    let problem = '';
    if (slot >= tempBase) {
      const lane = (slot - tempBase) & 15;
      if (slot === NO_SLOT || slot >= tempLimit) problem = 'not a slot';
      else if (isInteger || type === 'v128' ? lane !== 0 : lane + width > 16)
        problem = 'not a whole temporary';
    } else if (slot + width > stateSize) {
      problem = 'outside the state';
    } else if (slot < localSlotLimit && (!isInteger || (slot & 7) !== 0)) {
      problem = 'promoted slots hold whole integers';
    }
    if (problem !== '') this.fail(`${field}: ${problem}`);
    return problem === '';
  }
}

/** Vector operations on an integer slot, or from one. */
const INTEGER_OPERAND = new Set(['vsplat64', 'vzext64', 'vzext32', 'ffromint']);

/** Types of operands a, b, c. */
function operandTypes(info: OpInfo): readonly OpType[] {
  const isVector = info.base.startsWith('v');
  const own: OpType = INTEGER_OPERAND.has(info.base)
    ? 'i64'
    : info.type !== undefined && !isVector
      ? info.type
      : isVector
        ? 'v128'
        : 'i64';
  return [own, own, own];
}

function isStateOffset(info: OpInfo, operand: number): boolean {
  return operand === 0 && info.base.startsWith('get');
}

/** Messages for every broken invariant of the block in bytes [start, end); empty if it is sound. */
export function verifyIr(words: Int32Array, start: number, end: number, limits: IrLimits): string[] {
  const verifier = new Verifier(words, limits);
  verifier.block(start, end);
  return verifier.errors;
}

import { OP } from '../../ir/ops.ts';
import { FS, RBP, SEG_SELECTOR, SS } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { K_SEG } from './operand-codes.ts';
import { loadOp, READ, segSlot } from './operands.ts';
import type { Translator } from './translator.ts';

function push(t: Translator): void {
  t.push(t.load(0), t.opSize);
}

function pop(t: Translator): void {
  const reg = t.gpr(0);
  const size = t.opSize;
  if (reg < 0) return popMemory(t);
  if (size === 8 && reg !== 4) {
    t.stackLoad(t.gprDst(reg), 8, 0);
    return t.adjustStack(8);
  }
  const v = t.peek(size);
  t.adjustStack(size);
  t.writeRegZ(reg, size, v);
}

/** An address with rSP as base uses the value after the pop (SDM Vol. 2B POP). */
function popMemory(t: Translator): void {
  const size = t.opSize;
  const v = t.peek(size);
  if (t.base === 4) t.disp += size;
  t.store(0, v);
  t.adjustStack(size);
}

function pusha(t: Translator): void {
  const size = t.opSize;
  for (let n = 0; n < 8; n++) t.stackStore(n << 3, size, -size * (n + 1));
  t.adjustStack(-size * 8);
}

function popa(t: Translator): void {
  const size = t.opSize;
  const values: number[] = [];
  for (let n = 0; n < 8; n++) {
    const v = t.temp();
    if (n !== 3) t.stackLoad(v, size, size * n);
    values.push(v);
  }
  t.adjustStack(size * 8);
  for (let n = 0; n < 8; n++) {
    if (n !== 3) t.writeRegZ(7 - n, size, values[n]!);
  }
}

function enter(t: Translator): void {
  t.call(HELPER.enter, undefined, t.constant(t.immLo), t.constant(t.imm2 & 31), t.constant(t.opSize));
}

function leave(t: Translator): void {
  const { ir } = t;
  const size = t.opSize;
  const v = t.temp();
  if (t.code64) {
    t.useAddress(RBP, SS);
    t.ld(loadOp(size), v);
    ir.imm(OP.add_i64_imm, t.gprDst(4), RBP, size);
  } else {
    const frame = t.zext(RBP, t.stack32 ? 4 : 2);
    t.useAddress(t.linearSlot(frame, SS, size, READ), SS);
    t.ld(loadOp(size), v);
    const top = t.temp();
    ir.imm(OP.add_i32_imm, top, frame, size);
    t.writeRegZ(4, t.stack32 ? 4 : 2, top);
  }
  t.writeRegZ(5, size, v);
}

function pushf(t: Translator): void {
  t.push(t.callValue(HELPER.pushf_value, t.constant(t.opSize)), t.opSize);
}

function popf(t: Translator): void {
  const v = t.peek(t.opSize);
  t.call(HELPER.popf, undefined, v, t.constant(t.opSize));
  t.adjustStack(t.opSize);
  t.endState();
}

function segmentOperand(t: Translator): number {
  return t.operandKind(0) - K_SEG;
}

function pushSeg(t: Translator): void {
  t.push(segSlot(segmentOperand(t), SEG_SELECTOR), t.opSize);
}

function popSeg(t: Translator): void {
  const segment = segmentOperand(t);
  const v = t.zext(t.peek(t.opSize), 2);
  loadSegment(t, segment, v, true);
  t.adjustStack(t.opSize);
  endSegmentLoad(t, segment);
}

/** Loads a data segment register; SS with its interrupt shadow when asked. */
export function loadSegment(t: Translator, segment: number, selector: number, shadow: boolean): void {
  if (segment === SS && shadow) t.call(HELPER.seg_load_shadow, undefined, selector);
  else t.call(HELPER.seg_load, undefined, t.constant(segment), selector);
}

/** ES, SS and DS decide mode bits of the block key; FS and GS do not. */
export function endSegmentLoad(t: Translator, segment: number): void {
  if (segment < FS) t.endState();
}

/** Stack instructions (SDM Vol. 1 6.2). */
export const stackHandlers = { push, pop, pusha, popa, enter, leave, pushf, popf, pushSeg, popSeg };

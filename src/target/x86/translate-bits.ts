import { OP } from '../../ir/ops.ts';
import { CC_BITSCAN8, CC_CO, CC_CO_CARRY, CC_DST, CC_POPCNT, CC_SRC } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { sizeLog } from './lazy-flags.ts';
import { READ, RMW } from './operands.ts';
import type { Translator } from './translator.ts';

const TEST = 0;
const SET = 1;
const RESET = 2;
const COMPLEMENT = 3;

/**
 * A bit offset in a register addresses memory beyond the operand: the signed offset divided by the operand size moves the
 * address (SDM Vol. 1 3.1.1.9).
 */
function bitAddress(t: Translator, size: number, access: number): void {
  const { ir } = t;
  const offset = t.temp();
  t.offset(offset);
  const step = t.temp();
  ir.imm(OP.sar_i64_imm, step, t.loadS(1), 3 + sizeLog(size));
  ir.imm(OP.shl_i64_imm, step, step, sizeLog(size));
  ir.op(t.addrSize === 8 ? OP.add_i64 : OP.add_i32, offset, offset, step);
  if (t.addrSize === 2) ir.op(OP.ext16u, offset, offset);
  t.linear(offset, t.segment(), size, access);
}

function bitTest(t: Translator, kind: number): void {
  const { ir } = t;
  const size = t.size(0);
  const wide = size === 8;
  const access = kind === TEST ? READ : RMW;
  const immediate = t.isImmediate(1);
  if (t.isMemory(0) && !immediate) bitAddress(t, size, access);
  const a = t.load(0, access);
  const bit = t.temp();
  if (immediate) {
    ir.imm(wide ? OP.shr_i64_imm : OP.shr_i32_imm, bit, a, t.immLo & (size * 8 - 1));
  } else {
    ir.op(wide ? OP.shr_i64 : OP.shr_i32, bit, a, bitIndex(t, size));
  }
  if (kind !== TEST) {
    const d = changeBit(t, kind, a, immediate);
    t.commit(0, d);
  }
  ir.imm(OP.and_i32_imm, CC_CO, bit, 1);
  t.flagsOverride(CC_CO_CARRY, CC_CO);
}

/** Bit index within the operand; shifts take it modulo the width, so only 16 bits need a mask. */
function bitIndex(t: Translator, size: number): number {
  const index = t.load(1);
  if (size !== 2) return index;
  const r = t.temp();
  t.ir.imm(OP.and_i32_imm, r, index, 15);
  return r;
}

/** 1 << n as two 32-bit halves of the full 64-bit mask. */
function changeBit(t: Translator, kind: number, a: number, immediate: boolean): number {
  const { ir } = t;
  const size = t.size(0);
  const wide = size === 8;
  const mask = t.temp();
  if (immediate) {
    const n = t.immLo & (size * 8 - 1);
    ir.movi64(mask, n < 32 ? 1 << n : 0, n < 32 ? 0 : 1 << (n - 32));
  } else {
    ir.op(wide ? OP.shl_i64 : OP.shl_i32, mask, t.constant(1), bitIndex(t, size));
  }
  if (kind === RESET) ir.op(wide ? OP.not_i64 : OP.not_i32, mask, mask);
  const d = t.isMemory(0) ? t.temp() : t.dst(0);
  const op =
    kind === SET
      ? wide
        ? OP.or_i64
        : OP.or_i32
      : kind === RESET
        ? wide
          ? OP.and_i64
          : OP.and_i32
        : wide
          ? OP.xor_i64
          : OP.xor_i32;
  ir.op(op, d, a, mask);
  return d;
}

/** BSF, BSR: ZF = source is zero; the destination then keeps its value. */
function bitScan(t: Translator, reverse: boolean): void {
  const { ir } = t;
  const size = t.opSize;
  const wide = size === 8;
  const v = t.loadZ(1);
  const found = t.temp();
  ir.imm(wide ? OP.ne_i64_imm : OP.ne_i32_imm, found, v, 0);
  const n = t.temp();
  if (reverse) {
    ir.op(wide ? OP.clz_i64 : OP.clz_i32, n, v);
    ir.imm(OP.xor_i32_imm, n, n, wide ? 63 : 31);
  } else {
    ir.op(wide ? OP.ctz_i64 : OP.ctz_i32, n, v);
  }
  t.killFlags();
  ir.op(OP.mov, CC_DST, v);
  ir.movi(CC_SRC, 0);
  t.flagsWritten(CC_BITSCAN8 + sizeLog(size));
  const d = t.gprDst(t.reg);
  if (size === 2) {
    const merged = t.temp();
    ir.op(OP.dep16, merged, d, n);
    ir.op4(OP.select, d, found, merged, d);
  } else {
    ir.op4(OP.select, d, found, n, d);
  }
}

/** TZCNT, LZCNT: CF = source is zero, ZF = result is zero. */
function countZeros(t: Translator, leading: boolean): void {
  const { ir } = t;
  const size = t.opSize;
  const wide = size === 8;
  const v = t.loadZ(1);
  const n = t.temp();
  if (leading) {
    ir.op(wide ? OP.clz_i64 : OP.clz_i32, n, v);
    if (size === 2) ir.imm(OP.sub_i32_imm, n, n, 16);
  } else if (size === 2) {
    ir.imm(OP.or_i32_imm, n, v, 0x10000);
    ir.op(OP.ctz_i32, n, n);
  } else {
    ir.op(wide ? OP.ctz_i64 : OP.ctz_i32, n, v);
  }
  t.killFlags();
  ir.imm(wide ? OP.eq_i64_imm : OP.eq_i32_imm, CC_SRC, v, 0);
  ir.op(OP.mov, CC_DST, n);
  t.flagsWritten(CC_BITSCAN8 + sizeLog(size));
  t.storeZ(0, n);
}

function popcnt(t: Translator): void {
  const n = t.temp();
  t.ir.op(OP.popcnt_i64, n, t.loadZ(1));
  t.killFlags();
  t.ir.op(OP.mov, CC_DST, n);
  t.flagsWritten(CC_POPCNT);
  t.storeZ(0, n);
}

function crc32(t: Translator): void {
  const data = t.loadZ(1);
  const r = t.callValue(HELPER.crc32, t.zext(t.load(0), 4), data, t.constant(t.size(1)));
  t.storeZ(0, r);
}

/** Bit instructions (SDM Vol. 1 5.1.6). */
export const bitHandlers = {
  bt: (t: Translator) => bitTest(t, TEST),
  bts: (t: Translator) => bitTest(t, SET),
  btr: (t: Translator) => bitTest(t, RESET),
  btc: (t: Translator) => bitTest(t, COMPLEMENT),
  bsf: (t: Translator) => bitScan(t, false),
  bsr: (t: Translator) => bitScan(t, true),
  tzcnt: (t: Translator) => countZeros(t, false),
  lzcnt: (t: Translator) => countZeros(t, true),
  popcnt,
  crc32,
};

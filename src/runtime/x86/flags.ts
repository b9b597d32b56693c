// Lazy arithmetic flags (kinds in ./layout.ts) and RFLAGS as a whole.

import { FL_ARITH, FL_DEFINED, FL_DF, FL_RF } from './bits';
import {
  CC_ADC8, CC_ADD8, CC_BASE_MASK, CC_BITSCAN8, CC_CO, CC_ID, CC_STEP, CC_STEP_DEC, CC_STEP_OLD_OF, CC_STEP_SIZE_SHIFT, CC_CO_CARRY, CC_CO_FLAGS, CC_CO_MASK, CC_CO_ROL8,
  CC_CO_ROR8, CC_DEC8, CC_DST, CC_EFLAGS, CC_INC8, CC_LOGIC8, CC_MUL8, CC_OP, CC_POPCNT, CC_SBB8, CC_SHL8,
  CC_SHR8, CC_SRC, CC_SRC2, CC_SUB8, DF_STEP, DR7, EFLAGS,
} from './layout';
import { CPU } from './state';

// @ts-ignore: decorator
@inline function szp(d: u64, sign: u64): u64 {
  const parity = <u64>((popcnt<u32>(<u32>d & 0xff) & 1) ^ 1) << 2;
  return parity | (d == 0 ? 0x40 : 0) | (((d >> sign) & 1) << 7);
}

/** The six arithmetic flags at their RFLAGS positions. */
export function ccAll(): u64 {
  const op = load<i32>(CPU, CC_OP);
  const base = ccBase(op & CC_BASE_MASK);
  const flags = (op & CC_CO_MASK) == 0 ? base : replaceCarry(op & CC_CO_MASK, base);
  return (op & CC_STEP) == 0 ? flags : replaceByStep(op, flags);
}

/** All but CF, and OF unless a rotate came later, from the INC or DEC result in CC_ID. */
function replaceByStep(op: i32, flags: u64): u64 {
  const bits: u64 = <u64>8 << ((op >> CC_STEP_SIZE_SHIFT) & 3);
  const sign = bits - 1;
  const d = load<u64>(CPU, CC_ID) & (~(<u64>0) >> (64 - bits));
  const dec = (op & CC_STEP_DEC) != 0;
  const half = (d & 15) == (dec ? 15 : 0);
  const overflow = d == (dec ? (<u64>1 << sign) - 1 : <u64>1 << sign);
  let overflowFlag: u64 = overflow ? 0x800 : 0;
  const co = op & CC_CO_MASK;
  if ((op & CC_STEP_OLD_OF) != 0 && co != 0 && co != CC_CO_CARRY) overflowFlag = flags & 0x800;
  return szp(d, sign) | (flags & 1) | (half ? 0x10 : 0) | overflowFlag;
}

/** Replaces CF and OF by what CC_CO says. */
function replaceCarry(kind: i32, flags: u64): u64 {
  const co = load<u64>(CPU, CC_CO);
  if (kind == CC_CO_CARRY) return (flags & ~<u64>1) | (co & 1);
  flags &= ~<u64>0x801;
  if (kind == CC_CO_FLAGS) return flags | (co & 0x801);
  if (kind < CC_CO_ROR8) {
    const top = (co >> ((<u64>8 << ((kind - CC_CO_ROL8) >> 8)) - 1)) & 1;
    return flags | (co & 1) | (((co ^ top) & 1) << 11);
  }
  const bits = <u64>8 << ((kind - CC_CO_ROR8) >> 8);
  const top = (co >> (bits - 1)) & 1;
  return flags | top | ((top ^ ((co >> (bits - 2)) & 1)) << 11);
}

function ccBase(op: i32): u64 {
  const src = load<u64>(CPU, CC_SRC);
  if (op == CC_EFLAGS) return src & FL_ARITH;
  const dst = load<u64>(CPU, CC_DST);
  if (op == CC_POPCNT) return dst == 0 ? 0x40 : 0;
  const bits: u64 = <u64>8 << (op & 3);
  const mask = ~(<u64>0) >> (64 - bits);
  const sign = bits - 1;
  const d = dst & mask;
  const s = src & mask;
  let flags = szp(d, sign);
  switch (op & ~3) {
    case CC_ADD8: {
      const a = (d - s) & mask;
      return flags | <u64>(d < s) | ((d ^ a ^ s) & 0x10) | (((((a ^ d) & (s ^ d)) >> sign) & 1) << 11);
    }
    case CC_ADC8: {
      const c = load<u64>(CPU, CC_SRC2) & 1;
      const a = (d - s - c) & mask;
      const carry = c != 0 ? d <= s : d < s;
      return flags | <u64>carry | ((d ^ a ^ s) & 0x10) | (((((a ^ d) & (s ^ d)) >> sign) & 1) << 11);
    }
    case CC_SUB8: {
      const a = (d + s) & mask;
      return flags | <u64>(a < s) | ((d ^ a ^ s) & 0x10) | (((((a ^ s) & (a ^ d)) >> sign) & 1) << 11);
    }
    case CC_SBB8: {
      const c = load<u64>(CPU, CC_SRC2) & 1;
      const a = (d + s + c) & mask;
      const carry = c != 0 ? a <= s : a < s;
      return flags | <u64>carry | ((d ^ a ^ s) & 0x10) | (((((a ^ s) & (a ^ d)) >> sign) & 1) << 11);
    }
    case CC_LOGIC8: return flags;
    case CC_INC8:
      return flags | (src & 1) | ((d & 15) == 0 ? 0x10 : 0) | (d == <u64>1 << sign ? 0x800 : 0);
    case CC_DEC8:
      return flags | (src & 1) | ((d & 15) == 15 ? 0x10 : 0) | (d == (<u64>1 << sign) - 1 ? 0x800 : 0);
    case CC_SHL8: return flags | ((s >> sign) & 1) | ((((s ^ d) >> sign) & 1) << 11);
    case CC_SHR8: return flags | (s & 1) | ((((s ^ d) >> sign) & 1) << 11);
    case CC_MUL8: return flags | (src != 0 ? 0x801 : 0);
    case CC_BITSCAN8: return (d == 0 ? 0x40 : 0) | (src & 1);
    default: return src & FL_ARITH;
  }
}

/** CF alone: 0 or 1. */
export function ccCarry(): u64 {
  let op = load<i32>(CPU, CC_OP);
  if ((op & CC_CO_MASK) != 0) return ccAll() & 1;
  op &= CC_BASE_MASK;
  const src = load<u64>(CPU, CC_SRC);
  if (op == CC_EFLAGS) return src & 1;
  const bits: u64 = <u64>8 << (op & 3);
  const mask = ~(<u64>0) >> (64 - bits);
  switch (op & ~3) {
    case CC_ADD8: return <u64>((load<u64>(CPU, CC_DST) & mask) < (src & mask));
    case CC_SUB8: return <u64>(((load<u64>(CPU, CC_DST) + src) & mask) < (src & mask));
    case CC_LOGIC8: return 0;
    case CC_INC8:
    case CC_DEC8:
    case CC_BITSCAN8: return src & 1;
    case CC_SHL8: return (src >> (bits - 1)) & 1;
    case CC_SHR8: return src & 1;
    case CC_MUL8: return <u64>(src != 0);
    default: return ccAll() & 1;
  }
}

/** Makes the lazy state hold these flags. */
export function setArith(flags: u64): void {
  store<u64>(CPU, flags & FL_ARITH, CC_SRC);
  store<u64>(CPU, CC_EFLAGS, CC_OP);
}

/** RFLAGS as PUSHF would see it. */
export function rflags(): u64 {
  return load<u64>(CPU, EFLAGS) | ccAll() | 2;
}

/**
 * Replaces the non-arithmetic flags and DF's mirror. The caller updates HFLAGS. RF only matters to
 * instruction breakpoints: without any it is not kept, as it would have to be cleared after the next
 * instruction.
 */
export function setSystemFlags(flags: u64): void {
  if ((load<i32>(CPU, DR7) & 0xff) == 0) flags &= ~FL_RF;
  store<u64>(CPU, flags & FL_DEFINED & ~FL_ARITH, EFLAGS);
  store<i64>(CPU, (flags & FL_DF) != 0 ? -1 : 1, DF_STEP);
}

/** All of RFLAGS. The caller updates HFLAGS. */
export function setFlags(flags: u64): void {
  setArith(flags);
  setSystemFlags(flags);
}

/** 1 if condition code cc (low nibble of Jcc) holds (SDM Vol. 1 appendix B). */
export function ccCondition(cc: i32): u64 {
  const f = ccAll();
  let holds: u64;
  switch (cc >> 1) {
    case 0: holds = f >> 11; break;
    case 1: holds = f; break;
    case 2: holds = f >> 6; break;
    case 3: holds = f | (f >> 6); break;
    case 4: holds = f >> 7; break;
    case 5: holds = f >> 2; break;
    case 6: holds = (f >> 7) ^ (f >> 11); break;
    default: holds = (f >> 6) | ((f >> 7) ^ (f >> 11));
  }
  return (holds ^ cc) & 1;
}

import { MEM_ALIGN, MEM_MMU_MASK, MEM_RMW } from '../../ir/ops.ts';
import {
  TLB_ADDEND,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_SHIFT,
  TLB_READ,
  TLB_TABLE_SIZE,
  TLB_WRITE,
} from '../../runtime/tcg/layout.ts';
import { VECTOR_HI } from '../../runtime/x86/layout.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import * as W from './wasm/opcodes.ts';

const PAGE_SHIFT = 12;
const INDEX_SHIFT = PAGE_SHIFT - TLB_ENTRY_SHIFT;
const INDEX_MASK = (TLB_ENTRIES - 1) << TLB_ENTRY_SHIFT;
/** log2 TLB_TABLE_SIZE: MMU index to byte offset. */
const TABLE_SHIFT = 31 - Math.clz32(TLB_TABLE_SIZE);
/** MEM_RMW shifted left by this is the distance from TLB_READ to TLB_WRITE. */
const RMW_SHIFT = 1;

/** Static offset of the soft TLB that the access uses (of TLB 0 where the MMU index is only known at run time). */
function tlbOffset(cx: LoweringContext): number {
  const table = cx.knownInfo < 0 ? 0 : (cx.knownInfo & MEM_MMU_MASK) * TLB_TABLE_SIZE;
  return cx.cpuBase + TLB_BASE + table;
}

/** Pushes `(info & mask) << shift`, an offset only known at run time. */
function infoBits(cx: LoweringContext, mask: number, shift: number): void {
  cx.fieldB();
  cx.code.i32(mask);
  cx.code.op(W.I32_AND);
  cx.code.i32(shift);
  cx.code.op(W.I32_SHL);
}

/** va = a + disp; entry = byte offset of its TLB entry, which is left on the stack too. */
function lookUp(cx: LoweringContext, va: number, entry: number): void {
  const { code } = cx;
  cx.a(W.I64);
  if (!cx.zeroDisp) {
    cx.disp();
    code.op(W.I64_ADD);
  }
  code.localTee(va);
  code.op(W.I32_WRAP_I64);
  code.i32(INDEX_SHIFT);
  code.op(W.I32_SHR_U);
  code.i32(INDEX_MASK);
  code.op(W.I32_AND);
  if (cx.knownInfo < 0) {
    infoBits(cx, MEM_MMU_MASK, TABLE_SHIFT);
    code.op(W.I32_ADD);
  }
  code.localTee(entry);
}

/**
 * With the entry's offset on the stack: replaces it by whether the fast path may be taken: the tag equals the page of the last byte, so an access that crosses into the next
 * page never matches.
 */
function hit(cx: LoweringContext, va: number, size: number, isStore: boolean): void {
  const { code } = cx;
  let tag = isStore ? TLB_WRITE : TLB_READ;
  if (!isStore && cx.knownInfo < 0 && cx.neverRmw !== true) {
    infoBits(cx, MEM_RMW, RMW_SHIFT);
    code.op(W.I32_ADD);
  } else if ((cx.knownInfo & MEM_RMW) !== 0 && cx.knownInfo >= 0) {
    tag = TLB_WRITE;
  }
  code.mem(W.I64_LOAD, tlbOffset(cx) + tag);
  code.localGet(va);
  if (size > 1) {
    code.i64s(size - 1);
    code.op(W.I64_ADD);
  }
  code.i64s(-1 << PAGE_SHIFT);
  code.op(W.I64_AND);
  code.op(W.I64_EQ);
  if (size >= 16) alignment(cx, va, size);
}

/** ANDs the condition on the stack with "not misaligned" for an access with MEM_ALIGN. */
function alignment(cx: LoweringContext, va: number, size: number): void {
  if (cx.knownInfo >= 0 && (cx.knownInfo & MEM_ALIGN) === 0) return;
  const { code } = cx;
  code.localGet(va);
  code.op(W.I32_WRAP_I64);
  if (cx.knownInfo < 0) {
    // MEM_ALIGN is 16: (info & 16) - (info >> 4 & 1) is 15 or 0; for 32 bytes (info & 16) << 1 instead
    infoBits(cx, MEM_ALIGN, size >> 5);
    cx.fieldB();
    code.i32(4);
    code.op(W.I32_SHR_U);
    code.i32(1);
    code.op(W.I32_AND);
    code.op(W.I32_SUB);
  } else {
    code.i32(size - 1);
  }
  code.op(W.I32_AND);
  code.op(W.I32_EQZ);
  code.op(W.I32_AND);
}

function hostAddress(cx: LoweringContext, va: number, entry: number): void {
  const { code } = cx;
  code.localGet(va);
  code.op(W.I32_WRAP_I64);
  code.localGet(entry);
  code.mem(W.I32_LOAD, tlbOffset(cx) + TLB_ADDEND);
  code.op(W.I32_ADD);
}

/**
 * Load: `opcode` is the host's load instruction with a result of type `type`; `adjust` turns the zero-extended i64 of the slow
 * path into the same (0: nothing to do).
 */
export function load(opcode: number, type: W.ValueType, size: number, adjust: number): Lowering {
  return (cx) => {
    const { code } = cx;
    const va = cx.scratch(W.I64, 0);
    const entry = cx.scratch(W.I32, 0);
    cx.dest(type);
    lookUp(cx, va, entry);
    hit(cx, va, size, false);
    code.op1(W.IF, type);
    hostAddress(cx, va, entry);
    code.mem(opcode, 0);
    code.op(W.ELSE);
    if (size === 16) {
      cx.slowLoad128(va);
    } else {
      cx.slowLoad(va, size);
      if (adjust !== 0) code.op(adjust);
    }
    code.op(W.END);
    cx.result(type);
  };
}

/** Address bits that are not checked in the slow path: 48, sign-extended. */
const UNCHECKED_SHIFT = 16;

/** The address itself; the runtime decides about what is not 48 bits wide. */
export const checkAddress: Lowering = (cx) => {
  const { code } = cx;
  const va = cx.scratch(W.I64, 0);
  cx.dest(W.I64);
  cx.a(W.I64);
  if (!cx.zeroDisp) {
    cx.disp();
    code.op(W.I64_ADD);
  }
  code.localTee(va);
  code.i64s(UNCHECKED_SHIFT);
  code.op(W.I64_SHL);
  code.i64s(UNCHECKED_SHIFT);
  code.op(W.I64_SHR_S);
  code.localGet(va);
  code.op(W.I64_EQ);
  code.op1(W.IF, W.I64);
  code.localGet(va);
  code.op(W.ELSE);
  cx.slowLoad(va, 0);
  code.op(W.END);
  cx.result(W.I64);
};

/** Store of operand d as `type` with the host's store instruction `opcode`. */
export function store(opcode: number, type: W.ValueType, size: number): Lowering {
  return (cx) => {
    const { code } = cx;
    const va = cx.scratch(W.I64, 0);
    const entry = cx.scratch(W.I32, 0);
    lookUp(cx, va, entry);
    hit(cx, va, size, true);
    code.op1(W.IF, W.VOID);
    hostAddress(cx, va, entry);
    cx.d(type);
    code.mem(opcode, 0);
    code.op(W.ELSE);
    if (size === 16) cx.slowStore128(va);
    else cx.slowStore(va, size);
    code.op(W.END);
  };
}

/** Both halves of operand d from memory, or to it. */
function halves256(cx: LoweringContext, isStore: boolean): void {
  const { code } = cx;
  const va = cx.scratch(W.I64, 0);
  const entry = cx.scratch(W.I32, 0);
  const host = cx.scratch(W.I32, 1);
  lookUp(cx, va, entry);
  hit(cx, va, 32, isStore);
  code.op1(W.IF, W.VOID);
  hostAddress(cx, va, entry);
  code.localSet(host);
  for (const half of [0, 1]) {
    if (isStore) {
      code.localGet(host);
      cx.vector('d', half * VECTOR_HI);
      code.mem(W.V128_STORE, half * 16);
    } else {
      cx.stateAddress();
      code.localGet(host);
      code.mem(W.V128_LOAD, half * 16);
      cx.storeState(W.V128_STORE, half * VECTOR_HI);
    }
  }
  code.op(W.ELSE);
  if (isStore) cx.slowStore256(va);
  else cx.slowLoad256(va);
  code.op(W.END);
}

export const load256: Lowering = (cx) => halves256(cx, false);

export const store256: Lowering = (cx) => halves256(cx, true);

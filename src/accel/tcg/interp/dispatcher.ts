import {
  EXIT_FAULT,
  EXIT_REQUESTED,
  EXIT_TRANSLATE,
  JC_BASE,
  JC_BITS,
  JC_ENTRIES,
  JC_ENTRY_SHIFT,
  SLOT_EXIT_REASON,
  SLOT_EXIT_REQUEST,
  SLOT_FAULT,
  SLOT_KEY,
  SLOT_RIP,
  TB_FUNC,
  TB_KEY,
  TB_RIP,
} from '../../../runtime/tcg/layout.ts';
import type { WasmCode } from '../wasm/code.ts';
import * as W from '../wasm/opcodes.ts';
import type { InterpContext } from './context.ts';

/** Pushes the address of the descriptor that the jump cache has for the rip in local `rip`. */
export function probeJumpCache(code: WasmCode, cpuBase: number, rip: number): void {
  code.localGet(rip);
  code.localGet(rip);
  code.i64s(JC_BITS);
  code.op(W.I64_SHR_U);
  code.op(W.I64_XOR);
  code.op(W.I32_WRAP_I64);
  code.i32(JC_ENTRIES - 1);
  code.op(W.I32_AND);
  code.i32(JC_ENTRY_SHIFT);
  code.op(W.I32_SHL);
  code.mem(W.I32_LOAD, cpuBase + JC_BASE);
}

/** Leaves an i64 on the stack that is zero if the descriptor in local `tb` is for `rip` and the KEY slot. */
export function blockDiffers(cx: InterpContext, tb: number, rip: number): void {
  const { code } = cx;
  code.localGet(tb);
  code.mem(W.I64_LOAD, TB_RIP);
  code.localGet(rip);
  code.op(W.I64_XOR);
  code.localGet(tb);
  code.mem(W.I64_LOAD, TB_KEY);
  cx.loadControl(W.I64_LOAD, SLOT_KEY);
  code.op(W.I64_XOR);
  code.op(W.I64_OR);
}

/** The dispatcher: runs blocks until one of the exit reasons holds, and returns it. */
export function emitDispatcher(cx: InterpContext, run: number, tbFind: number, voidType: number): void {
  const { code } = cx;
  code.begin(0);
  const rip = code.local(W.I64);
  const tb = code.local(W.I32);
  const func = code.local(W.I32);
  cx.storeControl(SLOT_EXIT_REASON, W.I64_STORE, () => code.i64s(0));
  code.op1(W.LOOP, W.VOID);
  code.i32(cx.cpuBase + SLOT_EXIT_REQUEST);
  code.mem(W.I32_ATOMIC_LOAD, 0, 2);
  leaveIf(cx, EXIT_REQUESTED);
  cx.loadControl(W.I64_LOAD, SLOT_RIP);
  code.localSet(rip);
  probeJumpCache(code, cx.cpuBase, rip);
  code.localSet(tb);
  blockDiffers(cx, tb, rip);
  code.i64s(0);
  code.op(W.I64_NE);
  code.op1(W.IF, W.VOID);
  findBlock(cx, tb, tbFind);
  code.op(W.END);
  code.localGet(tb);
  code.mem(W.I32_LOAD, TB_FUNC);
  code.localSet(func);
  code.localGet(func);
  code.op1(W.IF, W.VOID);
  code.localGet(func);
  code.op1(W.CALL_INDIRECT, voidType);
  code.byte(0);
  code.op(W.ELSE);
  code.op1(W.CALL, run);
  code.op(W.END);
  afterRun(cx);
  code.op1(W.BR, 0);
  code.op(W.END);
  code.op(W.UNREACHABLE);
  code.op(W.END);
}

/** Returns `reason` if the value on the stack is not zero. */
function leaveIf(cx: InterpContext, reason: number): void {
  const { code } = cx;
  code.op1(W.IF, W.VOID);
  leave(cx, reason);
  code.op(W.END);
}

function leave(cx: InterpContext, reason: number): void {
  const { code } = cx;
  cx.storeControl(SLOT_EXIT_REASON, W.I32_STORE, () => code.i32(reason));
  code.i32(reason);
  code.op(W.RETURN);
}

/** Slow look-up; sets `tb` or returns. */
function findBlock(cx: InterpContext, tb: number, tbFind: number): void {
  const { code } = cx;
  code.op1(W.CALL, tbFind);
  code.localTee(tb);
  code.op(W.I32_EQZ);
  code.op1(W.IF, W.VOID);
  cx.loadControl(W.I32_LOAD, SLOT_FAULT);
  leaveIf(cx, EXIT_FAULT);
  leave(cx, EXIT_TRANSLATE);
  code.op(W.END);
}

/** FAULT → EXIT_REASON if the runtime set one, else EXIT_FAULT. No fault → return if EXIT_REASON was set. */
function afterRun(cx: InterpContext): void {
  const { code } = cx;
  cx.loadControl(W.I32_LOAD, SLOT_EXIT_REASON);
  code.op1(W.IF, W.VOID);
  cx.loadControl(W.I32_LOAD, SLOT_EXIT_REASON);
  code.op(W.RETURN);
  code.op(W.END);
  cx.loadControl(W.I32_LOAD, SLOT_FAULT);
  leaveIf(cx, EXIT_FAULT);
}

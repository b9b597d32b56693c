import * as W from '../wasm/opcodes.ts';
import type { InterpContext } from './context.ts';

/** Parameters of the out-of-line slow paths. */
export const SLOW_PARAMS: readonly W.ValueType[] = [W.I64, W.I32, W.I32, W.I32];
const VA = 0;
const IP = 1;
const TB = 2;
const SIZE = 3;

/**
 * Body of `slowLoad` or `slowStore` for memory operations up to 8 bytes: kept out of the handlers, which are many. Calls the
 * runtime's `ld_slow` or `st_slow` (function `runtime`); the caller checks FAULT.
 */
export function emitSlowPath(cx: InterpContext, runtime: number, isStore: boolean): void {
  const { code } = cx;
  code.begin(SLOW_PARAMS.length);
  cx.ip = IP;
  cx.tb = TB;
  cx.base = 0;
  cx.storeRestore();
  code.localGet(VA);
  if (isStore) cx.d(W.I64);
  cx.fieldB();
  code.i32(8);
  code.op(W.I32_SHL);
  code.localGet(SIZE);
  code.op(W.I32_OR);
  code.op1(W.CALL, runtime);
  code.op(W.END);
}

// Recording a guest exception. Delivery happens later, in deliver_fault, when the whole state is in memory.

import { V_GP, V_NP, V_SS, V_TS, V_UD } from './bits';
import { EXC_ERROR, EXC_FLAGS, EXC_HAS_ERROR, EXC_VECTOR, FAULT } from './layout';
import { FAULT_EXCEPTION } from '../tcg/layout';
import { CPU } from './state';

/**
 * Bit 0 of selector error codes: 1 while an event that the program did not ask for is delivered (SDM Vol. 3A
 * 6.13).
 */
export let ext: i32 = 0;
export function setExt(value: i32): void { ext = value; }

/** Records an exception; the first one of an instruction wins. flags: EXC_*. */
export function raise(vector: i32, error: i32, flags: i32): void {
  if (load<i32>(CPU, FAULT) != 0) return;
  store<u64>(CPU, <u64>vector, EXC_VECTOR);
  store<u64>(CPU, <u64>(<u32>error), EXC_ERROR);
  store<u64>(CPU, <u64>flags, EXC_FLAGS);
  store<u64>(CPU, FAULT_EXCEPTION, FAULT);
}

/** An exception without an error code. */
export function raisePlain(vector: i32): void { raise(vector, 0, 0); }
export function raiseUd(): void { raise(V_UD, 0, 0); }
/** #GP, #NP, #SS, #TS with a selector (RPL bits dropped) or zero as error code; EXT is added. */
export function raiseSel(vector: i32, selector: i32): void {
  raise(vector, (selector & 0xfffc) | ext, EXC_HAS_ERROR);
}
export function raiseGp(selector: i32): void { raiseSel(V_GP, selector); }
export function raiseNp(selector: i32): void { raiseSel(V_NP, selector); }
export function raiseSs(selector: i32): void { raiseSel(V_SS, selector); }
export function raiseTs(selector: i32): void { raiseSel(V_TS, selector); }

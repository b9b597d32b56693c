// Flags for the back ends, the monitor and the gdb stub.

import { ccAll, ccCarry, ccCondition, rflags, setFlags } from './flags';
import { updateHflags } from './hflags';

export function cc_all(): i64 { return ccAll(); }
export function cc_carry(): i64 { return ccCarry(); }
export function cc_cond(cc: i64): i64 { return ccCondition(<i32>cc); }
export function get_rflags(): i64 { return rflags(); }
export function set_rflags(value: i64): void {
  setFlags(value);
  updateHflags();
}
export function update_hflags(): void { updateHflags(); }

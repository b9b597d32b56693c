// What of the processor's doings is reported to the host for `-d`.

import { RUNTIME_LOG_INTERRUPTS, RUNTIME_LOG_MMU } from '../tcg/layout';
import { log_interrupt, log_mmu } from '../softmmu/host';

let mask: i32 = 0;

/** RUNTIME_LOG_* bits. */
export function set_log(items: i32): void { mask = items; }

// @ts-ignore: decorator
@inline export function noteInterrupt(vector: i32, flags: i32): void {
  if ((mask & RUNTIME_LOG_INTERRUPTS) != 0) log_interrupt(vector, flags);
}

/** A control register (0, 3, 4) has a new value. */
// @ts-ignore: decorator
@inline export function noteControl(register: i32, value: u64): void {
  if ((mask & RUNTIME_LOG_MMU) != 0) log_mmu(register, <i32>value, <i32>(value >> 32), 0);
}

/** A page walk failed for a linear address. */
// @ts-ignore: decorator
@inline export function notePageFault(va: u64, error: i32): void {
  if ((mask & RUNTIME_LOG_MMU) != 0) log_mmu(2, <i32>va, <i32>(va >> 32), error);
}

// Access to the register file of the vCPU this instance belongs to.

import {
  CR0, CR4, EFER, EFLAGS, FAULT, HFLAGS, RIP, SEG, SEG_ATTR, SEG_BASE, SEG_LIMIT, SEG_SELECTOR,
} from './layout';

/** Address of the register file. */
@external('env', 'cpu_base') export declare const CPU: i32;

// @ts-ignore: decorator
@inline export function get(slot: i32): u64 { return load<u64>(CPU + slot); }
// @ts-ignore: decorator
@inline export function set(slot: i32, value: u64): void { store<u64>(CPU + slot, value); }
// @ts-ignore: decorator
@inline export function get32(slot: i32): i32 { return load<i32>(CPU + slot); }

/** General register n (0 = RAX … 15 = R15). */
// @ts-ignore: decorator
@inline export function reg(n: i32): u64 { return load<u64>(CPU + (n << 3)); }
// @ts-ignore: decorator
@inline export function setReg(n: i32, value: u64): void { store<u64>(CPU + (n << 3), value); }

/** Address of a segment register's cached descriptor. */
// @ts-ignore: decorator
@inline export function segAt(n: i32): i32 { return CPU + SEG + (n << 5); }
// @ts-ignore: decorator
@inline export function segSelector(n: i32): i32 { return load<i32>(segAt(n), SEG_SELECTOR); }
// @ts-ignore: decorator
@inline export function segBase(n: i32): u64 { return load<u64>(segAt(n), SEG_BASE); }
// @ts-ignore: decorator
@inline export function segLimit(n: i32): u32 { return load<u32>(segAt(n), SEG_LIMIT); }
// @ts-ignore: decorator
@inline export function segAttr(n: i32): i32 { return load<i32>(segAt(n), SEG_ATTR); }

export function setSeg(n: i32, selector: i32, base: u64, limit: u32, attr: i32): void {
  const s = segAt(n);
  store<u64>(s, <u64>(selector & 0xffff), SEG_SELECTOR);
  store<u64>(s, base, SEG_BASE);
  store<u64>(s, <u64>limit, SEG_LIMIT);
  store<u64>(s, <u64>(<u32>attr), SEG_ATTR);
}

// @ts-ignore: decorator
@inline export function hflags(): i32 { return load<i32>(CPU, HFLAGS); }
// @ts-ignore: decorator
@inline export function cpl(): i32 { return load<i32>(CPU, HFLAGS) & 3; }
// @ts-ignore: decorator
@inline export function faulted(): bool { return load<i32>(CPU, FAULT) != 0; }
// @ts-ignore: decorator
@inline export function rip(): u64 { return load<u64>(CPU, RIP); }
// @ts-ignore: decorator
@inline export function cr0(): u64 { return load<u64>(CPU, CR0); }
// @ts-ignore: decorator
@inline export function cr4(): u64 { return load<u64>(CPU, CR4); }
// @ts-ignore: decorator
@inline export function efer(): u64 { return load<u64>(CPU, EFER); }
// @ts-ignore: decorator
@inline export function eflags(): u64 { return load<u64>(CPU, EFLAGS); }

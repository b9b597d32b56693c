// Port I/O with its permission check (SDM Vol. 1 19.5).

import { FL_IOPL } from './bits';
import { notePortAccess } from './debug';
import { HF_PE, HF_VM } from './layout';
import { raiseGp } from './raise';
import { cpl, eflags, faulted, hflags } from './state';
import { ioPermissionBits } from './tss';
import { pio_read, pio_write } from '../softmmu/host';

/** False with #GP(0) raised when the program may not touch the ports. */
export function checkPortAccess(port: i32, size: i32): bool {
  const h = hflags();
  if ((h & HF_PE) == 0) return true;
  if ((h & HF_VM) == 0 && cpl() <= <i32>((eflags() & FL_IOPL) >> 12)) return true;
  const bits = ioPermissionBits(port);
  if (faulted()) return false;
  if (((bits >> (port & 7)) & ((1 << size) - 1)) == 0) return true;
  raiseGp(0);
  return false;
}

export function portIn(port: i32, size: i32): u64 {
  notePortAccess(port, size);
  const value = <u64>(<u32>pio_read(port, size));
  return size == 4 ? value : value & ((<u64>1 << (size << 3)) - 1);
}

export function portOut(port: i32, value: u32, size: i32): void {
  notePortAccess(port, size);
  pio_write(port, size, size == 4 ? value : value & ((1 << (size << 3)) - 1));
}

export function io_in(port: i64, size: i64): i64 {
  const p = <i32>port & 0xffff;
  return checkPortAccess(p, <i32>size) ? portIn(p, <i32>size) : 0;
}

export function io_out(port: i64, value: i64, size: i64): void {
  const p = <i32>port & 0xffff;
  if (checkPortAccess(p, <i32>size)) portOut(p, <u32>value, <i32>size);
}

// Debug registers, breakpoints, single-step (SDM Vol. 3B 17.2, 17.3).

import { CR4_DE, V_DB } from './bits';
import { updateHflags, pollInterrupts } from './hflags';
import {
  CS_BASE32, DR0, DR6, DR7, DR_PENDING, EFLAGS, EXC_RF, HFLAGS, HF_CS64, HF_ONE_INSN, HF_RF, HF_SHADOW, HF_TF,
  RESTORE, RIP, SHADOW,
} from './layout';
import { raise, raiseGp, raiseUd } from './raise';
import { CPU, cr4, get, get32, hflags, set } from './state';
import { tlb_flush } from '../softmmu/tlb';
import { FL_RF } from './bits';

const DR6_BD: u64 = 0x2000;
const DR6_BS: u64 = 0x4000;
const DR6_BT: u64 = 0x8000;
const DR7_GD: u64 = 0x2000;

// Breakpoint conditions: R/W field of DR7.
const ON_EXECUTE: i32 = 0;
const ON_WRITE: i32 = 1;
const ON_IO: i32 = 2;

// @ts-ignore: decorator
@inline function enabled(dr7: i32, n: i32): bool { return ((dr7 >> (n << 1)) & 3) != 0; }
// @ts-ignore: decorator
@inline function condition(dr7: i32, n: i32): i32 { return (dr7 >> (16 + (n << 2))) & 3; }
/** Length in bytes; 10b is 8 bytes. */
// @ts-ignore: decorator
@inline function lengthOf(dr7: i32, n: i32): u64 {
  const code = (dr7 >> (18 + (n << 2))) & 3;
  return code == 2 ? 8 : code + 1;
}

/** True when an enabled data breakpoint lies in this page. */
export function pageWatched(page: u64): bool {
  const dr7 = get32(DR7);
  for (let n = 0; n < 4; n++) {
    const onData = enabled(dr7, n) && (condition(dr7, n) & 1) != 0;
    if (onData && (get(DR0 + (n << 3)) & ~0xfff) == page) return true;
  }
  return false;
}

/** Remembers the data breakpoints that an access meets. */
export function noteDataAccess(va: u64, size: u64, write: bool): void {
  const dr7 = get32(DR7);
  for (let n = 0; n < 4; n++) {
    const kind = condition(dr7, n);
    if (!enabled(dr7, n) || (kind & 1) == 0 || (kind == ON_WRITE && !write)) continue;
    noteMatch(n, va, size, lengthOf(dr7, n));
  }
}

function noteMatch(n: i32, at: u64, size: u64, length: u64): void {
  const start = get(DR0 + (n << 3)) & ~(length - 1);
  if (at < start + length && start < at + size) set(DR_PENDING, get(DR_PENDING) | (<u64>1 << n));
}

/** The same for port I/O, when CR4.DE enables it. */
export function notePortAccess(port: u64, size: u64): void {
  const dr7 = get32(DR7);
  if ((dr7 & 0xff) == 0 || (cr4() & CR4_DE) == 0) return;
  for (let n = 0; n < 4; n++) {
    if (enabled(dr7, n) && condition(dr7, n) == ON_IO) noteMatch(n, port, size, lengthOf(dr7, n));
  }
}

export function check_code_breakpoint(): void {
  const h = hflags();
  const linear = (h & HF_CS64) != 0 ? get(RIP) : (get(RIP) + load<u32>(CPU, CS_BASE32)) & 0xffff_ffff;
  const dr7 = get32(DR7);
  let met: u64 = 0;
  for (let n = 0; n < 4; n++) {
    if (!enabled(dr7, n) || condition(dr7, n) != ON_EXECUTE) continue;
    if (get(DR0 + (n << 3)) == linear) met |= <u64>1 << n;
  }
  if (met == 0) return;
  set(DR6, (get(DR6) & ~<u64>0xf) | met);
  raise(V_DB, 0, EXC_RF);
}

/** INT1 (ICEBP) with data breakpoints that MOV SS has held back: one #DB reports them. */
export function reportPending(): void {
  const met = get(DR_PENDING);
  if (met == 0) return;
  set(DR_PENDING, 0);
  set(DR6, (get(DR6) & ~<u64>0xf) | met);
}

/** T flag of a TSS: trap after the task switch. */
export function raiseTaskTrap(): void {
  set(DR6, get(DR6) | DR6_BT);
  raise(V_DB, 0, 0);
}

/** The trap behind an instruction that has stored RIP. */
export function raiseStep(): void {
  set(RESTORE, 0);
  set(DR6, get(DR6) | DR6_BS);
  raise(V_DB, 0, 0);
}

export function end_of_insn(next: i64, translated: i64): void {
  const was = <i32>translated;
  set(RIP, next);
  // The CC_OP slot is valid; the restore word tells that of the instruction's start.
  set(RESTORE, 0);
  let h = hflags() & ~HF_ONE_INSN;
  const movSs = get32(SHADOW) == 2 && (was & HF_SHADOW) == 0;
  if ((was & HF_SHADOW) != 0) {
    set(SHADOW, 0);
    h &= ~HF_SHADOW;
  }
  // RF lasts for one instruction whether or not breakpoints are on.
  if ((was & HF_RF) != 0) {
    set(EFLAGS, get(EFLAGS) & ~FL_RF);
    h &= ~HF_RF;
  }
  store<i32>(CPU, h, HFLAGS);
  pollInterrupts();
  // SDM Vol. 3A 6.8.3: MOV SS holds debug traps back until after the next instruction
  if (movSs) return;
  const met = get(DR_PENDING);
  if ((was & HF_TF) == 0 && met == 0) return;
  set(DR_PENDING, 0);
  set(DR6, (met != 0 ? get(DR6) & ~<u64>0xf : get(DR6)) | met | ((was & HF_TF) != 0 ? DR6_BS : 0));
  raise(V_DB, 0, 0);
}

/**
 * #DB for an access to a debug register under DR7.GD, #UD for DR4/5 under CR4.DE; the register's number, -1
 * after a fault.
 */
function checkAccess(n: i32): i32 {
  if ((n & 6) == 4) {
    if ((cr4() & CR4_DE) != 0) {
      raiseUd();
      return -1;
    }
    n += 2;
  }
  if ((get(DR7) & DR7_GD) == 0) return n;
  set(DR6, get(DR6) | DR6_BD);
  raise(V_DB, 0, EXC_RF);
  return -1;
}

export function read_dr(n: i64): i64 {
  const r = checkAccess(<i32>n);
  return r < 0 ? 0 : get(DR0 + (r << 3));
}

export function write_dr(n: i64, value: i64): void {
  const r = checkAccess(<i32>n);
  if (r < 0) return;
  if (r >= 6 && <u64>value >> 32 != 0) {
    raiseGp(0);
    return;
  }
  if (r == 6) set(DR6, (value & 0xe00f) | 0xffff_0ff0);
  else if (r == 7) set(DR7, (value & 0xffff_23ff) | 0x400);
  else set(DR0 + (r << 3), value);
  if (r == 6) return;
  // Pages with data breakpoints are marked when they are entered into the TLB.
  tlb_flush();
  updateHflags();
}

// PUSHF, POPF, CLI, STI, STAC, CLAC, HLT with the rules of CPL, IOPL, VME and PVI (SDM Vol. 2, Vol. 3B 20.3).

import {
  CR4_PVI, CR4_VME, FL_AC, FL_ARITH, FL_DF, FL_ID, FL_IF, FL_IOPL, FL_NT, FL_RF, FL_TF, FL_VIF, FL_VIP, FL_VM,
} from './bits';
import { end_of_insn } from './debug';
import { rflags } from './flags';
import { offerTurn, pollInterrupts, updateHflags } from './hflags';
import { writeFlags } from './iret';
import {
  EFLAGS, EXIT_REASON, FAULT, FEATURES, HALTED, HFLAGS, HF_ONE_INSN, HF_RF, HF_SHADOW, HF_TF, HF_VM, RIP, SHADOW,
  X86_FEATURE_SEVERAL_CPUS, X86_FEATURE_SMAP,
} from './layout';
import { EXIT_HALT, EXIT_YIELD, FAULT_HOST } from '../tcg/layout';
import { raiseGp, raiseUd } from './raise';
import { CPU, cpl, cr4, eflags, get, hflags, set } from './state';

// @ts-ignore: decorator
@inline function iopl(): i32 { return <i32>(eflags() >> 12) & 3; }
// @ts-ignore: decorator
@inline function inV86(): bool { return (hflags() & HF_VM) != 0; }

export function pushf_value(opsize: i64): i64 {
  const flags = rflags() & ~(FL_VM | FL_RF);
  if (!inV86() || iopl() == 3) return flags;
  if ((cr4() & CR4_VME) == 0 || opsize != 2) {
    raiseGp(0);
    return 0;
  }
  return (flags & ~FL_IF) | FL_IOPL | ((flags & FL_VIF) != 0 ? FL_IF : 0);
}

export function popf(value: i64, opsize: i64): void {
  const size = <i32>opsize;
  let mask = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;
  if (inV86() && iopl() != 3) {
    const bad = (value & FL_TF) != 0 || ((value & FL_IF) != 0 && (eflags() & FL_VIP) != 0);
    if ((cr4() & CR4_VME) == 0 || size != 2 || bad) {
      raiseGp(0);
      return;
    }
    const vif: u64 = (value & FL_IF) != 0 ? FL_VIF : 0;
    writeFlags((value & 0xffff) | vif, FL_ARITH | FL_TF | FL_DF | FL_NT | FL_VIF, 4);
    updateHflags();
    return;
  }
  if (cpl() <= iopl()) mask |= FL_IF;
  if (cpl() == 0) mask |= FL_IOPL;
  writeFlags(value, mask, size);
  if (size != 2) set(EFLAGS, eflags() & ~FL_RF);
  updateHflags();
  if ((value & FL_IF) != 0) offerTurn();
}

/** How CLI and STI act: 1 on IF, 2 on VIF, 0 not at all (#GP). */
function interruptFlagRule(): i32 {
  if (cpl() <= iopl()) return 1;
  if (inV86()) return (cr4() & CR4_VME) != 0 ? 2 : 0;
  return cpl() == 3 && (cr4() & CR4_PVI) != 0 ? 2 : 0;
}

export function cli(): void {
  const rule = interruptFlagRule();
  if (rule == 0) raiseGp(0);
  else set(EFLAGS, eflags() & ~(rule == 1 ? FL_IF : FL_VIF));
}

export function sti(): void {
  const rule = interruptFlagRule();
  const flags = eflags();
  if (rule == 0 || (rule == 2 && (flags & FL_VIP) != 0)) {
    raiseGp(0);
    return;
  }
  if (rule == 2) {
    set(EFLAGS, flags | FL_VIF);
    return;
  }
  if ((flags & FL_IF) != 0) return;
  set(EFLAGS, flags | FL_IF);
  set(SHADOW, 1);
  store<i32>(CPU, hflags() | HF_SHADOW, HFLAGS);
  offerTurn();
}

export function stac_clac(on: i64): void {
  if ((get(FEATURES) & X86_FEATURE_SMAP) == 0) {
    raiseUd();
    return;
  }
  set(EFLAGS, on != 0 ? eflags() | FL_AC : eflags() & ~FL_AC);
  updateHflags();
}

export function hlt(next: i64): void {
  if ((hflags() & HF_TF) != 0) {
    // the single-step trap is pending at once and ends the halt
    end_of_insn(next, hflags());
    return;
  }
  set(RIP, next);
  set(SHADOW, 0);
  set(EFLAGS, eflags() & ~FL_RF);
  store<i32>(CPU, hflags() & ~(HF_ONE_INSN | HF_SHADOW | HF_RF), HFLAGS);
  set(HALTED, 1);
  set(EXIT_REASON, EXIT_HALT);
  set(FAULT, FAULT_HOST);
  pollInterrupts();
}

/** The guest waits in a loop for what another processor does (SDM Vol. 2B PAUSE). */
export function pause(next: i64): void {
  set(RIP, next);
  set(EXIT_REASON, EXIT_YIELD);
  set(FAULT, FAULT_HOST);
}

/**
 * Nothing is watched: on a machine with one processor only a device could store to the line, and MWAIT may end at any time
 * (SDM Vol. 2B MWAIT).
 */
export function monitor(address: i64): void {}

export function mwait(next: i64, extensions: i64): void {
  if ((extensions & ~1) != 0) {
    raiseGp(0);
    return;
  }
  // a store of another processor would have to end it
  const noSleep = (get(FEATURES) & X86_FEATURE_SEVERAL_CPUS) != 0;
  // an interrupt that is masked ends it under ECX bit 0
  const masked = extensions != 0 && (eflags() & FL_IF) == 0;
  hlt(next);
  if (noSleep || masked) set(HALTED, 0);
  if (noSleep) set(EXIT_REASON, EXIT_YIELD);
}

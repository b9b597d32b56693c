// Exceptions and interrupts that instructions ask for.

import { CR4_VME, FL_IF, FL_IOPL, FL_VIF, V_BP, V_DB, V_DE, V_GP, V_MF, V_NM, V_OF, V_SS } from './bits';
import { reportPending } from './debug';
import { ccAll, rflags } from './flags';
import { deliverToV86 } from './interrupts';
import { EXC_HAS_ERROR, EXC_NEXT_RIP, EXC_SOFTWARE, HF_VM, RIP } from './layout';
import { raise, raiseGp, raiseUd } from './raise';
import { cr4, eflags, faulted, hflags, set } from './state';
import { interruptRedirection } from './tss';

export function raise_ud(): void { raiseUd(); }
export function raise_nm(): void { raise(V_NM, 0, 0); }
export function raise_gp(error: i64): void { raise(V_GP, <i32>error, EXC_HAS_ERROR); }
export function raise_ss(error: i64): void { raise(V_SS, <i32>error, EXC_HAS_ERROR); }
export function raise_de(): void { raise(V_DE, 0, 0); }
export function raise_mf(): void { raise(V_MF, 0, 0); }

function software(vector: i32, next: u64): void {
  set(EXC_NEXT_RIP, next);
  raise(vector, 0, EXC_SOFTWARE);
}

export function int_n(vector: i64, next: i64): void {
  if ((hflags() & HF_VM) != 0 && intInV86(<i32>vector, next)) return;
  software(<i32>vector, next);
}

/** SDM Vol. 3B table 20-2. True when the interrupt was redirected or faulted. */
function intInV86(vector: i32, next: u64): bool {
  const iopl3 = (eflags() & FL_IOPL) == FL_IOPL;
  if ((cr4() & CR4_VME) != 0) {
    const toProtected = interruptRedirection(vector);
    if (faulted()) return true;
    if (!toProtected) {
      redirect(vector, next, iopl3);
      return true;
    }
  }
  if (iopl3) return false;
  raiseGp(0);
  return true;
}

function redirect(vector: i32, next: u64, iopl3: bool): void {
  const flags = rflags();
  if (iopl3) {
    deliverToV86(vector, next, <u32>flags, FL_IF);
    return;
  }
  const image = (flags & ~FL_IF) | FL_IOPL | ((flags & FL_VIF) != 0 ? FL_IF : 0);
  deliverToV86(vector, next, <u32>image, FL_VIF);
}

export function int3(next: i64): void { software(V_BP, next); }

export function into(next: i64): void {
  if ((ccAll() & 0x800) != 0) software(V_OF, next);
}

/** The gate's DPL does not matter; the saved RIP is that of the next instruction. */
export function int1(next: i64): void {
  reportPending();
  set(RIP, next);
  raise(V_DB, 0, 0);
}

// Hypercalls by VMCALL and VMMCALL, for guests that use KVM's numbers (Linux Documentation/virt/kvm/x86/hypercalls.rst). What is
// not known answers -1000, as there.

import { RAX, RBX, RCX, RDX, RSI } from './layout';
import { cpl, get, set } from './state';
import { send_ipi } from '../softmmu/host';

const SEND_IPI: u64 = 10;
const EPERM: i64 = -1;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -1000;
/** Destination mode and shorthand of ICR, which this call does not take. */
const ICR_REFUSED: u64 = 0xc_0800;
const MAX_APIC_ID: u64 = 254;

/** RBX, RCX: bit map of 128 APIC ids from RDX on; RSI: low half of ICR. How many CPUs got it. */
function sendIpis(): i64 {
  const icr = get(RSI);
  if ((icr & ICR_REFUSED) != 0) return EINVAL;
  const first = get(RDX);
  let count: i64 = 0;
  for (let i: u64 = 0; i < 128 && first + i <= MAX_APIC_ID; i++) {
    const map = i < 64 ? get(RBX) : get(RCX);
    if (((map >> (i & 63)) & 1) != 0) count += send_ipi(<i32>(first + i), <i32>icr);
  }
  return count;
}

export function hypercall(): void {
  const call = get(RAX);
  set(RAX, cpl() != 0 ? EPERM : call == SEND_IPI ? sendIpis() : ENOSYS);
}

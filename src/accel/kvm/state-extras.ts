/** What of a vCPU's state depends on the host: MSRs beyond the named ones, and where the XSAVE area has PKRU. */
import type { CpuidEntry, KvmDevice } from './ioctls/kvm-device.ts';

export interface StateExtras {
  /** Saved as `msr_` and the number in hexadecimal. */
  readonly msrs: readonly number[];
  /** Offset of PKRU in the standard format of the XSAVE area (SDM Vol. 1 13.5.7); 0: this processor has none. */
  readonly pkruOffset: number;
}

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, n) => first + n);

/** MTRRs (SDM Vol. 3A 11.11.2): KVM has them, but does not list them. */
const MTRRS = [0x2ff, 0x250, 0x258, 0x259, ...range(0x268, 8), ...range(0x200, 16)];
/** IA32_MCG_STATUS, IA32_MCG_CTL and the machine-check banks (SDM Vol. 3B 15.3). */
const MACHINE_CHECK = [0x17a, 0x17b, ...range(0x400, 40)];

/** Saved under names of their own or as part of other structures, or of no meaning elsewhere. */
function isElsewhere(index: number): boolean {
  return NAMED.has(index) || (index >= 0x4000_0000 && index <= 0x4000_0fff) || (index & ~0xff) === 0x800;
}

const NAMED: ReadonlySet<number> = new Set([
  ...[0x10, 0x1b, 0x3b, 0x174, 0x175, 0x176, 0x1a0, 0x277, 0x6e0],
  ...[0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084],
  ...[0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0103],
]);

/**
 * Clocks, asynchronous page faults and the like of KVM's own: addresses to which the kernel writes. A reset takes them back
 * (Documentation/virt/kvm/x86/msr.rst).
 */
export const PARAVIRTUAL_MSRS: readonly number[] = [
  ...[0x11, 0x12, 0x4b56_4d00, 0x4b56_4d01, 0x4b56_4d02, 0x4b56_4d03, 0x4b56_4d04, 0x4b56_4d06],
];

export function stateExtras(device: KvmDevice, supported: readonly CpuidEntry[]): StateExtras {
  const listed = device.msrIndexes().filter((index) => !isElsewhere(index));
  const pkru = supported.find(({ leaf, subleaf }) => leaf === 0xd && subleaf === 9);
  return { msrs: [...new Set([...MTRRS, ...MACHINE_CHECK, ...listed])], pkruOffset: pkru?.ebx ?? 0 };
}

/** Numbers of the local APIC: SDM Vol. 3A table 10-1, table 10-6 and the figures named below. */

export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;

// IA32_APIC_BASE, figure 10-26
export const BASE_BSP = 1 << 8;
export const BASE_X2APIC = 1 << 10;
export const BASE_ENABLE = 1 << 11;

// Register numbers: MMIO offset / 16 = MSR − 0x800
export const ID = 0x02;
export const VERSION = 0x03;
export const TPR = 0x08;
export const APR = 0x09;
export const PPR = 0x0a;
export const EOI = 0x0b;
export const RRD = 0x0c;
export const LDR = 0x0d;
export const DFR = 0x0e;
export const SVR = 0x0f;
export const ISR = 0x10;
export const TMR = 0x18;
export const IRR = 0x20;
export const ESR = 0x28;
export const ICR = 0x30;
export const ICR_HI = 0x31;
export const LVT = 0x32;
export const INITIAL_COUNT = 0x38;
export const CURRENT_COUNT = 0x39;
export const DIVIDE = 0x3e;
export const SELF_IPI = 0x3f;

/** Entries of the local vector table, from register `LVT` on. */
export const LVT_COUNT = 6;
export const LVT_TIMER = 0;
export const LVT_THERMAL = 1;
export const LVT_PERF = 2;
export const LVT_LINT0 = 3;
export const LVT_LINT1 = 4;
export const LVT_ERROR = 5;
export const LVT_NAMES = ['TIMER', 'THERM', 'PERF', 'LINT0', 'LINT1', 'ERROR'] as const;

// figure 10-8
export const LVT_LEVEL = 1 << 15;
export const LVT_MASKED = 1 << 16;
/** Bits that can be written, per entry. Delivery status (12) and remote IRR (14) cannot. */
export const LVT_WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff] as const;

/** Version 0x14, six LVT entries. */
export const VERSION_VALUE = 0x14 | ((LVT_COUNT - 1) << 16);
export const SVR_ENABLE = 1 << 8;
export const ICR_WRITABLE = 0x000ccfff;

// Error status register, figure 10-9
export const ERROR_SENT_VECTOR = 1 << 5;
export const ERROR_RECEIVED_VECTOR = 1 << 6;
export const ERROR_ILLEGAL_REGISTER = 1 << 7;

/** The logical id in x2APIC mode follows from the id (SDM Vol. 3A 10.12.10.2). */
export function x2ApicLdr(id: number): number {
  return (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0;
}

/** Registers that exist but ignore writes by memory. */
export function isReadOnly(index: number): boolean {
  if (index >= ISR && index < IRR + 8) return true;
  return (
    index === VERSION ||
    index === APR ||
    index === PPR ||
    index === RRD ||
    index === CURRENT_COUNT ||
    index === ID
  );
}

/** Table 10-6: registers RDMSR can read. */
export function isX2ApicReadable(index: number): boolean {
  if (index >= ISR && index <= ESR) return true;
  if (index >= LVT && index <= CURRENT_COUNT) return true;
  switch (index) {
    case ID:
    case VERSION:
    case TPR:
    case PPR:
    case LDR:
    case SVR:
    case ICR:
    case DIVIDE:
      return true;
    default:
      return false;
  }
}

/** Bits a WRMSR may set, by register; not listed: not writable. EOI and ESR take zero only (10.12.1.2). */
const X2APIC_WRITABLE: ReadonlyMap<number, number> = new Map([
  [TPR, 0xff],
  [EOI, 0],
  [SVR, 0x1ff],
  [ESR, 0],
  [ICR, 0xccfff],
  [LVT, 0x710ff],
  [LVT + LVT_THERMAL, 0x117ff],
  [LVT + LVT_PERF, 0x117ff],
  [LVT + LVT_LINT0, 0x1f7ff],
  [LVT + LVT_LINT1, 0x1f7ff],
  [LVT + LVT_ERROR, 0x110ff],
  [INITIAL_COUNT, 0xffffffff],
  [DIVIDE, 0xb],
  [SELF_IPI, 0xff],
]);

/** Whether WRMSR of this value to this register is allowed; reserved bits fault. */
export function isX2ApicWritable(index: number, lo: number, hi: number): boolean {
  const writable = X2APIC_WRITABLE.get(index);
  if (writable === undefined || (lo & ~writable) !== 0) return false;
  return hi === 0 || index === ICR;
}

import { CODE, CODE_SIZE, DATA, DATA_SIZE, READ_ONLY, READ_ONLY_SIZE } from './image.ts';

// Physical memory of the translator's machine and the tables that a kernel would set up around user code.

export const RAM_BYTES = 0x10_0000;
const PML4 = 0x1000;
const PDPT_LOW = 0x2000;
const PD_LOW = 0x3000;
const PT_LOW = 0x4000;
const PT_HIGH = 0x5000;
const PDPT_KERNEL = 0x6000;
const PD_KERNEL = 0x7000;
export const GDT = 0x8000;
export const GDT_LIMIT = 0x7f;
export const IDT = 0x9000;
export const IDT_LIMIT = 0xfff;
export const TSS = 0xa000;
export const TSS_LIMIT = 0x67;
/** Two bytes for each vector: HLT, NOP. */
export const HANDLERS = 0xb000;
export const KERNEL_STACK = 0xe000;
export const CODE_PHYSICAL = 0x1_0000;
export const DATA_PHYSICAL = 0x1_4000;
export const READ_ONLY_PHYSICAL = 0x1_8000;
export const CR3_VALUE = PML4;
/** Where the kernel's half maps physical memory. */
export const KERNEL_BASE = 0xffff_8000_0000_0000n;
/** The vector by which a case that ran to its end comes back. */
export const END_VECTOR = 0xff;

const PRESENT_USER_WRITE = 7n;
const PRESENT_USER = 5n;
const NO_EXECUTE = 1n << 63n;
const KERNEL_LARGE = 0x83n;

function mapPages(view: DataView, linear: number, physical: number, size: number, flags: bigint): void {
  for (let at = 0; at < size; at += 0x1000) {
    const page = (linear + at) >>> 12;
    const table = (page >>> 9) & 1 ? PT_HIGH : PT_LOW;
    view.setBigUint64(table + (page & 511) * 8, BigInt(physical + at) | flags, true);
  }
}

function pageTables(view: DataView): void {
  const entry = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  entry(PML4, BigInt(PDPT_LOW) | PRESENT_USER_WRITE);
  entry(PDPT_LOW + (CODE >>> 30) * 8, BigInt(PD_LOW) | PRESENT_USER_WRITE);
  const directory = PD_LOW + ((CODE >>> 21) & 511) * 8;
  entry(directory, BigInt(PT_LOW) | PRESENT_USER_WRITE);
  entry(directory + 8, BigInt(PT_HIGH) | PRESENT_USER_WRITE);
  mapPages(view, CODE, CODE_PHYSICAL, CODE_SIZE, PRESENT_USER_WRITE);
  mapPages(view, DATA, DATA_PHYSICAL, DATA_SIZE, PRESENT_USER_WRITE | NO_EXECUTE);
  mapPages(view, READ_ONLY, READ_ONLY_PHYSICAL, READ_ONLY_SIZE, PRESENT_USER | NO_EXECUTE);
  entry(PML4 + 256 * 8, BigInt(PDPT_KERNEL) | 3n);
  entry(PDPT_KERNEL, BigInt(PD_KERNEL) | 3n);
  entry(PD_KERNEL, KERNEL_LARGE);
}

/** The descriptors Linux has at the same selectors. */
const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  0x08: 0x00cf_9b00_0000_ffffn,
  0x10: 0x00af_9b00_0000_ffffn,
  0x18: 0x00cf_9300_0000_ffffn,
  0x20: 0x00cf_fb00_0000_ffffn,
  0x28: 0x00cf_f300_0000_ffffn,
  0x30: 0x00af_fb00_0000_ffffn,
};

function descriptorTables(view: DataView): void {
  for (const [selector, value] of Object.entries(DESCRIPTORS))
    view.setBigUint64(GDT + Number(selector), value, true);
  view.setBigUint64(GDT + 0x40, 0x0000_8b00_0000_0000n | BigInt(TSS << 16) | BigInt(TSS_LIMIT), true);
  view.setBigUint64(GDT + 0x48, KERNEL_BASE >> 32n, true);
  view.setBigUint64(TSS + 4, KERNEL_BASE + BigInt(KERNEL_STACK), true);
  view.setUint16(TSS + 0x66, 0xffff, true);
  for (let vector = 0; vector < 256; vector++) gate(view, vector);
}

/** Interrupt gates; those that user code may call are the ones it may call under Linux, and the one that ends a case. */
function gate(view: DataView, vector: number): void {
  const target = KERNEL_BASE + BigInt(HANDLERS + vector * 2);
  const user = vector === 3 || vector === 4 || vector === END_VECTOR;
  const at = IDT + vector * 16;
  view.setUint16(at, Number(target & 0xffffn), true);
  view.setUint16(at + 2, 0x10, true);
  view.setUint16(at + 4, user ? 0xee00 : 0x8e00, true);
  view.setUint16(at + 6, Number((target >> 16n) & 0xffffn), true);
  view.setUint32(at + 8, Number(target >> 32n), true);
  view.setUint16(HANDLERS + vector * 2, 0x90f4, true);
}

/** Fills physical memory: page tables, GDT, IDT, TSS and handlers. */
export function setUpGuestMemory(ram: Uint8Array): void {
  const view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  pageTables(view);
  descriptorTables(view);
}

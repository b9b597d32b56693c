/** What several loaders put into guest memory: descriptors, page tables, the command line, the RAM disk. */
import { alignDown, alignUp } from '../../util/bits.ts';
import { UserError } from '../../util/errors.ts';
import type { BootFile, BootMemory, BootModule, BootRequest } from './boot.ts';
import * as boot from './boot.ts';

/** Flat descriptors (SDM Vol. 3A 3.4.5): present, ring 0, accessed. */
const CODE32 = 0x00cf_9b00_0000_ffffn;
const CODE64 = 0x00af_9b00_0000_ffffn;
const DATA = 0x00cf_9300_0000_ffffn;
/** Busy 32-bit TSS at 0, limit 0x67: PVH wants TR loaded. */
const TSS = 0x0000_8b00_0000_0067n;

/** Selectors of the GDT that `writeGdt` makes; Linux demands 0x10 and 0x18 (boot protocol, "64-bit boot protocol"). */
export const CODE_SELECTOR = 0x10;
export const DATA_SELECTOR = 0x18;
export const GDT_LIMIT = 5 * 8 - 1;

export function writeGdt(memory: BootMemory, longMode: boolean): void {
  const gdt = new DataView(new ArrayBuffer(GDT_LIMIT + 1));
  gdt.setBigUint64(CODE_SELECTOR, longMode ? CODE64 : CODE32, true);
  gdt.setBigUint64(DATA_SELECTOR, DATA, true);
  gdt.setBigUint64(0x20, TSS, true);
  memory.write(boot.BOOT_GDT, new Uint8Array(gdt.buffer));
}

const PAGE_SIZE = 4096;
const PRESENT_WRITABLE = 3;
const LARGE = 0x80;

/** Identity page tables for the first 4 GiB in 2 MiB pages; returns the value for CR3. */
export function writePageTables(memory: BootMemory): number {
  const tables = new DataView(new ArrayBuffer(6 * PAGE_SIZE));
  const base = boot.BOOT_PAGE_TABLES;
  const put = (page: number, index: number, value: number): void =>
    tables.setBigUint64(page * PAGE_SIZE + index * 8, BigInt(value), true);
  put(0, 0, (base + PAGE_SIZE) | PRESENT_WRITABLE);
  for (let gib = 0; gib < 4; gib++) {
    put(1, gib, (base + (2 + gib) * PAGE_SIZE) | PRESENT_WRITABLE);
    for (let i = 0; i < 512; i++) put(2 + gib, i, (gib * 512 + i) * 0x20_0000 + (LARGE | PRESENT_WRITABLE));
  }
  memory.write(base, new Uint8Array(tables.buffer));
  return base;
}

/** UTF-8 with a terminating zero. */
export function cString(text: string): Uint8Array {
  const out: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else
      out.push(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 63),
        0x80 | ((code >> 6) & 63),
        0x80 | (code & 63),
      );
  }
  out.push(0);
  return Uint8Array.from(out);
}

/** Writes the command line; `maxLength` without the zero. Returns its address. */
export function writeCommandLine(memory: BootMemory, text: string, maxLength: number): number {
  const bytes = cString(text);
  const limit = Math.min(maxLength, boot.BOOT_COMMAND_LINE_MAX - 1);
  if (bytes.length - 1 > limit) {
    throw new UserError(
      'CommandLineTooLong',
      `-append: ${bytes.length - 1} bytes are too long for this kernel, which takes ${limit}`,
    );
  }
  memory.write(boot.BOOT_COMMAND_LINE, bytes);
  return boot.BOOT_COMMAND_LINE;
}

/** The one RAM disk a Linux kernel takes; undefined if there is none (or an empty file). */
export function soleInitrd(request: BootRequest): BootModule | undefined {
  const [first, second] = request.modules;
  if (second !== undefined) throw boot.initrdError(second, 'only a multiboot kernel takes several modules');
  return first !== undefined && first.bytes.length > 0 ? first : undefined;
}

/** Writes the RAM disk as high as possible in [`lowest`, `limit`) and below the end of RAM; returns its address. */
export function placeInitrd(memory: BootMemory, initrd: BootFile, lowest: number, limit: number): number {
  const end = Math.min(limit, memory.lowRamEnd);
  const at = alignDown(end - initrd.bytes.length, PAGE_SIZE);
  if (at < alignUp(lowest, PAGE_SIZE)) {
    const room = Math.max(0, end - lowest);
    throw boot.initrdError(
      initrd,
      `${formatRoom(initrd.bytes.length)} do not fit into the ${formatRoom(room)} behind the kernel (-m too small?)`,
    );
  }
  memory.write(at, initrd.bytes);
  return at;
}

function formatRoom(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** What of an executable image goes where. */
export interface LoadSegment {
  readonly address: number;
  readonly sizeInMemory: number;
  readonly bytes: Uint8Array;
}

const CONVENTIONAL_END = 0xa_0000;
const EXTENDED_BASE = 0x10_0000;

/** Checks that the segments lie in RAM, clear of the loader's own data and of each other; then writes them. Returns the highest end. */
export function loadSegments(memory: BootMemory, kernel: BootFile, segments: readonly LoadSegment[]): number {
  const sorted = segments.filter((s) => s.sizeInMemory > 0).sort((a, b) => a.address - b.address);
  if (sorted.length === 0) throw boot.kernelError(kernel, 'nothing to load in the image');
  let previousEnd = 0;
  for (const segment of sorted) {
    const { address } = segment;
    const end = address + segment.sizeInMemory;
    const where = `segment 0x${address.toString(16)}…0x${end.toString(16)}`;
    if (address < previousEnd) throw boot.kernelError(kernel, `${where} overlaps another`);
    const inLow = address >= boot.BOOT_DATA_END && end <= CONVENTIONAL_END;
    const inHigh = address >= EXTENDED_BASE && end <= memory.lowRamEnd;
    if (address < boot.BOOT_DATA_END)
      throw boot.kernelError(kernel, `${where} overlaps the loader's own data`);
    if (!inLow && !inHigh) {
      const ram = boot.formatMiB(memory.lowRamEnd);
      throw boot.kernelError(kernel, `${where} is outside RAM (${ram} below 4 GiB; -m too small?)`);
    }
    previousEnd = end;
  }
  for (const segment of sorted) {
    memory.write(segment.address, segment.bytes);
    const rest = segment.sizeInMemory - segment.bytes.length;
    if (rest > 0) memory.zero(segment.address + segment.bytes.length, rest);
  }
  return previousEnd;
}

/** Just enough of ELF (System V gABI, chapters 4 and 5) to load an executable by physical address. Every offset is checked. */

import type { BootFile } from './boot.ts';
import * as boot from './boot.ts';
import type { LoadSegment } from './guest-data.ts';

const PT_LOAD = 1;
const PT_NOTE = 4;
const EM_386 = 3;
const EM_X86_64 = 62;
const MAX_PROGRAM_HEADERS = 1024;

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly descriptor: Uint8Array;
}

export interface ElfImage {
  readonly is64: boolean;
  readonly entry: number;
  /** PT_LOAD segments at their physical addresses. */
  readonly segments: readonly LoadSegment[];
  readonly notes: readonly ElfNote[];
  /** Difference between physical and virtual address of the segment that holds `entry`; 0 if none does. */
  readonly entryToPhysical: number;
}

export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 20 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  );
}

export function parseElf(file: BootFile): ElfImage {
  const { bytes } = file;
  const is64 = bytes[4] === 2;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const bad = (reason: string): Error => boot.kernelError(file, reason);
  if (bytes.length < (is64 ? 64 : 52)) throw bad('truncated in the ELF header');
  if (bytes[5] !== 1) throw bad('a big-endian ELF file');
  const machine = view.getUint16(18, true);
  if (machine !== EM_386 && machine !== EM_X86_64) throw bad(`an ELF file for machine ${machine}, not x86`);
  const word = (at: number): number =>
    is64 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true);
  const tableAt = word(is64 ? 0x20 : 0x1c);
  const entrySize = view.getUint16(is64 ? 0x36 : 0x2a, true);
  const count = view.getUint16(is64 ? 0x38 : 0x2c, true);
  if (count === 0 || count > MAX_PROGRAM_HEADERS || entrySize < (is64 ? 56 : 32)) {
    throw bad(`${count} ELF program headers of ${entrySize} bytes`);
  }
  if (tableAt + count * entrySize > bytes.length) throw bad('truncated in the ELF program headers');
  const segments: LoadSegment[] = [];
  const notes: ElfNote[] = [];
  const entry = word(24);
  let entryToPhysical = 0;
  for (let i = 0; i < count; i++) {
    const header = programHeader(view, tableAt + i * entrySize, is64);
    if (header.type !== PT_LOAD && header.type !== PT_NOTE) continue;
    if (header.offset + header.fileSize > bytes.length) {
      throw bad(`truncated: segment ${i} ends at byte ${header.offset + header.fileSize} of ${bytes.length}`);
    }
    const content = bytes.subarray(header.offset, header.offset + header.fileSize);
    if (header.type === PT_NOTE) {
      parseNotes(content, notes);
      continue;
    }
    if (header.memorySize < header.fileSize) throw bad(`segment ${i} is larger in the file than in memory`);
    segments.push({ address: header.physical, sizeInMemory: header.memorySize, bytes: content });
    if (entry >= header.virtual && entry < header.virtual + header.memorySize) {
      entryToPhysical = header.physical - header.virtual;
    }
  }
  return { is64, entry, segments, notes, entryToPhysical };
}

interface ProgramHeader {
  readonly type: number;
  readonly offset: number;
  readonly virtual: number;
  readonly physical: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

function programHeader(view: DataView, at: number, is64: boolean): ProgramHeader {
  const word = (i: number): number =>
    is64 ? Number(view.getBigUint64(at + 8 * i, true)) : view.getUint32(at + 4 * i, true);
  const type = view.getUint32(at, true);
  // Elf64_Phdr has p_flags before p_offset; Elf32_Phdr has it behind p_memsz.
  return {
    type,
    offset: word(1),
    virtual: word(2),
    physical: word(3),
    fileSize: word(4),
    memorySize: word(5),
  };
}

/** Malformed notes end the list: they are not needed to load the image. */
function parseNotes(bytes: Uint8Array, out: ElfNote[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at + 12 <= bytes.length) {
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const nameAt = at + 12;
    const descriptorAt = nameAt + ((nameSize + 3) & ~3);
    if (nameSize > bytes.length || size > bytes.length || descriptorAt + size > bytes.length) return;
    const name = String.fromCharCode(
      ...bytes.subarray(nameAt, nameAt + Math.min(Math.max(nameSize - 1, 0), 64)),
    );
    out.push({
      name,
      type: view.getUint32(at + 8, true),
      descriptor: bytes.subarray(descriptorAt, descriptorAt + size),
    });
    at = descriptorAt + ((size + 3) & ~3);
  }
}

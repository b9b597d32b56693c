/** ELF kernels by the x86/HVM direct boot ABI, "PVH" (Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h). */

import type { BootRequest, InitialCpuState } from './boot.ts';
import * as boot from './boot.ts';
import { type ElfImage, parseElf } from './elf.ts';
import * as data from './guest-data.ts';

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336e_c578;
const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;
const MAP_ENTRY_SIZE = 24;
/** Without a word of the kernel's own: direct-mapped memory of a 32-bit Linux ends here. */
const INITRD_LIMIT = 0x3800_0000;
/** Linux on x86 takes 2048 bytes with the zero. */
const COMMAND_LINE_MAX = 2047;

/** The 32-bit entry point from the note; undefined if the image has none. */
export function pvhEntry(image: ElfImage): number | undefined {
  const note = image.notes.find((n) => n.name === 'Xen' && n.type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || (note.descriptor.length !== 4 && note.descriptor.length !== 8)) return undefined;
  const view = new DataView(note.descriptor.buffer, note.descriptor.byteOffset, note.descriptor.length);
  const high = note.descriptor.length === 8 ? view.getUint32(4, true) : 0;
  return high === 0 ? view.getUint32(0, true) : undefined;
}

export function loadPvh(request: BootRequest): InitialCpuState {
  const { kernel, memory } = request;
  const image = parseElf(kernel);
  const entry = pvhEntry(image);
  if (entry === undefined) {
    throw boot.kernelError(kernel, 'an ELF file without a PVH entry point (Xen note 18) or multiboot header');
  }
  const kernelEnd = data.loadSegments(memory, kernel, image.segments);
  const commandLine = data.writeCommandLine(memory, request.commandLine, COMMAND_LINE_MAX);
  const initrd = data.soleInitrd(request);
  const info = new DataView(new ArrayBuffer(START_INFO_SIZE));
  info.setUint32(0, START_MAGIC, true);
  info.setUint32(4, 1, true); // version
  if (initrd !== undefined) {
    const module = new DataView(new ArrayBuffer(MODULE_SIZE));
    module.setBigUint64(0, BigInt(data.placeInitrd(memory, initrd, kernelEnd, INITRD_LIMIT)), true);
    module.setBigUint64(8, BigInt(initrd.bytes.length), true);
    memory.write(boot.BOOT_MODULES, new Uint8Array(module.buffer));
    info.setUint32(12, 1, true);
    info.setBigUint64(16, BigInt(boot.BOOT_MODULES), true);
  }
  info.setBigUint64(24, BigInt(commandLine), true);
  info.setBigUint64(32, BigInt(request.rsdpAddress), true);
  info.setBigUint64(40, BigInt(writeMemoryMap(request)), true);
  info.setUint32(48, memory.map.length, true);
  memory.write(boot.BOOT_PARAMS, new Uint8Array(info.buffer));
  data.writeGdt(memory, false);
  return {
    mode: 'protected32',
    rip: entry,
    registers: { rbx: boot.BOOT_PARAMS, rsp: boot.BOOT_STACK_TOP },
    gdtBase: boot.BOOT_GDT,
    gdtLimit: data.GDT_LIMIT,
    codeSelector: data.CODE_SELECTOR,
    dataSelector: data.DATA_SELECTOR,
    cr3: 0,
  };
}

/** hvm_memmap_table_entry: u64 address, u64 size, u32 type, u32 reserved. */
function writeMemoryMap(request: BootRequest): number {
  const { memory } = request;
  const table = new DataView(new ArrayBuffer(MAP_ENTRY_SIZE * memory.map.length));
  memory.map.forEach((entry, i) => {
    table.setBigUint64(i * MAP_ENTRY_SIZE, BigInt(entry.address), true);
    table.setBigUint64(i * MAP_ENTRY_SIZE + 8, BigInt(entry.size), true);
    table.setUint32(i * MAP_ENTRY_SIZE + 16, entry.type, true);
  });
  memory.write(boot.BOOT_MEMORY_MAP, new Uint8Array(table.buffer));
  return boot.BOOT_MEMORY_MAP;
}

/** bzImage by the Linux/x86 boot protocol (kernel documentation, arch/x86/boot.rst): the 64-bit and the 32-bit entry. */
import { alignUp, isPowerOfTwo } from '../../util/bits.ts';
import type { BootFile, BootRequest, InitialCpuState } from './boot.ts';
import * as boot from './boot.ts';
import * as data from './guest-data.ts';

// Offsets in the file and, the same, in boot_params.
const SETUP_SECTS = 0x1f1;
const SYSSIZE = 0x1f4;
const BOOT_FLAG = 0x1fe;
const JUMP = 0x200;
const HEADER_MAGIC = 0x202;
const VERSION = 0x206;
const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END_PTR = 0x224;
const CMD_LINE_PTR = 0x228;
const INITRD_ADDR_MAX = 0x22c;
const KERNEL_ALIGNMENT = 0x230;
const RELOCATABLE_KERNEL = 0x234;
const XLOADFLAGS = 0x236;
const CMDLINE_SIZE = 0x238;
const PREF_ADDRESS = 0x258;
const INIT_SIZE = 0x260;
const HEADER_END = 0x268;

// boot_params only (arch/x86/zero-page.rst)
const ACPI_RSDP_ADDR = 0x070;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_MAX = 128;
const E820_ENTRY_SIZE = 20;
const BOOT_PARAMS_SIZE = 4096;

const LOADED_HIGH = 1;
const CAN_USE_HEAP = 0x80;
const XLF_KERNEL_64 = 1;
const LOADER_UNDEFINED = 0xff;
const ENTRY_64 = 0x200;
const DEFAULT_LOAD_ADDRESS = 0x10_0000;
const SECTOR = 512;

/** The setup header, checked. */
export interface SetupHeader {
  readonly version: number;
  /** Where the protected-mode code begins in the file. */
  readonly codeOffset: number;
  readonly has64BitEntry: boolean;
  readonly relocatable: boolean;
  readonly alignment: number;
  readonly prefAddress: number;
  /** Bytes needed from the load address on. */
  readonly initSize: number;
  /** Highest address a byte of the RAM disk may have. */
  readonly initrdMax: number;
  readonly commandLineMax: number;
}

export function isBzImage(bytes: Uint8Array): boolean {
  return (
    bytes.length >= HEADER_MAGIC + 4 &&
    String.fromCharCode(...bytes.subarray(HEADER_MAGIC, HEADER_MAGIC + 4)) === 'HdrS'
  );
}

export function parseSetupHeader(kernel: BootFile): SetupHeader {
  const { bytes } = kernel;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < HEADER_END) throw boot.kernelError(kernel, 'truncated in the setup header');
  if (view.getUint16(BOOT_FLAG, true) !== 0xaa55) throw boot.kernelError(kernel, 'no boot signature');
  const version = view.getUint16(VERSION, true);
  if (version < 0x202) {
    throw boot.kernelError(
      kernel,
      `boot protocol ${version >> 8}.${version & 255} is too old (2.02 is needed)`,
    );
  }
  if ((bytes[LOADFLAGS]! & LOADED_HIGH) === 0)
    throw boot.kernelError(kernel, 'zImage kernels are not supported');
  const codeOffset = ((bytes[SETUP_SECTS]! || 4) + 1) * SECTOR;
  const codeSize = view.getUint32(SYSSIZE, true) * 16;
  checkLength(kernel, version, codeOffset, codeSize);
  const relocatable = version >= 0x205 && bytes[RELOCATABLE_KERNEL] !== 0;
  const alignment = version >= 0x205 ? view.getUint32(KERNEL_ALIGNMENT, true) : 0;
  if (relocatable && !isPowerOfTwo(alignment))
    throw boot.kernelError(kernel, 'kernel_alignment is not a power of two');
  return {
    version,
    codeOffset,
    has64BitEntry: version >= 0x20c && (view.getUint16(XLOADFLAGS, true) & XLF_KERNEL_64) !== 0,
    relocatable,
    alignment,
    prefAddress: version >= 0x20a ? Number(view.getBigUint64(PREF_ADDRESS, true)) : DEFAULT_LOAD_ADDRESS,
    initSize: Math.max(version >= 0x20a ? view.getUint32(INIT_SIZE, true) : 0, bytes.length - codeOffset),
    initrdMax: version >= 0x203 ? view.getUint32(INITRD_ADDR_MAX, true) : 0x37ff_ffff,
    commandLineMax: version >= 0x206 ? view.getUint32(CMDLINE_SIZE, true) : 255,
  };
}

function checkLength(kernel: BootFile, version: number, codeOffset: number, codeSize: number): void {
  const length = kernel.bytes.length;
  // syssize counts whole paragraphs and is only meaningful from 2.04 on.
  const needed = version >= 0x204 ? codeOffset + Math.max(codeSize - 15, 1) : codeOffset + 1;
  if (length < needed) throw boot.kernelError(kernel, `truncated: ${length} bytes of at least ${needed}`);
}

/** Where the protected-mode code goes: its preferred address, else the first one that suits a relocatable kernel. */
function chooseLoadAddress(kernel: BootFile, header: SetupHeader, lowRamEnd: number): number {
  const fits = (address: number): boolean =>
    address >= DEFAULT_LOAD_ADDRESS && address + header.initSize <= lowRamEnd;
  if (header.relocatable || header.version < 0x20a) {
    if (fits(header.prefAddress)) return header.prefAddress;
    const lowest = header.relocatable
      ? alignUp(DEFAULT_LOAD_ADDRESS, header.alignment)
      : DEFAULT_LOAD_ADDRESS;
    if (fits(lowest)) return lowest;
  } else if (fits(DEFAULT_LOAD_ADDRESS) && fits(header.prefAddress)) {
    return DEFAULT_LOAD_ADDRESS;
  }
  const needed = boot.formatMiB(Math.min(header.prefAddress, 2 ** 40) + header.initSize);
  throw boot.kernelError(kernel, `needs about ${needed} of RAM below 4 GiB (-m)`);
}

/** Loads a bzImage, its RAM disk and boot_params, and gives the entry state. */
export function loadLinux(request: BootRequest): InitialCpuState {
  const { kernel, memory } = request;
  const header = parseSetupHeader(kernel);
  const loadAddress = chooseLoadAddress(kernel, header, memory.lowRamEnd);
  const commandLine = data.writeCommandLine(memory, request.commandLine, header.commandLineMax);
  const initrd = data.soleInitrd(request);
  const kernelEnd = loadAddress + header.initSize;
  const initrdAddress =
    initrd === undefined ? 0 : data.placeInitrd(memory, initrd, kernelEnd, header.initrdMax + 1);
  memory.write(loadAddress, kernel.bytes.subarray(header.codeOffset));
  const params = bootParams(request, header);
  params.setUint32(CODE32_START, loadAddress, true);
  params.setUint32(RAMDISK_IMAGE, initrdAddress, true);
  params.setUint32(RAMDISK_SIZE, initrd?.bytes.length ?? 0, true);
  params.setUint32(CMD_LINE_PTR, commandLine, true);
  memory.write(boot.BOOT_PARAMS, new Uint8Array(params.buffer));
  const longMode = header.has64BitEntry && request.longMode;
  data.writeGdt(memory, longMode);
  return {
    mode: longMode ? 'long64' : 'protected32',
    rip: longMode ? loadAddress + ENTRY_64 : loadAddress,
    registers: { rsi: boot.BOOT_PARAMS, rsp: boot.BOOT_STACK_TOP },
    gdtBase: boot.BOOT_GDT,
    gdtLimit: data.GDT_LIMIT,
    codeSelector: data.CODE_SELECTOR,
    dataSelector: data.DATA_SELECTOR,
    cr3: longMode ? data.writePageTables(memory) : 0,
  };
}

/** The zero page with the kernel's own setup header copied in, as far as the loader knows it. */
function bootParams(request: BootRequest, header: SetupHeader): DataView {
  const { bytes } = request.kernel;
  const params = new Uint8Array(BOOT_PARAMS_SIZE);
  const view = new DataView(params.buffer);
  const headerEnd = Math.min(HEADER_MAGIC + bytes[JUMP + 1]!, E820_TABLE, bytes.length);
  params.set(bytes.subarray(SETUP_SECTS, Math.max(headerEnd, SETUP_SECTS)), SETUP_SECTS);
  params[TYPE_OF_LOADER] = LOADER_UNDEFINED;
  params[LOADFLAGS] = bytes[LOADFLAGS]! | CAN_USE_HEAP;
  view.setUint16(HEAP_END_PTR, 0xfe00, true);
  if (header.version >= 0x20e || request.rsdpAddress !== 0) {
    view.setBigUint64(ACPI_RSDP_ADDR, BigInt(request.rsdpAddress), true);
  }
  const map = request.memory.map.slice(0, E820_MAX);
  params[E820_ENTRIES] = map.length;
  map.forEach((entry, i) => {
    const at = E820_TABLE + i * E820_ENTRY_SIZE;
    view.setBigUint64(at, BigInt(entry.address), true);
    view.setBigUint64(at + 8, BigInt(entry.size), true);
    view.setUint32(at + 16, entry.type, true);
  });
  return view;
}

/** Multiboot Specification 0.6.96: 32-bit kernels as ELF or with load addresses in the header. */
import { alignUp } from '../../util/bits.ts';
import type { BootFile, BootModule, BootRequest, InitialCpuState } from './boot.ts';
import * as boot from './boot.ts';
import { isElf, parseElf } from './elf.ts';
import * as data from './guest-data.ts';

const HEADER_MAGIC = 0x1bad_b002;
const LOADER_MAGIC = 0x2bad_b002;
const SEARCH_BYTES = 8192;

// Header flags (3.1.2): bits 0…15 are requirements.
const ALIGN_MODULES = 1 << 0;
const WANT_MEMORY = 1 << 1;
const WANT_VIDEO = 1 << 2;
const HAS_ADDRESSES = 1 << 16;

// Information flags (3.3)
const INFO_MEMORY = 1 << 0;
const INFO_COMMAND_LINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MEMORY_MAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;
const INFO_SIZE = 88;

const MODULE_SIZE = 16;
const MODULES_MAX = 0x800 / MODULE_SIZE;
const MODULE_STRINGS = boot.BOOT_MODULES + 0x800;
const MODULE_STRINGS_END = boot.BOOT_STACK_TOP - 0x4000;
const LOADER_NAME = boot.BOOT_PARAMS + 0x100;
const MAP_ENTRY_SIZE = 24;
const PAGE_SIZE = 4096;

/** Offset of the multiboot header, or -1. */
export function findMultibootHeader(bytes: Uint8Array): number {
  const end = Math.min(bytes.length, SEARCH_BYTES) - 12;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true);
    if (sum % 2 ** 32 === 0) return at;
  }
  return -1;
}

export function loadMultiboot(request: BootRequest): InitialCpuState {
  const { kernel, memory } = request;
  const at = findMultibootHeader(kernel.bytes);
  const view = new DataView(kernel.bytes.buffer, kernel.bytes.byteOffset, kernel.bytes.length);
  const flags = view.getUint32(at + 4, true);
  const unknown = flags & 0xffff & ~(ALIGN_MODULES | WANT_MEMORY | WANT_VIDEO);
  if (unknown !== 0)
    throw boot.kernelError(kernel, `unknown multiboot requirement 0x${unknown.toString(16)}`);
  const image = (flags & HAS_ADDRESSES) !== 0 ? addressedImage(kernel, view, at) : elfImage(kernel);
  const kernelEnd = data.loadSegments(memory, kernel, image.segments);
  const name = kernel.name.split('/').pop() ?? kernel.name;
  const commandLine = data.writeCommandLine(memory, `${name} ${request.commandLine}`.trimEnd(), 0xffff);
  writeModules(request, kernelEnd);
  writeInfo(request, commandLine);
  data.writeGdt(memory, false);
  return {
    mode: 'protected32',
    rip: image.entry,
    registers: { rax: LOADER_MAGIC, rbx: boot.BOOT_PARAMS, rsp: boot.BOOT_STACK_TOP },
    gdtBase: boot.BOOT_GDT,
    gdtLimit: data.GDT_LIMIT,
    codeSelector: data.CODE_SELECTOR,
    dataSelector: data.DATA_SELECTOR,
    cr3: 0,
  };
}

interface ExecutableImage {
  readonly entry: number;
  readonly segments: readonly data.LoadSegment[];
}

/** The header gives the addresses itself (3.1.3); zero load_end_addr: up to the end of the file. */
function addressedImage(kernel: BootFile, view: DataView, at: number): ExecutableImage {
  if (at + 32 > kernel.bytes.length) throw boot.kernelError(kernel, 'truncated in the multiboot header');
  const field = (i: number): number => view.getUint32(at + 12 + 4 * i, true);
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = [
    field(0),
    field(1),
    field(2),
    field(3),
    field(4),
  ];
  const start = at - (headerAddress - loadAddress);
  const loadSize = loadEnd === 0 ? kernel.bytes.length - start : loadEnd - loadAddress;
  if (headerAddress < loadAddress || start < 0 || loadSize <= 0) {
    throw boot.kernelError(kernel, 'inconsistent addresses in the multiboot header');
  }
  if (start + loadSize > kernel.bytes.length) {
    throw boot.kernelError(kernel, `truncated: ${kernel.bytes.length} bytes of ${start + loadSize}`);
  }
  const sizeInMemory = Math.max(loadSize, bssEnd === 0 ? 0 : bssEnd - loadAddress);
  return {
    entry,
    segments: [{ address: loadAddress, sizeInMemory, bytes: kernel.bytes.subarray(start, start + loadSize) }],
  };
}

function elfImage(kernel: BootFile): ExecutableImage {
  if (!isElf(kernel.bytes))
    throw boot.kernelError(kernel, 'a multiboot kernel that is not ELF and gives no load addresses');
  const image = parseElf(kernel);
  if (image.is64) throw boot.kernelError(kernel, 'multiboot needs a 32-bit ELF file, this one is 64-bit');
  return { entry: (image.entry + image.entryToPhysical) >>> 0, segments: image.segments };
}

/** Page-aligned behind the kernel; each gets start, end, string (3.3, mods_addr). */
function writeModules(request: BootRequest, kernelEnd: number): void {
  const { memory, modules } = request;
  if (modules.length > MODULES_MAX) throw boot.initrdError(modules[0]!, `more than ${MODULES_MAX} modules`);
  const list = new DataView(new ArrayBuffer(MODULE_SIZE * Math.max(1, modules.length)));
  let at = alignUp(Math.max(kernelEnd, 0x10_0000), PAGE_SIZE);
  let stringAt = MODULE_STRINGS;
  modules.forEach((module, i) => {
    const end = at + module.bytes.length;
    if (end > memory.lowRamEnd) {
      throw boot.initrdError(
        module,
        `${boot.formatMiB(module.bytes.length)} do not fit behind the kernel (-m too small?)`,
      );
    }
    memory.write(at, module.bytes);
    const text = data.cString(moduleString(module));
    if (stringAt + text.length > MODULE_STRINGS_END)
      throw boot.initrdError(module, 'module arguments are too long');
    memory.write(stringAt, text);
    list.setUint32(i * MODULE_SIZE, at, true);
    list.setUint32(i * MODULE_SIZE + 4, end, true);
    list.setUint32(i * MODULE_SIZE + 8, stringAt, true);
    at = alignUp(end, PAGE_SIZE);
    stringAt += text.length;
  });
  memory.write(boot.BOOT_MODULES, new Uint8Array(list.buffer));
}

function moduleString(module: BootModule): string {
  return module.args === '' ? module.name : `${module.name} ${module.args}`;
}

function writeInfo(request: BootRequest, commandLine: number): void {
  const { memory, modules } = request;
  const info = new DataView(new ArrayBuffer(INFO_SIZE));
  const put = (offset: number, value: number): void => info.setUint32(offset, value, true);
  put(0, INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME);
  put(4, 640); // mem_lower, KiB
  put(8, (memory.lowRamEnd - 0x10_0000) / 1024); // mem_upper, KiB
  put(16, commandLine);
  put(20, modules.length);
  put(24, boot.BOOT_MODULES);
  put(44, MAP_ENTRY_SIZE * memory.map.length);
  put(48, boot.BOOT_MEMORY_MAP);
  put(64, LOADER_NAME);
  memory.write(boot.BOOT_PARAMS, new Uint8Array(info.buffer));
  memory.write(LOADER_NAME, data.cString('lyrebird'));
  const table = new DataView(new ArrayBuffer(MAP_ENTRY_SIZE * memory.map.length));
  memory.map.forEach((entry, i) => {
    const at = i * MAP_ENTRY_SIZE;
    table.setUint32(at, MAP_ENTRY_SIZE - 4, true); // size, not counting itself
    table.setBigUint64(at + 4, BigInt(entry.address), true);
    table.setBigUint64(at + 12, BigInt(entry.size), true);
    table.setUint32(at + 20, entry.type, true);
  });
  memory.write(boot.BOOT_MEMORY_MAP, new Uint8Array(table.buffer));
}

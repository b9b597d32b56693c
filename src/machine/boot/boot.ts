/** Direct boot: what a loader gets, and what it leaves behind. */
import { UserError } from '../../util/errors.ts';

/** A file the user named. `name` is shown in messages. */
export interface BootFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A module besides the kernel: the initial RAM disk, or a multiboot module with its argument string. */
export interface BootModule extends BootFile {
  readonly args: string;
}

/** One row of the map a guest gets: E820 types, 1 = usable RAM, 2 = reserved. */
export interface MemoryMapEntry {
  readonly address: number;
  readonly size: number;
  readonly type: number;
}

export const MEMORY_USABLE = 1;
export const MEMORY_RESERVED = 2;

/** Guest memory as a loader sees it. */
export interface BootMemory {
  /** End of RAM below 4 GiB. */
  readonly lowRamEnd: number;
  /** Bytes of RAM from 4 GiB on. */
  readonly highRamBytes: number;
  readonly map: readonly MemoryMapEntry[];
  write(address: number, bytes: Uint8Array): void;
  zero(address: number, sizeBytes: number): void;
}

export interface BootRequest {
  readonly kernel: BootFile;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  readonly memory: BootMemory;
  /** The CPU has long mode (CPUID.80000001H:EDX.LM). */
  readonly longMode: boolean;
  /** Guest-physical address of the ACPI RSDP, 0 for none. */
  readonly rsdpAddress: number;
}

/**
 * The state of the processor at the kernel's entry. Both modes are flat with interrupts off: CS and the data segments
 * have base 0, limit 4 GiB-1 and the selectors given; registers not named are 0.
 */
export interface InitialCpuState {
  /** `protected32`: paging off. `long64`: 64-bit mode, paging by `cr3`. */
  readonly mode: 'protected32' | 'long64';
  readonly rip: number;
  readonly registers: Readonly<Partial<Record<'rax' | 'rbx' | 'rsi' | 'rsp', number>>>;
  readonly gdtBase: number;
  readonly gdtLimit: number;
  readonly codeSelector: number;
  readonly dataSelector: number;
  readonly cr3: number;
}

/** Conventional memory that the loaders use for what they pass to the kernel. */
export const BOOT_GDT = 0x500;
export const BOOT_PAGE_TABLES = 0x1000; // six pages
export const BOOT_PARAMS = 0x7000;
export const BOOT_MEMORY_MAP = 0x8000;
export const BOOT_MODULES = 0x9000;
export const BOOT_STACK_TOP = 0x2_0000;
export const BOOT_COMMAND_LINE = 0x2_0000;
export const BOOT_COMMAND_LINE_MAX = 0x1_0000;
export const BOOT_DATA_END = 0x3_0000;

export function kernelError(file: BootFile, reason: string): UserError {
  return new UserError('InvalidKernel', `-kernel ${file.name}: ${reason}`);
}

export function initrdError(file: BootFile, reason: string): UserError {
  return new UserError('InvalidInitrd', `-initrd ${file.name}: ${reason}`);
}

export function formatMiB(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

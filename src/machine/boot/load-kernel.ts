/** Chooses the loader by what the kernel file is. */

import type { BootFile, BootRequest, InitialCpuState } from './boot.ts';
import { kernelError } from './boot.ts';
import { isElf } from './elf.ts';
import { isBzImage, loadLinux } from './linux.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import { loadPvh } from './pvh.ts';

export type KernelFormat = 'linux' | 'multiboot' | 'elf';

/** `UserError` if it is none of them. */
export function kernelFormat(kernel: BootFile): KernelFormat {
  const { bytes } = kernel;
  if (isBzImage(bytes)) return 'linux';
  if (findMultibootHeader(bytes) >= 0) return 'multiboot';
  if (isElf(bytes)) return 'elf';
  if (bytes.length === 0) throw kernelError(kernel, 'the file is empty');
  throw kernelError(kernel, 'neither a Linux bzImage, an ELF file nor a multiboot kernel');
}

/** Puts kernel, modules and tables into guest memory. `UserError` for files that cannot be booted. */
export function loadKernel(request: BootRequest): InitialCpuState {
  switch (kernelFormat(request.kernel)) {
    case 'linux':
      return loadLinux(request);
    case 'multiboot':
      return loadMultiboot(request);
    case 'elf':
      return loadPvh(request);
  }
}

/** The files of a direct boot: kernel, RAM disk or multiboot modules, firmware. */
import { kernelFormat } from '../../machine/boot/load-kernel.ts';
import type { FileImage, ModuleImage } from '../../system/protocol.ts';
import { readFirmware, readRoms } from './firmware-files.ts';
import { readSharedFile } from './read-file.ts';

export interface BootPaths {
  /** A path, or the file itself. */
  readonly kernel: string | FileImage | undefined;
  readonly initrd: string | undefined;
  readonly firmware: string | FileImage | undefined;
  /** Directories of `-L`. */
  readonly firmwareDirs: readonly string[];
  /** Firmware is in flash memory: none is needed besides. */
  readonly hasFlash?: boolean;
  /** Names of option ROMs to look for. */
  readonly roms: readonly string[];
}

export interface BootImages {
  readonly kernel: FileImage | undefined;
  readonly modules: readonly ModuleImage[];
  readonly firmware: FileImage | undefined;
  readonly roms: readonly FileImage[];
}

/** `UserError` when one cannot be read, or the kernel is none. */
export function readBootFiles(paths: BootPaths): BootImages {
  const kernel =
    typeof paths.kernel === 'string'
      ? { name: paths.kernel, bytes: readSharedFile(paths.kernel, '-kernel') }
      : paths.kernel;
  const isMultiboot = kernel !== undefined && kernelFormat(kernel) === 'multiboot';
  // A kernel needs no firmware, unless it is asked for; a disk does.
  const { hasFlash = false } = paths;
  const wantsFirmware = !hasFlash && (paths.firmware !== undefined || kernel === undefined);
  const starter = kernel !== undefined && wantsFirmware ? ['linuxboot_dma.bin'] : [];
  return {
    kernel,
    modules: paths.initrd === undefined ? [] : readModules(paths.initrd, isMultiboot),
    firmware: wantsFirmware ? firmwareImage(paths) : undefined,
    roms: readRoms([...paths.roms, ...starter], paths.firmwareDirs),
  };
}

function firmwareImage({ firmware, firmwareDirs }: BootPaths): FileImage {
  return typeof firmware === 'object' ? firmware : readFirmware(firmware, firmwareDirs);
}

/** Multiboot: `file[ arguments][,file…]`, a doubled comma for one in a name. Otherwise one file. */
function readModules(initrd: string, isMultiboot: boolean): ModuleImage[] {
  if (!isMultiboot) return [{ name: initrd, args: '', bytes: readSharedFile(initrd, '-initrd') }];
  return initrd.split(/(?<!,),(?!,)/).map((entry) => {
    const text = entry.replaceAll(',,', ',');
    const space = text.indexOf(' ');
    const name = space < 0 ? text : text.slice(0, space);
    return { name, args: space < 0 ? '' : text.slice(space + 1), bytes: readSharedFile(name, '-initrd') };
  });
}

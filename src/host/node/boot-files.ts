/** The files of a direct boot: kernel, RAM disk or multiboot modules, firmware. */
import { kernelFormat } from '../../machine/boot/load-kernel.ts';
import type { FileImage, ModuleImage } from '../../system/protocol.ts';
import { readSharedFile } from './read-file.ts';

export interface BootPaths {
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly firmware: string | undefined;
}

export interface BootImages {
  readonly kernel: FileImage | undefined;
  readonly modules: readonly ModuleImage[];
  readonly firmware: FileImage | undefined;
}

/** `UserError` when one cannot be read, or the kernel is none. */
export function readBootFiles(paths: BootPaths): BootImages {
  const image = (path: string | undefined, option: string): FileImage | undefined =>
    path === undefined ? undefined : { name: path, bytes: readSharedFile(path, option) };
  const kernel = image(paths.kernel, '-kernel');
  const isMultiboot = kernel !== undefined && kernelFormat(kernel) === 'multiboot';
  return {
    kernel,
    modules: paths.initrd === undefined ? [] : readModules(paths.initrd, isMultiboot),
    firmware: image(paths.firmware, '-bios'),
  };
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

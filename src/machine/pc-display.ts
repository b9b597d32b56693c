/** Which display the board has, and what memory it takes. */
import { romBytes, VIDEO_MEMORY_BYTES } from '../hw/display/vga-pci.ts';

export type VgaKind = 'std' | 'none';

/** The VGA BIOS of the host's packages. */
export const VGA_BIOS = 'vgabios-stdvga.bin';

/** Bytes of the RAM buffer for video memory and VGA BIOS. */
export function displayBytes(kind: VgaKind, roms: ReadonlyMap<string, Uint8Array>): number {
  return kind === 'none' ? 0 : VIDEO_MEMORY_BYTES + romBytes(roms.get(VGA_BIOS));
}

/**
 * A kernel that firmware starts (`-kernel` with `-bios`): setup code, kernel, RAM disk and command line as fw_cfg items,
 * which the option ROM `linuxboot_dma.bin` copies into place. Linux/x86 boot protocol, kernel documentation arch/x86/boot.rst.
 */
import * as fwcfg from '../../hw/nvram/fw-cfg.ts';
import { alignDown } from '../../util/bits.ts';
import { type BootFile, initrdError, kernelError } from '../boot/boot.ts';
import { cString } from '../boot/guest-data.ts';
import { isBzImage, parseSetupHeader } from '../boot/linux.ts';

const SETUP_ADDRESS = 0x1_0000;
const COMMAND_LINE_ADDRESS = 0x2_0000;
const KERNEL_ADDRESS = 0x10_0000;
/** Firmware keeps its tables at the end of low memory. */
const FIRMWARE_RESERVE = 0x2_0000;

const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END_PTR = 0x224;
const CMD_LINE_PTR = 0x228;
const LOADER_QEMU = 0xb0;
const CAN_USE_HEAP = 0x80;

export interface FirmwareKernel {
  readonly kernel: BootFile;
  readonly initrd: BootFile | undefined;
  readonly commandLine: string;
  readonly lowRamEnd: number;
}

/** `UserError` for what is no bzImage, or does not fit. */
export function addKernelItems(fw: fwcfg.FwCfg, request: FirmwareKernel): void {
  const { kernel, initrd, lowRamEnd } = request;
  if (!isBzImage(kernel.bytes)) throw kernelError(kernel, 'firmware (-bios) starts Linux bzImages only');
  const header = parseSetupHeader(kernel);
  const setup = kernel.bytes.slice(0, header.codeOffset);
  const code = kernel.bytes.subarray(header.codeOffset);
  const text = cString(request.commandLine);
  const view = new DataView(setup.buffer);
  setup[TYPE_OF_LOADER] = LOADER_QEMU;
  setup[LOADFLAGS]! |= CAN_USE_HEAP;
  view.setUint16(HEAP_END_PTR, COMMAND_LINE_ADDRESS - SETUP_ADDRESS - 0x200, true);
  view.setUint32(CMD_LINE_PTR, COMMAND_LINE_ADDRESS, true);
  if (initrd !== undefined) {
    const limit = Math.min(header.initrdMax + 1, lowRamEnd - FIRMWARE_RESERVE);
    const at = alignDown(limit - initrd.bytes.length, 4096);
    if (at < KERNEL_ADDRESS + code.length)
      throw initrdError(initrd, 'does not fit behind the kernel (-m too small?)');
    view.setUint32(RAMDISK_IMAGE, at, true);
    view.setUint32(RAMDISK_SIZE, initrd.bytes.length, true);
    fw.addU32(fwcfg.FW_CFG_INITRD_ADDR, at);
    fw.addBytes(fwcfg.FW_CFG_INITRD_DATA, initrd.bytes);
  }
  fw.addU32(fwcfg.FW_CFG_INITRD_SIZE, initrd?.bytes.length ?? 0);
  fw.addU32(fwcfg.FW_CFG_KERNEL_ADDR, KERNEL_ADDRESS);
  fw.addU32(fwcfg.FW_CFG_KERNEL_SIZE, code.length);
  fw.addBytes(fwcfg.FW_CFG_KERNEL_DATA, code);
  fw.addU32(fwcfg.FW_CFG_CMDLINE_ADDR, COMMAND_LINE_ADDRESS);
  fw.addU32(fwcfg.FW_CFG_CMDLINE_SIZE, text.length);
  fw.addBytes(fwcfg.FW_CFG_CMDLINE_DATA, text);
  fw.addU32(fwcfg.FW_CFG_SETUP_ADDR, SETUP_ADDRESS);
  fw.addU32(fwcfg.FW_CFG_SETUP_SIZE, setup.length);
  fw.addBytes(fwcfg.FW_CFG_SETUP_DATA, setup);
}

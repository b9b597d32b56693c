/**
 * Host bridge of the Q35 chipset (82G33/82P35, order 317607): configuration space in memory (PCIEXBAR, 5.1.13), shadow RAM (PAM,
 * 5.1.17) and SMRAM (5.1.24).
 */

import { PciFunction } from './pci-device.ts';
import { lockSmram, type ShadowSegment, type SmramState, shadowSegments, smramOf } from './pci-host.ts';

const PCIEXBAR = 0x60;
const PCIEXBAR_ENABLE = 1;
const PAM = 0x90;
const PAM_REGISTERS = 7;
const SMRAM = 0x9d;
const ESMRAMC = 0x9e;
/** Size of TSEG in MiB beyond the standard ones: a guest that writes all ones is told it. */
const EXT_TSEG_MBYTES = 0x50;
const EXT_TSEG = 16;

const ECAM_SIZES = [256 * 2 ** 20, 128 * 2 ** 20, 64 * 2 ** 20] as const;

export interface MchEvents {
  /** All 13 segments, when one of the PAM registers changed. */
  onShadowChanged(segments: readonly ShadowSegment[]): void;
  onSmramChanged(state: SmramState): void;
  /** Where configuration space lies in memory now; undefined: nowhere. */
  onEcamChanged(window: { readonly address: number; readonly size: number } | undefined): void;
}

export function createMch(events: MchEvents): PciFunction {
  const mch = new PciFunction({ vendorId: 0x8086, deviceId: 0x29c0, classCode: 0x060000 });
  mch.set(EXT_TSEG_MBYTES, 2, EXT_TSEG);
  mch.set(PCIEXBAR, 4, 0xb000_0000);
  mch.allow(PCIEXBAR, 4, 0xfc00_0007);
  mch.allow(PCIEXBAR + 4, 4, 0xf);
  for (let i = 0; i < PAM_REGISTERS; i++) mch.allow(PAM + i, 1, i === 0 ? 0x30 : 0x33);
  mch.set(SMRAM, 1, 0x02);
  mch.allow(SMRAM, 1, 0x78);
  mch.set(ESMRAMC, 1, 0x38);
  mch.allow(ESMRAMC, 1, 0xc7);
  const shadow = (): void => events.onShadowChanged(shadowSegments(mch.config, PAM));
  const ecam = (): void => events.onEcamChanged(ecamWindow(mch));
  const smram = (): void => {
    lockSmram(mch, SMRAM);
    events.onSmramChanged(smramOf(mch, SMRAM));
  };
  const overlaps = (offset: number, size: number, at: number, length: number): boolean =>
    offset < at + length && offset + size > at;
  mch.onConfigWritten = (offset, size) => {
    if (overlaps(offset, size, PAM, PAM_REGISTERS)) shadow();
    if (overlaps(offset, size, PCIEXBAR, 8)) ecam();
    if (overlaps(offset, size, SMRAM, 1)) smram();
  };
  mch.onReset = () => {
    smram();
    shadow();
    ecam();
  };
  return mch;
}

function ecamWindow(mch: PciFunction): { address: number; size: number } | undefined {
  const low = mch.readConfig(PCIEXBAR, 4);
  const size = ECAM_SIZES[(low >> 1) & 3];
  if ((low & PCIEXBAR_ENABLE) === 0 || size === undefined) return undefined;
  const base = Math.floor((low & ~7) >>> 0) + mch.readConfig(PCIEXBAR + 4, 4) * 2 ** 32;
  return { address: base - (base % size), size };
}

/** What firmware does: PCIEXBAR at `address`, all of the BIOS area RAM. */
export function programMch(mch: PciFunction, address: number): void {
  mch.writeConfig(PCIEXBAR + 4, 4, Math.floor(address / 2 ** 32));
  mch.writeConfig(PCIEXBAR, 4, (address | PCIEXBAR_ENABLE) >>> 0);
  for (let i = 0; i < PAM_REGISTERS; i++) mch.writeConfig(PAM + i, 1, 0x33);
}

/** What lies elsewhere on the board `q35` than on `pc` (`pc-map.ts` has what both share). */

/** Configuration space in memory where firmware leaves PCIEXBAR; the default of the host bridge, too. */
export const ECAM_BASE = 0xb000_0000;
export const ECAM_SIZE = 0x1000_0000;
export const ECAM_LAST_BUS = 0xff;

/** RAM below 4 GiB: up to here, else up to the split. */
export const LOW_RAM_LIMIT = 0xb000_0000;
export const LOW_RAM_SPLIT = 0x8000_0000;

/** PM block of the ICH9 as firmware places it: 128 ports with GPE0 at 0x20. */
export const PORT_PM = 0x600;
export const PORT_GPE0 = PORT_PM + 0x20;
export const GPE0_LENGTH = 16;
export const PORT_PCI_HOTPLUG = 0xcc0;

/** RCBA as firmware places it. */
export const ROOT_COMPLEX_BASE = 0xfed1_c000;

export const SLOT_HOST = 0;
export const SLOT_VGA = 1;
export const SLOT_ICH9 = 31;
/** USB controllers, ICH9's function 0 of device 29. */
export const SLOT_USB = 29;
export const FUNCTION_LPC = 0;
export const FUNCTION_SATA = 2;
export const FUNCTION_SMBUS = 3;

/** The PIRQ, 0 for A … 7 for H, that pin 0…3 of a slot leads to as the ICH9's route registers stand after reset. */
export function q35Pirq(slot: number, pin: number): number {
  if (slot === 30) return 4 + pin;
  return slot >= 25 ? pin : 4 + ((slot + pin) & 3);
}

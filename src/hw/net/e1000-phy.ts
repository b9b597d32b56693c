/** The copper PHY of the 82540EM (manual, 13.4.7): one whose auto-negotiation with a gigabit partner has always just finished. */
import { MDIC_ERROR, MDIC_READY } from './e1000-regs.ts';

const PHY_ADDRESS = 1;
const OP_WRITE = 1;
const OP_READ = 2;
export const PHY_REGISTERS = 32;

const CONTROL = 0;
const STATUS = 1;
const SPECIFIC_STATUS = 17;
const CONTROL_RESET = 0x8000;
const CONTROL_RESTART = 0x0200;
const STATUS_LINK = 0x24; // link and auto-negotiation complete
const SPECIFIC_LINK = 0x0400;

/** Registers that can be written. */
const WRITABLE = new Set([CONTROL, 4, 7, 9, 16, 18, 20, 22, 24, 25, 29, 30]);

export function resetPhy(registers: Uint32Array): void {
  registers.fill(0);
  registers[CONTROL] = 0x1140;
  registers[STATUS] = 0x7949;
  registers[2] = 0x0141; // Marvell
  registers[3] = 0x0c20;
  registers[4] = 0x0de1;
  registers[5] = 0xc5e1; // the partner does everything
  registers[6] = 0x000f;
  registers[9] = 0x0e00;
  registers[10] = 0x3c00;
  registers[15] = 0x3000;
  registers[16] = 0x0360;
  registers[SPECIFIC_STATUS] = 0xa800; // 1000 Mb/s, full duplex, resolved
  registers[20] = 0x0d60;
}

/** Carries out MDIC; the register's new value. */
export function accessPhy(registers: Uint32Array, mdic: number, isLinkUp: boolean): number {
  const register = (mdic >> 16) & 31;
  const operation = (mdic >> 26) & 3;
  if (((mdic >> 21) & 31) !== PHY_ADDRESS || (operation !== OP_READ && operation !== OP_WRITE))
    return (mdic | MDIC_ERROR | MDIC_READY) >>> 0;
  if (operation === OP_WRITE) {
    if (register === CONTROL && (mdic & CONTROL_RESET) !== 0) resetPhy(registers);
    else if (WRITABLE.has(register))
      registers[register] = mdic & 0xffff & (register === CONTROL ? ~CONTROL_RESTART : 0xffff);
    return (mdic | MDIC_READY) >>> 0;
  }
  let value = registers[register]!;
  if (isLinkUp && register === STATUS) value |= STATUS_LINK;
  if (isLinkUp && register === SPECIFIC_STATUS) value |= SPECIFIC_LINK;
  return ((mdic & 0xffff0000) | value | MDIC_READY) >>> 0;
}

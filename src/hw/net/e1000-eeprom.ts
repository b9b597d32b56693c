/** The Microwire EEPROM of the 8254x, 64 words (manual, 5.6, and the 93C46's data sheet), reached bit by bit or by EERD. */
import {
  EECD_CS,
  EECD_DI,
  EECD_DO,
  EECD_GNT,
  EECD_PRES,
  EECD_REQ,
  EECD_SK,
  EERD_DONE,
  EERD_START,
} from './e1000-regs.ts';
import { Microwire, type MicrowireState } from './microwire.ts';

const WORDS = 64;
/** All words add up to this (5.6.35). */
const CHECKSUM = 0xbaba;

/** The words of a card with this address and PCI identity. */
export function eepromWords(mac: Uint8Array, device: number, vendor: number): Uint16Array {
  const words = new Uint16Array(WORDS).fill(0xffff);
  for (let i = 0; i < 3; i++) words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  words[3] = 0;
  words[5] = 0;
  words[8] = 0;
  words[9] = 0;
  words[0x0a] = 0x4408; // initialization control 1: signature, 3.3 V auxiliary power absent
  words[0x0b] = device;
  words[0x0c] = vendor;
  words[0x0d] = device;
  words[0x0e] = vendor;
  words[0x0f] = 0x3040; // initialization control 2
  for (let i = 0x10; i < WORDS - 1; i++) words[i] = 0;
  words[WORDS - 1] = 0;
  let sum = 0;
  for (let i = 0; i < WORDS - 1; i++) sum += words[i]!;
  words[WORDS - 1] = (CHECKSUM - sum) & 0xffff;
  return words;
}

export class Eeprom {
  readonly #s: MicrowireState;
  readonly #words: Uint16Array;
  readonly #chip: Microwire;

  constructor(state: MicrowireState, words: Uint16Array) {
    this.#s = state;
    this.#words = words;
    this.#chip = new Microwire(state, words);
  }

  readEecd(): number {
    const { control, out } = this.#s;
    const grant = (control & EECD_REQ) !== 0 ? EECD_GNT : 0;
    return (control & ~EECD_DO) | grant | EECD_PRES | (out ? EECD_DO : 0);
  }

  writeEecd(value: number): void {
    const rises = (value & EECD_SK) !== 0 && (this.#s.control & EECD_SK) === 0;
    this.#s.control = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);
    if ((value & EECD_CS) === 0) this.#chip.deselect();
    else if (rises) this.#chip.clock((value & EECD_DI) !== 0);
  }

  /** EERD: the whole register with the word that was asked for. */
  readWord(eerd: number): number {
    if ((eerd & EERD_START) === 0) return eerd;
    const address = (eerd >> 8) & 0xff;
    return (((this.#words[address] ?? 0xffff) << 16) | (address << 8) | EERD_DONE) >>> 0;
  }
}

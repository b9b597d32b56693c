/** The 93C46 EEPROM of the RTL8139, 64 words, through four bits of the register 9346CR (data sheet, 5.12). */
import { Microwire, type MicrowireState } from './microwire.ts';

const DO = 1;
const DI = 2;
const SK = 4;
const CS = 8;
/** Identification, PCI ids and station address where drivers look for them (data sheet, 8). */
export function rtl8139Words(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(64);
  words[0] = 0x8129;
  words[1] = 0x10ec;
  words[2] = 0x8139;
  words[3] = 0x1100;
  words[4] = 0x1af4;
  for (let i = 0; i < 3; i++) words[7 + i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
  return words;
}

export class Eeprom93c46 {
  readonly #s: MicrowireState;
  readonly #chip: Microwire;

  constructor(state: MicrowireState, words: Uint16Array) {
    this.#s = state;
    this.#chip = new Microwire(state, words);
  }

  read(): number {
    return (this.#s.control & ~DO) | (this.#s.out ? DO : 0);
  }

  write(value: number): void {
    const rises = (value & SK) !== 0 && (this.#s.control & SK) === 0;
    this.#s.control = value & 0xfe;
    // The lines are the EEPROM's only in programming mode (10 in the upper bits).
    if ((value & 0xc0) !== 0x80 || (value & CS) === 0) this.#chip.deselect();
    else if (rises) this.#chip.clock((value & DI) !== 0);
  }
}

/** A serial EEPROM of 64 words of 16 bits on three wires, as network cards have it (93C46 data sheet). It can be read. */
import { bool, type Field, u8, u16 } from '../../core/vmstate.ts';

const WORDS = 64;
const ADDRESS_BITS = 6;
/** Start bit and opcode 10. */
const READ = 6;
const COMMAND_BITS = 3 + ADDRESS_BITS;

export const microwireState = {
  /** The register through which the lines are driven, as last written. */
  control: u8(),
  shift: u16(),
  /** Bits of the command that have come; then bits of data that have gone. */
  count: u8(),
  isReading: bool(),
  out: bool(),
} as const satisfies Readonly<Record<string, Field<unknown>>>;

export interface MicrowireState {
  control: number;
  shift: number;
  count: number;
  isReading: boolean;
  out: boolean;
}

export class Microwire {
  readonly #s: MicrowireState;
  readonly #words: Uint16Array;

  constructor(state: MicrowireState, words: Uint16Array) {
    this.#s = state;
    this.#words = words;
  }

  /** Chip select is low: the next command starts anew; the output says "ready". */
  deselect(): void {
    const s = this.#s;
    s.shift = 0;
    s.count = 0;
    s.isReading = false;
    s.out = true;
  }

  /** A rising edge of the clock while selected. */
  clock(input: boolean): void {
    const s = this.#s;
    if (s.isReading) {
      s.out = ((this.#words[s.shift & (WORDS - 1)]! >> (15 - (s.count & 15))) & 1) !== 0;
      s.count = (s.count + 1) & 15;
      if (s.count === 0) s.shift = (s.shift + 1) & (WORDS - 1);
      return;
    }
    if (s.count === 0 && !input) return; // before the start bit
    s.shift = ((s.shift << 1) | (input ? 1 : 0)) & 0xffff;
    if (++s.count < COMMAND_BITS) return;
    s.isReading = s.shift >> ADDRESS_BITS === READ;
    s.shift &= WORDS - 1;
    s.count = 0;
    s.out = false; // a zero before the data
  }
}

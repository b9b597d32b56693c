/**
 * An AC '97 codec with variable-rate audio and no modem (Audio Codec '97, revision 2.3, chapter 5); it names itself a SigmaTel STAC9700.
 *
 *   00 reset   02 master   04 headphone   06 mono   0a beep   0c phone   0e microphone   10 line in   12 CD   14 video   16 aux
 *   18 PCM out   1a record select   1c record gain   20 general purpose   26 power   28 extended id   2a extended status
 *   2c front DAC rate   32 ADC rate   34 microphone rate   7c, 7e vendor
 */
import { array, defineState, type Stateful, stateful, u16 } from '../../core/vmstate.ts';

const RESET = 0x00;
const MASTER = 0x02;
const PCM_OUT = 0x18;
const POWER = 0x26;
const EXTENDED_ID = 0x28;
const EXTENDED_STATUS = 0x2a;
const DAC_RATE = 0x2c;
const ADC_RATE = 0x32;
const MIC_RATE = 0x34;
const REGISTERS = 64;

const MUTE = 0x8000;
/** DAC, ADC, mixer and reference are ready (5.7.6). */
const READY = 0x000f;
const VARIABLE_RATE = 0x0001;
/** Variable rates of the microphone's converter as well. */
const VARIABLE_MIC_RATE = 0x0008;
const FIXED_RATE_HZ = 48000;
const STEP_DB = 1.5;
/** PCM out: this attenuation is 0 dB. */
const PCM_ZERO_DB = 8;

/** What a register has after reset; the others have 0. */
const DEFAULTS: Readonly<Record<number, number>> = {
  [MASTER]: MUTE,
  4: MUTE,
  6: MUTE,
  12: 0x8008,
  14: 0x8008,
  16: 0x8808,
  18: 0x8808,
  20: 0x8808,
  22: 0x8808,
  [PCM_OUT]: 0x8808,
  28: MUTE,
  [POWER]: READY,
  [EXTENDED_ID]: VARIABLE_RATE | VARIABLE_MIC_RATE,
  [DAC_RATE]: FIXED_RATE_HZ,
  [ADC_RATE]: FIXED_RATE_HZ,
  [MIC_RATE]: FIXED_RATE_HZ,
  124: 0x8384,
  126: 0x7600,
};

/** Bits that can be written; registers that are not named keep their value. */
const WRITABLE: Readonly<Record<number, number>> = {
  [MASTER]: 0xbf3f,
  4: 0xbf3f,
  6: 0x803f,
  10: 0x801e,
  12: 0x801f,
  14: 0x805f,
  16: 0x9f1f,
  18: 0x9f1f,
  20: 0x9f1f,
  22: 0x9f1f,
  [PCM_OUT]: 0x9f1f,
  26: 0x0707,
  28: 0x8f0f,
  30: 0x800f,
  32: 0xffff,
  [POWER]: 0xff00,
  [EXTENDED_STATUS]: VARIABLE_RATE | VARIABLE_MIC_RATE,
  [DAC_RATE]: 0xffff,
  [ADC_RATE]: 0xffff,
  [MIC_RATE]: 0xffff,
};

const schema = defineState('ac97-codec', 1, { registers: array(REGISTERS, u16()) });

export class Ac97Codec {
  readonly vmstate: Stateful;
  readonly #s = schema.create();

  constructor() {
    this.vmstate = stateful(schema, this.#s);
    this.reset();
  }

  reset(): void {
    for (let n = 0; n < REGISTERS; n++) this.#s.registers[n] = DEFAULTS[2 * n] ?? 0;
  }

  /** `offset` is even, below 128. */
  read(offset: number): number {
    return this.#s.registers[offset >> 1]!;
  }

  write(offset: number, value: number): void {
    if (offset === RESET) return this.reset();
    const mask = WRITABLE[offset] ?? 0;
    const at = offset >> 1;
    const isRate = offset === DAC_RATE || offset === ADC_RATE || offset === MIC_RATE;
    // Without variable rates the register keeps 48 kHz (5.9.1).
    const enabled = this.read(EXTENDED_STATUS) & (offset === MIC_RATE ? VARIABLE_MIC_RATE : VARIABLE_RATE);
    if (isRate && (enabled === 0 || value === 0)) return;
    this.#s.registers[at] = (this.#s.registers[at]! & ~mask) | (value & mask);
    if (offset === EXTENDED_STATUS) this.#settleRates();
  }

  #settleRates(): void {
    const status = this.read(EXTENDED_STATUS);
    if ((status & VARIABLE_RATE) === 0)
      for (const rate of [DAC_RATE, ADC_RATE]) this.#s.registers[rate >> 1] = FIXED_RATE_HZ;
    if ((status & VARIABLE_MIC_RATE) === 0) this.#s.registers[MIC_RATE >> 1] = FIXED_RATE_HZ;
  }

  get outputRateHz(): number {
    return this.read(DAC_RATE);
  }

  get inputRateHz(): number {
    return this.read(ADC_RATE);
  }

  get microphoneRateHz(): number {
    return this.read(MIC_RATE);
  }

  /** Factor from the converter to the line out, left or right. */
  outputGain(channel: 'left' | 'right'): number {
    const shift = channel === 'left' ? 8 : 0;
    const [master, pcm] = [this.read(MASTER), this.read(PCM_OUT)];
    if (((master | pcm) & MUTE) !== 0) return 0;
    const steps = ((master >> shift) & 0x3f) + (((pcm >> shift) & 0x1f) - PCM_ZERO_DB);
    return 10 ** ((-STEP_DB * steps) / 20);
  }
}

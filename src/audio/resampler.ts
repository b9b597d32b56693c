/** Brings a stream of frames to another rate by linear interpolation, and to two channels. */
import type { PcmParameters, PcmSource } from '../core/audio.ts';

export class Resampler {
  readonly #source: PcmSource;
  #step = 1;
  #channels: 1 | 2 = 2;
  /** Place of the next output frame between `#before` and `#after`, in input frames; from 1 on the next input frame is due. */
  #position = 1;
  #beforeLeft = 0;
  #beforeRight = 0;
  #afterLeft = 0;
  #afterRight = 0;
  #input = new Int16Array(0);

  constructor(source: PcmSource) {
    this.#source = source;
  }

  /** Frames come at `parameters` from now on, and leave at `outputRateHz`. */
  configure({ rateHz, channels }: PcmParameters, outputRateHz: number): void {
    this.#step = rateHz / outputRateHz;
    this.#channels = channels;
  }

  /** Adds `frames` frames of two channels to `into`. What the source does not have is silence. */
  addTo(into: Int32Array, frames: number): void {
    this.#fetch(Math.floor(this.#position + (frames - 1) * this.#step));
    const input = this.#input;
    const right = this.#channels - 1;
    let position = this.#position;
    let at = 0;
    for (let i = 0; i < frames; i++) {
      for (; position >= 1; position--) {
        this.#beforeLeft = this.#afterLeft;
        this.#beforeRight = this.#afterRight;
        this.#afterLeft = input[at]!;
        this.#afterRight = input[at + right]!;
        at += this.#channels;
      }
      into[2 * i]! += this.#beforeLeft + (this.#afterLeft - this.#beforeLeft) * position;
      into[2 * i + 1]! += this.#beforeRight + (this.#afterRight - this.#beforeRight) * position;
      position += this.#step;
    }
    this.#position = position;
  }

  /** Puts the next `count` frames into `#input`. */
  #fetch(count: number): void {
    const samples = count * this.#channels;
    if (this.#input.length < samples) this.#input = new Int16Array(2 * samples);
    const got = count === 0 ? 0 : this.#source(this.#input, count);
    this.#input.fill(0, got * this.#channels, samples);
  }
}

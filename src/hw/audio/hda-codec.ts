/**
 * A codec on an HD audio link with one output, and if wanted one input (High Definition Audio Specification 1.0a, chapter 7).
 *
 *   0 root   1 audio function group   2 converter → 3 pin (line out, or speaker)   5 pin (line in, or microphone) → 4 converter
 */
import type { AudioBackend, AudioVoice } from '../../core/audio.ts';
import type { Device } from '../../core/device.ts';
import { array, defineState, type Stateful, stateful, u8, u16, u32 } from '../../core/vmstate.ts';
import type { HdaStream } from './hda-stream.ts';

const VENDOR = 0x1af4;
const REVISION = 0x100101;
const NODES = 6;
const [ROOT, GROUP, DAC, OUT_PIN, ADC, IN_PIN] = [0, 1, 2, 3, 4, 5];

/** Widget capabilities, 7.3.4.6. */
const STEREO = 1;
const IN_AMP = 2;
const OUT_AMP = 4;
const AMP_OVERRIDE = 8;
const FORMAT_OVERRIDE = 0x10;
const HAS_CONNECTIONS = 0x100;
const TYPE_OUTPUT = 0;
const TYPE_INPUT = 1 << 20;
const TYPE_PIN = 4 << 20;

/** 16 bits at all rates up to 96 kHz that controllers know (7.3.4.7). */
const PCM_RATES = 0x000201ff;
const PCM_STREAMS = 1;
/** Steps of 1 dB, 74 of them below the 0 dB at the top, and mute (7.3.4.10). */
const AMP_CAPABILITIES = 0x80034a4a;
const AMP_STEPS = 0x4a;
const AMP_MUTE = 0x80;
const PIN_OUTPUT = 0x10;
const PIN_INPUT = 0x20;
const PRESENT = 0x8000_0000;

/** 3.7.1: 48 kHz, 16 bits, two channels. */
const DEFAULT_FORMAT = 0x0011;

const schema = defineState('hda-codec', 1, {
  power: u8(),
  pinControl: array(NODES, u8()),
  /** Stream << 4 | first channel, by node. */
  stream: array(NODES, u8()),
  format: array(NODES, u16(DEFAULT_FORMAT)),
  /** Gain and mute of the converters: node << 1 | right. */
  amp: array(2 * NODES, u8(AMP_STEPS)),
  unsolicited: array(NODES, u8()),
  configuration: array(NODES, u32()),
});

export interface HdaCodecOptions {
  readonly deviceId: number;
  /** Configuration defaults of the pins (7.3.3.31); undefined: there is none. */
  readonly output: number | undefined;
  readonly input: number | undefined;
}

/** Rate and channels of a stream format; undefined for what codecs here do not play. */
export function hdaFormat(format: number): { rateHz: number; channels: 1 | 2 } | undefined {
  const base = (format & 0x4000) !== 0 ? 44100 : 48000;
  const rateHz = (base * (((format >> 11) & 7) + 1)) / (((format >> 8) & 7) + 1);
  const channels = (format & 15) + 1;
  const is16 = ((format >> 4) & 7) === 1;
  return is16 && (format & 0x8000) === 0 && channels <= 2
    ? { rateHz, channels: channels as 1 | 2 }
    : undefined;
}

export class HdaCodec implements Device {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #options: HdaCodecOptions;
  readonly #voices: { readonly output: AudioVoice; readonly input: AudioVoice };
  #stream: { output: HdaStream | undefined; input: HdaStream | undefined } = {
    output: undefined,
    input: undefined,
  };

  constructor(options: HdaCodecOptions, audio: AudioBackend) {
    this.#options = options;
    this.#voices = {
      output: audio.addOutput((into, frames) => this.#play(into, frames)),
      input: audio.addInput((from, frames) => this.#stream.input?.record(from, frames)),
    };
    this.vmstate = stateful(schema, this.#s);
    this.reset();
  }

  reset(): void {
    schema.reset(this.#s);
    this.#s.configuration[OUT_PIN!] = this.#options.output ?? 0;
    this.#s.configuration[IN_PIN!] = this.#options.input ?? 0;
    this.#voices.output.stop();
    this.#voices.input.stop();
    this.#stream = { output: undefined, input: undefined };
  }

  /** A stream of the controller starts or stops; codecs whose converter listens to it follow. */
  streamChanged(number: number, isOutput: boolean, stream: HdaStream | undefined): void {
    const node = isOutput ? DAC! : ADC!;
    const exists = isOutput ? this.#options.output !== undefined : this.#options.input !== undefined;
    const side = isOutput ? 'output' : 'input';
    if (!exists || number === 0 || this.#s.stream[node]! >> 4 !== number) return;
    this.#stream[side] = stream;
    const format = stream && hdaFormat(stream.format);
    if (format === undefined) this.#voices[side].stop();
    else this.#voices[side].start(format);
  }

  #play(into: Int16Array, frames: number): number {
    const stream = this.#stream.output;
    if (stream === undefined) return 0;
    const got = stream.play(into, frames);
    const channels = hdaFormat(stream.format)?.channels ?? 1;
    const gains = [this.#gain(0), this.#gain(1)];
    for (let i = 0; i < got * channels; i++) into[i] = into[i]! * gains[i % channels]!;
    return got;
  }

  #gain(right: 0 | 1): number {
    const amp = this.#s.amp[(DAC! << 1) | right]!;
    return (amp & AMP_MUTE) !== 0 ? 0 : 10 ** (((amp & 0x7f) - AMP_STEPS) / 20);
  }

  /** Carries out a verb: 20 bits, for a node. Returns the response. */
  command(node: number, verb: number): number {
    if (!this.#has(node)) return 0;
    const short = verb >> 16;
    const payload16 = verb & 0xffff;
    if (short === 2) return this.#setFormat(node, payload16);
    if (short === 3) return this.#setAmp(node, payload16);
    if (short === 0xa) return this.#s.format[node]!;
    if (short === 0xb) return this.#s.amp[(node << 1) | ((payload16 & 0x2000) !== 0 ? 0 : 1)]!;
    return this.#long(node, verb >> 8, verb & 0xff);
  }

  #has(node: number): boolean {
    const { output, input } = this.#options;
    return node <= GROUP! || (node <= OUT_PIN! ? output !== undefined : node < NODES && input !== undefined);
  }

  #long(node: number, verb: number, payload: number): number {
    const s = this.#s;
    switch (verb) {
      case 0xf00:
        return this.#parameter(node, payload);
      case 0xf02:
        return payload === 0 ? this.#connection(node) : 0;
      case 0x705:
        s.power = payload & 0x0f;
        return 0;
      case 0xf05:
        return s.power | (s.power << 4);
      case 0x706:
        s.stream[node] = payload;
        return 0;
      case 0xf06:
        return s.stream[node]!;
      case 0x707:
        s.pinControl[node] = payload;
        return 0;
      case 0xf07:
        return s.pinControl[node]!;
      case 0x708:
        s.unsolicited[node] = payload;
        return 0;
      case 0xf08:
        return s.unsolicited[node]!;
      case 0xf09:
        return node === OUT_PIN || node === IN_PIN ? PRESENT : 0;
      case 0xf1c:
        return s.configuration[node]!;
      case 0xf20:
        return (VENDOR << 16) | this.#options.deviceId;
      case 0x7ff:
        if (node === GROUP) this.reset();
        return 0;
      default:
        return this.#setConfiguration(node, verb, payload);
    }
  }

  /** 71C … 71F: a byte of the pin's configuration. */
  #setConfiguration(node: number, verb: number, payload: number): number {
    if (verb < 0x71c || verb > 0x71f) return 0;
    const shift = 8 * (verb - 0x71c);
    this.#s.configuration[node] =
      ((this.#s.configuration[node]! & ~(0xff << shift)) | (payload << shift)) >>> 0;
    return 0;
  }

  #setFormat(node: number, format: number): number {
    this.#s.format[node] = format;
    return 0;
  }

  /** 7.3.3.7: bit 15 output, 14 input, 13 left, 12 right, 7 mute, 6:0 gain. */
  #setAmp(node: number, payload: number): number {
    const isOwn = (payload & (node === ADC ? 0x4000 : 0x8000)) !== 0;
    if (isOwn && (payload & 0x2000) !== 0) this.#s.amp[node << 1] = payload & 0xff;
    if (isOwn && (payload & 0x1000) !== 0) this.#s.amp[(node << 1) | 1] = payload & 0xff;
    return 0;
  }

  #connection(node: number): number {
    return node === OUT_PIN ? DAC! : node === ADC ? IN_PIN! : 0;
  }

  #parameter(node: number, parameter: number): number {
    const isConverter = node === DAC || node === ADC;
    const isPin = node === OUT_PIN || node === IN_PIN;
    switch (parameter) {
      case 0x00:
        return node === ROOT ? (VENDOR << 16) | this.#options.deviceId : 0;
      case 0x02:
        return node === ROOT ? REVISION : 0;
      case 0x04:
        return node === ROOT ? (GROUP! << 16) | 1 : node === GROUP ? this.#widgets() : 0;
      case 0x05:
        return node === GROUP ? 1 : 0;
      case 0x09:
        return this.#widgetCapabilities(node);
      case 0x0a:
        return isConverter || node === GROUP ? PCM_RATES : 0;
      case 0x0b:
        return isConverter || node === GROUP ? PCM_STREAMS : 0;
      case 0x0c:
        return isPin ? (node === OUT_PIN ? PIN_OUTPUT : PIN_INPUT) : 0;
      case 0x0d:
        return node === ADC ? AMP_CAPABILITIES : 0;
      case 0x0e:
        return node === OUT_PIN || node === ADC ? 1 : 0;
      case 0x0f:
        return node === GROUP ? 0x09 : 0; // D0 and D3
      case 0x12:
        return node === DAC ? AMP_CAPABILITIES : 0;
      default:
        return 0;
    }
  }

  /** First widget << 16 | count. */
  #widgets(): number {
    const { output, input } = this.#options;
    if (output === undefined) return (ADC! << 16) | 2;
    return (DAC! << 16) | (input === undefined ? 2 : 4);
  }

  #widgetCapabilities(node: number): number {
    switch (node) {
      case DAC:
        return TYPE_OUTPUT | STEREO | OUT_AMP | AMP_OVERRIDE | FORMAT_OVERRIDE;
      case OUT_PIN:
        return TYPE_PIN | STEREO | HAS_CONNECTIONS;
      case ADC:
        return TYPE_INPUT | STEREO | IN_AMP | AMP_OVERRIDE | FORMAT_OVERRIDE | HAS_CONNECTIONS;
      case IN_PIN:
        return TYPE_PIN | STEREO;
      default:
        return 0;
    }
  }
}

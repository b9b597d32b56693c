/** One `-audiodev`: mixes the voices of the devices into one stream of two channels, in time with the machine's clock. */
import type { AudioBackend, AudioVoice, PcmParameters, PcmSink, PcmSource } from '../core/audio.ts';
import type { Timer, TimerService } from '../core/timer.ts';
import { Resampler } from './resampler.ts';

const PERIOD_NS = 10e6;
/** After a longer pause of the timer (the host was busy) the time between is lost. */
const MAX_CATCH_UP_NS = 500e6;

export interface MixerOptions {
  /** Of the mixed stream. */
  readonly rateHz: number;
  readonly timers: TimerService;
  /** Takes what was mixed: frames of two channels. Without one the sound is lost. */
  readonly output?: PcmSink;
}

interface Running {
  readonly isRunning: boolean;
  /** One period: `elapsedNs` have passed. */
  run(frames: number, elapsedNs: number, mixed: Int32Array): void;
}

export class AudioMixer implements AudioBackend {
  readonly #options: MixerOptions;
  readonly #timer: Timer;
  readonly #voices: Running[] = [];
  #mixed = new Int32Array(0);
  #samples = new Int16Array(0);
  /** When the stream began, and how much of it has been mixed. */
  #startNs = 0;
  #frames = 0;
  #lastNs = 0;

  constructor(options: MixerOptions) {
    this.#options = options;
    this.#timer = options.timers.create(() => this.#run());
  }

  addOutput(source: PcmSource): AudioVoice {
    const voice = new OutputVoice(source, this.#options.rateHz, () => this.#wake());
    this.#voices.push(voice);
    return voice;
  }

  addInput(sink: PcmSink): AudioVoice {
    const voice = new SilentInput(sink, () => this.#wake());
    this.#voices.push(voice);
    return voice;
  }

  /** A voice starts. */
  #wake(): void {
    if (this.#timer.isArmed) return;
    this.#startNs = this.#options.timers.nowNs();
    this.#lastNs = this.#startNs;
    this.#frames = 0;
    this.#timer.arm(this.#startNs + PERIOD_NS);
  }

  #run(): void {
    const { timers, rateHz } = this.#options;
    const nowNs = timers.nowNs();
    if (nowNs - this.#lastNs > MAX_CATCH_UP_NS) this.#skipTo(nowNs - PERIOD_NS);
    const due = Math.floor(((nowNs - this.#startNs) * rateHz) / 1e9) - this.#frames;
    this.#mix(due, nowNs - this.#lastNs);
    this.#frames += due;
    this.#lastNs = nowNs;
    if (this.#voices.some((voice) => voice.isRunning)) this.#timer.arm(nowNs + PERIOD_NS);
  }

  #skipTo(nowNs: number): void {
    this.#startNs = nowNs;
    this.#lastNs = nowNs;
    this.#frames = 0;
  }

  #mix(frames: number, elapsedNs: number): void {
    if (this.#mixed.length < 2 * frames) {
      this.#mixed = new Int32Array(4 * frames);
      this.#samples = new Int16Array(4 * frames);
    }
    const mixed = this.#mixed.subarray(0, 2 * frames).fill(0);
    for (const voice of this.#voices) if (voice.isRunning) voice.run(frames, elapsedNs, mixed);
    const samples = this.#samples;
    for (let i = 0; i < mixed.length; i++) samples[i] = Math.max(-32768, Math.min(32767, mixed[i]!));
    if (frames > 0) this.#options.output?.(samples, frames);
  }
}

class OutputVoice implements AudioVoice, Running {
  isRunning = false;
  readonly #resampler: Resampler;
  readonly #outputRateHz: number;
  readonly #wake: () => void;

  constructor(source: PcmSource, outputRateHz: number, wake: () => void) {
    this.#resampler = new Resampler(source);
    this.#outputRateHz = outputRateHz;
    this.#wake = wake;
  }

  start(parameters: PcmParameters): void {
    this.#resampler.configure(parameters, this.#outputRateHz);
    this.isRunning = true;
    this.#wake();
  }

  stop(): void {
    this.isRunning = false;
  }

  run(frames: number, _elapsedNs: number, mixed: Int32Array): void {
    if (frames > 0) this.#resampler.addTo(mixed, frames);
  }
}

/** What a microphone hears that is not connected. */
class SilentInput implements AudioVoice, Running {
  isRunning = false;
  readonly #sink: PcmSink;
  readonly #wake: () => void;
  #parameters: PcmParameters = { rateHz: 0, channels: 1 };
  /** Part of a frame that is due, 0 … 1. */
  #due = 0;

  constructor(sink: PcmSink, wake: () => void) {
    this.#sink = sink;
    this.#wake = wake;
  }

  start(parameters: PcmParameters): void {
    this.#parameters = parameters;
    this.isRunning = true;
    this.#wake();
  }

  stop(): void {
    this.isRunning = false;
  }

  run(_frames: number, elapsedNs: number): void {
    const { rateHz, channels } = this.#parameters;
    const due = this.#due + (elapsedNs * rateHz) / 1e9;
    const frames = Math.floor(due);
    this.#due = due - frames;
    if (frames > 0) this.#sink(new Int16Array(frames * channels), frames);
  }
}

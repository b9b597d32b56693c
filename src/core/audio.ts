/** Sound between devices and the host. Samples are signed 16-bit numbers; the channels of a frame follow one another. */

export interface PcmParameters {
  readonly rateHz: number;
  readonly channels: 1 | 2;
}

/** A stream of a device: a digital-to-analog converter, or one the other way. */
export interface AudioVoice {
  readonly isRunning: boolean;
  /** Begins at these parameters, or goes on with others. */
  start(parameters: PcmParameters): void;
  stop(): void;
}

/** Copies up to `frames` frames into `into` and returns how many there were. */
export type PcmSource = (into: Int16Array, frames: number) => number;
/** Takes `frames` frames. */
export type PcmSink = (from: Int16Array, frames: number) => void;

/** One `-audiodev`, as devices see it. Time is the machine's: while it stands still no voice is asked for samples. */
export interface AudioBackend {
  addOutput(source: PcmSource): AudioVoice;
  addInput(sink: PcmSink): AudioVoice;
}

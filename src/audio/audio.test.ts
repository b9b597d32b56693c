import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { TimerQueue } from '../core/timer.ts';
import { AudioMixer } from './audio-mixer.ts';
import { parseAudiodev } from './audiodev.ts';
import { StreamSink } from './stream-sink.ts';

/** A mixer whose stream of two channels is kept in `left` and `right`. */
function world(rateHz: number): {
  mixer: AudioMixer;
  left: number[];
  right: number[];
  pass(ms: number): void;
} {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const left: number[] = [];
  const right: number[] = [];
  const output = (samples: Int16Array, frames: number): void => {
    for (let i = 0; i < frames; i++) {
      left.push(samples[2 * i]!);
      right.push(samples[2 * i + 1]!);
    }
  };
  return {
    mixer: new AudioMixer({ rateHz, timers, output }),
    left,
    right,
    pass: (ms) => {
      for (let i = 0; i < ms; i++) {
        clock.advance(1e6);
        timers.runExpired();
      }
    },
  };
}

/** A sine of one or two channels without an end. */
function sine(rateHz: number, hz: number, level: number, channels: 1 | 2) {
  let at = 0;
  return (into: Int16Array, frames: number): number => {
    for (let i = 0; i < frames; i++, at++)
      for (let c = 0; c < channels; c++)
        into[i * channels + c] = Math.round(level * Math.sin((2 * Math.PI * hz * at) / rateHz));
    return frames;
  };
}

/** Frequency by crossings of zero upwards. */
function frequency(samples: readonly number[], rateHz: number): number {
  const crossings = samples.flatMap((s, i) => (i > 0 && samples[i - 1]! < 0 && s >= 0 ? [i] : []));
  return ((crossings.length - 1) * rateHz) / (crossings.at(-1)! - crossings[0]!);
}

test('a voice keeps its pitch, level and length at another rate', () => {
  for (const [rateHz, channels] of [
    [8000, 1],
    [22050, 2],
    [48000, 2],
    [44100, 1],
  ] as const) {
    const { mixer, left, right, pass } = world(44100);
    mixer.addOutput(sine(rateHz, 440, 10000, channels)).start({ rateHz, channels });
    pass(1000);
    assert.equal(left.length, 44100, `${rateHz} Hz`);
    assert.deepEqual(left, right);
    assert.ok(Math.abs(frequency(left, 44100) - 440) < 1, `${frequency(left, 44100)} Hz`);
    const peak = Math.max(...left);
    assert.ok(peak > 9500 && peak <= 10000, `level ${peak}`);
  }
});

test('voices are added, and clipped where they exceed the range', () => {
  const { mixer, left, pass } = world(48000);
  for (let i = 0; i < 3; i++)
    mixer
      .addOutput((into, frames) => into.fill(-15000, 0, frames).length && frames)
      .start({ rateHz: 48000, channels: 1 });
  pass(20);
  assert.equal(left.at(-1), -32768);
});

test('a source that runs dry is silent, a stopped one is not asked', () => {
  const { mixer, left, pass } = world(48000);
  let asked = 0;
  const voice = mixer.addOutput(() => {
    asked++;
    return 0;
  });
  voice.start({ rateHz: 48000, channels: 2 });
  pass(30);
  assert.equal(asked, 3);
  assert.ok(left.every((sample) => sample === 0));
  voice.stop();
  pass(50);
  assert.equal(asked, 3);
  assert.equal(left.length, 48 * 40, 'no frames while nothing plays, but for the period it stopped in');
});

test('an input gets silence at its own rate', () => {
  const { mixer, pass } = world(44100);
  let frames = 0;
  mixer.addInput((_, count) => (frames += count)).start({ rateHz: 11025, channels: 1 });
  pass(1000);
  assert.ok(Math.abs(frames - 11025) <= 1);
});

test('sound that the host does not take at once waits', () => {
  const taken: number[] = [];
  let room = 6;
  let onWritable = (): void => {};
  const sink = new StreamSink({
    writeBytes: (bytes) => {
      const count = Math.min(room, bytes.length);
      taken.push(...bytes.subarray(0, count));
      room -= count;
      return count;
    },
    connect: (frontend) => (onWritable = () => frontend.onWritable()),
  });
  sink.write(Int16Array.of(1, 2), 1);
  sink.write(Int16Array.of(3, 4), 1);
  sink.write(Int16Array.of(5, 6), 1);
  assert.equal(taken.length, 6);
  room = 100;
  onWritable();
  assert.deepEqual([...new Int16Array(Uint8Array.from(taken).buffer)], [1, 2, 3, 4, 5, 6]);
});

test('-audiodev', () => {
  assert.deepEqual(parseAudiodev('wav,id=a,path=x.wav,out.frequency=48000'), {
    id: 'a',
    driver: 'wav',
    rateHz: 48000,
    path: 'x.wav',
  });
  for (const bad of ['wav', 'oss,id=a', 'none,id=a,out.frequency=1', 'none,id=a,foo=1'])
    assert.throws(() => parseAudiodev(bad), { name: 'UserError' }, bad);
});

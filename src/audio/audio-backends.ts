/** The machine's `-audiodev`s. */
import type { AudioBackend } from '../core/audio.ts';
import type { TimerService } from '../core/timer.ts';
import { AudioMixer } from './audio-mixer.ts';
import type { AudiodevConfig } from './audiodev.ts';
import { type ByteStream, StreamSink } from './stream-sink.ts';

const SILENT_RATE_HZ = 44100;

/** Among the machine's byte streams, that of an `-audiodev`. */
export function audioStreamName(id: string): string {
  return `audiodev:${id}`;
}

/** Finds back ends by id; without an id the first, and where there is none a silent one. `stream`: where an `-audiodev` sends its sound. */
export function audioBackends(
  configs: readonly AudiodevConfig[],
  timers: TimerService,
  stream: (id: string) => ByteStream | undefined,
): (id: string | undefined) => AudioBackend | undefined {
  const backends = new Map<string, AudioBackend>();
  for (const { id, rateHz } of configs) {
    const bytes = stream(id);
    const sink = bytes && new StreamSink(bytes);
    const output = sink && ((samples: Int16Array, frames: number) => sink.write(samples, frames));
    backends.set(id, new AudioMixer({ rateHz, timers, ...(output && { output }) }));
  }
  return (id) => {
    if (id !== undefined) return backends.get(id);
    const [first] = backends.values();
    return first ?? new AudioMixer({ rateHz: SILENT_RATE_HZ, timers });
  };
}

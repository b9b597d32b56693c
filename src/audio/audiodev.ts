/** `-audiodev DRIVER,id=ID[,…]`. */
import { OptionList } from '../util/option-list.ts';

export type AudioDriver = 'none' | 'wav';

/** Plain data. */
export interface AudiodevConfig {
  readonly id: string;
  readonly driver: AudioDriver;
  /** Of the stream that voices are mixed into. */
  readonly rateHz: number;
  /** `wav`: where it is written. */
  readonly path: string;
}

export const AUDIO_DRIVERS = ['none', 'wav'] as const;
const DEFAULT_RATE_HZ = 44100;
const MIN_RATE_HZ = 4000;
const MAX_RATE_HZ = 192000;

/** `UserError` for what cannot be. Settings of host players (buffer lengths) are taken and have no effect. */
export function parseAudiodev(text: string): AudiodevConfig {
  const options = new OptionList(text, `-audiodev ${text}`, 'driver');
  const driver = options.choice('driver', AUDIO_DRIVERS, 'none');
  const id = options.required('id');
  const path = options.text('path') ?? 'qemu.wav';
  const rateHz = Number(options.text('out.frequency') ?? DEFAULT_RATE_HZ);
  if (!Number.isInteger(rateHz) || rateHz < MIN_RATE_HZ || rateHz > MAX_RATE_HZ)
    throw options.error(`"out.frequency" must be ${MIN_RATE_HZ} to ${MAX_RATE_HZ}`);
  if (options.text('out.channels') !== undefined && options.text('out.channels') !== '2')
    throw options.error('"out.channels" must be 2');
  for (const side of ['in', 'out'])
    for (const name of [
      'buffer-length',
      'buffer-count',
      'fixed-settings',
      'mixing-engine',
      'voices',
      'format',
    ])
      options.text(`${side}.${name}`);
  options.text('timer-period');
  options.finish();
  return { id, driver, rateHz, path };
}

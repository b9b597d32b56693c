import type { RtcConfig } from '../system/config.ts';
import { OptionList } from '../util/option-list.ts';

/** `-rtc [base=utc|localtime|DATE][,clock=host|rt|vm][,driftfix=none|slew]`. */
export function parseRtc(text: string): RtcConfig {
  const options = new OptionList(text, `-rtc ${text}`, 'base');
  const base = options.text('base') ?? 'utc';
  const clock = options.choice('clock', ['host', 'rt', 'vm'] as const, 'host');
  options.choice('driftfix', ['none', 'slew'] as const, 'none');
  options.finish();
  const offsetMs = base === 'localtime' ? -new Date().getTimezoneOffset() * 60_000 : 0;
  let startMs: number | undefined;
  if (base !== 'utc' && base !== 'localtime') {
    const valid = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$/.test(base);
    startMs = valid ? Date.parse(base.includes('T') ? `${base}Z` : base) : Number.NaN;
    if (Number.isNaN(startMs))
      throw options.error(`"${base}" is neither utc, localtime nor a date like 2026-01-31T12:00:00`);
  }
  return { startMs, offsetMs, clock: clock === 'vm' ? 'vm' : 'host' };
}

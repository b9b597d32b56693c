// Debian's kernel plays a tone with its own drivers; the file that arrives is compared with the tone.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emulatorCommand, emulatorMissing } from '../support/emulator.ts';
import { GuestProcess } from '../support/guest-process.ts';
import { ensureGuests, guestFile, initrdWith, ownGuest, PROMPT } from '../support/guests.ts';

const BOOT_MS = Number(process.env['LYREBIRD_BOOT_TIMEOUT'] ?? 300) * 1000;
/** What /dev/dsp takes unless told otherwise: unsigned bytes of one channel. */
const DSP_RATE_HZ = 8000;
const SECONDS = 3;
const TONE_HZ = 440;
const LEVEL = 0.5;
const WAV_HEADER = 44;

function tone(): Uint8Array {
  return Uint8Array.from({ length: SECONDS * DSP_RATE_HZ }, (_, i) =>
    Math.round(128 + 127 * LEVEL * Math.sin((2 * Math.PI * TONE_HZ * i) / DSP_RATE_HZ)),
  );
}

/** The left channel from the first to the last sample that is not silence, and the rate. */
function heard(path: string): { samples: Int16Array; rateHz: number } {
  const file = readFileSync(path);
  assert.equal(file.toString('latin1', 0, 4), 'RIFF');
  assert.equal(file.readUInt32LE(40), file.length - WAV_HEADER, 'the size in the header');
  const all = Int16Array.from({ length: (file.length - WAV_HEADER) / 4 }, (_, i) =>
    file.readInt16LE(WAV_HEADER + 4 * i),
  );
  const loud = [...all.keys()].filter((i) => Math.abs(all[i]!) > 500);
  return { samples: all.slice(loud[0], loud.at(-1)! + 1), rateHz: file.readUInt32LE(24) };
}

/** Periods of the tone, from one crossing of zero upwards to the next. A gap, where the guest could not keep up, is one long period. */
function periods(samples: Int16Array): number[] {
  const crossings = [...samples.keys()].filter((i) => i > 0 && samples[i - 1]! < 0 && samples[i]! >= 0);
  return crossings.slice(1).map((at, i) => at - crossings[i]!);
}

/** By the name of the driver: `-device` of each, the last with the sound. */
const CARDS = {
  'snd-intel8x0': ['AC97'],
  'snd-hda-intel': ['intel-hda', 'hda-duplex'],
} as const;

for (const [driver, devices] of Object.entries(CARDS)) {
  test(`Debian's ${driver} plays a tone through ${devices.at(-1)}`, { timeout: 2 * BOOT_MS }, async (t) => {
    const missing = emulatorMissing() ?? ensureGuests('sound-modules', 'busybox');
    if (missing !== undefined) return t.skip(missing);
    const dir = mkdtempSync(join(tmpdir(), 'lyrebird-sound-'));
    const wav = join(dir, 'heard.wav');
    const files = { tone: tone(), volume: readFileSync(ownGuest('full-volume')) };
    const withFiles = await initrdWith(guestFile('busybox', 'initrd.gz'), files);
    const initrd = join(dir, 'initrd');
    const first = readFileSync(withFiles.path);
    const modules = readFileSync(guestFile('sound-modules', 'modules.cpio'));
    writeFileSync(initrd, Buffer.concat([first, Buffer.alloc(-first.length & 511), modules]));
    const run = new GuestProcess([
      ...emulatorCommand(),
      ...['-m', '256', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      ...['-kernel', guestFile('sound-modules', 'vmlinuz'), '-initrd', initrd],
      ...['-append', 'console=ttyS0 quiet no_timer_check'],
      ...['-audiodev', `wav,id=a,path=${wav}`],
      ...devices.slice(0, -1).flatMap((device) => ['-device', device]),
      ...['-device', `${devices.at(-1)},audiodev=a`],
    ]);
    try {
      await run.expect(PROMPT, BOOT_MS);
      // The card appears some time after its module.
      run.send(
        '/load-sound; until [ -c /dev/dsp ]; do sleep 1; done; /volume; cat /tone > /dev/dsp && echo pla""yed\n',
      );
      await run.expect('played', BOOT_MS);
      run.send('poweroff -f\n');
      assert.equal(await run.exited(BOOT_MS), 0);
      const { samples, rateHz } = heard(wav);
      const all = periods(samples);
      const whole = all.filter((period) => Math.abs((period * TONE_HZ) / rateHz - 1) < 0.02);
      const hz = (rateHz * whole.length) / whole.reduce((sum, period) => sum + period, 0);
      assert.ok(Math.abs(hz - TONE_HZ) < 2, `${hz} Hz`);
      const seconds = whole.length / TONE_HZ;
      assert.ok(Math.abs(seconds - SECONDS) < 0.1, `${seconds} s of tone in ${samples.length / rateHz} s`);
      const peak = samples.reduce((most, sample) => Math.max(most, sample), 0) / 32768;
      assert.ok(Math.abs(peak - LEVEL) < 0.08, `level ${peak}`);
    } finally {
      await run.close();
      withFiles.remove();
      rmSync(dir, { recursive: true });
    }
  });
}

// The guests that tests and benchmarks boot: Debian's, fetched on demand, and our own from dist/guests.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './emulator.ts';

/** What the shell in our initramfs prints when it is ready (tools/guests/initramfs.mjs). */
export const PROMPT = 'lyrebird# ';

/** The path of one file of a fetched guest. */
export const guestFile = (name: string, file: string): string => join(root, '.cache', 'guests', name, file);

/** The path of one of our own guests. */
export const ownGuest = (name: string): string => join(root, 'dist', 'guests', `${name}.bin`);

/**
 * Fetches the named guests unless they are there. Returns why that is not possible, in one line, or undefined.
 */
export function ensureGuests(...names: string[]): string | undefined {
  const run = spawnSync(process.execPath, [join(root, 'tools', 'fetch-guests.mjs'), ...names], {
    encoding: 'utf8',
  });
  if (run.status === 0) return undefined;
  return run.stderr.trim().split('\n').at(-1) ?? 'tools/fetch-guests.mjs failed';
}

interface CpioModule {
  writeCpio(
    entries: readonly { path: string; type: string; mode: number; data: string | Uint8Array }[],
  ): Uint8Array;
}

/**
 * Writes an initrd made of `base` and extra files (path → contents, executable) into a temporary directory; Linux unpacks
 * one archive after the other. Call `remove()` when done.
 */
export async function initrdWith(
  base: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<{ path: string; remove(): void }> {
  const cpio = (await import(pathToFileURL(join(root, 'tools/guests/cpio.mjs')).href)) as CpioModule;
  const extra = cpio.writeCpio(
    Object.entries(files).map(([path, data]) => ({ path, type: 'file', mode: 0o755, data })),
  );
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-initrd-'));
  const path = join(dir, 'initrd.gz');
  const first = readFileSync(base);
  const padding = Buffer.alloc(-first.length & 511);
  writeFileSync(path, Buffer.concat([first, padding, extra]));
  return { path, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** True when the program is on the PATH. */
export function haveProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, name)));
}

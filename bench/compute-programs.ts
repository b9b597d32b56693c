// The compute programs of bench/programs, built by the host's gcc for two levels of the x86-64 architecture.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../tests/support/emulator.ts';

export interface Program {
  readonly name: string;
  readonly title: string;
  /** Spends its time in vector instructions when built for x86-64-v3. */
  readonly vector: boolean;
}

export const PROGRAMS: readonly Program[] = [
  { name: 'matrix-float', title: 'matrix multiply, float', vector: true },
  { name: 'matrix-double', title: 'matrix multiply, double', vector: true },
  { name: 'mandelbrot', title: 'Mandelbrot set, float', vector: true },
  { name: 'nbody', title: 'n-body, double', vector: true },
  { name: 'filter', title: 'picture filter, bytes', vector: true },
  { name: 'memcpy', title: 'memcpy', vector: true },
  { name: 'sha256', title: 'SHA-256', vector: false },
  { name: 'aes', title: 'AES-128', vector: false },
  { name: 'zlib', title: 'zlib', vector: false },
  { name: 'qsort', title: 'qsort', vector: false },
  { name: 'interpreter', title: 'interpreter loop', vector: false },
  { name: 'chase', title: 'pointer chase', vector: false },
];

export const LEVELS = ['x86-64', 'x86-64-v3'] as const;
export type Level = (typeof LEVELS)[number];

export interface Build {
  readonly level: Level;
  readonly path: string;
  /** What each program prints on the host, by its name; programs that this host cannot build are missing. */
  readonly expected: ReadonlyMap<string, string>;
}

const SOURCES = join(root, 'bench', 'programs');

function haveZlib(dir: string): boolean {
  const args = ['-x', 'c', '-', '-static', '-lz', '-o', join(dir, 'probe')];
  return (
    spawnSync('gcc', args, { input: '#include <zlib.h>\nint main(void) { return !zlibVersion(); }' })
      .status === 0
  );
}

function build(dir: string, level: Level, zlib: boolean): Build {
  const path = join(dir, `bench-${level}`);
  const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
  const libraries = ['-lm', ...(zlib ? ['-DWITH_ZLIB', '-lz'] : [])];
  execFileSync('gcc', ['-O3', `-march=${level}`, '-static', '-o', path, ...sources, ...libraries], {
    cwd: SOURCES,
  });
  const names = PROGRAMS.map(({ name }) => name).filter((name) => zlib || name !== 'zlib');
  const lines = execFileSync(path, names, { encoding: 'utf8' }).trim().split('\n');
  return { level, path, expected: new Map(lines.map((line) => [line.split(' ')[0] ?? '', line])) };
}

/** Builds the programs into a temporary directory and runs them on this processor, which must have AVX2. Call `remove()` when done. */
export function buildPrograms(): { builds: readonly Build[]; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-bench-'));
  mkdirSync(dir, { recursive: true });
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    const zlib = haveZlib(dir);
    if (!zlib) console.error('no static zlib (apt-get install zlib1g-dev): measuring without it');
    return { builds: LEVELS.map((level) => build(dir, level, zlib)), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

// Which emulator the boot tests and benchmarks drive: the checkout's own unless the environment names another.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout's root; this file runs from build/tests/support. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

export type Architecture = 'x86_64' | 'i386';

const VARIABLES: Readonly<Record<Architecture, string>> = {
  x86_64: 'LYREBIRD_EMULATOR',
  i386: 'LYREBIRD_EMULATOR_I386',
};

/**
 * The command, with any fixed options, that stands for the emulator of `architecture`. LYREBIRD_EMULATOR and
 * LYREBIRD_EMULATOR_I386 replace it, for example by "qemu-system-x86_64 -accel tcg".
 */
export function emulatorCommand(architecture: Architecture = 'x86_64'): string[] {
  const given = process.env[VARIABLES[architecture]];
  if (given) return given.split(' ').filter((word) => word !== '');
  return [join(root, 'bin', `lyrebird-system-${architecture}`)];
}

/** Why the emulator cannot be driven, or undefined when it is there. */
export function emulatorMissing(architecture: Architecture = 'x86_64'): string | undefined {
  const [program = ''] = emulatorCommand(architecture);
  return program.includes('/') && !existsSync(program) ? `${program} does not exist` : undefined;
}

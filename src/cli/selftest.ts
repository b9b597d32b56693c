/** `lyrebird selftest`: boots a small guest of our own that reports processor, memory and speed on the serial port. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { distUrl } from '../host/node/dist-files.ts';
import { UserError } from '../util/errors.ts';
import { parseCommandLine } from './command-line.ts';
import { run } from './run.ts';

/** What isa-debug-exit makes of the guest's 0x10. */
const PASSED = (0x10 << 1) | 1;

/** 0 if the guest found everything in order, else 1. `args`: further options of the machine. */
export async function selftest(args: readonly string[]): Promise<number> {
  const kernel = fileURLToPath(distUrl('guests/selftest.bin'));
  if (!existsSync(kernel)) throw new UserError('NotBuilt', `${kernel} is missing: run "npm run build"`);
  const options = ['-m', '64', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
  const device = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', kernel];
  const commandLine = parseCommandLine([...options, ...device, ...args], 'x86_64');
  if (commandLine.kind === 'print') {
    process.stdout.write(commandLine.text);
    return 0;
  }
  return (await run(commandLine.plan)) === PASSED ? 0 : 1;
}

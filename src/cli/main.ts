/** Entry points of the executables in bin/. Each resolves with the exit status. */
import type { MachineWorker } from '../host/node/machine-worker-start.ts';
import { UserError } from '../util/errors.ts';
import { type Architecture, parseCommandLine } from './command-line.ts';

/** `lyrebird-system-x86_64` and `lyrebird-system-i386`. */
export async function systemMain(
  architecture: Architecture,
  args: readonly string[],
  defaultAccelerator: 'tcg' | 'kvm' = 'tcg',
  worker?: MachineWorker,
): Promise<number> {
  return guarded(`lyrebird-system-${architecture}`, async () => {
    const commandLine = parseCommandLine(args, architecture, defaultAccelerator);
    if (commandLine.kind === 'print') {
      process.stdout.write(commandLine.text);
      return 0;
    }
    for (const warning of commandLine.plan.warnings)
      process.stderr.write(`lyrebird-system-${architecture}: warning: ${warning}\n`);
    const { run } = await import('./run.ts');
    return run(commandLine.plan, worker);
  });
}

/** `lyrebird`: sub-commands. */
export async function lyrebirdMain(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  switch (command) {
    case 'selftest':
      return guarded('lyrebird', async () => (await import('./selftest.ts')).selftest(rest));
    case 'host':
    case 'kernel':
      return guarded('lyrebird', () => check(command, rest));
    case 'x86_64':
    case 'i386':
      return systemMain(command, rest);
    case 'system-x86_64':
    case 'system-i386':
      return systemMain(command.slice(7) as Architecture, rest);
    case '--version':
    case '-version':
    case '--help':
    case '-help':
    case '-h':
    case 'help':
    case undefined: {
      const help = await import('./help.ts');
      process.stdout.write(command?.endsWith('version') === true ? help.version() : help.LYREBIRD_USAGE);
      return command === undefined ? 1 : 0;
    }
    default:
      if (command.startsWith('-')) return systemMain('x86_64', args);
      process.stderr.write(`lyrebird: unknown command "${command}" (see lyrebird --help)\n`);
      return 1;
  }
}

/** `lyrebird host check`, `lyrebird kernel check FILE`. */
async function check(subject: 'host' | 'kernel', args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb !== 'check')
    throw new UserError('UnknownCommand', `${subject}: the only command is "${subject} check"`);
  const { hostCheck, kernelCheck } = await import('./host-check.ts');
  const { text, status } = subject === 'host' ? hostCheck(rest) : kernelCheck(rest);
  process.stdout.write(text);
  return status;
}

/** A user's mistake is one line and status 1; anything else is a bug of ours and shows where. */
async function guarded(program: string, action: () => Promise<number>): Promise<number> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof UserError)
      process.stderr.write(`${program}: ${error.message.replaceAll('\n', ' ')}\n`);
    else
      process.stderr.write(
        `${program}: internal error: ${error instanceof Error ? error.stack : String(error)}\n`,
      );
    return error instanceof UserError ? 1 : 70;
  }
}

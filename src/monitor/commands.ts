/** Commands of the human monitor. */

import { blockText, type DriveConfig } from '../system/block-control.ts';
import { encodePng, encodePpm } from '../system/image.ts';
import type { MachineControl } from '../system/machine-client.ts';
import { INFO_TOPICS } from '../system/machine-info.ts';
import type { AddressKind } from '../system/protocol.ts';
import { UserError } from '../util/errors.ts';
import { DEVICE_COMMANDS } from './device-commands.ts';
import { evaluate } from './expression.ts';
import { type DumpFormat, formatDump, parseDumpFormat } from './memory-dump.ts';
import { networkCommands, networkTopics } from './network-commands.ts';

export interface MonitorContext {
  readonly machine: MachineControl;
  readonly version: string;
  /** A drive as `-drive` describes it; absent: drives cannot be added by it. */
  parseDrive?(text: string): DriveConfig;
  /** Ends the emulator. */
  quit(): void;
  /** Files of the host; undefined where there are none. */
  readonly files?: MonitorFiles;
}

export interface MonitorFiles {
  /** Rejects with `UserError`. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** A zlib stream (RFC 1950). */
  deflate(bytes: Uint8Array): Uint8Array;
}

export interface MonitorCommand {
  readonly args: string;
  readonly about: string;
  /** `args` is what follows the name (and the `/FORMAT`), trimmed. The result is printed. */
  run(context: MonitorContext, args: string, format: DumpFormat): Promise<string>;
}

const NOTHING = {};

const done = async (request: Promise<unknown>): Promise<string> => {
  await request;
  return '';
};

const COMMANDS: Readonly<Record<string, MonitorCommand>> = {
  ...networkCommands,
  help: { args: '[command]', about: 'show this list', run: async (_, args) => helpText(args) },
  info: { args: '[topic]', about: 'show information about the machine', run: (c, args) => info(c, args) },
  x: {
    args: '/FMT address',
    about: 'dump virtual memory',
    run: (c, args, format) => dump(c, args, format, 'virtual'),
  },
  xp: {
    args: '/FMT address',
    about: 'dump physical memory',
    run: (c, args, format) => dump(c, args, format, 'physical'),
  },
  print: { args: '/FMT expression', about: 'print a value', run: print },
  i: { args: '/FMT port', about: 'read an I/O port', run: readPort },
  o: { args: '/FMT port value', about: 'write an I/O port', run: writePort },
  stop: { args: '', about: 'stop the machine', run: (c) => done(c.machine.request('pause', NOTHING)) },
  cont: { args: '', about: 'let it go on', run: (c) => done(c.machine.request('resume', NOTHING)) },
  system_reset: {
    args: '',
    about: 'reset the machine',
    run: (c) => done(c.machine.request('reset', NOTHING)),
  },
  system_powerdown: {
    args: '',
    about: 'press the power button',
    run: (c) => done(c.machine.request('powerdown', NOTHING)),
  },
  accelerator: {
    args: 'tcg|kvm',
    about: 'let a stopped machine go on under another accelerator',
    run: (c, args) => switchAccelerator(c, args),
  },
  cpu: {
    args: 'index',
    about: 'choose the CPU that the other commands are about',
    run: (c, args) => {
      if (!/^\d+$/.test(args))
        throw new UserError('BadArgument', 'cpu: the number of a CPU is missing (info cpus)');
      return done(c.machine.request('cpu', { index: Number(args) }));
    },
  },
  nmi: {
    args: '',
    about: 'send a non-maskable interrupt',
    run: (c) => done(c.machine.request('nmi', NOTHING)),
  },
  ...DEVICE_COMMANDS,
  screendump: { args: 'file [-f png|ppm]', about: 'save the screen as a picture', run: screendump },
  sendkey: { args: 'keys [hold_ms]', about: 'press keys, as in ctrl-alt-delete', run: sendKey },
  mouse_move: {
    args: 'dx dy [dz]',
    about: 'move the mouse; dz turns the wheel',
    run: (c, args) => {
      const [dx, dy, dz = 0] = numbers('mouse_move', args, 2, 3);
      return control(c, 'mouse_move', { dx, dy, dz });
    },
  },
  mouse_button: {
    args: 'state',
    about: 'press mouse buttons: 1 left, 2 middle, 4 right, added up',
    run: (c, args) => control(c, 'mouse_button', { state: numbers('mouse_button', args, 1, 1)[0] }),
  },
  mouse_set: {
    args: 'index',
    about: 'choose the pointing device that gets the events (info mice)',
    run: (c, args) => control(c, 'mouse_set', { index: numbers('mouse_set', args, 1, 1)[0] }),
  },
  log: { args: 'item[,item…]|none', about: 'choose what is logged (as -d)', run: setLog },
  quit: {
    args: '',
    about: 'end the emulator',
    run: async (c) => {
      c.quit();
      return '';
    },
  },
};

const ALIASES: Readonly<Record<string, string>> = {
  '?': 'help',
  h: 'help',
  p: 'print',
  c: 'cont',
  s: 'stop',
  q: 'quit',
  exit: 'quit',
};

/** Names that can be completed. */
export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/** Runs one line; the result is what to print, without a final newline. A user's mistake is a text, too. */
export async function runCommand(context: MonitorContext, line: string): Promise<string> {
  const match = /^\s*([^\s/]+)(?:\s*\/(\S*))?\s*(.*?)\s*$/.exec(line);
  if (match === null) return '';
  const given = match[1]!;
  const name = Object.hasOwn(ALIASES, given) ? ALIASES[given]! : given;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) return `unknown command: '${given}'`;
  const slash = match[2];
  // Only some commands have a format; for the others it is the beginning of a path.
  const hasFormat = slash !== undefined && command.args.startsWith('/FMT');
  const args = slash === undefined || hasFormat ? match[3]! : `/${slash} ${match[3]!}`.trim();
  try {
    return await command.run(context, args, parseDumpFormat(hasFormat ? slash : ''));
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

function helpText(name: string): string {
  if (name === 'info') return infoHelp();
  const rows = Object.entries(COMMANDS).filter(([key]) => name === '' || key === (ALIASES[name] ?? name));
  if (rows.length === 0) return `unknown command: '${name}'`;
  return rows.map(([key, { args, about }]) => `${`${key} ${args}`.trimEnd()} -- ${about}`).join('\n');
}

function infoHelp(): string {
  return ['version', 'block', ...Object.keys(networkTopics), ...INFO_TOPICS]
    .map((topic) => `info ${topic} -- show ${topic}`)
    .join('\n');
}

async function info(context: MonitorContext, topic: string): Promise<string> {
  if (topic === 'block') return blockText(context);
  if (topic === 'version') return context.version;
  if (Object.hasOwn(networkTopics, topic)) return networkTopics[topic]!(context);
  if (topic === '') return infoHelp();
  return context.machine.request('info', { topic });
}

/** Evaluates an expression over the registers. */
async function number(context: MonitorContext, text: string): Promise<bigint> {
  const needsRegisters = text.includes('$');
  const registers = needsRegisters ? await context.machine.request('registers', NOTHING) : {};
  return evaluate(text, (name) => {
    const alias =
      { pc: 'rip', sp: 'rsp', fp: 'rbp', eflags: 'rflags' }[name] ?? name.replace(/^e(..)$/, 'r$1');
    const value = registers[name] ?? registers[alias];
    return value === undefined ? undefined : BigInt(value);
  });
}

async function dump(
  context: MonitorContext,
  text: string,
  format: DumpFormat,
  kind: AddressKind,
): Promise<string> {
  if (text === '') throw new UserError('MissingValue', 'an address is missing');
  const address = await number(context, text);
  const { count, sizeBytes } = format;
  if (format.kind === 'i')
    return context.machine.request('disassemble', { address: String(address), count, kind });
  return formatDump(await context.machine.read(address, count * sizeBytes, kind), address, format);
}

async function print(context: MonitorContext, text: string, format: DumpFormat): Promise<string> {
  const value = await number(context, text);
  if (format.kind === 'd') return BigInt.asIntN(64, value).toString();
  if (format.kind === 'u') return value.toString();
  if (format.kind === 'o') return `0${value.toString(8)}`;
  return `0x${value.toString(16)}`;
}

async function switchAccelerator(context: MonitorContext, name: string): Promise<string> {
  if (name !== 'tcg' && name !== 'kvm') throw new UserError('BadOption', 'accelerator: tcg or kvm');
  return done(context.machine.request('accelerator', { name }));
}

function portSize(format: DumpFormat): 1 | 2 | 4 {
  return format.sizeBytes === 8 ? 4 : format.sizeBytes;
}

async function readPort(context: MonitorContext, text: string, format: DumpFormat): Promise<string> {
  const port = Number(await number(context, text)) & 0xffff;
  const size = portSize(format);
  const value = await context.machine.request('port', { port, size, value: undefined });
  const letter = { 1: 'b', 2: 'w', 4: 'l' }[size];
  return `port${letter}[0x${port.toString(16).padStart(4, '0')}] = 0x${value.toString(16).padStart(2 * size, '0')}`;
}

async function writePort(context: MonitorContext, text: string, format: DumpFormat): Promise<string> {
  const [port, value] = text.split(/\s+/);
  if (port === undefined || value === undefined)
    throw new UserError('MissingValue', 'a port and a value are needed');
  await context.machine.request('port', {
    port: Number(await number(context, port)) & 0xffff,
    size: portSize(format),
    value: Number((await number(context, value)) & 0xffff_ffffn),
  });
  return '';
}

async function screendump(context: MonitorContext, text: string): Promise<string> {
  const match = /^(?:-f\s+(\w+)\s+)?(\S+)(?:\s+-f\s+(\w+))?$/.exec(text);
  if (match === null) throw new UserError('MissingValue', 'screendump: a file name is missing');
  const path = match[2]!;
  const format = match[1] ?? match[3] ?? (path.endsWith('.png') ? 'png' : 'ppm');
  await saveScreen(context, path, format);
  return '';
}

/** Writes the screen's picture to a file; `UserError` if there is none or the file cannot be written. */
export async function saveScreen(context: MonitorContext, path: string, format: string): Promise<void> {
  if (format !== 'png' && format !== 'ppm')
    throw new UserError('BadOption', `screendump: no format "${format}"`);
  const { files } = context;
  if (files === undefined) throw new UserError('NotSupported', 'screendump: no files here');
  const screen = await context.machine.request('screen', NOTHING);
  if (screen === undefined) throw new UserError('NoDisplay', 'screendump: the machine has no display');
  const bytes = format === 'png' ? encodePng(screen, (raw) => files.deflate(raw)) : encodePpm(screen);
  await files.write(path, bytes);
}

async function control(context: MonitorContext, command: string, args: object): Promise<string> {
  await context.machine.request('control', { command, args });
  return '';
}

/** Whole numbers, at least and at most so many. */
function numbers(command: string, text: string, least: number, most: number): number[] {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const values = words.map(Number);
  if (values.length < least || values.length > most || !values.every(Number.isInteger))
    throw new UserError(
      'BadArgument',
      `${command}: ${least === most ? least : `${least} to ${most}`} numbers are needed`,
    );
  return values;
}

const DEFAULT_HOLD_MS = 100;

function sendKey(context: MonitorContext, text: string): Promise<string> {
  const [combination, hold] = text.split(/\s+/);
  if (combination === undefined || combination === '')
    throw new UserError('MissingValue', 'sendkey: keys are missing');
  const holdMs = hold === undefined ? DEFAULT_HOLD_MS : Number(hold);
  if (!(holdMs >= 0 && holdMs <= 60_000)) throw new UserError('BadOption', `sendkey: "${hold}" is no time`);
  return done(context.machine.request('sendKeys', { keys: combination.split('-'), holdMs }));
}

function setLog(context: MonitorContext, text: string): Promise<string> {
  const items = text === '' || text === 'none' ? [] : text.split(',');
  return done(context.machine.request('log', { items }));
}

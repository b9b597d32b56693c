/** The command line of `lyrebird-system-*`: options as QEMU spells them, with one dash or two. */

import { LOG_ITEMS } from '../accel/tcg/log.ts';
import { AUDIO_DRIVERS, type AudiodevConfig, parseAudiodev } from '../audio/audiodev.ts';
import type { BlockConfig } from '../block/drive-config.ts';
import { type NamedCharSpec, parseChardev, parseCharSpec, type SharedCharSpec } from '../chardev/spec.ts';
import type { ShareConfig } from '../core/share-backend.ts';
import type { GlobalProperty } from '../machine/device-spec.ts';
import { deviceTypes } from '../machine/device-types.ts';
import { VGA_BIOS } from '../machine/pc-display.ts';
import type { BoardKind } from '../machine/pc-memory.ts';
import type { NetConfig } from '../net/net-config.ts';
import { PANIC_ACTIONS, WATCHDOG_ACTIONS } from '../system/actions.ts';
import { DEFAULT_CONFIG, type MachineConfig } from '../system/config.ts';
import { ObjectStore, objectFromText } from '../system/objects.ts';
import { parseCpu } from '../target/x86/cpu-models.ts';
import { parseCpuOption } from '../target/x86/cpu-option.ts';
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';
import { ACCELERATOR_NAMES, AcceleratorOptions } from './accelerator-options.ts';
import { parseBoot } from './boot-option.ts';
import { addDevices, deviceHelp } from './devices.ts';
import { DriveOptions } from './drive-options.ts';
import * as help from './help.ts';
import { NETDEV_KINDS, NetOptions, NIC_MODELS } from './net-options.ts';
import { readConfig } from './readconfig.ts';
import { parseRtc } from './rtc-option.ts';
import { parseFsdev, parseVirtfs } from './share-options.ts';
import { parseSize } from './sizes.ts';

export type Architecture = 'x86_64' | 'i386';

/** A character device and the option that asked for it, for messages. */
export interface CharRequest extends SharedCharSpec {
  readonly option: string;
}

/** A monitor: for people, or the control protocol. */
export interface MonitorRequest extends CharRequest {
  readonly mode?: 'readline' | 'control';
  readonly pretty?: boolean;
}

/** What to run. Files are not yet opened. */
export interface RunPlan {
  readonly config: MachineConfig;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly firmware: string | undefined;
  readonly firmwareDirs: readonly string[];
  readonly hasFlash: boolean;
  /** Option ROMs that the devices want. */
  readonly roms: readonly string[];
  /** COM1…; `none` leaves a port out. */
  readonly serial: readonly CharRequest[];
  readonly monitors: readonly MonitorRequest[];
  /** The peer of `-qtest`. */
  readonly qtest: CharRequest | undefined;
  readonly debugCon: CharRequest | undefined;
  /** Drives; their images are not yet opened. */
  readonly block: BlockConfig;
  readonly chardevs: readonly NamedCharSpec[];
  readonly net: NetConfig;
  readonly logFile: string | undefined;
  readonly pidFile: string | undefined;
  /** Ctrl-C belongs to the guest. */
  readonly nographic: boolean;
  readonly objects: ObjectStore;
  /** Waits for `x-exit-preconfig` before it does anything else. */
  readonly preconfig: boolean;
  readonly warnings: readonly string[];
}

export type CommandLine =
  | { readonly kind: 'run'; readonly plan: RunPlan }
  /** Print and exit with status 0. */
  | { readonly kind: 'print'; readonly text: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the options collect. */
export class Collected {
  readonly config: Mutable<MachineConfig>;
  readonly architecture: Architecture;
  kernel: string | undefined;
  initrd: string | undefined;
  firmware: string | undefined;
  readonly firmwareDirs: string[] = [];
  /** How many `-pflash` there were. */
  flashUnits = 0;
  append: string | undefined;
  readonly serial: CharRequest[] = [];
  readonly monitors: MonitorRequest[] = [];
  qtest: CharRequest | undefined;
  /** `-device`, parsed when all of `-global` is known. */
  readonly devices: string[] = [];
  readonly chardevs: NamedCharSpec[] = [];
  debugCon: CharRequest | undefined;
  logFile: string | undefined;
  pidFile: string | undefined;
  display: 'none' | undefined;
  vga: 'std' | 'none' | undefined;
  nographic = false;
  noDefaults = false;
  printed: string | undefined;
  readonly accelerators = new AcceleratorOptions();
  readonly warnings: string[] = [];
  readonly drives = new DriveOptions();
  readonly shares: ShareConfig[] = [];
  readonly net = new NetOptions();
  readonly globals: GlobalProperty[] = [];
  /** `-object`, checked. */
  readonly objects = new ObjectStore();
  preconfig = false;
  isMemoryGiven = false;

  /** What runs if nothing is asked for. */
  readonly defaultAccelerator: 'tcg' | 'kvm';

  constructor(architecture: Architecture, defaultAccelerator: 'tcg' | 'kvm') {
    this.architecture = architecture;
    this.defaultAccelerator = defaultAccelerator;
    this.config = {
      ...DEFAULT_CONFIG,
      longMode: architecture === 'x86_64',
      cpu: architecture === 'x86_64' ? 'qemu64' : 'qemu32',
    };
  }
}

interface OptionRow {
  /** Whether a value follows. */
  readonly value: boolean;
  apply(collected: Collected, value: string): void;
}

const flag = (apply: (c: Collected) => void): OptionRow => ({ value: false, apply });
const value = (apply: (c: Collected, value: string) => void): OptionRow => ({ value: true, apply });
/** Accepted with the values that ask for nothing we lack. */
const only = (option: string, ...accepted: readonly string[]): OptionRow =>
  value((_, text) => {
    if (!accepted.includes(text)) {
      throw new UserError('UnsupportedValue', `-${option} ${text}: only ${accepted.join(', ')} is supported`);
    }
  });

const OPTIONS: Readonly<Record<string, OptionRow>> = {
  h: flag((c) => (c.printed = help.usage(c.architecture))),
  help: flag((c) => (c.printed = help.usage(c.architecture))),
  version: flag((c) => (c.printed = help.version())),
  m: value((c, text) => {
    c.isMemoryGiven = true;
    parseMemory(c, text);
  }),
  smp: value(parseSmp),
  cpu: value((c, text) => {
    if (text === 'help' || text === '?') c.printed = help.cpus();
    c.config.cpu = text;
  }),
  M: value(parseMachine),
  machine: value(parseMachine),
  accel: value((c, text) => {
    if (text === 'help' || text === '?') c.printed = help.list('Accelerators supported:', ACCELERATOR_NAMES);
    else c.accelerators.add(text, `-accel ${text}`);
  }),
  usb: flag((c) => (c.config.usb = true)),
  'enable-kvm': flag((c) => c.accelerators.add('kvm', '-enable-kvm')),
  kernel: value((c, text) => (c.kernel = text)),
  initrd: value((c, text) => (c.initrd = text)),
  append: value((c, text) => (c.append = text)),
  bios: value((c, text) => (c.firmware = text)),
  L: value((c, text) => {
    if (text === 'help' || text === '?') c.printed = help.firmwareDirectories();
    c.firmwareDirs.push(text);
  }),
  boot: value((c, text) => (c.config.boot = parseBoot(text, c.config.boot))),
  nographic: flag((c) => {
    c.config.noGraphic = true;
    c.nographic = true;
    c.display = 'none';
  }),
  display: value((c, text) => {
    if (text !== 'none') throw new UserError('UnsupportedValue', `-display ${text}: only none is supported`);
    c.display = 'none';
  }),
  serial: value((c, text) => c.serial.push({ ...parseCharSpec(text, '-serial'), option: `-serial ${text}` })),
  monitor: value((c, text) =>
    c.monitors.push({ ...parseCharSpec(text, '-monitor'), option: `-monitor ${text}` }),
  ),
  mon: value(parseMon),
  qmp: value((c, text) => addControl(c, text, '-qmp', false)),
  'qmp-pretty': value((c, text) => addControl(c, text, '-qmp-pretty', true)),
  qtest: value((c, text) => {
    c.qtest = { ...parseCharSpec(text, '-qtest'), option: `-qtest ${text}` };
  }),
  'qtest-log': value((c, text) => {
    if (text !== 'none' && text !== '/dev/null') c.config.qtestLog = true;
    if (text !== 'none' && text !== '/dev/null' && text !== '/dev/fd/2' && text !== '/dev/stderr')
      c.logFile ??= text;
  }),
  chardev: value((c, text) => {
    if (text === 'help' || text === '?')
      c.printed = help.list('Available chardev backend types:', help.CHARDEV_KINDS);
    else addChardev(c, parseChardev(text));
  }),
  debugcon: value((c, text) => {
    c.debugCon = { ...parseCharSpec(text, '-debugcon'), option: `-debugcon ${text}` };
  }),
  audiodev: value((c, text) => {
    if (text === 'help' || text === '?') c.printed = help.list('Available audio drivers:', AUDIO_DRIVERS);
    else addAudiodev(c, parseAudiodev(text));
  }),
  device: value((c, text) => {
    c.printed = deviceHelp(text);
    c.devices.push(text);
  }),
  drive: value((c, text) => c.drives.addDrive(text)),
  blockdev: value((c, text) => c.drives.addBlockdev(text)),
  fsdev: value((c, text) => c.shares.push(parseFsdev(text))),
  virtfs: value((c, text) => {
    const { share, device } = parseVirtfs(text, c.shares.length);
    c.shares.push(share);
    c.devices.push(device);
  }),
  hda: value((c, text) => c.drives.addFile('hda', text, 'ide', 0, 'disk')),
  hdb: value((c, text) => c.drives.addFile('hdb', text, 'ide', 1, 'disk')),
  hdc: value((c, text) => c.drives.addFile('hdc', text, 'ide', 2, 'disk')),
  hdd: value((c, text) => c.drives.addFile('hdd', text, 'ide', 3, 'disk')),
  cdrom: value((c, text) => c.drives.addFile('cdrom', text, 'ide', 2, 'cdrom')),
  fda: value((c, text) => c.drives.addFile('fda', text, 'floppy', 0, 'disk')),
  fdb: value((c, text) => c.drives.addFile('fdb', text, 'floppy', 1, 'disk')),
  pflash: value((c, text) => c.drives.addFile('pflash', text, 'pflash', c.flashUnits++, 'disk')),
  snapshot: flag((c) => c.drives.snapshot()),
  global: value(parseGlobal),
  uuid: value((c, text) => {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
      throw new UserError('BadOption', `-uuid ${text}: not a UUID`);
    c.config.uuid = text.toLowerCase();
  }),
  action: value(parseAction),
  'no-fd-bootchk': flag((c) => (c.config.boot = { ...c.config.boot, checksFloppy: false })),
  preconfig: flag((c) => (c.preconfig = true)),
  object: value((c, text) => c.net.addObject(text) || addObject(c, text)),
  'no-reboot': flag((c) => (c.config.noReboot = true)),
  'no-shutdown': flag((c) => (c.config.noShutdown = true)),
  S: flag((c) => (c.config.startPaused = true)),
  rtc: value((c, text) => (c.config.rtc = parseRtc(text))),
  d: value((c, text) => {
    if (text === 'help' || text === '?')
      c.printed = help.list('Log items (comma separated):', Object.keys(LOG_ITEMS));
    else c.config.logItems = parseLogItems(text);
  }),
  D: value((c, text) => (c.logFile = text)),
  name: value((c, text) => {
    const options = new OptionList(text, `-name ${text}`, 'guest');
    c.config.name = options.text('guest') ?? '';
    options.flag('debug-threads', false);
    options.text('process');
    options.finish();
  }),
  pidfile: value((c, text) => (c.pidFile = text)),
  nodefaults: flag((c) => (c.noDefaults = true)),
  'no-user-config': flag(() => {}),
  'no-hpet': flag((c) => (c.config.hpet = false)),
  'no-acpi': flag((c) => (c.config.acpi = false)),
  vga: value((c, text) => {
    if (text === 'help' || text === '?') c.printed = help.list('Available displays:', ['std', 'none']);
    else if (text === 'std' || text === 'none') c.vga = text;
    else throw new UserError('UnsupportedValue', `-vga ${text}: only std and none are supported`);
  }),
  net: value((c, text) => c.net.addNet(text)),
  nic: value((c, text) => {
    if (text === 'model=help' || text === 'help')
      c.printed = help.list('Supported NIC models:', [...new Set(Object.values(NIC_MODELS))]);
    else c.net.addNic(text);
  }),
  netdev: value((c, text) => {
    if (text === 'help' || text === '?')
      c.printed = help.list('Available netdev backend types:', NETDEV_KINDS);
    else c.net.addNetdev(text);
  }),
  parallel: only('parallel', 'none', 'null'),
};

/** `UserError` for what is not understood: one line that names the option. */
export function parseCommandLine(
  args: readonly string[],
  architecture: Architecture,
  defaultAccelerator: 'tcg' | 'kvm' = 'tcg',
): CommandLine {
  const collected = new Collected(architecture, defaultAccelerator);
  const all = expandConfigFiles(args);
  for (let i = 0; i < all.length; i++) {
    const arg = all[i]!;
    const name = arg.replace(/^--?/, '');
    if (name === arg || name === '') {
      if (arg === '' || /^-+$/.test(arg))
        throw new UserError('UnknownOption', `unexpected argument "${arg}"`);
      collected.drives.addFile('hda', arg, 'ide', 0, 'disk');
      continue;
    }
    const row = Object.hasOwn(OPTIONS, name) ? OPTIONS[name]! : undefined;
    if (row === undefined) throw new UserError('UnknownOption', `${arg}: unknown option (see -help)`);
    if (!row.value) row.apply(collected, '');
    else {
      const text = all[++i];
      if (text === undefined) throw new UserError('MissingValue', `-${name}: a value is missing`);
      row.apply(collected, text);
    }
    if (collected.printed !== undefined) return { kind: 'print', text: collected.printed };
  }
  return { kind: 'run', plan: finish(collected) };
}

/** Each `-readconfig FILE` gives way to the options that the file stands for. */
function expandConfigFiles(args: readonly string[]): readonly string[] {
  return args.flatMap((arg, i) => {
    if (/^--?readconfig$/.test(args[i - 1] ?? '')) return readConfig(arg);
    return /^--?readconfig$/.test(arg) ? [] : [arg];
  });
}

function addObject(c: Collected, text: string): void {
  const values = text.trimStart().startsWith('{')
    ? (JSON.parse(text) as Record<string, unknown>)
    : objectFromText(new OptionList(text, `-object ${text}`, 'qom-type').entries());
  try {
    c.objects.add(values);
  } catch (error) {
    throw new UserError('BadOption', `-object ${text}: ${(error as Error).message}`);
  }
}

function finish(c: Collected): RunPlan {
  c.config.globals = c.globals;
  if (c.config.isEmpty && !c.isMemoryGiven) c.config.memoryBytes = 0;
  if (c.preconfig) c.config.startPaused = true;
  const net = c.net.finish(DEFAULT_NIC && !c.noDefaults);
  // The board's own cards come before what the user plugs.
  c.devices.unshift(...net.devices);
  addDevices(c);
  if (c.kernel === undefined) {
    if (c.append !== undefined) throw new UserError('NeedsKernel', '-append: only allowed with -kernel');
    if (c.initrd !== undefined) throw new UserError('NeedsKernel', '-initrd: only allowed with -kernel');
  }
  // A kernel that no firmware starts finds no VGA BIOS to switch a display on: without -vga it gets none.
  const block = c.drives.finish(c.config.machine === 'q35' ? 1 : 2);
  const hasFlash = block.drives.some((drive) => drive.interface === 'pflash');
  const hasFirmware = c.kernel === undefined || c.firmware !== undefined || hasFlash;
  c.config.vga = c.vga ?? (hasFirmware && !c.noDefaults ? 'std' : 'none');
  c.config.accelerators = c.accelerators.finish(c.defaultAccelerator);
  parseCpuChecked(c);
  addDefaultDevices(c);
  if (c.debugCon !== undefined) {
    const property = (name: string): number =>
      Number(findGlobal(c, `isa-debugcon.${name}`) ?? DEBUGCON_DEFAULT);
    c.config.debugCon ??= { iobase: property('iobase'), readback: property('readback') };
  }
  c.config.commandLine = c.append ?? '';
  return {
    config: c.config,
    kernel: c.kernel,
    initrd: c.initrd,
    firmware: c.firmware,
    firmwareDirs: c.firmwareDirs,
    hasFlash,
    roms: c.config.vga === 'std' ? [VGA_BIOS] : [],
    serial: c.serial,
    monitors: c.monitors,
    qtest: c.qtest,
    debugCon: c.debugCon,
    block: { ...block, shares: c.shares },
    chardevs: c.chardevs,
    net: net.config,
    logFile: c.logFile,
    pidFile: c.pidFile,
    nographic: c.nographic,
    objects: c.objects,
    preconfig: c.preconfig,
    warnings: c.warnings,
  };
}

/** Without options the machine has a card on a user-mode network, as QEMU's. */
const DEFAULT_NIC = false;

/** Port and read-back value of `-debugcon` unless -global says otherwise. */
const DEBUGCON_DEFAULT = 0xe9;

function parseCpuChecked(c: Collected): void {
  try {
    const { model, enforce } = parseCpuOption(c.config.cpu);
    const isTcg = c.config.accelerators[0]?.kind === 'tcg';
    const { missing } = parseCpu(isTcg && enforce ? `${model},enforce` : model, c.config.longMode);
    if (missing.length > 0 && isTcg)
      c.warnings.push(
        `-cpu ${c.config.cpu}: without features that are not implemented: ${missing.join(', ')}`,
      );
  } catch (error) {
    if (error instanceof UserError) throw new UserError(error.code, `-cpu ${c.config.cpu}: ${error.message}`);
    throw error;
  }
}

/** QEMU's defaults: under -nographic the first serial port and the monitor share the terminal. */
function addDefaultDevices(c: Collected): void {
  if (c.display === undefined) {
    c.warnings.push(
      'this version has no graphical display; -nographic connects the serial port to the terminal',
    );
  }
  const wantsSerial = c.serial.length === 0 && !c.noDefaults;
  const wantsMonitor = c.monitors.length === 0 && !c.noDefaults;
  const stdio = { kind: 'stdio', signal: undefined } as const;
  if (!c.nographic) {
    if (wantsSerial) c.serial.push({ spec: { kind: 'null' }, mux: false, option: '-serial null' });
    return;
  }
  if (wantsSerial && wantsMonitor) c.serial.push({ spec: stdio, mux: true, option: '-nographic' });
  else if (wantsSerial) c.serial.push({ spec: stdio, mux: false, option: '-nographic' });
  else if (wantsMonitor && !usesStdio(c)) c.monitors.push({ spec: stdio, mux: false, option: '-nographic' });
}

function usesStdio(c: Collected): boolean {
  const all = [...c.serial, ...c.monitors, ...c.chardevs, ...(c.debugCon === undefined ? [] : [c.debugCon])];
  return all.some((request) => request.spec.kind === 'stdio');
}

/** Guest RAM and 128 MiB of the translator's own tables share one WebAssembly memory of 4 GiB. */
const MAX_MEMORY = 2 ** 32 - 128 * 2 ** 20;

function parseMemory(c: Collected, text: string): void {
  const what = `-m ${text}`;
  const options = new OptionList(text, what, 'size');
  const size = options.text('size');
  if (options.has('slots') || options.has('maxmem')) throw options.error('memory hot-plug is not supported');
  options.finish();
  if (size === undefined) throw options.error('a size is missing');
  const bytes = parseSize(size, what);
  if (bytes < 2 ** 20) throw options.error('at least 1 MiB is needed');
  if (bytes > MAX_MEMORY) throw options.error(`at most ${MAX_MEMORY / 2 ** 20} MiB are possible`);
  c.config.memoryBytes = Math.ceil(bytes / 4096) * 4096;
}

/** As for an 8-bit APIC id, 255 being the broadcast. */
const MAX_CPUS = 255;

/** What is not given follows from the rest; cores come before sockets, as in QEMU's machines from 6.2 on. */
function parseSmp(c: Collected, text: string): void {
  const options = new OptionList(text, `-smp ${text}`, 'cpus');
  const given = (key: string): number | undefined => {
    const n = options.has(key) ? options.number(key, 0) : undefined;
    if (n === 0) throw options.error(`"${key}" must be at least 1`);
    return n;
  };
  const asked = given('cpus');
  const most = given('maxcpus');
  for (const level of ['dies', 'clusters'])
    if ((given(level) ?? 1) !== 1) throw options.error(`"${level}" is not supported`);
  const cpus = asked ?? most;
  let [sockets, cores, threads] = [given('sockets'), given('cores'), given('threads')];
  options.finish();
  const total = cpus ?? (sockets ?? 1) * (cores ?? 1) * (threads ?? 1);
  cores ??= Math.max(1, Math.floor(total / ((sockets ?? 1) * (threads ?? 1))));
  threads ??= Math.max(1, Math.floor(total / ((sockets ?? 1) * cores)));
  sockets ??= Math.max(1, Math.floor(total / (cores * threads)));
  if (total > MAX_CPUS) throw options.error(`at most ${MAX_CPUS} processors are possible`);
  if (most !== undefined && most !== total) throw options.error('processors cannot be added later');
  if (sockets * cores * threads !== total) {
    throw options.error(
      `${sockets} sockets of ${cores} cores of ${threads} threads are not ${total} processors`,
    );
  }
  c.config.smp = { cpus: total, sockets, cores, threads };
}

/** Names of machines with the board each has. */
const MACHINE_NAMES: ReadonlyArray<readonly [RegExp, BoardKind]> = [
  [/^(pc|pc-i440fx-[\w.]+)$/, 'pc'],
  [/^(q35|pc-q35-[\w.]+)$/, 'q35'],
];

function parseMachine(c: Collected, text: string): void {
  if (text === 'help' || text === '?') {
    c.printed = help.list('Supported machines are:', [
      'none empty machine',
      'pc   Standard PC (i440FX + PIIX, 1996) (default; also pc-i440fx-*)',
      'q35  Standard PC (Q35 + ICH9, 2009) (also pc-q35-*)',
    ]);
    return;
  }
  const options = new OptionList(text, `-machine ${text}`, 'type');
  const type = options.text('type');
  if (type === 'none') c.config.isEmpty = true;
  else if (type !== undefined) {
    const board = MACHINE_NAMES.find(([name]) => name.test(type))?.[1];
    if (board === undefined) throw options.error(`unknown machine "${type}" (-machine help lists them)`);
    c.config.machine = board;
  }
  const accel = options.text('accel');
  if (accel !== undefined) c.accelerators.machineChoice(accel, `-machine ${text}`);
  const irqchip = options.text('kernel-irqchip') ?? options.text('kernel_irqchip');
  if (irqchip !== undefined) c.accelerators.setIrqchip(irqchip, `-machine ${text}`);
  c.config.hpet = options.flag('hpet', c.config.hpet);
  c.config.pit = options.flag('pit', c.config.pit);
  c.config.acpi = options.flag('acpi', c.config.acpi);
  c.config.smm =
    options.choice('smm', ['on', 'off', 'auto'] as const, c.config.smm ? 'auto' : 'off') !== 'off';
  c.config.usb = options.flag('usb', c.config.usb);
  for (const absent of ['vmport', 'graphics', 'dump-guest-core', 'mem-merge']) {
    const harmless = absent === 'graphics' || absent === 'dump-guest-core' || absent === 'mem-merge';
    if (options.flag(absent, false) && !harmless) throw options.error(`"${absent}=on" is not supported`);
  }
  options.finish();
}

function parseMon(c: Collected, text: string): void {
  const options = new OptionList(text, `-mon ${text}`, 'chardev');
  const id = options.required('chardev');
  const mode = options.choice('mode', ['readline', 'control'] as const, 'readline');
  const pretty = options.flag('pretty', false);
  options.finish();
  c.monitors.push({ spec: { kind: 'chardev', id }, mux: false, option: `-mon ${text}`, mode, pretty });
}

function addControl(c: Collected, text: string, option: string, pretty: boolean): void {
  const spec = parseCharSpec(text, option);
  c.monitors.push({ ...spec, option: `${option} ${text}`, mode: 'control', pretty });
}

function addAudiodev(c: Collected, audiodev: AudiodevConfig): void {
  if (c.config.audiodevs.some(({ id }) => id === audiodev.id))
    throw new UserError('DuplicateId', `-audiodev id=${audiodev.id}: the id is taken`);
  c.config.audiodevs = [...c.config.audiodevs, audiodev];
}

/** The last value that -global gives a property. */
export function findGlobal(c: Collected, key: string): string | undefined {
  return c.globals.filter(({ driver, property }) => `${driver}.${property}` === key).at(-1)?.value;
}

function addChardev(c: Collected, spec: NamedCharSpec): void {
  if (c.chardevs.some((other) => other.id === spec.id)) {
    throw new UserError('DuplicateId', `-chardev id=${spec.id}: the id is taken`);
  }
  c.chardevs.push(spec);
}

/** Properties of devices that are always there, with the values that match what they do. */
const GLOBALS: ReadonlyMap<string, readonly string[] | undefined> = new Map([
  ['PIIX4_PM.disable_s3', ['1', 'on', 'true']],
  ['PIIX4_PM.disable_s4', ['1', 'on', 'true']],
  ['mc146818rtc.lost_tick_policy', ['discard']],
  ['kvm-pit.lost_tick_policy', ['discard', 'delay']],
  ['isa-debugcon.iobase', undefined],
  ['isa-debugcon.readback', undefined],
  ['isa-debug-exit.iobase', undefined],
  ['isa-debug-exit.iosize', undefined],
]);

function parseGlobal(c: Collected, text: string): void {
  const match = /^(?:driver=([\w-]+),property=([\w-]+),value=(.*)|([\w-]+)\.([\w-]+)=(.*))$/.exec(text);
  const key = match === null ? '' : `${match[1] ?? match[4]}.${match[2] ?? match[5]}`;
  const given = match?.[3] ?? match?.[6] ?? '';
  if (match === null) throw new UserError('BadOption', `-global ${text}: not DRIVER.PROPERTY=VALUE`);
  const [driver, property] = key.split('.') as [string, string];
  if (!GLOBALS.has(key) && !isDeviceProperty(driver, property))
    throw new UserError('UnknownProperty', `-global ${text}: no property "${key}"`);
  const accepted = GLOBALS.get(key);
  if (accepted !== undefined && !accepted.includes(given)) {
    throw new UserError('UnsupportedValue', `-global ${text}: only ${accepted.join(', ')} is supported`);
  }
  c.globals.push({ driver, property, value: given });
}

function isDeviceProperty(driver: string, property: string): boolean {
  return deviceTypes().some(
    ({ name, parents, properties }) =>
      (name === driver || parents.includes(driver)) && properties.some((p) => p.name === property),
  );
}

function parseAction(c: Collected, text: string): void {
  const options = new OptionList(text, `-action ${text}`);
  const { panic, watchdog } = c.config.actions;
  c.config.actions = {
    panic: options.choice('panic', PANIC_ACTIONS, panic),
    watchdog: options.choice('watchdog', WATCHDOG_ACTIONS, watchdog),
  };
  if (options.choice('reboot', ['reset', 'shutdown'] as const, 'reset') === 'shutdown')
    c.config.noReboot = true;
  if (options.choice('shutdown', ['poweroff', 'pause'] as const, 'poweroff') === 'pause')
    c.config.noShutdown = true;
  options.finish();
}

function parseLogItems(text: string): string[] {
  const items = text.split(',').filter((item) => item !== '' && item !== 'nochain');
  for (const item of items) {
    if (!Object.hasOwn(LOG_ITEMS, item)) {
      throw new UserError('UnknownLogItem', `-d ${text}: unknown item "${item}" (-d help lists them)`);
    }
  }
  return items;
}

/** The commands of the control protocol: one row each, with the types of its arguments (`query-qmp-schema` shows the same table). */
import {
  blockdevAdd,
  blockdevDel,
  blockResize,
  changeMedium,
  queryBlock,
  queryBlockStats,
  queryNodes,
} from '../../system/block-control.ts';
import {
  cpuModels,
  devicePropertyList,
  listQomTypes,
  machineList,
  parseDeviceAdd,
} from '../../system/device-info.ts';
import type { RunState } from '../../system/lifecycle.ts';
import type { MachineControl } from '../../system/machine-client.ts';
import type { ObjectStore } from '../../system/objects.ts';
import { type MonitorContext, runCommand, saveScreen } from '../commands.ts';
import { qmpError } from './errors.ts';
import type { Json, JsonObject } from './json.ts';
import { qmpSchema } from './schema.ts';
import { versionInfo } from './version.ts';

/** What the commands need of the process around them. */
export interface QmpContext extends MonitorContext {
  /** Character devices by id, with their kind. */
  readonly chardevs: ReadonlyArray<{ readonly id: string; readonly kind: string }>;
  readonly objects: ObjectStore;
  /** `--preconfig`: only what is marked so works until `x-exit-preconfig`. */
  readonly preconfig: { isActive: boolean };
  writeFile(path: string, bytes: Uint8Array): Promise<void>;
}

/** Type of an argument; `?` marks what may be left out. */
export type ArgumentType =
  | 'str'
  | 'int'
  | 'bool'
  | 'any'
  | 'object'
  | 'array'
  | 'str?'
  | 'int?'
  | 'bool?'
  | 'any?'
  | 'object?'
  | 'array?';

export interface QmpCommand {
  readonly arguments: Readonly<Record<string, ArgumentType>>;
  /** Takes arguments that are not listed, too. */
  readonly open?: boolean;
  /** Works under `--preconfig`. */
  readonly early?: boolean;
  /** May overtake others (`exec-oob`). */
  readonly oob?: boolean;
  run(context: QmpContext, args: JsonObject): Promise<Json> | Json;
}

const NONE = {};
const query = (run: QmpCommand['run']): QmpCommand => ({ arguments: NONE, run });
const command = (args: QmpCommand['arguments'], run: QmpCommand['run']): QmpCommand => ({
  arguments: args,
  run,
});

const early = (row: QmpCommand): QmpCommand => ({ ...row, early: true });

/** Runs an action whose answer is `{}`. */
async function done(action: Promise<unknown>): Promise<Json> {
  await action;
  return {};
}

/** A command that the machine thread carries out. */
const remote = (args: QmpCommand['arguments'], name: string): QmpCommand =>
  command(args, (c, values) => onMachine(c.machine, name, values));

async function onMachine(machine: MachineControl, name: string, args: JsonObject): Promise<Json> {
  return (await machine.request('control', { command: name, args })) as Json;
}

const STATUS: Readonly<Record<RunState, string>> = {
  prelaunch: 'prelaunch',
  running: 'running',
  paused: 'paused',
  shutdown: 'shutdown',
  ended: 'shutdown',
};

export const QMP_COMMANDS: Readonly<Record<string, QmpCommand>> = {
  qmp_capabilities: early(command({ enable: 'array?' }, () => NONE)),
  'query-version': early(query((c) => versionInfo(c.version))),
  'query-commands': early(query(() => Object.keys(QMP_COMMANDS).map((name) => ({ name })))),
  'x-exit-preconfig': early(
    query((c) => {
      if (!c.preconfig.isActive)
        throw qmpError('The command is permitted only before machine initialization');
      c.preconfig.isActive = false;
      return done(c.machine.request('resume', NONE));
    }),
  ),
  'query-events': query(() => QMP_EVENTS.map((name) => ({ name }))),
  'query-status': early(
    query((c) => {
      const status = STATUS[c.machine.state];
      return { running: status === 'running', singlestep: false, status };
    }),
  ),
  'query-name': query((c) => (c.machine.config.name === '' ? {} : { name: c.machine.config.name })),
  'query-kvm': query((c) => {
    const enabled = c.machine.accelerator === 'kvm';
    return { enabled, present: enabled };
  }),
  'query-uuid': query((c) => ({ UUID: c.machine.config.uuid })),
  'query-target': query(() => ({ arch: 'x86_64' })),
  'query-machines': query(() => machineList()),
  'query-current-machine': query(() => ({ 'wakeup-suspend-support': false })),
  'query-cpus-fast': remote(NONE, 'query-cpus-fast'),
  'query-hotpluggable-cpus': query((c) => {
    if (c.machine.config.isEmpty) throw qmpError('machine does not support hot-plugging CPUs');
    return [
      {
        type: 'qemu64-x86_64-cpu',
        'vcpus-count': 1,
        props: { 'socket-id': 0, 'core-id': 0, 'thread-id': 0 },
        'qom-path': '/machine/unattached/device[0]',
      },
    ];
  }),
  'query-cpu-definitions': query(() =>
    cpuModels().map((name) => ({
      name,
      typename: `${name}-x86_64-cpu`,
      static: false,
      'migration-safe': name !== 'max',
      'unavailable-features': [],
      deprecated: false,
    })),
  ),
  'query-cpu-model-expansion': command({ type: 'str', model: 'object' }, (_c, args) => {
    const model = args['model'] as JsonObject;
    if (args['type'] !== 'static' && args['type'] !== 'full')
      throw qmpError(`Parameter 'type' does not accept value '${String(args['type'] as string)}'`);
    const name = model['name'];
    if (typeof name !== 'string' || !cpuModels().includes(name))
      throw qmpError(`unable to find CPU model '${String(name as string)}'`);
    return { model: { name, props: (model['props'] as JsonObject | undefined) ?? {} } };
  }),
  'query-memory-size-summary': query((c) => ({
    'base-memory': c.machine.config.memoryBytes,
    'plugged-memory': 0,
  })),
  'query-iothreads': query(() => []),
  'query-memory-devices': query(() => []),
  'query-memdev': query((c) => memoryDevices(c)),
  'object-add': {
    arguments: { 'qom-type': 'str', id: 'str' },
    open: true,
    run: (c, args) => {
      c.objects.add(args);
      return NONE;
    },
  },
  'object-del': command({ id: 'str' }, (c, args) => {
    c.objects.remove(args['id'] as string);
    return NONE;
  }),
  'migrate-pause': {
    ...query(() => {
      throw qmpError('migrate-pause is currently only supported during postcopy-active state');
    }),
    oob: true,
  },
  'query-chardev': query((c) =>
    c.chardevs.map(({ id, kind }) => ({ label: id, filename: kind, 'frontend-open': true })),
  ),
  'query-chardev-backends': query(() => ['file', 'null', 'pty', 'socket', 'stdio'].map((name) => ({ name }))),
  'query-pci': remote(NONE, 'query-pci'),
  'query-block': query((c) => queryBlock(c)),
  'query-blockstats': command({ 'query-nodes': 'bool?' }, (c) => queryBlockStats(c)),
  'query-block-jobs': query(() => []),
  'query-named-block-nodes': command({ flat: 'bool?' }, (c, args) => queryNodes(c, args['flat'] === true)),
  'query-jobs': query(() => []),
  'query-balloon': remote(NONE, 'query-balloon'),
  'query-rx-filter': command({ name: 'str?' }, () => []),
  'query-tpm': query(() => []),
  'query-tpm-models': query(() => []),
  'query-tpm-types': query(() => []),
  'query-vnc-servers': query(() => {
    throw qmpError("The feature 'vnc' is not enabled");
  }),
  'query-migrate': query(() => ({})),
  'query-migrate-capabilities': query(() => []),
  'query-dump': query(() => ({ status: 'none', completed: 0, total: 0 })),
  'query-replay': query(() => ({ mode: 'none', icount: 0 })),
  'query-acpi-ospm-status': query(() => {
    throw qmpError('command is not supported, missing ACPI device');
  }),
  'query-vm-generation-id': remote(NONE, 'query-vm-generation-id'),
  'query-command-line-options': command({ option: 'str?' }, () => []),
  'query-qmp-schema': early(query(() => qmpSchema(QMP_COMMANDS, QMP_EVENTS))),
  'query-display-options': query(() => ({ type: 'none' })),
  balloon: remote({ value: 'int' }, 'balloon'),
  stop: query((c) => done(c.machine.request('pause', NONE))),
  cont: query((c) => done(c.machine.request('resume', NONE))),
  system_reset: query((c) => done(c.machine.request('reset', NONE))),
  system_powerdown: query((c) => done(c.machine.request('powerdown', NONE))),
  system_wakeup: query(() => {
    throw qmpError('wake-up from suspend is not supported by this guest');
  }),
  'inject-nmi': query((c) => done(c.machine.request('nmi', NONE))),
  quit: early(
    query((c) => {
      // The answer goes out first.
      setImmediateLike(() => c.quit());
      return NONE;
    }),
  ),
  device_add: {
    arguments: { driver: 'str', id: 'str?', bus: 'str?' },
    open: true,
    run: (c, args) =>
      done(onMachine(c.machine, 'device_add', { spec: parseDeviceAdd(args) as unknown as Json })),
  },
  device_del: remote({ id: 'str' }, 'device_del'),
  'blockdev-add': {
    arguments: { driver: 'str', 'node-name': 'str?' },
    open: true,
    run: (c, args) => blockdevAdd(c, args),
  },
  'blockdev-del': command({ 'node-name': 'str' }, (c, args) => blockdevDel(c, args['node-name'] as string)),
  eject: remote({ device: 'str?', id: 'str?', force: 'bool?' }, 'eject'),
  'blockdev-open-tray': remote({ device: 'str?', id: 'str?', force: 'bool?' }, 'blockdev-open-tray'),
  'blockdev-close-tray': remote({ device: 'str?', id: 'str?' }, 'blockdev-close-tray'),
  'blockdev-remove-medium': remote({ id: 'str' }, 'blockdev-remove-medium'),
  'blockdev-insert-medium': remote({ id: 'str', 'node-name': 'str' }, 'blockdev-insert-medium'),
  'blockdev-change-medium': command(
    {
      device: 'str?',
      id: 'str?',
      filename: 'str',
      format: 'str?',
      force: 'bool?',
      'read-only-mode': 'str?',
    },
    (c, args) => changeMedium(c, args, args['filename'] as string, args['format'] as string | undefined),
  ),
  block_resize: command({ device: 'str?', 'node-name': 'str?', size: 'int' }, (c, args) =>
    blockResize(c, args),
  ),
  'qom-list': command({ path: 'str' }, (c, args) => {
    const path = (args['path'] as string).replace(/\/+$/, '');
    if (path !== '/objects') return onMachine(c.machine, 'qom-list', args);
    return [
      { name: 'type', type: 'string' },
      ...c.objects.all.map(({ id, type }) => ({ name: id, type: `child<${type}>` })),
    ];
  }),
  'qom-get': remote({ path: 'str', property: 'str' }, 'qom-get'),
  'qom-set': remote({ path: 'str', property: 'str', value: 'any' }, 'qom-set'),
  'qom-list-types': command({ implements: 'str?', abstract: 'bool?' }, (_c, args) =>
    listQomTypes(args['implements'] as string | undefined, args['abstract'] === true),
  ),
  'qom-list-properties': command({ typename: 'str' }, (_c, args) =>
    devicePropertyList(args['typename'] as string),
  ),
  'device-list-properties': command({ typename: 'str' }, (_c, args) =>
    devicePropertyList(args['typename'] as string),
  ),
  screendump: command({ filename: 'str', device: 'str?', head: 'int?', format: 'str?' }, (c, args) =>
    done(saveScreen(c, args['filename'] as string, (args['format'] as string | undefined) ?? 'ppm')),
  ),
  'input-send-event': remote({ device: 'str?', head: 'int?', events: 'array' }, 'input-send-event'),
  'query-mice': remote(NONE, 'query-mice'),
  'send-key': command({ keys: 'array', 'hold-time': 'int?' }, (c, args) => sendKeys(c, args)),
  'human-monitor-command': command({ 'command-line': 'str', 'cpu-index': 'int?' }, async (c, args) => {
    const text = await runCommand(c, args['command-line'] as string);
    return text === '' ? '' : `${text.replaceAll('\n', '\r\n')}\r\n`;
  }),
  pmemsave: command({ val: 'int', size: 'int', filename: 'str' }, (c, args) =>
    saveMemory(c, args, 'physical'),
  ),
  memsave: command({ val: 'int', size: 'int', filename: 'str', 'cpu-index': 'int?' }, (c, args) =>
    saveMemory(c, args, 'virtual'),
  ),
};

export const QMP_EVENTS: readonly string[] = [
  'SHUTDOWN',
  'POWERDOWN',
  'RESET',
  'STOP',
  'RESUME',
  'WATCHDOG',
  'GUEST_PANICKED',
  'GUEST_CRASHLOADED',
  'DEVICE_DELETED',
  'DEVICE_UNPLUG_GUEST_ERROR',
  'DEVICE_TRAY_MOVED',
  'BALLOON_CHANGE',
  'VSERPORT_CHANGE',
  'RTC_CHANGE',
  'BLOCK_IO_ERROR',
  'BLOCK_JOB_COMPLETED',
  'BLOCK_JOB_CANCELLED',
  'BLOCK_JOB_ERROR',
  'BLOCK_JOB_READY',
];

/** Runs a command; rejects or throws `UserError` with the class the peer shall see. */
export function runQmpCommand(
  context: QmpContext,
  name: string,
  args: JsonObject,
  urgent: boolean,
): Promise<Json> | Json {
  const row = Object.hasOwn(QMP_COMMANDS, name) ? QMP_COMMANDS[name] : undefined;
  if (row === undefined) throw qmpError(`The command ${name} has not been found`, 'CommandNotFound');
  if (urgent && row.oob !== true) throw qmpError(`The command ${name} does not support OOB`);
  if (context.preconfig.isActive && row.early !== true)
    throw qmpError(`The command '${name}' isn't permitted in 'preconfig' state`);
  checkArguments(row, args);
  return row.run(context, args);
}

const TYPE_NAMES = {
  str: 'string',
  int: 'integer',
  bool: 'boolean',
  object: 'object',
  array: 'array',
} as const;

function checkArguments(row: QmpCommand, args: JsonObject): void {
  for (const [name, type] of Object.entries(row.arguments)) {
    const value = args[name];
    const plain = type.replace('?', '') as keyof typeof TYPE_NAMES | 'any';
    if (value === undefined) {
      if (!type.endsWith('?')) throw qmpError(`Parameter '${name}' is missing`);
    } else if (plain !== 'any' && !fits(plain, value)) {
      throw qmpError(`Invalid parameter type for '${name}', expected: ${TYPE_NAMES[plain]}`);
    }
  }
  if (row.open === true) return;
  for (const name of Object.keys(args))
    if (!Object.hasOwn(row.arguments, name)) throw qmpError(`Parameter '${name}' is unexpected`);
}

function fits(type: keyof typeof TYPE_NAMES, value: Json): boolean {
  switch (type) {
    case 'str':
      return typeof value === 'string';
    case 'int':
      return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
    case 'bool':
      return typeof value === 'boolean';
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
  }
}

/** The machine's RAM and what `-object memory-backend-…` made. */
function memoryDevices({ machine, objects }: QmpContext): Json {
  const common = {
    merge: true,
    dump: true,
    prealloc: false,
    share: false,
    'host-nodes': [],
    policy: 'default',
  };
  const { isEmpty, memoryBytes } = machine.config;
  const own = { id: isEmpty ? 'ram' : 'pc.ram', size: memoryBytes, ...common };
  const further = objects.all
    .filter(({ type }) => type.startsWith('memory-backend-'))
    .map(({ id, properties }) => ({ id, size: properties['size'] as number, ...common }));
  return [...(memoryBytes > 0 ? [own] : []), ...further];
}

const DEFAULT_HOLD_MS = 100;

/** Keys by their names (`qcode`) or numbers. */
function sendKeys(c: QmpContext, args: JsonObject): Promise<Json> {
  const keys = (args['keys'] as readonly JsonObject[]).map((key) => {
    const { type, data } = key;
    if (type === 'number' && typeof data === 'number') return `0x${data.toString(16)}`;
    if (type !== 'qcode' || typeof data !== 'string')
      throw qmpError("Parameter 'keys' expects values of type 'qcode' or 'number'");
    return data;
  });
  const holdMs = Number(args['hold-time'] ?? DEFAULT_HOLD_MS);
  if (!(holdMs >= 0 && holdMs <= 60_000)) throw qmpError("Parameter 'hold-time' expects 0 to 60000");
  return done(c.machine.request('sendKeys', { keys, holdMs }));
}

async function saveMemory(c: QmpContext, args: JsonObject, kind: 'physical' | 'virtual'): Promise<Json> {
  const size = Number(args['size'] as number);
  const address = BigInt.asUintN(64, BigInt(args['val'] as number | bigint));
  if (size < 0 || size > 2 ** 32) throw qmpError("Parameter 'size' is out of range");
  const bytes = await c.machine.read(address, size, kind);
  await c.writeFile(args['filename'] as string, bytes);
  return {};
}

/** After the present turn of the event loop; portable layers have promises only. */
function setImmediateLike(action: () => void): void {
  void Promise.resolve()
    .then(() => {})
    .then(() => {})
    .then(action);
}

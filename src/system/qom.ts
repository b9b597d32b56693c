/** The tree of objects that `qom-list`, `qom-get` and `qom-set` show, in QEMU's places and names. */
import type { PluggedDevice } from '../machine/device-registry.ts';
import { UserError } from '../util/errors.ts';
import { qomType } from './device-info.ts';
import type { Machine } from './machine.ts';

interface QomProperty {
  readonly type: string;
  get(): unknown;
  set?(value: unknown): void;
}

interface QomObject {
  readonly typeName: string;
  readonly properties: ReadonlyMap<string, QomProperty>;
  readonly children: ReadonlyMap<string, QomObject>;
}

/** `qom-list`. */
export function qomList(machine: Machine, path: string): unknown {
  const object = resolve(machine, path);
  const children = [...object.children].map(([name, child]) => ({ name, type: `child<${child.typeName}>` }));
  return [...[...object.properties].map(([name, { type }]) => ({ name, type })), ...children];
}

/** `qom-get`. */
export function qomGet(machine: Machine, path: string, property: string): unknown {
  return find(machine, path, property).get();
}

/** `qom-set`. */
export function qomSet(machine: Machine, path: string, property: string, value: unknown): unknown {
  const found = find(machine, path, property);
  if (found.set === undefined)
    throw new UserError(
      'GenericError',
      `Property '${resolve(machine, path).typeName}.${property}' is not writable`,
    );
  found.set(value);
  return {};
}

function find(machine: Machine, path: string, property: string): QomProperty {
  const object = resolve(machine, path);
  const found = object.properties.get(property);
  if (found !== undefined) return found;
  const child = object.children.get(property);
  if (child !== undefined) {
    const full = `${path === '/' ? '' : path}/${property}`;
    return { type: `child<${child.typeName}>`, get: () => full };
  }
  throw new UserError('GenericError', `Property '${object.typeName}.${property}' not found`);
}

function resolve(machine: Machine, path: string): QomObject {
  let object = tree(machine);
  const parts = path.split('/').filter((part) => part !== '');
  if (!path.startsWith('/')) {
    const plugged = machine.board.registry.find(path);
    if (plugged !== undefined) return pluggedObject(plugged);
    if (parts[0] !== 'machine') parts.unshift('machine', 'unattached');
  }
  for (const part of parts) {
    const child = object.children.get(part);
    if (child === undefined) throw new UserError('DeviceNotFound', `Device '${path}' not found`);
    object = child;
  }
  return object;
}

function tree(machine: Machine): QomObject {
  const { board, config, accelerator } = machine;
  const peripheral = (prefix: string): ReadonlyArray<readonly [string, QomObject]> =>
    board.registry.plugged
      .filter((p) => p.path.startsWith(prefix))
      .map((p) => [p.path.slice(prefix.length), pluggedObject(p)] as const);
  const builtin = [...board.devices.keys()].filter((name) => !name.startsWith('/'));
  const unattached = [
    ...accelerator.vcpus.map(() => object('qemu64-x86_64-cpu', { 'apic-id': () => 0, realized: () => true })),
    ...builtin.map((name) => object(name, { realized: () => true, hotplugged: () => false })),
  ];
  const parts: Array<readonly [string, QomObject]> = [
    ['peripheral', object('container', {}, peripheral('/machine/peripheral/'))],
    ['peripheral-anon', object('container', {}, peripheral('/machine/peripheral-anon/'))],
    [
      'unattached',
      object(
        'container',
        {},
        unattached.map((o, i) => [`device[${i}]`, o] as const),
      ),
    ],
  ];
  const machineObject = object(
    'pc-i440fx-7.2-machine',
    {
      accel: () => accelerator.name,
      graphics: () => false,
      'rtc-time': () => rtcTime(machine),
      hpet: () => config.hpet,
      acpi: () => (config.acpi ? 'auto' : 'off'),
      kernel: () => '',
      append: () => config.commandLine,
      usb: () => false,
      'max-ram-below-4g': () => 0,
    },
    parts,
  );
  const root: Array<readonly [string, QomObject]> = [
    ['machine', machineObject],
    ['objects', object('container', {})],
    ['chardevs', object('container', {})],
  ];
  return object('container', {}, root);
}

function rtcTime(machine: Machine): unknown {
  const date = new Date(machine.rtcNowMs());
  return {
    tm_year: date.getUTCFullYear() - 1900,
    tm_mon: date.getUTCMonth(),
    tm_mday: date.getUTCDate(),
    tm_hour: date.getUTCHours(),
    tm_min: date.getUTCMinutes(),
    tm_sec: date.getUTCSeconds(),
  };
}

const OBJECT_TYPES: Readonly<Record<string, string>> = {
  'rtc-time': 'struct tm',
  'max-ram-below-4g': 'size',
  acpi: 'OnOffAuto',
};

function object(
  typeName: string,
  values: Readonly<Record<string, () => unknown>>,
  children: ReadonlyArray<readonly [string, QomObject]> = [],
): QomObject {
  const properties = new Map<string, QomProperty>([['type', { type: 'string', get: () => typeName }]]);
  for (const [name, get] of Object.entries(values)) {
    const kind = { boolean: 'bool', number: 'int', string: 'string' }[typeof get() as 'string'] ?? 'any';
    properties.set(name, { type: OBJECT_TYPES[name] ?? kind, get });
  }
  return { typeName, properties, children: new Map(children) };
}

function pluggedObject({ spec, type, built, busName, devfn, hotplugged }: PluggedDevice): QomObject {
  const properties = new Map<string, QomProperty>([
    ['type', { type: 'string', get: () => type.name }],
    ['realized', { type: 'bool', get: () => true }],
    ['hotplugged', { type: 'bool', get: () => hotplugged }],
    ['hotpluggable', { type: 'bool', get: () => type.hotpluggable }],
    ['parent_bus', { type: 'link<bus>', get: () => busName }],
  ]);
  for (const property of type.properties) {
    const { name, kind, default: initial } = property;
    const given = name === 'addr' ? devfn : (spec.properties[name] ?? initial);
    const none = kind === 'bool' ? false : kind.includes('int') || kind === 'size' ? 0 : '';
    properties.set(name, { type: qomType(property), get: () => built.live?.[name]?.() ?? given ?? none });
  }
  for (const [name, get] of Object.entries(built.live ?? {}))
    if (!properties.has(name)) properties.set(name, { type: 'any', get });
  const { setProperty } = built;
  for (const [name, property] of properties) {
    if (setProperty?.names.includes(name) !== true) continue;
    properties.set(name, { ...property, set: (value) => setProperty.set(name, value) });
  }
  return { typeName: type.name, properties, children: new Map() };
}

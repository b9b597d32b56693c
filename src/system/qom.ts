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

/** Where commands look: a tree, and a device by its id. */
export interface QomWorld {
  tree(): QomObject;
  device?(id: string): QomObject | undefined;
}

export interface QomObject {
  readonly typeName: string;
  readonly properties: ReadonlyMap<string, QomProperty>;
  readonly children: ReadonlyMap<string, QomObject>;
}

/** `qom-list`. */
export function qomList(world: QomWorld, path: string): unknown {
  const object = resolve(world, path);
  const children = [...object.children].map(([name, child]) => ({ name, type: `child<${child.typeName}>` }));
  return [...[...object.properties].map(([name, { type }]) => ({ name, type })), ...children];
}

/** `qom-get`. */
export function qomGet(world: QomWorld, path: string, property: string): unknown {
  return find(world, path, property).get();
}

/** `qom-set`. */
export function qomSet(world: QomWorld, path: string, property: string, value: unknown): unknown {
  const found = find(world, path, property);
  if (found.set === undefined)
    throw new UserError(
      'GenericError',
      `Property '${resolve(world, path).typeName}.${property}' is not writable`,
    );
  found.set(value);
  return {};
}

function find(world: QomWorld, path: string, property: string): QomProperty {
  const object = resolve(world, path);
  const found = object.properties.get(property);
  if (found !== undefined) return found;
  const child = object.children.get(property);
  if (child !== undefined) {
    const full = `${path === '/' ? '' : path}/${property}`;
    return { type: `child<${child.typeName}>`, get: () => full };
  }
  throw new UserError('GenericError', `Property '${object.typeName}.${property}' not found`);
}

function resolve(world: QomWorld, path: string): QomObject {
  let object = world.tree();
  const parts = path.split('/').filter((part) => part !== '');
  if (!path.startsWith('/')) {
    const device = world.device?.(path);
    if (device !== undefined) return device;
    if (parts[0] !== 'machine') parts.unshift('machine', 'unattached');
  }
  for (const part of parts) {
    const child = object.children.get(part);
    if (child === undefined) throw new UserError('DeviceNotFound', `Device '${path}' not found`);
    object = child;
  }
  return object;
}

/** The objects of a machine with a board. */
export function machineWorld(machine: Machine): QomWorld {
  return {
    tree: () => tree(machine),
    device: (id) => {
      const plugged = machine.board.registry.find(id);
      return plugged === undefined ? undefined : pluggedObject(plugged);
    },
  };
}

/** The tree around a machine object. */
export function qomRoot(machine: QomObject): QomObject {
  return object('container', {}, [
    ['machine', machine],
    ['objects', object('container', {})],
    ['chardevs', object('container', {})],
  ]);
}

function tree(machine: Machine): QomObject {
  const { board, config, accelerator } = machine;
  const peripheral = (prefix: string): ReadonlyArray<readonly [string, QomObject]> =>
    board.registry.plugged
      .filter((p) => p.path.startsWith(prefix))
      .map((p) => [p.path.slice(prefix.length), pluggedObject(p)] as const);
  const builtin = [...board.devices.keys()].filter((name) => !name.startsWith('/'));
  const unattached: Array<readonly [string, QomObject]> = [
    ...accelerator.vcpus.map(
      ({ index }) =>
        [
          `device[${index}]`,
          object('qemu64-x86_64-cpu', { 'apic-id': () => index, realized: () => true }),
        ] as const,
    ),
    ...builtin.map(
      (name) => [name, object(name, { realized: () => true, hotplugged: () => false })] as const,
    ),
  ];
  const parts: Array<readonly [string, QomObject]> = [
    ['peripheral', object('container', {}, peripheral('/machine/peripheral/'))],
    ['peripheral-anon', object('container', {}, peripheral('/machine/peripheral-anon/'))],
    ['unattached', object('container', {}, unattached)],
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
  return qomRoot(machineObject);
}

/** `info qom-tree`. */
export function qomTreeText(world: QomWorld): string {
  const lines = (name: string, { typeName, children }: QomObject, indent: string): string[] => [
    `${indent}/${name} (${typeName})`,
    ...[...children].flatMap(([child, below]) => lines(child, below, `${indent}  `)),
  ];
  const machine = world.tree().children.get('machine')!;
  return lines('machine', machine, '').join('\n');
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

export function object(
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

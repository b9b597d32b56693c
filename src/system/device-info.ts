/** What the control protocol tells of machines, processors and device types. */
import { type DeviceSpec, deviceSpec, parseDeviceOption } from '../machine/device-spec.ts';
import { deviceTypes, findDeviceType, type PropertySpec } from '../machine/device-types.ts';
import { cpuModelNames } from '../target/x86/cpu-models.ts';
import { UserError } from '../util/errors.ts';

type Plain = string | number | boolean | { readonly [key: string]: Plain } | readonly Plain[];

/** Names of `-cpu`. */
export function cpuModels(): string[] {
  return [...cpuModelNames()];
}

/** The device that `device_add` asks for. */
export function parseDeviceAdd(values: Readonly<Record<string, unknown>>): DeviceSpec {
  return deviceSpec(values, 'device_add');
}

/** The same as text, as `-device` has it. */
export function parseDeviceText(text: string): DeviceSpec {
  return { ...parseDeviceOption(text), what: 'device_add' };
}

export function machineList(): Plain[] {
  const common = { 'cpu-max': 255, 'numa-mem-supported': false, deprecated: false };
  return [
    {
      ...common,
      name: 'pc-i440fx-7.2',
      alias: 'pc',
      'is-default': true,
      'hotpluggable-cpus': true,
      'default-cpu-type': 'qemu64-x86_64-cpu',
      'default-ram-id': 'pc.ram',
    },
    {
      ...common,
      name: 'pc-q35-7.2',
      alias: 'q35',
      'hotpluggable-cpus': true,
      'default-cpu-type': 'qemu64-x86_64-cpu',
      'default-ram-id': 'pc.ram',
    },
    { ...common, name: 'none', 'hotpluggable-cpus': false, 'default-ram-id': 'ram' },
  ];
}

/** Abstract types between the object model's root and the devices. */
const ABSTRACT_PARENT: Readonly<Record<string, string>> = {
  device: 'object',
  'pci-device': 'device',
  'isa-device': 'device',
  'virtio-device': 'device',
  'virtio-pci': 'pci-device',
  'virtio-serial-port': 'device',
  'scsi-device': 'device',
  'scsi-disk-base': 'scsi-device',
};

/** Properties of every device. */
const COMMON: readonly Plain[] = [
  { name: 'type', type: 'string' },
  { name: 'parent_bus', type: 'link<bus>' },
  { name: 'realized', type: 'bool' },
  { name: 'hotplugged', type: 'bool' },
  { name: 'hotpluggable', type: 'bool' },
];

export function qomType(property: PropertySpec): string {
  switch (property.kind) {
    case 'pci-slot':
      return 'int32';
    case 'enum':
      return property.name === 'rerror' || property.name === 'werror' ? 'BlockdevOnError' : 'str';
    case 'drive':
    case 'chardev':
    case 'fsdev':
      return 'str';
    case 'link':
      return property.name === 'rng' ? 'link<rng-backend>' : 'link<iothread>';
    default:
      return property.kind;
  }
}

/** `device-list-properties`. */
export function devicePropertyList(typename: string): Plain[] {
  const type = findDeviceType(typename);
  if (type === undefined) {
    if (Object.hasOwn(ABSTRACT_PARENT, typename))
      throw new UserError('GenericError', `Parameter 'typename' expects a non-abstract device type`);
    throw new UserError('DeviceNotFound', `Device '${typename}' not found`);
  }
  const own = type.properties.map((property) => ({
    name: property.name,
    type: qomType(property),
    ...(property.default !== undefined && { 'default-value': property.default }),
    ...(property.about !== undefined && { description: property.about }),
  }));
  return [...COMMON.slice(1), ...own];
}

/** `qom-list-types`: those that implement `wanted`, or all. */
export function listQomTypes(wanted: string | undefined, abstract: boolean): Plain[] {
  const rows: Array<{ name: string; parents: readonly string[]; abstract: boolean }> = [];
  for (const type of deviceTypes()) rows.push({ name: type.name, parents: type.parents, abstract: false });
  const known = new Set(rows.map((row) => row.name));
  const addAbstract = (name: string, parents: readonly string[]): void => {
    if (name === 'object' || known.has(name)) return;
    known.add(name);
    rows.push({ name, parents, abstract: true });
  };
  for (const row of [...rows]) row.parents.forEach((name, i) => addAbstract(name, row.parents.slice(i + 1)));
  return rows
    .filter((row) => abstract || !row.abstract)
    .filter(
      (row) =>
        wanted === undefined || row.name === wanted || row.parents.includes(wanted) || wanted === 'object',
    )
    .map((row) => ({
      name: row.name,
      parent: row.parents[0] ?? 'object',
      ...(row.abstract && { abstract: true }),
    }));
}

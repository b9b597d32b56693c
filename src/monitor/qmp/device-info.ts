/** What the control protocol tells of device types. */
import { deviceTypes, findDeviceType, type PropertySpec } from '../../machine/device-types.ts';
import { qmpError } from './errors.ts';
import type { Json } from './json.ts';

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
const COMMON: readonly Json[] = [
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
export function devicePropertyList(typename: string): Json {
  const type = findDeviceType(typename);
  if (type === undefined) {
    if (Object.hasOwn(ABSTRACT_PARENT, typename))
      throw qmpError(`Parameter 'typename' expects a non-abstract device type`);
    throw qmpError(`Device '${typename}' not found`, 'DeviceNotFound');
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
export function listQomTypes(wanted: string | undefined, abstract: boolean): Json {
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
    .filter((row) => wanted === undefined || row.name === wanted || row.parents.includes(wanted) || wanted === 'object')
    .map((row) => ({ name: row.name, parent: row.parents[0] ?? 'object', ...(row.abstract && { abstract: true }) }));
}

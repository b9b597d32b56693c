/** What a user says of one device: the plain form of `-device` and of `device_add`. */
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';
import { type DeviceType, findDeviceType, type PropertySpec } from './device-types.ts';

/** Unsigned numbers beyond 2^53 are decimal strings. */
export type PropertyValue = string | number | boolean;

/** Plain data: it is sent to the machine thread. */
export interface DeviceSpec {
  readonly driver: string;
  readonly id: string | undefined;
  /** Name of the bus, or undefined: the first that fits. */
  readonly bus: string | undefined;
  /** Checked and in the type of its property; what is not given is absent. */
  readonly properties: Readonly<Record<string, PropertyValue>>;
  /** For messages: `-device edu`. */
  readonly what: string;
}

/** `-global DRIVER.PROPERTY=VALUE`, as given. */
export interface GlobalProperty {
  readonly driver: string;
  readonly property: string;
  readonly value: string;
}

/** Keys of every device that are no properties of its type. */
const RESERVED = new Set(['driver', 'id', 'bus']);

/** The value of `-device`: `DRIVER[,property=value…]` or a JSON object. `UserError` names the option and the reason. */
export function parseDeviceOption(text: string, globals: readonly GlobalProperty[] = []): DeviceSpec {
  const what = `-device ${text}`;
  if (text.trimStart().startsWith('{')) return deviceSpec(parseJsonOption(text, what), what, globals);
  const options = new OptionList(text, what, 'driver');
  return deviceSpec(options.entries(), what, globals);
}

function parseJsonOption(text: string, what: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new UserError('BadOption', `${what}: ${(error as Error).message}`);
  }
}

/** Checks the named values of a device against its type. */
export function deviceSpec(
  values: Readonly<Record<string, unknown>>,
  what: string,
  globals: readonly GlobalProperty[] = [],
): DeviceSpec {
  const driver = values['driver'];
  if (typeof driver !== 'string' || driver === '') {
    throw new UserError('GenericError', `${what}: Parameter 'driver' is missing`);
  }
  const type = findDeviceType(driver);
  if (type === undefined) {
    throw new UserError('GenericError', `${what}: '${driver}' is not a valid device model name`);
  }
  const properties: Record<string, PropertyValue> = {};
  for (const { driver: of, property, value } of globals) {
    if (of !== type.name && !type.parents.includes(of)) continue;
    const spec = type.properties.find((p) => p.name === property);
    if (spec !== undefined)
      properties[property] = parseProperty(type, spec, value, `-global ${of}.${property}`);
  }
  for (const [name, value] of Object.entries(values)) {
    if (RESERVED.has(name) || value === undefined) continue;
    const spec = type.properties.find((p) => p.name === name || p.name === name.replaceAll('_', '-'));
    if (spec === undefined) {
      throw new UserError('GenericError', `${what}: Property '${type.name}.${name}' not found`);
    }
    properties[spec.name] = parseProperty(type, spec, value, what);
  }
  return {
    driver: type.name,
    id: identifier(values['id'], what),
    bus: text(values['bus'], 'bus', what),
    properties,
    what,
  };
}

function identifier(value: unknown, what: string): string | undefined {
  const id = text(value, 'id', what);
  if (id !== undefined && !/^[a-z][\w.-]*$/i.test(id)) {
    throw new UserError('GenericError', `${what}: Parameter 'id' expects an identifier`);
  }
  return id;
}

function text(value: unknown, name: string, what: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw new UserError('GenericError', `${what}: Invalid parameter type for '${name}', expected: string`);
}

/** A value in the type of its property; `UserError` for what does not fit. */
export function parseProperty(
  type: DeviceType,
  spec: PropertySpec,
  value: unknown,
  what: string,
): PropertyValue {
  const bad = (expected: string): UserError => {
    const shown = String(value as string);
    return new UserError(
      'GenericError',
      `${what}: Property '${type.name}.${spec.name}' doesn't take value '${shown}' (${expected})`,
    );
  };
  switch (spec.kind) {
    case 'bool':
      return parseBool(value) ?? fail(bad('on or off'));
    case 'OnOffAuto':
      if (typeof value === 'boolean') return value ? 'on' : 'off';
      if (value === 'on' || value === 'off' || value === 'auto') return value;
      throw bad('on, off or auto');
    case 'enum':
      if (typeof value === 'string' && spec.choices!.includes(value)) return value;
      throw bad(spec.choices!.join(', '));
    case 'uint8':
    case 'uint16':
    case 'uint32':
    case 'int32':
    case 'uint64':
    case 'size':
      return parseNumber(spec.kind, value) ?? fail(bad(spec.kind));
    case 'pci-slot':
      return parseSlot(value) ?? fail(bad('slot[.function]'));
    case 'str':
    case 'drive':
    case 'chardev':
    case 'audiodev':
    case 'fsdev':
    case 'link':
      if (typeof value === 'string') return value;
      throw bad('a string');
  }
}

function fail(error: UserError): never {
  throw error;
}

function parseBool(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 'on' || value === 'yes' || value === 'true' || value === 'y') return true;
  if (value === 'off' || value === 'no' || value === 'false' || value === 'n') return false;
  return undefined;
}

const LIMITS = {
  uint8: [0n, 255n],
  uint16: [0n, 65535n],
  uint32: [0n, 2n ** 32n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  size: [0n, 2n ** 64n - 1n],
} as const;
const SUFFIXES = { '': 0n, b: 0n, k: 10n, m: 20n, g: 30n, t: 40n } as const;

function parseNumber(kind: keyof typeof LIMITS, value: unknown): number | string | undefined {
  let number: bigint;
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value)))
    number = BigInt(value);
  else if (typeof value === 'string') {
    const match = /^(-?)(0x[0-9a-f]+|\d+)([bkmgt]?)$/i.exec(value);
    if (match === null || (match[3] !== '' && kind !== 'size')) return undefined;
    number = BigInt(match[2]!) << SUFFIXES[match[3]!.toLowerCase() as keyof typeof SUFFIXES];
    if (match[1] === '-') number = -number;
  } else return undefined;
  const [low, high] = LIMITS[kind];
  if (number < low || number > high) return undefined;
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number.toString();
}

/** `addr=`: hexadecimal slot and function, or both in one number; as slot << 3 | function. */
function parseSlot(value: unknown): number | undefined {
  if (typeof value === 'number') return value >= 0 && value < 256 ? value : undefined;
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(typeof value === 'string' ? value : '');
  if (match === null) return undefined;
  const slot = Number.parseInt(match[1]!, 16);
  return slot < 32 ? (slot << 3) | Number(match[2] ?? 0) : undefined;
}

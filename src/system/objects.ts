/** `-object` and `object-add`: back ends that devices may name. They live on the main thread. */
import { UserError } from '../util/errors.ts';

type PropertyKind = 'size' | 'bool' | 'str' | 'int';

interface ObjectType {
  readonly required: readonly string[];
  readonly properties: Readonly<Record<string, PropertyKind>>;
}

const TYPES: Readonly<Record<string, ObjectType>> = {
  'memory-backend-ram': {
    required: ['size'],
    properties: {
      size: 'size',
      merge: 'bool',
      dump: 'bool',
      prealloc: 'bool',
      share: 'bool',
      reserve: 'bool',
    },
  },
  'rng-builtin': { required: [], properties: {} },
  'rng-random': { required: [], properties: { filename: 'str' } },
  iothread: {
    required: [],
    properties: { 'poll-max-ns': 'int', 'poll-grow': 'int', 'poll-shrink': 'int', 'aio-max-batch': 'int' },
  },
};

export type ObjectValue = string | number | bigint | boolean;

export interface UserObject {
  readonly id: string;
  readonly type: string;
  readonly properties: Readonly<Record<string, ObjectValue>>;
}

const error = (message: string): UserError => new UserError('GenericError', message);

export class ObjectStore {
  readonly #objects = new Map<string, UserObject>();

  get all(): readonly UserObject[] {
    return [...this.#objects.values()];
  }

  /** Values in the types of JSON. `UserError` for a type, a property or a value that there is not. */
  add(values: Readonly<Record<string, unknown>>): void {
    const { 'qom-type': typeName, id, ...rest } = values;
    if (typeof typeName !== 'string') throw error("Parameter 'qom-type' is missing");
    if (typeof id !== 'string') throw error("Parameter 'id' is missing");
    if (!/^[a-z][\w.-]*$/i.test(id)) throw error("Parameter 'id' expects an identifier");
    const type = Object.hasOwn(TYPES, typeName) ? TYPES[typeName]! : undefined;
    if (type === undefined) throw error(`Parameter 'qom-type' does not accept value '${typeName}'`);
    const properties: Record<string, ObjectValue> = {};
    for (const [name, value] of Object.entries(rest)) {
      const kind = Object.hasOwn(type.properties, name) ? type.properties[name]! : undefined;
      if (kind === undefined) throw error(`Parameter '${name}' is unexpected`);
      properties[name] = checked(name, kind, value);
    }
    for (const name of type.required)
      if (properties[name] === undefined) throw error(`Parameter '${name}' is missing`);
    if (this.#objects.has(id))
      throw error(`attempt to add duplicate property '${id}' to object (type 'container')`);
    this.#objects.set(id, { id, type: typeName, properties });
  }

  remove(id: string): void {
    if (!this.#objects.delete(id)) throw error(`object '${id}' not found`);
  }
}

function checked(name: string, kind: PropertyKind, value: unknown): ObjectValue {
  const isInteger = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
  const fits =
    kind === 'bool' ? typeof value === 'boolean' : kind === 'str' ? typeof value === 'string' : isInteger;
  const expected = { bool: 'boolean', str: 'string', int: 'integer', size: 'integer' }[kind];
  if (!fits) throw error(`Invalid parameter type for '${name}', expected: ${expected}`);
  return value as ObjectValue;
}

/** The values of `-object TYPE,id=ID,…`, as text, in the types of their properties. */
export function objectFromText(values: Readonly<Record<string, string>>): Record<string, unknown> {
  const type = TYPES[values['qom-type'] ?? ''];
  return Object.fromEntries(
    Object.entries(values).map(([name, text]) => {
      const kind = type?.properties[name];
      if (kind === 'bool') return [name, text === 'on' || text === 'yes' || text === 'true'];
      if (kind === 'int') return [name, Number(text)];
      return [name, kind === 'size' ? sizeOf(text) : text];
    }),
  );
}

const SUFFIXES: Readonly<Record<string, number>> = { '': 0, b: 0, k: 10, m: 20, g: 30, t: 40 };

function sizeOf(text: string): number {
  const match = /^(\d+)([bkmgt]?)$/i.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * 2 ** SUFFIXES[match[2]!.toLowerCase()]!;
}

/** `query-qmp-schema`: the table of commands in the form of QAPI's introspection. */
import type { ArgumentType, QmpCommand } from './commands.ts';
import type { Json } from './json.ts';

const BUILTIN: ReadonlyArray<readonly [string, string]> = [
  ['str', 'string'],
  ['int', 'int'],
  ['number', 'number'],
  ['bool', 'boolean'],
  ['any', 'value'],
];

export function qmpSchema(commands: Readonly<Record<string, QmpCommand>>, events: readonly string[]): Json {
  const out: Json[] = BUILTIN.map(([name, json]) => ({ name, 'meta-type': 'builtin', 'json-type': json }));
  out.push({ name: 'q_empty', 'meta-type': 'object', members: [] });
  out.push({ name: '[any]', 'meta-type': 'array', 'element-type': 'any' });
  for (const [name, row] of Object.entries(commands)) {
    const argType = `q_obj_${name}-arg`;
    const members = Object.entries(row.arguments).map(([key, type]) => member(key, type));
    if (members.length > 0) out.push({ name: argType, 'meta-type': 'object', members });
    out.push({
      name,
      'meta-type': 'command',
      'arg-type': members.length > 0 ? argType : 'q_empty',
      'ret-type': name.startsWith('query-') || name.startsWith('qom-') ? 'any' : 'q_empty',
      ...(row.oob === true && { 'allow-oob': true }),
    });
  }
  for (const name of events) out.push({ name, 'meta-type': 'event', 'arg-type': 'q_empty' });
  return out;
}

function member(name: string, type: ArgumentType): Json {
  const plain = type.replace('?', '');
  const shown = plain === 'object' ? 'any' : plain === 'array' ? '[any]' : plain;
  return { name, type: shown, ...(type.endsWith('?') && { default: null }) };
}

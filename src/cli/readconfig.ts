/** `-readconfig FILE`: groups of options in the form of an INI file, each as the option of its name would have it. */
import { readFileSync } from 'node:fs';
import { errorReason } from '../host/node/error-reason.ts';
import { UserError } from '../util/errors.ts';

/** The option of a group, and the key that its id or first value has. */
const GROUPS: Readonly<Record<string, { readonly option: string; readonly first?: string }>> = {
  memory: { option: 'm', first: 'size' },
  machine: { option: 'machine', first: 'type' },
  accel: { option: 'accel', first: 'accel' },
  'smp-opts': { option: 'smp', first: 'cpus' },
  'boot-opts': { option: 'boot' },
  device: { option: 'device', first: 'driver' },
  drive: { option: 'drive' },
  chardev: { option: 'chardev', first: 'backend' },
  mon: { option: 'mon' },
  object: { option: 'object', first: 'qom-type' },
  rtc: { option: 'rtc' },
  name: { option: 'name', first: 'guest' },
  global: { option: 'global' },
  netdev: { option: 'netdev', first: 'type' },
  action: { option: 'action' },
};

interface Group {
  readonly name: string;
  readonly id: string | undefined;
  readonly line: number;
  readonly values: Array<readonly [string, string]>;
}

/** Command-line arguments that mean the same. `UserError` names file and line. */
export function readConfig(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError('FileOpenFailed', `-readconfig ${path}: ${errorReason(error)}`);
  }
  return parseConfig(text, `-readconfig ${path}`).flatMap((group) => toArguments(group, path));
}

export function parseConfig(text: string, what: string): Group[] {
  const groups: Group[] = [];
  text.split('\n').forEach((raw, n) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const header = /^\[\s*([\w-]+)(?:\s+"([^"]*)")?\s*\]$/.exec(line);
    if (header !== null) {
      groups.push({ name: header[1]!, id: header[2], line: n + 1, values: [] });
      return;
    }
    const value = /^([\w.-]+)\s*=\s*"([^"]*)"$/.exec(line);
    const group = groups.at(-1);
    if (value === null || group === undefined)
      throw new UserError('BadOption', `${what}: line ${n + 1}: not understood`);
    group.values.push([value[1]!, value[2]!]);
  });
  return groups;
}

function toArguments({ name, id, line, values }: Group, path: string): string[] {
  const known = Object.hasOwn(GROUPS, name) ? GROUPS[name]! : undefined;
  if (known === undefined)
    throw new UserError('BadOption', `-readconfig ${path}: line ${line}: There is no option group '${name}'`);
  const escaped = (text: string): string => text.replaceAll(',', ',,');
  const first = values.find(([key]) => key === known.first);
  const rest = values
    .filter(([key]) => key !== known.first)
    .map(([key, value]) => `${key}=${escaped(value)}`);
  const parts = [
    ...(first === undefined ? [] : [escaped(first[1])]),
    ...(id === undefined ? [] : [`id=${escaped(id)}`]),
    ...rest,
  ];
  return [`-${known.option}`, parts.join(',')];
}

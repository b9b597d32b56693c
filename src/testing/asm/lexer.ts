/** A mistake in assembly source: `line` counts from 1. */
export class AsmError extends Error {
  readonly line: number;

  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
    this.name = 'AsmError';
    this.line = line;
  }
}

/** One token; `value` is set for numbers, `text` is lower-case for names except labels' own spelling in `raw`. */
export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'punct';
  readonly text: string;
  readonly raw: string;
  readonly value: bigint;
}

const TOKEN =
  /\s*(?:(;.*)|("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`)|(\$?[0-9][0-9a-zA-Z_]*)|(\$\$|%%[A-Za-z_][\w.]*|[A-Za-z_.?@][\w.$#@~?]*)|(<<|>>|\/\/|[-+*/%&|^~!()[\],:$]))/y;

function parseNumber(raw: string, line: number): bigint {
  const text = raw.replaceAll('_', '').toLowerCase();
  const forms: readonly (readonly [RegExp, string])[] = [
    [/^0x([0-9a-f]+)$/, '0x'],
    [/^\$(0?[0-9a-f]+)$/, '0x'],
    [/^0([bo])([0-7]+)$/, ''],
    [/^([0-9][0-9a-f]*)h$/, '0x'],
    [/^([01]+)b$/, '0b'],
    [/^([0-9]+)d?$/, ''],
  ];
  for (const [pattern, prefix] of forms) {
    const match = pattern.exec(text);
    if (match) return BigInt(match[2] === undefined ? prefix + match[1]! : `0${match[1]}${match[2]}`);
  }
  throw new AsmError(`bad number ${raw}`, line);
}

/** The bytes of a quoted string as one little-endian number, as in `mov eax, 'abcd'`. */
export function stringValue(text: string): bigint {
  let value = 0n;
  for (let i = text.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(text.charCodeAt(i) & 0xff);
  return value;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', e: '\x1b' };

function unquote(raw: string): string {
  const inner = raw.slice(1, -1);
  if (raw[0] !== '`') return inner;
  return inner.replace(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char);
}

/** Splits one line, dropping its comment. */
export function tokenize(source: string, line: number): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (!match) {
      if (source.slice(at).trim() === '') break;
      throw new AsmError(`cannot read "${source.slice(at).trim()}"`, line);
    }
    const [, comment, quoted, number, name, punct] = match;
    if (comment !== undefined) break;
    if (quoted !== undefined) {
      const text = unquote(quoted);
      tokens.push({ kind: 'string', text, raw: quoted, value: stringValue(text) });
    } else if (number !== undefined) {
      tokens.push({ kind: 'number', text: number, raw: number, value: parseNumber(number, line) });
    } else if (name !== undefined) {
      tokens.push({ kind: 'name', text: name.toLowerCase(), raw: name, value: 0n });
    } else if (punct !== undefined) {
      tokens.push({ kind: 'punct', text: punct, raw: punct, value: 0n });
    }
  }
  return tokens;
}

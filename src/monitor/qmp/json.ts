/**
 * JSON as the control protocol takes it (QEMU QMP interface specification, 2.1): values follow each other with or without
 * white space, strings may stand in single quotes, and integers keep 64 bits. A value is an object or an array at the outermost level.
 */

export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };
export type JsonObject = { readonly [key: string]: Json | undefined };

/** What a stream of bytes gave: a value, or a mistake after which the stream goes on. */
export type JsonItem =
  | { readonly kind: 'value'; readonly value: Json }
  | { readonly kind: 'error'; readonly reason: string };

/** Longest message in bytes and deepest nesting that a peer may send. */
const MAX_MESSAGE = 64 * 2 ** 20;
const MAX_DEPTH = 1024;
const MAX_SCALAR = 64;
const WHITE: ReadonlySet<string> = new Set([' ', '\t', '\r', '\n']);

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Cuts a stream of bytes into messages by counting brackets outside of strings. */
export class JsonStream {
  #text = '';
  #depth = 0;
  #quote = '';
  #escaped = false;
  /** Letters and digits outside of any message. */
  #scalar = '';
  /** After a mistake outside of any message, up to white space. */
  #recovering = false;

  /** The messages that `bytes` completes. */
  push(bytes: Uint8Array): JsonItem[] {
    const items: JsonItem[] = [];
    for (const byte of bytes) {
      const item = this.#byte(byte);
      if (item !== undefined) items.push(item);
    }
    return items;
  }

  #byte(byte: number): JsonItem | undefined {
    if (byte >= 0xf8 || byte === 0xc0 || byte === 0xc1) return this.#fail('invalid byte in the input');
    const char = String.fromCharCode(byte);
    if (this.#quote !== '') return this.#inString(char, byte);
    if (this.#depth === 0) {
      if (char !== '{' && char !== '[') return this.#outermost(char, byte);
      this.#scalar = '';
      this.#recovering = false;
    }
    if (byte < 0x20 && !WHITE.has(char)) return this.#fail('control character in the input');
    this.#text += char;
    if (char === '"' || char === "'") this.#quote = char;
    else if (char === '{' || char === '[')
      return ++this.#depth > MAX_DEPTH ? this.#fail('nested too deeply') : undefined;
    else if ((char === '}' || char === ']') && --this.#depth === 0) return this.#complete();
    return this.#text.length > MAX_MESSAGE ? this.#fail('message too long') : undefined;
  }

  #inString(char: string, byte: number): JsonItem | undefined {
    if (byte < 0x20) return this.#fail('control character in a string');
    this.#text += char;
    if (this.#escaped) this.#escaped = false;
    else if (char === '\\') this.#escaped = true;
    else if (char === this.#quote) this.#quote = '';
    return undefined;
  }

  /** Outside of any message: a scalar ends with white space; of what can be nothing, each run is one mistake. */
  #outermost(char: string, byte: number): JsonItem | undefined {
    if (WHITE.has(char)) {
      const word = this.#scalar;
      this.#scalar = '';
      this.#recovering = false;
      return word === '' ? undefined : this.#scalarValue(word);
    }
    if (this.#recovering) return undefined;
    if (/[\w.+-]/.test(char) && byte < 0x80 && this.#scalar.length < MAX_SCALAR) {
      this.#scalar += char;
      return undefined;
    }
    this.#scalar = '';
    this.#recovering = true;
    return { kind: 'error', reason: `unexpected '${char}'` };
  }

  #scalarValue(word: string): JsonItem {
    try {
      return { kind: 'value', value: parseJson(word) };
    } catch (error) {
      return { kind: 'error', reason: (error as Error).message };
    }
  }

  #complete(): JsonItem {
    const text = this.#text;
    this.#text = '';
    try {
      return { kind: 'value', value: parseJson(utf8(text)) };
    } catch (error) {
      return { kind: 'error', reason: (error as Error).message };
    }
  }

  #fail(reason: string): JsonItem {
    this.#text = '';
    this.#depth = 0;
    this.#quote = '';
    this.#escaped = false;
    return { kind: 'error', reason };
  }
}

/** Throws `SyntaxError`. */
export function parseJson(text: string): Json {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

/** Compact, or with four spaces of indentation. Integers of any size stay exact. */
export function printJson(value: Json, indent = ''): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return asciiString(JSON.stringify(value));
  const inner = indent === '' ? '' : `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((item: Json) => printJson(item, inner))
    : Object.entries(value as JsonObject)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => `${asciiString(JSON.stringify(key))}: ${printJson(item!, inner)}`);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  if (parts.length === 0 || indent === '') return `${open}${parts.join(', ')}${close}`;
  return `${open}${inner}${parts.join(`,${inner}`)}${indent}${close}`;
}

/** The protocol sends ASCII only. */
function asciiString(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): Json {
    this.#space();
    const char = this.#text[this.#at];
    if (depth > MAX_DEPTH) throw this.#error();
    if (char === '{') return this.#object(depth);
    if (char === '[') return this.#array(depth);
    if (char === '"' || char === "'") return this.#string(char);
    const match = /^(true|false|null|-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)(?![\w.])/.exec(
      this.#text.slice(this.#at, this.#at + 64),
    );
    if (match === null) throw this.#error();
    this.#at += match[0].length;
    if (match[0] === 'true' || match[0] === 'false') return match[0] === 'true';
    if (match[0] === 'null') return null;
    const number = Number(match[0]);
    const isInteger = match[2] === undefined && match[3] === undefined;
    return isInteger && !Number.isSafeInteger(number) ? BigInt(match[0]) : number;
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#error();
  }

  #object(depth: number): Json {
    const out: { [key: string]: Json } = Object.create(null) as { [key: string]: Json };
    this.#at++;
    if (this.#take('}')) return out;
    do {
      this.#space();
      const quote = this.#text[this.#at];
      if (quote !== '"' && quote !== "'") throw this.#error();
      const key = this.#string(quote);
      if (!this.#take(':')) throw this.#error();
      if (Object.hasOwn(out, key)) throw new SyntaxError(`duplicate key '${key}'`);
      out[key] = this.value(depth + 1);
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#error();
    return out;
  }

  #array(depth: number): Json {
    const out: Json[] = [];
    this.#at++;
    if (this.#take(']')) return out;
    do out.push(this.value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#error();
    return out;
  }

  #string(quote: string): string {
    let out = '';
    for (this.#at++; ; ) {
      const char = this.#text[this.#at++];
      if (char === undefined) throw this.#error();
      if (char === quote) return out;
      out += char === '\\' ? this.#escape() : char;
    }
  }

  #escape(): string {
    const char = this.#text[this.#at++] ?? '';
    const plain = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '"': '"', "'": "'", '\\': '\\', '/': '/' };
    if (Object.hasOwn(plain, char)) return plain[char as keyof typeof plain];
    const hex = this.#text.slice(this.#at, this.#at + 4);
    if (char !== 'u' || !/^[0-9a-f]{4}$/i.test(hex)) throw this.#error();
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #take(char: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #error(): SyntaxError {
    return new SyntaxError('invalid syntax');
  }
}

/** Bytes held one a character, as text; throws `SyntaxError` for what is not UTF-8. */
function utf8(latin: string): string {
  if (!/[\u0080-\u00ff]/.test(latin)) return latin;
  try {
    return decodeURIComponent(
      latin.replace(/[%\u0080-\u00ff]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
    );
  } catch {
    throw new SyntaxError('invalid UTF-8');
  }
}

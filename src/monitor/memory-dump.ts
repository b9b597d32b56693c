/** The format of `x` and `xp`: `/COUNT FORMAT SIZE` as in gdb, and its output. */
import { UserError } from '../util/errors.ts';

export interface DumpFormat {
  readonly count: number;
  /** x hexadecimal, d signed, u unsigned, o octal, c character, i instructions. */
  readonly kind: 'x' | 'd' | 'u' | 'o' | 'c' | 'i';
  readonly sizeBytes: 1 | 2 | 4 | 8;
}

const SIZES = { b: 1, h: 2, w: 4, g: 8 } as const;
const MAX_COUNT = 65536;

/** `text` without the slash: "16xb". */
export function parseDumpFormat(text: string): DumpFormat {
  const match = /^(\d*)([xduoci]?)([bhwg]?)([xduoci]?)$/.exec(text);
  if (match === null) throw new UserError('BadFormat', `not a format: "/${text}"`);
  const kind = (match[2] || match[4] || 'x') as DumpFormat['kind'];
  const count = match[1] === '' ? 1 : Math.min(Number(match[1]), MAX_COUNT);
  const size = match[3] as keyof typeof SIZES | '';
  return { count, kind, sizeBytes: size === '' ? (kind === 'c' ? 1 : 4) : SIZES[size] };
}

/** Lines of 16 bytes with their address. */
export function formatDump(bytes: Uint8Array, address: bigint, format: DumpFormat): string {
  const { sizeBytes, kind } = format;
  const perLine = Math.max(1, 16 / sizeBytes);
  const lines: string[] = [];
  for (let i = 0; i * sizeBytes < bytes.length; i += perLine) {
    const at = address + BigInt(i * sizeBytes);
    const cells: string[] = [];
    for (let n = i; n < i + perLine && (n + 1) * sizeBytes <= bytes.length; n++) {
      cells.push(formatCell(readLittleEndian(bytes, n * sizeBytes, sizeBytes), kind, sizeBytes));
    }
    lines.push(`${at.toString(16).padStart(16, '0')}: ${cells.join(' ')}`);
  }
  return lines.join('\n');
}

function readLittleEndian(bytes: Uint8Array, at: number, size: number): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

function formatCell(value: bigint, kind: DumpFormat['kind'], size: number): string {
  switch (kind) {
    case 'd':
      return BigInt.asIntN(8 * size, value).toString();
    case 'u':
      return value.toString();
    case 'o':
      return `0${value.toString(8)}`;
    case 'c': {
      const code = Number(value & 0xffn);
      return code >= 0x20 && code < 0x7f
        ? `'${String.fromCharCode(code)}'`
        : `'\\x${code.toString(16).padStart(2, '0')}'`;
    }
    default:
      return `0x${value.toString(16).padStart(2 * size, '0')}`;
  }
}

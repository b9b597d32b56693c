import { INSTRUCTIONS } from './instructions.ts';
import { BLOCK, ELSE, END, IF, LOOP, VOID } from './opcodes.ts';

/** Names for indexes in the printed text; anything missing prints as a number. */
export interface TextNames {
  functionName?(index: number): string | undefined;
  localName?(index: number): string | undefined;
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
};

/** Prints instructions from binary function bodies, one a line, indented by nesting: for goldens and `-d out_asm`. */
class Printer {
  private pos: number;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly end: number;
  private readonly names: TextNames;

  constructor(bytes: Uint8Array, start: number, end: number, names: TextNames) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = start;
    this.end = end;
    this.names = names;
  }

  private u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.pos++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  private signed(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.bytes[this.pos++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(Number(shift) + 7, value);
    }
  }

  private bytesOf(count: number): string {
    let text = '';
    for (let i = 0; i < count; i++) text += ` ${this.bytes[this.pos++]!}`;
    return text;
  }

  private float(size: 4 | 8): string {
    const value = size === 4 ? this.view.getFloat32(this.pos, true) : this.view.getFloat64(this.pos, true);
    this.pos += size;
    return ` ${Object.is(value, -0) ? '-0' : value}`;
  }

  private blockType(): string {
    const type = this.bytes[this.pos++]!;
    return type === VOID ? '' : ` (result ${TYPE_NAMES[type] ?? type})`;
  }

  private memArg(): string {
    const align = this.u32();
    const offset = this.u32();
    return `${offset === 0 ? '' : ` offset=0x${offset.toString(16)}`}${align === 0 ? '' : ` align=${1 << align}`}`;
  }

  private branchTable(): string {
    const count = this.u32();
    let text = '';
    for (let i = 0; i <= count; i++) text += ` ${this.u32()}`;
    return text;
  }

  private immediates(kind: string): string {
    switch (kind) {
      case 'B':
        return this.blockType();
      case 'L':
        return ` ${this.u32()}`;
      case 'T':
        return this.branchTable();
      case 'F':
        return ` ${this.named(this.u32(), 'function')}`;
      case 'X':
        return ` ${this.named(this.u32(), 'local')}`;
      case 'I':
        return ` (type ${this.u32()}) table ${this.u32()}`;
      case 'M':
        return this.memArg();
      case 'i':
      case 'l':
        return ` ${this.signed()}`;
      case 'f':
        return this.float(4);
      case 'd':
        return this.float(8);
      case 'v':
        return this.bytesOf(16);
      case 'b':
        return this.bytesOf(1);
      case 'c':
        return this.bytesOf(2);
      case 'g':
        return this.bytesOf(1);
      default:
        return '';
    }
  }

  private named(index: number, kind: 'function' | 'local'): string {
    const name = kind === 'function' ? this.names.functionName?.(index) : this.names.localName?.(index);
    return name === undefined ? `${index}` : `$${name}`;
  }

  private opcode(): number {
    const byte = this.bytes[this.pos++]!;
    if (byte < 0xfc) return byte;
    const number = this.u32();
    return number < 0x100 ? (byte << 8) | number : 0x1_0000 | (byte << 8) | (number & 0xff);
  }

  lines(): string[] {
    const out: string[] = [];
    let depth = 0;
    while (this.pos < this.end) {
      const code = this.opcode();
      const row = INSTRUCTIONS.get(code);
      if (row === undefined) throw new Error(`unknown wasm opcode 0x${code.toString(16)} at ${this.pos}`);
      if (code === END || code === ELSE) depth--;
      out.push(`${'  '.repeat(Math.max(depth, 0))}${row[0]}${this.immediates(row[1])}`);
      if (code === BLOCK || code === LOOP || code === IF || code === ELSE) depth++;
    }
    return out;
  }
}

/** Text of the instructions in `bytes[start, end)` (a body without its local declarations). */
export function printCode(bytes: Uint8Array, start: number, end: number, names: TextNames = {}): string[] {
  return new Printer(bytes, start, end, names).lines();
}

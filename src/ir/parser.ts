import type { IrBuilder } from './builder.ts';
import { NO_SLOT, OP, OP_INFO, type OpInfo, type OpName } from './ops.ts';
import { type IrNames, MEM_FLAG_NAMES } from './text.ts';

/** A mistake in IR text. */
export class IrSyntaxError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

/** Target knowledge for reading: `slotOf` is the inverse of `slotName`. */
export interface IrParserNames extends IrNames {
  readonly slotOf?: (name: string) => number | undefined;
}

/** One line split into its parts. */
interface Line {
  readonly number: number;
  readonly info: OpInfo;
  readonly operands: readonly string[];
  readonly restore: number;
}

class Parser {
  private readonly ir: IrBuilder;
  private readonly names: IrParserNames;

  constructor(ir: IrBuilder, names: IrParserNames) {
    this.ir = ir;
    this.names = names;
  }

  parse(text: string): void {
    text.split('\n').forEach((raw, i) => {
      const line = raw.replace(/;.*/, '').trim();
      if (line !== '') this.emit(this.split(line, i + 1));
    });
  }

  private split(text: string, number: number): Line {
    const match = /^(\S+)\s*([^!]*?)\s*(?:!([0-9a-f]+))?$/.exec(text);
    if (match === null) throw new IrSyntaxError(number, `cannot read "${text}"`);
    const opcode = OP[match[1] as OpName] as number | undefined;
    if (opcode === undefined) throw new IrSyntaxError(number, `unknown operation ${match[1]}`);
    const operands = match[2] === '' ? [] : match[2]!.split(',').map((s) => s.trim());
    return { number, info: OP_INFO[opcode]!, operands, restore: Number.parseInt(match[3] ?? '0', 16) | 0 };
  }

  private operand(line: Line, index: number): string {
    const text = line.operands[index];
    if (text === undefined)
      throw new IrSyntaxError(line.number, `${line.info.name}: operand ${index + 1} is missing`);
    return text;
  }

  private slot(line: Line, index: number): number {
    const text = this.operand(line, index);
    if (text === '-') return NO_SLOT;
    const known = this.names.slotOf?.(text);
    if (known !== undefined) return known;
    const temp = /^t(\d+)(?:\+(\d+))?$/.exec(text);
    if (temp !== null) return this.names.tempBase + 16 * Number(temp[1]) + Number(temp[2] ?? 0);
    const offset = /^s([0-9a-f]+)$/.exec(text);
    if (offset !== null) return Number.parseInt(offset[1]!, 16);
    throw new IrSyntaxError(line.number, `unknown slot ${text}`);
  }

  private value(line: Line, index: number): bigint {
    const text = this.operand(line, index);
    if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(text)) throw new IrSyntaxError(line.number, `not a number: ${text}`);
    return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
  }

  private halves(line: Line, index: number): [number, number] {
    const v = this.value(line, index);
    return [Number(BigInt.asIntN(32, v)), Number(BigInt.asIntN(32, v >> 32n))];
  }

  private emit(line: Line): void {
    this.ir.restore = line.restore;
    const { info } = line;
    switch (info.format) {
      case 'dab':
        return this.ir.op(info.opcode, this.slot(line, 0), this.argument(line, 1), this.argument(line, 2));
      case 'dai':
        return this.emitImmediate(line);
      case 'dabc':
        return this.emitWide(line);
      case 'mem':
        return this.emitMemory(line);
      case 'dab128':
        return this.emit128(line);
      case 'call':
        return this.emitCall(line);
      case 'goto':
        return this.ir.goto(...this.halves(line, 0));
      case 'br':
        return this.ir.br(this.slot(line, 0), ...this.halves(line, 1), ...this.halves(line, 2));
      case 'end':
        return this.ir.op(info.opcode, 0, 0);
    }
  }

  /** Operand a (1) or b (2) if the operation has it, else 0. */
  private argument(line: Line, index: number): number {
    return index <= line.info.args ? this.slot(line, index) : 0;
  }

  private emitImmediate(line: Line): void {
    const { args, opcode } = line.info;
    this.ir.imm64(opcode, this.slot(line, 0), this.argument(line, 1), ...this.halves(line, args + 1));
  }

  private emitWide(line: Line): void {
    const { info } = line;
    const [d, a, b] = [this.slot(line, 0), this.argument(line, 1), this.argument(line, 2)];
    if (info.base === 'lea') {
      return this.ir.op4(info.opcode, d, a, b, 0, Number(this.value(line, 3)), this.halves(line, 4)[0]);
    }
    this.ir.op4(info.opcode, d, a, b, this.argument(line, 3), 0, line.restore);
  }

  private emitMemory(line: Line): void {
    const address = /^\[(\S+?)(?:\s*([+-])\s*(0x[0-9a-f]+|\d+))?\]$/.exec(this.operand(line, 1));
    if (address === null) throw new IrSyntaxError(line.number, `cannot read the address ${line.operands[1]}`);
    const words = this.operand(line, 2).split(/\s+/);
    let info = Number(/^mmu(\d)$/.exec(words[0]!)?.[1] ?? Number.NaN);
    for (const word of words.slice(1))
      info |= MEM_FLAG_NAMES.find(([, name]) => name === word)?.[0] ?? Number.NaN;
    if (Number.isNaN(info))
      throw new IrSyntaxError(line.number, `cannot read the access flags ${line.operands[2]}`);
    const disp = Number(address[3] ?? 0) * (address[2] === '-' ? -1 : 1);
    const base = this.slot({ ...line, operands: [address[1]!] }, 0);
    this.ir.mem(line.info.opcode, this.slot(line, 0), base, info, disp | 0);
  }

  private emit128(line: Line): void {
    const words = this.operand(line, line.info.args + 1)
      .split(/\s+/)
      .map((w) => Number(w) | 0);
    if (words.length !== 4) throw new IrSyntaxError(line.number, 'a 128-bit constant has four words');
    const [c0, c1, c2, c3] = words as [number, number, number, number];
    this.ir.op128(
      line.info.opcode,
      this.slot(line, 0),
      this.argument(line, 1),
      this.argument(line, 2),
      c0,
      c1,
      c2,
      c3,
    );
  }

  private emitCall(line: Line): void {
    const name = this.operand(line, 0);
    const index = name.startsWith('#')
      ? Number(name.slice(1))
      : (this.names.helpers ?? []).findIndex((h) => h.name === name);
    if (index < 0 || Number.isNaN(index)) throw new IrSyntaxError(line.number, `unknown helper ${name}`);
    this.ir.call(index, this.slot(line, 1), this.slot(line, 2), this.slot(line, 3), this.slot(line, 4));
  }
}

/** Appends the operations of `text` (the printer's form; `;` starts a comment) to a builder that has begun a block. */
export function parseIr(text: string, ir: IrBuilder, names: IrParserNames): void {
  new Parser(ir, names).parse(text);
}

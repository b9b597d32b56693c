// A small assembler for x86 in Intel syntax (that of NASM), for tests and for the project's own guests.

import { encode, type Prefixes, pushLittleEndian } from './encode.ts';
import { Reader, type Scope } from './expression.ts';
import { AsmError, type Token, tokenize } from './lexer.ts';
import { chooseVariant } from './match.ts';
import { type ImmediateOperand, type Operand, readOperand } from './operands.ts';
import { Preprocessor } from './preprocess.ts';
import { registerNamed } from './registers.ts';
import { variantsOf } from './table.ts';

export interface AssembleOptions {
  /** Code size at the start: 16, 32 or 64 (default); `bits` in the source changes it. */
  readonly bits?: 16 | 32 | 64;
  /** Address of the first byte (default 0); `org` in the source overrides it. */
  readonly origin?: number | bigint;
}

export interface Assembled {
  readonly code: Uint8Array<ArrayBuffer>;
  /** Every label and constant. */
  readonly symbols: ReadonlyMap<string, bigint>;
  /** Offset in `code` at which each source line's bytes begin, in order: a listing. */
  readonly listing: readonly { readonly line: number; readonly offset: number }[];
}

interface Symbol {
  readonly value: bigint;
  readonly reloc: number;
}

const MAX_PASSES = 64;
const PREFIX_BYTES: Readonly<Record<string, number>> = {
  lock: 0xf0,
  rep: 0xf3,
  repe: 0xf3,
  repz: 0xf3,
  repne: 0xf2,
  repnz: 0xf2,
};
const SIZE_PREFIX = /^([oa])(16|32|64)$/;
const DATA: Readonly<Record<string, number>> = { db: 1, dw: 2, dd: 4, dq: 8 };
const RESERVE: Readonly<Record<string, number>> = { resb: 1, resw: 2, resd: 4, resq: 8 };
const DIRECTIVES = new Set(['bits', 'org', 'align', 'default', 'global', 'section', 'cpu', 'times', 'equ']);

const isOperation = (name: string): boolean =>
  variantsOf(name) !== undefined ||
  DIRECTIVES.has(name) ||
  DATA[name] !== undefined ||
  RESERVE[name] !== undefined ||
  PREFIX_BYTES[name] !== undefined ||
  SIZE_PREFIX.test(name) ||
  registerNamed(name)?.cls === 'sreg';

interface Line {
  readonly tokens: readonly Token[];
  readonly line: number;
}

/** One pass over the source; passes repeat until no symbol moves. */
class Pass {
  readonly symbols = new Map<string, Symbol>();
  readonly out: number[] = [];
  readonly listing: { line: number; offset: number }[] = [];
  readonly #previous: ReadonlyMap<string, Symbol>;
  /** Branches (by their ordinal) that turned out too long for the short form in any pass. */
  readonly #long: Set<number>;
  readonly #final: boolean;
  #start: bigint;
  #bits: number;
  #defaultRel = false;
  #branches = 0;
  #scopeLabel = '';
  #line = 0;

  constructor(
    options: AssembleOptions,
    previous: ReadonlyMap<string, Symbol>,
    long: Set<number>,
    final: boolean,
  ) {
    this.#previous = previous;
    this.#long = long;
    this.#final = final;
    this.#start = BigInt(options.origin ?? 0);
    this.#bits = options.bits ?? 64;
  }

  run(lines: readonly Line[]): void {
    for (const { tokens, line } of lines) {
      this.#line = line;
      this.listing.push({ line, offset: this.out.length });
      this.#statement(tokens);
    }
  }

  get #here(): bigint {
    return this.#start + BigInt(this.out.length);
  }

  #fail(message: string): never {
    throw new AsmError(message, this.#line);
  }

  #qualified(name: string): string {
    return name.startsWith('.') && !name.startsWith('..') ? this.#scopeLabel + name : name;
  }

  #reader(tokens: readonly Token[], at: number): Reader {
    const scope: Scope = {
      line: this.#line,
      here: this.#here,
      start: this.#start,
      lookup: (name) => {
        const full = this.#qualified(name);
        const found = this.symbols.get(full) ?? this.#previous.get(full);
        if (!found && this.#final) this.#fail(`undefined symbol ${name}`);
        return found;
      },
    };
    return new Reader(tokens, scope, at);
  }

  #defineSymbol(name: string, symbol: Symbol): void {
    const full = this.#qualified(name);
    if (this.symbols.has(full)) this.#fail(`${name} is defined twice`);
    this.symbols.set(full, symbol);
    if (!name.startsWith('.')) this.#scopeLabel = name;
  }

  /** Handles a label at the start; returns where the rest begins. */
  #label(tokens: readonly Token[]): number {
    const first = tokens[0]!;
    if (first.kind !== 'name') return 0;
    const second = tokens[1];
    if (second?.text === 'equ') {
      const { value, reloc } = this.#reader(tokens, 2).expression();
      const scopeLabel = this.#scopeLabel;
      this.#defineSymbol(first.raw, { value, reloc });
      this.#scopeLabel = scopeLabel;
      return tokens.length;
    }
    if (second?.text === ':') {
      this.#defineSymbol(first.raw, { value: this.#here, reloc: 1 });
      return 2;
    }
    if (isOperation(first.text)) return 0;
    if (second && !isOperation(second.text)) this.#fail(`unknown instruction ${first.raw}`);
    this.#defineSymbol(first.raw, { value: this.#here, reloc: 1 });
    return 1;
  }

  #statement(tokens: readonly Token[]): void {
    if (tokens.length === 0) return;
    const open = tokens[0]!.text === '[' ? 1 : 0; // [bits 32]
    const at = open || this.#label(tokens);
    if (at >= tokens.length) return;
    if (tokens[at]!.text === 'times') this.#times(tokens, at + 1);
    else this.#operation(tokens, at);
  }

  #times(tokens: readonly Token[], at: number): void {
    const reader = this.#reader(tokens, at);
    const count = reader.constant();
    if (count < 0 && this.#final) this.#fail(`times ${count}`);
    for (let i = 0; i < count; i++) this.#operation(tokens, reader.at);
  }

  #operation(tokens: readonly Token[], at: number): void {
    const { text } = tokens[at]!;
    const reader = this.#reader(tokens, at + 1);
    if (DATA[text] !== undefined) this.#data(reader, DATA[text]);
    else if (RESERVE[text] !== undefined) this.#fill(reader.constant() * RESERVE[text], 0);
    else if (DIRECTIVES.has(text)) this.#directive(text, reader);
    else this.#instruction(tokens, at);
  }

  #directive(name: string, reader: Reader): void {
    switch (name) {
      case 'bits': {
        const bits = reader.constant();
        if (![16, 32, 64].includes(bits)) this.#fail(`bits ${bits}`);
        this.#bits = bits;
        break;
      }
      case 'org':
        if (this.out.length > 0) this.#fail('org must come before the first byte');
        this.#start = BigInt(reader.constant());
        break;
      case 'align': {
        const to = reader.constant();
        const given = reader.take(',');
        if (given) reader.take('db'); // "align 8, db 0" is NASM's way to say it
        const fill = given ? reader.constant() : 0x90;
        this.#fill((to - (Number(this.#here) % to)) % to, fill);
        break;
      }
      case 'default':
        this.#defaultRel = reader.peek() === 'rel';
        break;
      default:
        break;
    }
  }

  #fill(count: number, byte: number): void {
    for (let i = 0; i < count; i++) this.out.push(byte);
  }

  #data(reader: Reader, size: number): void {
    do {
      const token = reader.tokens[reader.at];
      const next = reader.tokens[reader.at + 1]?.text;
      if (token?.kind === 'string' && (next === undefined || next === ',')) {
        reader.at++;
        for (const char of token.text) this.out.push(char.charCodeAt(0) & 0xff);
        this.#fill((size - (token.text.length % size)) % size, 0);
      } else {
        pushLittleEndian(this.out, reader.expression().value, size);
      }
    } while (reader.take(','));
    if (!reader.done) this.#fail(`unexpected "${reader.peek()}"`);
  }

  #prefixes(tokens: readonly Token[], start: number): { prefixes: Prefixes; at: number } {
    const bytes: number[] = [];
    let [segment, operandSize, addressSize, at] = [-1, 0, 0, start];
    for (; at < tokens.length; at++) {
      const { text } = tokens[at]!;
      const size = SIZE_PREFIX.exec(text);
      const reg = registerNamed(text);
      if (PREFIX_BYTES[text] !== undefined) bytes.push(PREFIX_BYTES[text]);
      else if (size?.[1] === 'o') operandSize = Number(size[2]);
      else if (size) addressSize = Number(size[2]);
      else if (reg?.cls === 'sreg') segment = reg.num;
      else break;
    }
    return { prefixes: { bytes, segment, operandSize, addressSize }, at };
  }

  #operands(tokens: readonly Token[], at: number): Operand[] {
    const reader = this.#reader(tokens, at);
    const operands: Operand[] = [];
    if (reader.done) return operands;
    do operands.push(readOperand(reader, this.#defaultRel && this.#bits === 64));
    while (reader.take(','));
    if (!reader.done) this.#fail(`unexpected "${reader.peek()}"`);
    return operands;
  }

  #instruction(tokens: readonly Token[], start: number): void {
    const { prefixes, at } = this.#prefixes(tokens, start);
    const name = tokens[at]?.text;
    if (name === undefined) {
      this.#prefixesAlone(prefixes);
      return;
    }
    const variants = variantsOf(name) ?? this.#fail(`unknown instruction ${name}`);
    const operands = this.#operands(tokens, at + 1);
    const branch = this.#branches++;
    const length = 2 + prefixes.bytes.length;
    const hasLongForm = variants.some((variant) => variant.operands.includes('rel32'));
    const isShort = (target: ImmediateOperand): boolean => {
      const distance = target.value - (this.#here + BigInt(length));
      const near = distance >= -128n && distance <= 127n;
      if (!near && this.#previous.size > 0) this.#long.add(branch);
      return target.reach === 'short' || !hasLongForm || !this.#long.has(branch);
    };
    const variant = chooseVariant(variants, operands, this.#bits, isShort);
    if (typeof variant === 'string') return this.#fail(`${name}: ${variant}`);
    const bytes = encode(variant, operands, prefixes, this.#bits, this.#here);
    if (typeof bytes === 'string') return this.#fail(`${name}: ${bytes}`);
    if (this.#final) this.#checkShort(variant.operands, operands, bytes.length);
    this.out.push(...bytes);
  }

  #checkShort(kinds: readonly string[], operands: readonly Operand[], length: number): void {
    const operand = operands[kinds.indexOf('rel8')];
    if (operand?.kind !== 'imm') return;
    const distance = operand.value - (this.#here + BigInt(length));
    if (distance < -128n || distance > 127n) this.#fail('the target is out of reach of a short jump');
  }

  #prefixesAlone(prefixes: Prefixes): void {
    this.out.push(...prefixes.bytes);
    if (prefixes.segment >= 0) this.out.push([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65][prefixes.segment]!);
    if (prefixes.operandSize !== 0) this.out.push(0x66);
    if (prefixes.addressSize !== 0) this.out.push(0x67);
  }
}

function sameSymbols(a: ReadonlyMap<string, Symbol>, b: ReadonlyMap<string, Symbol>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, { value, reloc }] of a) {
    const other = b.get(name);
    if (!other || other.value !== value || other.reloc !== reloc) return false;
  }
  return true;
}

/** Assembles `source` and returns the bytes with the symbols. Throws {@link AsmError} with the line at fault. */
export function assembleWithSymbols(source: string, options: AssembleOptions = {}): Assembled {
  const lines = new Preprocessor()
    .expand(source)
    .map(({ text, line }): Line => ({ tokens: tokenize(text, line), line }));
  const long = new Set<number>();
  let symbols: ReadonlyMap<string, Symbol> = new Map();
  for (let i = 0; i < MAX_PASSES; i++) {
    const before = long.size;
    const pass = new Pass(options, symbols, long, false);
    pass.run(lines);
    const settled = i > 0 && sameSymbols(symbols, pass.symbols) && before === long.size;
    symbols = pass.symbols;
    if (settled || symbols.size === 0) break;
  }
  const last = new Pass(options, symbols, long, true);
  last.run(lines);
  if (!sameSymbols(symbols, last.symbols)) throw new AsmError('the addresses of labels do not settle', 0);
  return {
    code: Uint8Array.from(last.out),
    symbols: new Map([...symbols].map(([name, { value }]) => [name, value])),
    listing: last.listing,
  };
}

/** Assembles `source` into machine code. Throws {@link AsmError} with the line at fault. */
export function assemble(source: string, options: AssembleOptions = {}): Uint8Array<ArrayBuffer> {
  return assembleWithSymbols(source, options).code;
}

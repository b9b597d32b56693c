import { AsmError, type Token } from './lexer.ts';
import { type Register, registerNamed } from './registers.ts';

/** What names mean while an expression is evaluated. */
export interface Scope {
  readonly line: number;
  /** Address of the statement (`$`) and of the program (`$$`). */
  readonly here: bigint;
  readonly start: bigint;
  /** The value of a label or constant, or undefined while it is not known. `reloc` is 1 for an address. */
  lookup(name: string): { readonly value: bigint; readonly reloc: number } | undefined;
}

/** A register with its factor; `scaled` when the source wrote a multiplication. */
export interface Term {
  readonly reg: Register;
  factor: bigint;
  scaled: boolean;
}

/** A linear value: a constant part, how many addresses it adds up, and registers. */
export interface Value {
  value: bigint;
  reloc: number;
  terms: Term[];
  /** False when a name in it is not defined (yet). */
  known: boolean;
}

const constant = (value: bigint): Value => ({ value, reloc: 0, terms: [], known: true });

/** Binary operators by precedence, loosest first. */
const LEVELS: readonly (readonly string[])[] = [
  ['|'],
  ['^'],
  ['&'],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '//', '%'],
];

/** Reads expressions and operands off a token list. */
export class Reader {
  readonly tokens: readonly Token[];
  readonly scope: Scope;
  at = 0;

  constructor(tokens: readonly Token[], scope: Scope, at = 0) {
    this.tokens = tokens;
    this.scope = scope;
    this.at = at;
  }

  fail(message: string): never {
    throw new AsmError(message, this.scope.line);
  }

  peek(): string {
    return this.tokens[this.at]?.kind === 'string' ? '' : (this.tokens[this.at]?.text ?? '');
  }

  get done(): boolean {
    return this.at >= this.tokens.length;
  }

  /** Consumes `text` if it is next. */
  take(text: string): boolean {
    if (this.peek() !== text) return false;
    this.at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(`expected "${text}" before "${this.peek()}"`);
  }

  expression(level = 0): Value {
    const operators = LEVELS[level];
    if (!operators) return this.#unary();
    let left = this.expression(level + 1);
    while (operators.includes(this.peek()) && this.tokens[this.at]?.kind === 'punct') {
      const operator = this.tokens[this.at++]!.text;
      left = this.#combine(operator, left, this.expression(level + 1));
    }
    return left;
  }

  /** An expression that must be a known constant right here (for `times`, `align`, …). */
  constant(): number {
    const result = this.expression();
    if (!result.known) this.fail('the value must be known here');
    return Number(result.value);
  }

  #unary(): Value {
    if (this.take('-')) return this.#combine('-', constant(0n), this.#unary());
    if (this.take('+')) return this.#unary();
    if (this.take('~')) {
      const operand = this.#unary();
      return { ...operand, value: ~operand.value };
    }
    if (this.take('(')) {
      const inner = this.expression();
      this.expect(')');
      return inner;
    }
    return this.#primary();
  }

  #primary(): Value {
    const token = this.tokens[this.at++];
    if (!token) return this.fail('an operand is missing');
    if (token.kind === 'number' || token.kind === 'string') return constant(token.value);
    if (token.text === '$') return { value: this.scope.here, reloc: 1, terms: [], known: true };
    if (token.text === '$$') return { value: this.scope.start, reloc: 1, terms: [], known: true };
    if (token.kind !== 'name') return this.fail(`unexpected "${token.raw}"`);
    const reg = registerNamed(token.text);
    if (reg) return { value: 0n, reloc: 0, terms: [{ reg, factor: 1n, scaled: false }], known: true };
    const found = this.scope.lookup(token.raw);
    if (!found) return { value: this.scope.here, reloc: 1, terms: [], known: false };
    return { value: found.value, reloc: found.reloc, terms: [], known: true };
  }

  #combine(operator: string, a: Value, b: Value): Value {
    const known = a.known && b.known;
    if (operator === '+' || operator === '-') {
      const sign = operator === '+' ? 1 : -1;
      const terms = [...a.terms, ...b.terms.map((t) => ({ ...t, factor: t.factor * BigInt(sign) }))];
      return { value: a.value + BigInt(sign) * b.value, reloc: a.reloc + sign * b.reloc, terms, known };
    }
    if (operator === '*' && (a.terms.length > 0 || b.terms.length > 0)) {
      const [regs, factor] = a.terms.length > 0 ? [a, b.value] : [b, a.value];
      const terms = regs.terms.map((t) => ({ ...t, factor: t.factor * factor, scaled: true }));
      return { value: regs.value * factor, reloc: 0, terms, known };
    }
    return { value: this.#arithmetic(operator, a.value, b.value), reloc: 0, terms: [], known };
  }

  #arithmetic(operator: string, a: bigint, b: bigint): bigint {
    switch (operator) {
      case '*':
        return a * b;
      case '/':
      case '//':
        return b === 0n ? this.fail('division by zero') : a / b;
      case '%':
        return b === 0n ? this.fail('division by zero') : a % b;
      case '<<':
        return a << b;
      case '>>':
        return a >> b;
      case '&':
        return a & b;
      case '|':
        return a | b;
      default:
        return a ^ b;
    }
  }
}

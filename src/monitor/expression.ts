/** Expressions of monitor commands: numbers, registers (`$rip`), + - * / % & | ^ ~ and parentheses, on 64-bit integers. */
import { UserError } from '../util/errors.ts';

const MASK64 = (1n << 64n) - 1n;
const TOKEN = /\s*(0x[0-9a-f]+|\d+|\$[a-z_][a-z0-9_]*|<<|>>|[-+*/%&|^~()])/iy;
const LEVELS: ReadonlyArray<readonly string[]> = [
  ['|', '^'],
  ['&'],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

/** `register` gives a register's value, or undefined. `UserError` if the text is not an expression. */
export function evaluate(text: string, register: (name: string) => bigint | undefined): bigint {
  const tokens = tokenize(text);
  let at = 0;
  const fail = (): UserError => new UserError('BadExpression', `not an expression: "${text}"`);

  const primary = (): bigint => {
    const token = tokens[at++];
    if (token === undefined) throw fail();
    if (token === '(') {
      const value = binary(0);
      if (tokens[at++] !== ')') throw fail();
      return value;
    }
    if (token === '-') return -primary();
    if (token === '+') return primary();
    if (token === '~') return ~primary();
    if (token.startsWith('$')) {
      const value = register(token.slice(1).toLowerCase());
      if (value === undefined) throw new UserError('UnknownRegister', `unknown register "${token}"`);
      return value;
    }
    if (!/^\d/.test(token)) throw fail();
    return BigInt(token);
  };

  const binary = (level: number): bigint => {
    const operators = LEVELS[level];
    if (operators === undefined) return primary();
    let left = binary(level + 1);
    while (operators.includes(tokens[at] ?? '')) left = apply(tokens[at++]!, left, binary(level + 1));
    return left;
  };

  const value = binary(0);
  if (at !== tokens.length) throw fail();
  return value & MASK64;
}

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const match = TOKEN.exec(text);
    if (match === null) throw new UserError('BadExpression', `not an expression: "${text}"`);
    tokens.push(match[1]!);
  }
  return tokens;
}

function apply(operator: string, left: bigint, right: bigint): bigint {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '&':
      return left & right;
    case '|':
      return left | right;
    case '^':
      return left ^ right;
    case '<<':
      return left << (right & 63n);
    case '>>':
      return (left & MASK64) >> (right & 63n);
    default:
      if (right === 0n) throw new UserError('DivisionByZero', 'division by zero');
      return operator === '/' ? left / right : left % right;
  }
}

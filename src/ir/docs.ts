import { type BaseOp, type Format, OPS, type OpRow } from './ops.ts';

/** Sections of the document: title and first operation. */
const SECTIONS: readonly (readonly [title: string, first: BaseOp])[] = [
  ['Moves and constants', 'mov'],
  ['Integer arithmetic', 'add'],
  ['Comparisons', 'eq'],
  ['Parts of a register', 'ext8u'],
  ['Addresses', 'lea'],
  ['Partial access to state', 'get8u'],
  ['Guest memory', 'ld8u'],
  ['Floating point', 'fadd'],
  ['Vectors', 'vmov'],
  ['Calls', 'call'],
  ['Terminators', 'goto'],
];

const FORMATS: Readonly<Record<Format, readonly [bytes: number, layout: string]>> = {
  dab: [8, 'op d a b'],
  dai: [16, 'op d a –, imm:i64'],
  dabc: [16, 'op d a b, c x imm:i32'],
  mem: [16, 'op d a info, disp:i32 restore:u32'],
  dab128: [24, 'op d a b, constant:128'],
  call: [16, 'op d a b, c helper restore:u32'],
  goto: [16, 'op – – –, rip:i64'],
  br: [24, 'op – a –, rip:i64, rip-if-zero:i64'],
  end: [8, 'op – – –'],
};

const INTRODUCTION = `# The intermediate representation

Generated from \`src/ir/ops.ts\` by \`tools/gen-ir-docs.mjs\`: do not edit.

A block is a sequence of operations in wasm memory, ended by one terminator. Operands are *slots*: byte offsets into the vCPU's
register file, whose upper part holds the block's temporaries. Fields are 16 bits wide unless noted; every operation is a multiple
of 8 bytes long. An \`i32\` operation reads the low halves of its operands and zero-extends its result. Operations marked *imm* exist
in a second form \`…_imm\` (format \`dai\`) whose second operand is a 64-bit immediate. The invariants of a block are listed at
the head of \`src/ir/verifier.ts\`; how each operation becomes wasm is in \`src/accel/tcg/lowering.ts\`.
`;

function typesOf(row: OpRow): string {
  return `${row.types?.join(' ') ?? ''}${row.imm ? ' imm' : ''}`.trim();
}

/** The text of docs/ir.md. */
export function irDocs(): string {
  const lines = [INTRODUCTION, '## Encoding', '', '| format | bytes | fields |', '|---|---|---|'];
  for (const [name, [bytes, layout]] of Object.entries(FORMATS))
    lines.push(`| \`${name}\` | ${bytes} | ${layout} |`);
  for (const [base, row] of Object.entries(OPS) as [BaseOp, OpRow][]) {
    const section = SECTIONS.find(([, first]) => first === base);
    if (section !== undefined)
      lines.push(
        '',
        `## ${section[0]}`,
        '',
        '| operation | types | format | effect | meaning |',
        '|---|---|---|---|---|',
      );
    const meaning = row.doc.replaceAll('|', '\\|');
    lines.push(`| \`${base}\` | ${typesOf(row)} | ${row.format} | ${row.effect ?? ''} | ${meaning} |`);
  }
  return `${lines.join('\n')}\n`;
}

import type { X86Feature } from './features.ts';
import type { InsnRow, InsnTable } from './insn-row.ts';
import { K_E, K_M, K_N, K_P, K_U, K_V, K_W, OPERANDS, type OperandCode } from './operand-codes.ts';

// VEX forms of SSE rows (SDM Vol. 2 chapters 3 to 5): the same opcode, prefix and handler, a third operand in VEX.vvvv, and most at
// 128 and 256 bits. What a row does not show by itself is listed here by mnemonic.

function names(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}

/** No VEX form. */
const NONE = names(`
  movq2dq movdq2q fxsave fxrstor cvtpi2ps cvtpi2pd cvttps2pi cvttpd2pi cvtps2pi cvtpd2pi
  pblendvb blendvps blendvpd gf2p8mulb gf2p8affineqb gf2p8affineinvqb`);
/** Two operands: the destination is not a source. */
const TWO = names(`
  movups movupd movaps movapd movntps movntpd movdqa movdqu movntdq movntdqa lddqu movsldup movshdup movddup
  movmskps movmskpd pmovmskb maskmovdqu movd|movd|movq movq sqrtps sqrtpd rsqrtps rcpps roundps roundpd
  cvtps2pd cvtpd2ps cvtdq2ps cvtps2dq cvttps2dq cvttpd2dq cvtdq2pd cvtpd2dq
  cvttss2si cvttsd2si cvtss2si cvtsd2si ucomiss ucomisd comiss comisd
  pshufd pshufhw pshuflw pabsb pabsw pabsd ptest phminposuw aesimc aeskeygenassist
  pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq pmovzxbw pmovzxbd pmovzxbq pmovzxwd pmovzxwq pmovzxdq
  pcmpestrm pcmpestri pcmpistrm pcmpistri`);
/** 128 bits only. */
const SHORT = names(`
  movlps movlpd movhps movhpd movhlps movlhps movd|movd|movq movq maskmovdqu ldmxcsr stmxcsr pinsrw pextrw
  phminposuw aesimc aeskeygenassist pextrb pextrd|pextrd|pextrq extractps pinsrb insertps pinsrd|pinsrd|pinsrq
  dppd pcmpestrm pcmpestri pcmpistrm pcmpistri`);
/** Integer operations, 256 bits of which came with AVX2, beside those whose names begin with P. */
const INTEGER = names('mpsadbw movntdqa');
/** Conversions between elements of different sizes: the longer side is as long as VEX.L says. */
const WIDENING = names('cvtps2pd cvtdq2pd');
const NARROWING = names('cvtpd2ps cvtpd2dq cvttpd2dq');
/** The feature of the 256-bit form. */
const LONG_FEATURE: Readonly<Record<string, X86Feature>> = {
  aesenc: 'vaes',
  aesenclast: 'vaes',
  aesdec: 'vaes',
  aesdeclast: 'vaes',
  pclmulqdq: 'vpclmulqdq',
  ptest: 'avx',
};
/** Encodings beside AVX itself. */
const OWN_FEATURE: readonly X86Feature[] = ['aes', 'pclmulqdq'];

function kind(code: OperandCode): number {
  return OPERANDS[code][0];
}

function width(code: OperandCode): number {
  return OPERANDS[code][1];
}

function isMmx(code: OperandCode): boolean {
  return kind(code) >= K_P && kind(code) <= K_N;
}

/** As long as VEX.L says. */
function long(code: OperandCode): OperandCode {
  if (width(code) !== 16) return code;
  const k = kind(code);
  return k === K_V ? 'Vx' : k === K_W ? 'Wx' : k === K_U ? 'Ux' : k === K_M ? 'Mx' : code;
}

/** A source of 8, 4 or 2 bytes that grows with VEX.L. */
function part(code: OperandCode): OperandCode {
  return code === 'Wq' ? 'Wx2' : code === 'Wd' ? 'Wx4' : code === 'Ww' ? 'Wx8' : long(code);
}

function isScalar(row: InsnRow): boolean {
  return (row.operands ?? []).some((c) => (kind(c) === K_V || kind(c) === K_W) && /ss$|sd$/.test(c));
}

function longOperands(row: InsnRow, operands: readonly OperandCode[]): OperandCode[] {
  if (WIDENING.has(row.name) || /^pmov[sz]x/.test(row.name)) return operands.map(part);
  if (NARROWING.has(row.name)) return ['Vdq', ...operands.slice(1).map(long)];
  return operands.map(long);
}

/** Operands with VEX.vvvv behind the destination. */
function withFirstSource(row: InsnRow, operands: readonly OperandCode[], h: OperandCode): OperandCode[] {
  if (TWO.has(row.name) || kind(operands[0]!) !== K_V) return [...operands];
  return [operands[0]!, h, ...operands.slice(1)];
}

function row128(row: InsnRow, operands: readonly OperandCode[], l?: 0): InsnRow {
  const { feature } = row;
  const own = OWN_FEATURE.includes(feature as X86Feature);
  return {
    ...row,
    name: row.name
      .split('|')
      .map((n) => `v${n}`)
      .join('|'),
    as: row.as ?? row.name,
    operands,
    feature: own ? [feature as X86Feature, 'avx'] : 'avx',
    ...(l === undefined ? {} : { l }),
  };
}

/** MOVSS and MOVSD merge with a third operand between registers. */
function scalarMove(row: InsnRow): InsnRow[] {
  const [d, s] = row.operands as readonly [OperandCode, OperandCode];
  const h: OperandCode = width(d) === 8 ? 'Hsd' : 'Hss';
  return [
    { ...row128(row, [d, s]), form: 'mem' },
    { ...row128(row, [d, h, s]), as: 'mergeScalar', form: 'reg' },
  ];
}

/** MOVDDUP reads 8 bytes at 128 bits and 32 at 256. */
function duplicate(row: InsnRow): InsnRow[] {
  return [row128(row, ['Vdq', 'Wq'], 0), { ...row128(row, ['Vqq', 'Wqq']), l: 1 }];
}

function packed(row: InsnRow, operands: readonly OperandCode[]): InsnRow[] {
  const codes = longOperands(row, operands);
  const isInteger = (row.name.startsWith('p') && row.name !== 'ptest') || INTEGER.has(row.name);
  const feature = LONG_FEATURE[row.name] ?? (isInteger ? 'avx2' : 'avx');
  if (feature === 'avx') return [row128(row, codes)];
  const both = row128(row, codes, 0);
  return [both, { ...both, l: 1, feature: feature === 'avx2' ? 'avx2' : [feature, 'avx'] }];
}

function vexRow(row: InsnRow): InsnRow[] {
  const operands = row.operands ?? [];
  const { name } = row;
  if (NONE.has(name.split('|')[0]!) || operands.some(isMmx) || operands.length === 0) return [];
  if ((row.as === 'movss' || name === 'movss' || name === 'movsd') && isScalar(row)) return scalarMove(row);
  if (name === 'movddup') return duplicate(row);
  if (row.form === 'reg' && kind(operands[0]!) === K_U) return packed(row, ['Hx', ...operands]);
  if (isScalar(row)) {
    const h: OperandCode = width(operands[0]!) === 8 ? 'Hsd' : 'Hss';
    return [row128(row, withFirstSource(row, operands, h))];
  }
  const store = kind(operands[0]!) === K_M || kind(operands[0]!) === K_E;
  if (SHORT.has(name)) return [row128(row, store ? operands : withFirstSource(row, operands, 'Hdq'), 0)];
  // the count of a shift is 128 bits long
  if (row.as === 'shiftCount')
    return packed(row, ['Vx', 'Hx']).map((r) => ({ ...r, operands: ['Vx', 'Hx', 'Wdq'] }));
  return packed(row, withFirstSource(row, operands, 'Hx'));
}

/** VEX forms of the rows of one map. */
export function vexRows(table: InsnTable): InsnTable {
  return table.flatMap(vexRow);
}

import type { OracleCase } from './oracle-case.ts';
import { UNDEFINED_BY_NAME } from './undefined-flags.ts';

// Which arithmetic flags instructions read, define and leave undefined (SDM Vol. 1 appendix A): a sequence must not read what is
// undefined.

const CF = 0x1;
const PF = 0x4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;
export const ARITHMETIC_FLAGS = 0x8d5;

const CONDITION_READS: Readonly<Record<string, number>> = {
  o: OF,
  b: CF,
  ae: CF,
  e: ZF,
  be: CF | ZF,
  a: CF | ZF,
  s: SF,
  p: PF,
  l: SF | OF,
  ge: SF | OF,
  le: ZF | SF | OF,
  g: ZF | SF | OF,
};

/** Flags a condition such as `be` or `nl` depends on. */
function conditionReads(text: string): number {
  return CONDITION_READS[text] ?? CONDITION_READS[text.replace(/^n/, '')] ?? ARITHMETIC_FLAGS;
}

const READS: Readonly<Record<string, number>> = {
  adc: CF,
  sbb: CF,
  rcl: CF,
  rcr: CF,
  cmc: CF,
  salc: CF,
  adcx: CF,
  adox: OF,
  lahf: CF | PF | AF | ZF | SF,
  daa: CF | AF,
  das: CF | AF,
  aaa: CF | AF,
  aas: CF | AF,
};

/** Flags an instruction reads. */
export function flagsRead(c: OracleCase): number {
  const { name } = c;
  const conditional = /^(?:set|cmov|j)(n?(?:o|b|e|be|s|p|l|le)|ae|a|ge|g)$/.exec(name);
  if (conditional) return conditionReads(conditional[1]!);
  if (/^fcmov/.test(name)) return CF | ZF | PF;
  if (/^pushf/.test(name)) return ARITHMETIC_FLAGS;
  return READS[name] ?? 0;
}

const ALL =
  /^(add|sub|cmp|neg|adc|sbb|xadd|cmpxchg|popcnt|v?ptest|vtestp[sd]|v?pcmp[ei]str[im]|v?u?comis[sd]|fu?comip?)$/;
const DEFINES: Readonly<Record<string, number>> = {
  inc: ARITHMETIC_FLAGS & ~CF,
  dec: ARITHMETIC_FLAGS & ~CF,
  clc: CF,
  stc: CF,
  cmc: CF,
  sahf: CF | PF | AF | ZF | SF,
  lar: ZF,
  lsl: ZF,
  verr: ZF,
  verw: ZF,
  arpl: ZF,
  bt: CF,
  bts: CF,
  btr: CF,
  btc: CF,
  adcx: CF,
  adox: OF,
};
const SHIFT = /^(shl|shr|sar|shld|shrd)$/;
const ROTATE = /^(rol|ror|rcl|rcr)$/;

/** The flags undefined after an instruction, from those undefined before. */
export function undefinedAfter(c: OracleCase, before: number): number {
  const { name } = c;
  if (ALL.test(name)) return 0;
  if (SHIFT.test(name)) return before | OF | AF | (c.size <= 2 ? CF : 0);
  if (ROTATE.test(name)) return before | OF;
  if (/^bt[src]?$/.test(name)) return (before & ~CF) | OF | SF | AF | PF;
  if (/^(cmpxchg8b|cmpxchg16b)$/.test(name)) return before & ~ZF;
  const undefinedHere = UNDEFINED_BY_NAME[name];
  if (undefinedHere !== undefined) return undefinedHere;
  return before & ~(DEFINES[name] ?? 0);
}

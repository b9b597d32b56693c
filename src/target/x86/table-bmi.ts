import type { InsnTable } from './insn-row.ts';

/** BMI1, BMI2 and ADX: general-register instructions, VEX-encoded but for ADCX and ADOX (SDM Vol. 1 5.1.16). */
export const bmi38 = [
  { op: 0xf2, name: 'andn', operands: ['Gy', 'By', 'Ey'], prefix: 'none', l: 0, feature: 'bmi1' },
  { op: 0xf3, name: 'blsr', operands: ['By', 'Ey'], reg: 1, prefix: 'none', l: 0, feature: 'bmi1' },
  { op: 0xf3, name: 'blsmsk', operands: ['By', 'Ey'], reg: 2, prefix: 'none', l: 0, feature: 'bmi1' },
  { op: 0xf3, name: 'blsi', operands: ['By', 'Ey'], reg: 3, prefix: 'none', l: 0, feature: 'bmi1' },
  { op: 0xf5, name: 'bzhi', operands: ['Gy', 'Ey', 'By'], prefix: 'none', l: 0, feature: 'bmi2' },
  { op: 0xf5, name: 'pext', operands: ['Gy', 'By', 'Ey'], prefix: 'f3', l: 0, feature: 'bmi2' },
  { op: 0xf5, name: 'pdep', operands: ['Gy', 'By', 'Ey'], prefix: 'f2', l: 0, feature: 'bmi2' },
  { op: 0xf6, name: 'mulx', operands: ['Gy', 'By', 'Ey'], prefix: 'f2', l: 0, feature: 'bmi2' },
  { op: 0xf7, name: 'bextr', operands: ['Gy', 'Ey', 'By'], prefix: 'none', l: 0, feature: 'bmi1' },
  { op: 0xf7, name: 'shlx', operands: ['Gy', 'Ey', 'By'], prefix: '66', l: 0, feature: 'bmi2' },
  { op: 0xf7, name: 'sarx', operands: ['Gy', 'Ey', 'By'], prefix: 'f3', l: 0, feature: 'bmi2' },
  { op: 0xf7, name: 'shrx', operands: ['Gy', 'Ey', 'By'], prefix: 'f2', l: 0, feature: 'bmi2' },
] as const satisfies InsnTable;

export const bmi3a = [
  { op: 0xf0, name: 'rorx', operands: ['Gy', 'Ey', 'Ib'], prefix: 'f2', l: 0, feature: 'bmi2' },
] as const satisfies InsnTable;

export const adx38 = [
  { op: 0xf6, name: 'adcx', operands: ['Gy', 'Ey'], prefix: '66', feature: 'adx' },
  { op: 0xf6, name: 'adox', operands: ['Gy', 'Ey'], prefix: 'f3', feature: 'adx' },
] as const satisfies InsnTable;

import type { HelperTable } from '../../ir/helper-table.ts';

/**
 * Runtime helpers of the x87 and MMX instructions; the rules at the head of ./helpers-integer.ts apply.
 *
 * Helpers of waiting instructions raise #MF for a pending unmasked exception (`faults`). Stack operands are indexes of ST(i).
 * `kind` of a memory operand: 0 = f32, 1 = i32, 2 = f64, 3 = i16, 4 = i64.
 * Stores run in two steps: `fpu_store…` converts ST(0) and returns the bits, the front end writes them, `fpu_stored` reports the
 * exceptions and pops. `length` = instruction length: an unmasked exception skips the write by leaving the block behind it.
 */
export const fpuHelpers = {
  // ---- arithmetic: op = reg field of D8 (0 add, 1 mul, 4 sub, 5 subr, 6 div, 7 divr)
  fpu_arith_st0: { args: 2, faults: true, doc: '(op, i): ST(0) = ST(0) op ST(i)' },
  fpu_arith_sti: { args: 3, faults: true, doc: '(op, i, pop): ST(i) = ST(i) op ST(0)' },
  fpu_arith_mem: { args: 3, faults: true, doc: '(op, kind 0..3, value): ST(0) = ST(0) op value' },
  fpu_com: { args: 3, faults: true, doc: '(i, quiet, pops 0..2): FCOM, FUCOM with ST(i)' },
  fpu_com_mem: { args: 3, faults: true, doc: '(kind 0..3, value, pop): FCOM, FICOM' },
  fpu_comi: {
    args: 2,
    result: true,
    faults: true,
    doc: '(i, quiet | pop << 1): FCOMI, FUCOMI: the arithmetic flags',
  },
  fpu_tst: { args: 0, faults: true, doc: 'FTST' },
  fpu_xam: { args: 0, faults: true, doc: 'FXAM' },
  fpu_sqrt: { args: 0, faults: true, doc: 'FSQRT' },
  fpu_rndint: { args: 0, faults: true, doc: 'FRNDINT' },
  fpu_sign: { args: 1, faults: true, doc: '(0 = FABS, 1 = FCHS)' },
  fpu_xtract: { args: 0, faults: true, doc: 'FXTRACT' },
  fpu_scale: { args: 0, faults: true, doc: 'FSCALE' },
  fpu_prem: { args: 1, faults: true, doc: '(0 = FPREM, 1 = FPREM1)' },
  fpu_2xm1: { args: 0, faults: true, doc: 'F2XM1' },
  fpu_yl2x: { args: 0, faults: true, doc: 'FYL2X' },
  fpu_yl2xp1: { args: 0, faults: true, doc: 'FYL2XP1' },
  fpu_ptan: { args: 0, faults: true, doc: 'FPTAN' },
  fpu_patan: { args: 0, faults: true, doc: 'FPATAN' },
  fpu_sin: { args: 0, faults: true, doc: 'FSIN' },
  fpu_cos: { args: 0, faults: true, doc: 'FCOS' },
  fpu_sincos: { args: 0, faults: true, doc: 'FSINCOS' },

  // ---- moves
  fpu_load: { args: 2, faults: true, doc: '(kind, value): FLD, FILD of a memory operand' },
  fpu_load80: { args: 2, faults: true, doc: '(significand, sign and exponent): FLD m80' },
  fpu_load_st: { args: 1, faults: true, doc: '(i): FLD ST(i)' },
  fpu_const: { args: 1, faults: true, doc: '(low three opcode bits): FLD1 … FLDZ' },
  fpu_store_st: { args: 2, faults: true, doc: '(i, pop): FST, FSTP ST(i)' },
  fpu_xch: { args: 1, faults: true, doc: '(i): FXCH' },
  fpu_cmov: { args: 2, faults: true, doc: '(i, condition): FCMOVcc' },
  fpu_free: { args: 2, faults: true, doc: '(i, pop): FFREE' },
  fpu_step: { args: 1, faults: true, doc: '(+1 = FINCSTP, -1 = FDECSTP)' },
  fpu_store: {
    args: 2,
    result: true,
    faults: true,
    doc: '(kind, + 8 = truncate; old): bits of FST, FIST, FISTTP',
  },
  fpu_store80: { args: 1, result: true, faults: true, doc: '(old): significand of FSTP m80' },
  fpu_store80_se: { args: 1, result: true, doc: '(old): sign and exponent of FSTP m80' },
  fpu_stored: { args: 1, doc: '(pop): ends a store after the write' },
  fpu_load_bcd: { args: 2, faults: true, doc: '(low 8 bytes, high 2 bytes): FBLD' },
  fpu_store_bcd: { args: 1, result: true, faults: true, doc: '(old): low 8 bytes of FBSTP' },
  fpu_store_bcd_high: { args: 1, result: true, doc: '(old): high 2 bytes of FBSTP' },

  // ---- control; addresses are linear, wide = 32-bit format
  fpu_wait: { args: 0, faults: true, doc: 'WAIT: #MF if an unmasked exception is pending' },
  fpu_init: { args: 0, doc: 'FNINIT' },
  fpu_clex: { args: 0, doc: 'FNCLEX' },
  fpu_ldcw: { args: 1, faults: true, doc: '(value): FLDCW' },
  fpu_stsw: { args: 0, result: true, doc: 'FNSTSW: the status word with TOP' },
  fpu_ldenv: { args: 2, faults: true, doc: '(address, wide): FLDENV' },
  fpu_stenv: { args: 2, faults: true, doc: '(address, wide): FNSTENV' },
  fpu_rstor: { args: 2, faults: true, doc: '(address, wide): FRSTOR' },
  fpu_save: { args: 2, faults: true, doc: '(address, wide): FNSAVE' },
  fpu_fxsave: { args: 2, faults: true, doc: '(address, REX.W): FXSAVE' },
  fpu_fxrstor: { args: 2, faults: true, doc: '(address, REX.W): FXRSTOR' },

  // ---- MMX
  mmx_enter: { args: 0, faults: true, doc: '#MF if pending; otherwise TOP = 0 and all registers valid' },
  mmx_emms: { args: 0, faults: true, doc: 'EMMS: all registers empty' },
} as const satisfies HelperTable;

import type { HelperTable } from '../../ir/helper-table.ts';

/**
 * Runtime helpers of the integer instructions.
 *
 * Rules for every row of this and the system table:
 * - Arguments and results are i64. An argument narrower than 64 bits is zero-extended unless its doc says otherwise.
 * - `faults`: RIP holds the current instruction's RIP on entry and RESTORE its restore word. After `raise` the helper returns 0
 *   without having changed guest state.
 * - `reads`: the CC_OP slot is valid (so CC_OP, CC_DST, CC_SRC, CC_SRC2, CC_CO, CC_ID describe the flags on entry).
 * - `writes`: the helper may leave new CC_* values; those that set flags leave CC_OP = CC_EFLAGS and CC_SRC = the six flags unless
 *   the doc names another form. One that does not mention flags leaves the CC slots alone.
 * - A helper that ends with control elsewhere (far jump, IRET, SYSCALL, …) stores RIP and updates KEY itself.
 *
 * "flags" as a value = CF PF AF ZF SF OF at their RFLAGS positions, all other bits zero.
 * `size` = operand size in bytes: 1, 2, 4, 8.
 */
export const integerHelpers = {
  // ---- lazy flags
  cc_all: {
    args: 0,
    result: true,
    reads: true,
    pure: true,
    doc: 'the six flags, from CC_OP, CC_DST, CC_SRC, CC_SRC2, CC_CO, CC_ID',
  },
  cc_carry: { args: 0, result: true, reads: true, pure: true, doc: 'CF as 0 or 1' },
  cc_cond: {
    args: 1,
    result: true,
    reads: true,
    pure: true,
    doc: '(cc): 1 if condition code cc (0 = O, 1 = NO, 2 = B … 15 = G, SDM Vol. 1 appendix B) holds, else 0',
  },

  // ---- division (SDM Vol. 2A DIV, IDIV). #DE on a zero divisor or when the quotient does not fit
  div8: {
    args: 2,
    result: true,
    faults: true,
    doc: '(dividend AX, divisor8): remainder << 8 | quotient; unsigned; #DE',
  },
  div16: {
    args: 2,
    result: true,
    faults: true,
    doc: '(dividend DX:AX as 32 bits, divisor16): remainder << 16 | quotient; unsigned; #DE',
  },
  div32: {
    args: 2,
    result: true,
    faults: true,
    doc: '(dividend EDX:EAX as 64 bits, divisor32): remainder << 32 | quotient; unsigned; #DE',
  },
  div64: {
    args: 3,
    result: true,
    faults: true,
    doc: '(dividend low RAX, dividend high RDX, divisor): quotient; the remainder is left in the SCRATCH slot (u64); unsigned; #DE',
  },
  idiv8: {
    args: 2,
    result: true,
    faults: true,
    doc: 'as div8, signed (arguments zero-extended, interpret their low 16 and 8 bits as signed)',
  },
  idiv16: { args: 2, result: true, faults: true, doc: 'as div16, signed' },
  idiv32: { args: 2, result: true, faults: true, doc: 'as div32, signed' },
  idiv64: { args: 3, result: true, faults: true, doc: 'as div64, signed' },

  // ---- rotates through carry with any count
  rcl: {
    args: 3,
    result: true,
    doc: '(value, count, flags << 8 | size): value rotated left through CF; count is CL or imm8 unmasked (the helper masks with 31, or 63 for size 8, then mod 9/17 for sizes 1, 2). The new six flags are left in SCRATCH (u64): CF and OF changed (OF = CF after ^ top bit of result), unchanged altogether if the masked count is 0',
  },
  rcr: { args: 3, result: true, doc: 'as rcl, right (OF = xor of the two top bits of the result)' },

  // ---- decimal adjust: AL/AX and flags
  daa: { args: 0, reads: true, writes: true, doc: 'DAA' },
  das: { args: 0, reads: true, writes: true, doc: 'DAS' },
  aaa: { args: 0, reads: true, writes: true, doc: 'AAA' },
  aas: { args: 0, reads: true, writes: true, doc: 'AAS' },
  aam: { args: 1, reads: true, writes: true, faults: true, doc: '(base): AAM; #DE if base is 0' },
  aad: { args: 1, reads: true, writes: true, doc: '(base): AAD' },

  // ---- comparisons against bounds, wide compare-exchange
  bound: {
    args: 3,
    faults: true,
    doc: '(index, lower, upper), all sign-extended to 64: #BR unless lower <= index <= upper',
  },
  cmpxchg16b: {
    args: 1,
    result: true,
    reads: true,
    writes: true,
    faults: true,
    doc: '(linear address): #GP(0) if not 16-byte aligned; if [address] == RDX:RAX store RCX:RBX and return 1, else store the old value back, load it into RDX:RAX and return 0. Does not touch the CC slots',
  },

  // ---- repeated string instructions
  // info: bits 3..0 element size 1, 2, 4, 8; bits 7..4 address size in bytes 2, 4, 8 (width of rCX, rSI, rDI used); bits 11..8 segment of
  // the rSI operand (ES..GS; the rDI operand is always ES); bit 12 = REPNE (CMPS, SCAS only).
  // Segment bases, limits and rights apply as for any access. Result 1: the instruction is complete (rCX is 0 or the CMPS/SCAS
  // condition ended it); 0: to be continued at the same RIP (EXIT_REQUEST seen). With HF_TF, HF_SHADOW or HF_DR7 in HFLAGS one
  // iteration per call. rCX, rSI, rDI are up to date whenever the helper returns or faults; rCX = 0 on entry does nothing.
  rep_movs: { args: 1, result: true, reads: true, writes: true, faults: true, doc: '(info): REP MOVS' },
  rep_stos: { args: 1, result: true, reads: true, writes: true, faults: true, doc: '(info): REP STOS' },
  rep_lods: { args: 1, result: true, reads: true, writes: true, faults: true, doc: '(info): REP LODS' },
  rep_cmps: {
    args: 1,
    result: true,
    reads: true,
    writes: true,
    faults: true,
    doc: '(info): REPE/REPNE CMPS. After at least one iteration, without a fault: CC_OP = CC_SUB<size>, CC_DST = [rSI] - [rDI], CC_SRC = [rDI] of the last one',
  },
  rep_scas: {
    args: 1,
    result: true,
    reads: true,
    writes: true,
    faults: true,
    doc: '(info): REPE/REPNE SCAS. Flags as for rep_cmps: CC_DST = accumulator - [rDI], CC_SRC = [rDI]',
  },

  // ---- stack frames
  enter: {
    args: 3,
    reads: true,
    writes: true,
    faults: true,
    doc: '(allocation imm16, nesting level 0..31, operand size): ENTER; stack width from HF_CS64/HF_SS32; RSP and RBP change after the last access',
  },

  // ---- BMI2
  pdep: { args: 2, result: true, pure: true, doc: '(source, mask): PDEP of 64 bits' },
  pext: { args: 2, result: true, pure: true, doc: '(source, mask): PEXT of 64 bits' },

  // ---- CRC32 (SSE4.2), random numbers
  crc32: {
    args: 3,
    result: true,
    doc: '(crc 32 bits, data, size 1, 2, 4, 8): CRC32 with polynomial 0x11EDC6F41 (reflected) over size bytes of data, lowest byte first, without initial or final inversion',
  },
  rdrand: {
    args: 1,
    result: true,
    doc: '(size): a random value of that size; the instruction then sets CF = 1',
  },
  rdseed: { args: 1, result: true, doc: '(size): as rdrand' },
} as const satisfies HelperTable;

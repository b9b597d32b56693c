import type { HelperTable } from '../../ir/helper-table.ts';

/**
 * Runtime helpers of the SSE instructions; the rules at the head of ./helpers-integer.ts apply.
 *
 * d, s, a, b are offsets in the register file (XMM registers or 16-byte temporaries). Floating-point helpers raise #XM (#UD
 * without CR4.OSXMMEXCPT) for unmasked exceptions and then leave d alone.
 */
export const sseHelpers = {
  // ---- slow paths of the IR operations of the same names
  fadd_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fadd_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  fsub_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fsub_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  fmul_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fmul_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  fdiv_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fdiv_f64: { args: 3, faults: true, doc: '(d, a, b)' },

  vfadd_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfadd_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfsub_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfsub_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmul_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmul_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfdiv_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfdiv_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfadd256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfadd256_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfsub256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfsub256_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmul256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmul256_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfdiv256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfdiv256_f64: { args: 3, faults: true, doc: '(d, a, b)' },

  // ---- floating point
  sse_collect: { args: 0, doc: 'until sse_report, exceptions are collected and not raised' },
  sse_report: { args: 0, faults: true, doc: 'raises what was collected' },
  fsqrt_f32: { args: 2, faults: true, doc: '(d, s): SQRTSS' },
  fsqrt_f64: { args: 2, faults: true, doc: '(d, s): SQRTSD' },
  fmin_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fmin_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  fmax_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  fmax_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfsqrt_f32: { args: 3, faults: true, doc: '(d, any, s)' },
  vfsqrt_f64: { args: 3, faults: true, doc: '(d, any, s)' },
  vfsqrt256_f32: { args: 3, faults: true, doc: '(d, any, s)' },
  vfsqrt256_f64: { args: 3, faults: true, doc: '(d, any, s)' },
  vfmin_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmin_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmin256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmin256_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmax_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmax_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmax256_f32: { args: 3, faults: true, doc: '(d, a, b)' },
  vfmax256_f64: { args: 3, faults: true, doc: '(d, a, b)' },
  sse_horizontal: { args: 3, faults: true, doc: '(op, d, s): 0 ADDSUB, 1 HADD, 2 HSUB; + 8 = f64' },
  sse_dpps: { args: 3, faults: true, doc: '(d, s, imm)' },
  sse_dppd: { args: 3, faults: true, doc: '(d, s, imm)' },
  sse_approx: { args: 3, doc: '(kind, d, s): 0 RCPPS, 1 RSQRTPS; + 2 = scalar' },
  sse_comi: {
    args: 3,
    result: true,
    faults: true,
    doc: '(f64 | signalling << 1, a, b): the arithmetic flags of (U)COMISS/SD',
  },
  sse_compare: {
    args: 2,
    faults: true,
    doc: '(f64 | scalar << 1 | predicate << 2 | halves << 7, slots d, a, b of 16 bits): CMPPS … VCMPPD',
  },
  sse_from_int: { args: 3, faults: true, doc: '(f64 | 64-bit integer << 1, d, value): CVTSI2SS/SD' },
  sse_to_int: {
    args: 2,
    result: true,
    faults: true,
    doc: '(f64 | 64-bit result << 1 | truncate << 2, s): CVT(T)SS/SD2SI',
  },
  sse_f64_to_f32: { args: 2, faults: true, doc: '(d, s): CVTSD2SS' },
  sse_f32_to_f64: { args: 2, faults: true, doc: '(d, s): CVTSS2SD' },
  sse_convert: {
    args: 3,
    faults: true,
    doc: '(kind, d, s): 0 PS2PD, 1 PD2PS, 2 DQ2PS, 3 DQ2PD, 4 PS2DQ, 5 TPS2DQ, 6 PD2DQ, 7 TPD2DQ, 8 PI2PS, 9 PS2PI, 10 TPS2PI, 11 PD2PI, 12 TPD2PI',
  },
  sse_round: {
    args: 3,
    faults: true,
    doc: '(kind | imm << 8, d, s): ROUNDPS 0, ROUNDSS 1, ROUNDPD 2, ROUNDSD 3',
  },
  sse_ldmxcsr: { args: 1, faults: true, doc: '(value): #GP(0) for reserved bits' },

  // ---- integer
  sse_int: {
    args: 3,
    doc: '(op, d, s): 0 PMULHW, 1 PMULHUW, 4 PMULHRSW, 15 PSADBW, 16 PHMINPOSUW',
  },
  sse_shift: {
    args: 3,
    doc: '(0 left, 1 right, 2 arithmetic | log2(width / 16) << 4, d, s): count in the low half of s',
  },
  sse_mpsadbw: { args: 3, doc: '(d, s, imm)' },
  sse_pclmul: { args: 3, doc: '(d, s, imm)' },
  sse_pcmpistr: { args: 3, result: true, doc: '(a, b, imm): flags; then sse_pcmpstr_index or _mask' },
  sse_pcmpestr_lengths: { args: 2, doc: '(length of a, of b; sign-extended): before sse_pcmpestr' },
  sse_pcmpestr: { args: 3, result: true, doc: '(a, b, imm): flags' },
  sse_pcmpstr_index: { args: 1, result: true, doc: '(imm): ECX of the last comparison' },
  sse_pcmpstr_mask: { args: 1, doc: '(imm): XMM0 of the last comparison' },
  sse_maskmov: {
    args: 3,
    faults: true,
    doc: '(linear address, value s, mask | bytes 8 or 16 << 16): MASKMOVQ, MASKMOVDQU',
  },
  aes_round: { args: 3, doc: '(op, d, s): 0 AESENC, 1 AESENCLAST, 2 AESDEC, 3 AESDECLAST, 4 AESIMC' },
  sha: {
    args: 3,
    doc: '(op, d, s): 0 SHA1NEXTE, 1 SHA1MSG1, 2 SHA1MSG2, 3 SHA256RNDS2, 4 SHA256MSG1, 5 SHA256MSG2, 8..11 SHA1RNDS4 with its imm',
  },
  gf2p8_mul: { args: 2, doc: '(d, s): GF2P8MULB' },
  gf2p8_affine: { args: 3, doc: '(d, s, imm8 | inverse << 8): GF2P8AFFINEQB, GF2P8AFFINEINVQB' },

  // ---- AVX; `regs` = slots of up to four operands, 16 bits each, lowest first; the upper lanes lie VECTOR_HI behind
  avx_shift_variable: {
    args: 2,
    doc: '(0 left, 1 right, 2 arithmetic | 64-bit elements << 2, regs d, a, b): one lane of VPSLLVD …',
  },
  avx_masked_load: {
    args: 3,
    faults: true,
    doc: '(linear address, regs d, mask, element bytes 4 or 8 | vector bytes << 8 | 1 << 16 for the stack segment): VMASKMOVPS …',
  },
  avx_masked_store: { args: 3, faults: true, doc: '(linear address, regs s, mask, bytes as above)' },
  avx_gather: {
    args: 2,
    faults: true,
    doc: '(base address, regs d, index, mask, 0 data 64 bits, 1 index 64 bits, 2 vector of 256, 3 address 32 bits, 4..5 scale, 6..8 segment)',
  },
  avx_fma: {
    args: 2,
    faults: true,
    doc: '(regs d, a, b, c, 0 f64, 1 scalar, 2 negate a * b, 3 negate c in even lanes, 4 in odd lanes, 5 256 bits)',
  },
  f16c_from_half: { args: 2, faults: true, doc: '(d, s): four of VCVTPH2PS' },
  f16c_to_half: { args: 3, faults: true, doc: '(d, s, imm8): four of VCVTPS2PH' },
  aes_keygen: { args: 3, doc: '(d, s, rcon)' },
} as const satisfies HelperTable;

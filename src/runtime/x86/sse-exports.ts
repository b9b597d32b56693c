// Helpers of src/target/x86/helpers-sse.ts.

export {
  fadd_f32, fadd_f64, fdiv_f32, fdiv_f64, fmax_f32, fmax_f64, fmin_f32, fmin_f64, fmul_f32, fmul_f64, fsqrt_f32, fsqrt_f64, fsub_f32, fsub_f64,
  sse_approx, sse_dppd, sse_dpps, sse_horizontal,
  vfadd256_f32, vfadd256_f64, vfadd_f32, vfadd_f64, vfdiv256_f32, vfdiv256_f64, vfdiv_f32, vfdiv_f64,
  vfmul256_f32, vfmul256_f64, vfmul_f32, vfmul_f64, vfsub256_f32, vfsub256_f64, vfsub_f32, vfsub_f64,
  vfsqrt_f32, vfsqrt_f64, vfsqrt256_f32, vfsqrt256_f64, vfmin_f32, vfmin_f64, vfmin256_f32, vfmin256_f64, vfmax_f32, vfmax_f64, vfmax256_f32, vfmax256_f64,
} from './sse-arith';
export { sse_comi, sse_compare } from './sse-compare';
export {
  sse_convert, sse_f32_to_f64, sse_f64_to_f32, sse_from_int, sse_round, sse_to_int,
} from './sse-convert';
export { sse_collect, sse_ldmxcsr, sse_report } from './sse-env';
export { sse_int, sse_mpsadbw, sse_pclmul, sse_shift } from './sse-int';
export {
  sse_pcmpestr, sse_pcmpestr_lengths, sse_pcmpistr, sse_pcmpstr_index, sse_pcmpstr_mask,
} from './sse-string';
export { aes_keygen, aes_round } from './aes';
export { avx_gather, avx_masked_load, avx_masked_store, avx_shift_variable } from './avx';
export { avx_fma } from './fma';
export { f16c_from_half, f16c_to_half } from './f16c';
export { gf2p8_affine, gf2p8_mul } from './gfni';

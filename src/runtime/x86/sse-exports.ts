// Helpers of src/target/x86/helpers-sse.ts.

export {
  fadd_f32, fadd_f64, fdiv_f32, fdiv_f64, fminmax_f32, fminmax_f64, fmul_f32, fmul_f64, fsqrt_f32, fsqrt_f64, fsub_f32, fsub_f64,
  sse_approx, sse_dppd, sse_dpps, sse_horizontal, sse_packed,
} from './sse-arith';
export { sse_cmp, sse_comi } from './sse-compare';
export {
  sse_convert, sse_f32_to_f64, sse_f64_to_f32, sse_from_int, sse_round, sse_to_int,
} from './sse-convert';
export { sse_ldmxcsr } from './sse-env';
export { sse_int, sse_mpsadbw, sse_pclmul, sse_shift } from './sse-int';
export {
  sse_pcmpestr, sse_pcmpestr_lengths, sse_pcmpistr, sse_pcmpstr_index, sse_pcmpstr_mask,
} from './sse-string';
export { aes_keygen, aes_round } from './aes';

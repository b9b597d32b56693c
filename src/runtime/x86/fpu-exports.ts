// Helpers of src/target/x86/helpers-fpu.ts.

export {
  fpu_arith_mem, fpu_arith_st0, fpu_arith_sti, fpu_com, fpu_com_mem, fpu_comi, fpu_prem, fpu_rndint, fpu_scale, fpu_sign,
  fpu_sqrt, fpu_tst, fpu_xam, fpu_xtract,
} from './fpu-arith';
export {
  fpu_cmov, fpu_const, fpu_free, fpu_load, fpu_load80, fpu_load_bcd, fpu_load_st, fpu_step, fpu_store, fpu_store80,
  fpu_store80_se, fpu_store_bcd, fpu_store_bcd_high, fpu_store_st, fpu_stored, fpu_xch,
} from './fpu-move';
export { fpu_2xm1, fpu_patan, fpu_yl2x, fpu_yl2xp1 } from './fpu-trans';
export { fpu_cos, fpu_ptan, fpu_sin, fpu_sincos } from './fpu-trig';
export {
  fpu_clex, fpu_fxrstor, fpu_fxsave, fpu_init, fpu_ldcw, fpu_ldenv, fpu_rstor, fpu_save, fpu_stenv, fpu_stsw,
  fpu_tag_word, fpu_wait,
} from './fpu-env';
export { mmx_emms, mmx_enter, sse_maskmov } from './mmx';

export { ld128_slow, ld256_slow, ld_slow, st128_slow, st256_slow, st_slow } from './slow';
export {
  tlb_fill_count, tlb_flush, tlb_flush_count, tlb_flush_nonglobal, tlb_flush_page, tlb_protect,
} from './tlb';
export { code_host_address, code_host_probe, code_physical, debug_translate } from './fetch';

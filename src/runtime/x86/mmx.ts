// The MMX view of the x87 registers (SDM Vol. 1 9.6), and byte-masked stores.

import { FPU_TAGS, FPU_TOP, HF_CS64 } from './layout';
import { dataInfo, st8 } from './memory';
import { MEM_RMW } from '../softmmu/mem-info';
import { ld_slow } from '../softmmu/slow';
import { CPU, faulted, hflags, set } from './state';
import { enterFpu } from './fpu-state';

/** Before every MMX instruction but EMMS. */
export function mmx_enter(): void {
  if (!enterFpu()) return;
  set(FPU_TOP, 0);
  set(FPU_TAGS, 0);
}

export function mmx_emms(): void {
  if (!enterFpu()) return;
  set(FPU_TOP, 0);
  set(FPU_TAGS, 0x0101010101010101);
}

/** MASKMOVQ, MASKMOVDQU: bytes of s whose mask byte has its top bit set. `mask` = offset | bytes << 16. */
export function sse_maskmov(address: i64, s: i64, mask: i64): void {
  const n = i32(mask >> 16);
  const pm = CPU + (i32(mask) & 0xffff);
  const wrap: u64 = (hflags() & HF_CS64) != 0 ? u64.MAX_VALUE : 0xffffffff;
  const info = dataInfo();
  for (let i = 0; i < n; i++) {
    if ((load<u8>(pm + i) & 0x80) == 0) continue;
    ld_slow((u64(address) + i) & wrap, 1 | ((info | MEM_RMW) << 8));
    if (faulted()) return;
  }
  for (let i = 0; i < n; i++) {
    if ((load<u8>(pm + i) & 0x80) == 0) continue;
    st8((u64(address) + i) & wrap, load<u8>(CPU + i32(s) + i), info);
    if (faulted()) return;
  }
}

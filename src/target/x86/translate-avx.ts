import { OP } from '../../ir/ops.ts';
import { VECTOR_HI, XMM } from '../../runtime/x86/layout.ts';
import type { Handler, Translator } from './translator.ts';

/** VZEROUPPER, VZEROALL: outside 64-bit code only registers 0–7. */
function zeroRegisters(all: boolean): Handler {
  return (t: Translator) => {
    if (t.avxUnavailable()) return;
    for (let n = 0; n < (t.code64 ? 16 : 8); n++) {
      t.ir.op128(OP.vconst, XMM + n * 16 + VECTOR_HI, 0, 0, 0, 0, 0, 0);
      if (all) t.ir.op128(OP.vconst, XMM + n * 16, 0, 0, 0, 0, 0, 0);
    }
  };
}

export const avxHandlers = {
  vzeroupper: zeroRegisters(false),
  vzeroall: zeroRegisters(true),
} as const satisfies Record<string, Handler>;

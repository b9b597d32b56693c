import { NO_SLOT } from '../../ir/ops.ts';
import { HF_OSXSAVE, HF_TS, RAX, RCX, RDX } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { READ, WRITE } from './operands.ts';
import { pair } from './translate-alu.ts';
import { splitToDxAx } from './translate-system.ts';
import type { Handler, Translator } from './translator.ts';

const OPT = 1;
const COMPACT = 2;
const SUPERVISOR = 4;

/** #UD without CR4.OSXSAVE. Returns true if the instruction ended. */
function noOsXsave(t: Translator): boolean {
  if (t.flags & HF_OSXSAVE) return false;
  t.raiseUd();
  return true;
}

/** `kind` as the helper takes it. The image is at least 576 bytes; its segment is checked as a whole. */
function state(helper: number, access: number, kind: number): Handler {
  return (t) => {
    if (noOsXsave(t) || ((kind & SUPERVISOR) !== 0 && t.needCpl0())) return;
    if (t.flags & HF_TS) {
      t.raiseNm();
      return;
    }
    t.ea(576, access);
    t.call(helper, NO_SLOT, t.eaValue(), pair(t, RDX, RAX), t.constant(kind | (t.opSize === 8 ? 0x100 : 0)));
  };
}

function xgetbv(t: Translator): void {
  if (noOsXsave(t)) return;
  const extended = t.constant(t.features.has('xgetbv1') ? 1 : 0);
  splitToDxAx(t, t.callValue(HELPER.xgetbv, t.zext(RCX, 4), extended));
}

function xsetbv(t: Translator): void {
  if (noOsXsave(t) || t.needCpl0()) return;
  t.call(HELPER.xsetbv, undefined, t.zext(RCX, 4), pair(t, RDX, RAX));
  t.endState();
}

/** The XSAVE family (SDM Vol. 1 chapter 13). */
export const xsaveHandlers = {
  xgetbv,
  xsetbv,
  xsave: state(HELPER.xsave, WRITE, 0),
  xsaveopt: state(HELPER.xsave, WRITE, OPT),
  xsavec: state(HELPER.xsave, WRITE, COMPACT),
  xsaves: state(HELPER.xsave, WRITE, COMPACT | SUPERVISOR),
  xrstor: state(HELPER.xrstor, READ, 0),
  xrstors: state(HELPER.xrstor, READ, SUPERVISOR),
};

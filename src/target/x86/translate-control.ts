import { OP } from '../../ir/ops.ts';
import { RCX, RIP } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { K_J } from './operand-codes.ts';
import { loadOp, READ } from './operands.ts';
import type { Translator } from './translator.ts';

/** Low half of the relative branch target. */
function targetLo(t: Translator): number {
  const lo = (t.nextLo + t.immLo) | 0;
  return t.opSize === 2 ? lo & 0xffff : lo;
}

function targetHi(t: Translator): number {
  if (!t.code64) return 0;
  const carry = (t.nextLo >>> 0) + (t.immLo >>> 0) > 0xffffffff ? 1 : 0;
  return (t.nextHi + (t.immLo >> 31) + carry) | 0;
}

function jumpRelative(t: Translator): void {
  t.jumpTo(targetLo(t), targetHi(t));
}

function jcc(t: Translator): void {
  const c = t.cond(t.opcode & 15);
  t.branch(c, t.condInverted, targetLo(t), targetHi(t));
}

function jmp(t: Translator): void {
  if (t.operandKind(0) === K_J) return jumpRelative(t);
  // nothing but RIP is written: the target may go there at once
  if (t.code64) {
    t.checkedTarget(t.load(0), RIP);
    return t.endRipStored();
  }
  t.endAt(t.indirectTarget(t.load(0), t.opSize));
}

function call(t: Translator): void {
  if (t.operandKind(0) === K_J) {
    t.checkTarget(targetLo(t), targetHi(t));
    t.push(t.nextRip(), t.opSize);
    return jumpRelative(t);
  }
  const target = t.indirectTarget(t.load(0), t.opSize);
  t.push(t.nextRip(), t.opSize);
  t.endAt(target);
}

function ret(t: Translator): void {
  const release = t.operandKind(0) === 0 ? 0 : t.immLo;
  const popped = t.peek(t.opSize);
  if (t.code64) {
    t.checkedTarget(popped, RIP);
    t.adjustStack(8 + release);
    return t.endRipStored();
  }
  const target = t.indirectTarget(popped, t.opSize);
  t.adjustStack(t.opSize + release);
  t.endAt(target);
}

// ---- loops: rCX in the address size

/** Low-32-bit truth of rCX != 0 after an operation that wrote it. */
function counterNonZero(t: Translator): number {
  const r = t.temp();
  if (t.addrSize === 8) t.ir.imm(OP.ne_i64_imm, r, RCX, 0);
  else t.ir.imm(OP.ne_i32_imm, r, t.addrSize === 2 ? t.zext(RCX, 2) : RCX, 0);
  return r;
}

function decrementCounter(t: Translator): void {
  const d = t.gprDst(1);
  if (t.addrSize === 8) return t.ir.imm(OP.add_i64_imm, d, d, -1);
  if (t.addrSize === 4) return t.ir.imm(OP.add_i32_imm, d, d, -1);
  const r = t.temp();
  t.ir.imm(OP.add_i32_imm, r, d, -1);
  t.ir.op(OP.dep16, d, d, r);
}

/** LOOP; with a condition code LOOPE (4) and LOOPNE (5). */
function loop(t: Translator, cc: number): void {
  let c = -1;
  if (cc >= 0) {
    c = t.temp();
    t.ir.op(OP.mov, c, t.cond01(cc));
  }
  decrementCounter(t);
  let taken = counterNonZero(t);
  if (c >= 0) {
    t.ir.op(OP.and_i32, c, c, taken);
    taken = c;
  }
  t.branch(taken, false, targetLo(t), targetHi(t));
}

function jcxz(t: Translator): void {
  t.branch(counterNonZero(t), true, targetLo(t), targetHi(t));
}

// ---- far transfers

/** Selector and offset of a far transfer: immediate, or from memory (offset first). */
function farTarget(t: Translator): { selector: number; offset: number } {
  if (!t.isMem) return { selector: t.constant(t.imm2), offset: t.constant(t.immLo, 0) };
  const size = t.opSize;
  t.ea(size + 2, READ);
  const offset = t.temp();
  const selector = t.temp();
  t.ld(loadOp(size), offset);
  t.ld(OP.ld16u, selector, size);
  return { selector, offset };
}

function far(t: Translator, helper: number): void {
  const { selector, offset } = farTarget(t);
  t.call(helper, undefined, selector, offset, t.constant(t.opSize | (t.length << 8)));
  t.endRipStored();
}

function retf(t: Translator): void {
  const release = t.operandKind(0) === 0 ? 0 : t.immLo;
  t.call(HELPER.ret_far, undefined, t.constant(t.opSize), t.constant(release));
  t.endRipStored();
}

function iret(t: Translator): void {
  t.call(HELPER.iret, undefined, t.constant(t.opSize), t.constant(t.length));
  t.endRipStored();
}

// ---- software interrupts

function softwareInterrupt(t: Translator, helper: number): void {
  t.call(helper, undefined, t.nextRip());
  t.endFault();
}

function intN(t: Translator): void {
  t.call(HELPER.int_n, undefined, t.constant(t.immLo & 0xff), t.nextRip());
  t.endFault();
}

function into(t: Translator): void {
  t.call(HELPER.into, undefined, t.nextRip());
  t.jump(t.nextLo, t.nextHi);
}

/** VMCALL, VMMCALL. */
function hypercall(t: Translator): void {
  t.call(HELPER.hypercall);
  t.endState();
}

/** Control transfer (SDM Vol. 1 5.1.7). */
export const controlHandlers = {
  jcc,
  jmp,
  call,
  ret,
  jcxz,
  retf,
  iret,
  into,
  hypercall,
  loop: (t: Translator) => loop(t, -1),
  loope: (t: Translator) => loop(t, 4),
  loopne: (t: Translator) => loop(t, 5),
  callFar: (t: Translator) => far(t, HELPER.call_far),
  jmpFar: (t: Translator) => far(t, HELPER.jmp_far),
  int: intN,
  int3: (t: Translator) => softwareInterrupt(t, HELPER.int3),
  int1: (t: Translator) => softwareInterrupt(t, HELPER.int1),
  ud: (t: Translator) => t.raiseUd(),
};

import { OP } from '../../ir/ops.ts';
import { DS, RAX, RBX, RDX } from '../../runtime/x86/layout.ts';
import { HELPER } from './helpers.ts';
import { loadOp, READ, RMW } from './operands.ts';
import type { Translator } from './translator.ts';

function movImmediate(t: Translator, reg: number): void {
  const size = t.size(0);
  if (size >= 4) t.ir.movi64(t.gprDst(reg), t.immLo, size === 8 ? t.immHi : 0);
  else t.writeReg(reg, size, t.constant(t.immLo));
}

function mov(t: Translator): void {
  const reg = t.gpr(0);
  if (reg < 0) return t.store(0, t.load(1));
  if (t.isImmediate(1)) return movImmediate(t, reg);
  const size = t.size(0);
  if (size >= 4 && t.isMemory(1)) {
    t.ea(size, READ);
    return t.ld(loadOp(size), t.gprDst(reg));
  }
  t.writeReg(reg, size, t.load(1));
}

function movzx(t: Translator): void {
  const dstSize = t.size(0);
  const srcSize = t.size(1);
  if (dstSize === 2) return t.store(0, t.loadZ(1));
  if (t.isMemory(1)) {
    t.ea(srcSize, READ);
    return t.ld(loadOp(srcSize), t.gprDst(t.reg));
  }
  const src = t.load(1);
  if (src >= 0x8000) t.ir.op(OP.mov, t.gprDst(t.reg), src);
  else t.ir.op(srcSize === 1 ? OP.ext8u : OP.ext16u, t.gprDst(t.reg), src);
}

function movsx(t: Translator): void {
  const dstSize = t.size(0);
  const srcSize = t.size(1);
  if (dstSize === 8 && t.isMemory(1)) {
    t.ea(srcSize, READ);
    return t.ld(srcSize === 1 ? OP.ld8s : srcSize === 2 ? OP.ld16s : OP.ld32s, t.gprDst(t.reg));
  }
  if (dstSize === 2 || t.isMemory(1)) return t.store(0, t.loadS(1));
  const src = t.load(1);
  const wide = dstSize === 8;
  const op =
    srcSize === 1
      ? wide
        ? OP.ext8s_i64
        : OP.ext8s_i32
      : srcSize === 2
        ? wide
          ? OP.ext16s_i64
          : OP.ext16s_i32
        : wide
          ? OP.ext32s
          : OP.ext32u;
  t.ir.op(op, t.gprDst(t.reg), src);
}

/** The address is truncated to the operand size, so narrower arithmetic serves as well. */
function lea(t: Translator): void {
  if (t.opSize === 2) {
    const r = t.temp();
    t.offset(r);
    return t.store(0, r);
  }
  if (t.opSize === 4 && t.addrSize === 8) t.addrSize = 4;
  t.offset(t.gprDst(t.reg));
}

function xchg(t: Translator): void {
  const size = t.size(0);
  if (t.isMemory(0)) {
    const old = t.load(0, RMW);
    t.store(0, t.load(1));
    return t.storeZ(1, old);
  }
  const a = t.temp();
  t.ir.op(OP.mov, a, t.load(0));
  const b = t.temp();
  t.ir.op(OP.mov, b, t.load(1));
  t.writeReg(t.gpr(0), size, b);
  t.writeReg(t.gpr(1), size, a);
}

/** 90+r: XCHG with the accumulator; NOP when it is the accumulator itself. */
function xchgAcc(t: Translator): void {
  if (t.gpr(0) !== 0) xchg(t);
}

function cbw(t: Translator): void {
  const { ir } = t;
  if (t.opSize === 8) ir.op(OP.ext32s, t.gprDst(0), RAX);
  else if (t.opSize === 4) ir.op(OP.ext16s_i32, t.gprDst(0), RAX);
  else t.writeReg(0, 2, t.sext(RAX, 1));
}

function cwd(t: Translator): void {
  const { ir } = t;
  if (t.opSize === 8) return ir.imm(OP.sar_i64_imm, t.gprDst(2), RAX, 63);
  if (t.opSize === 4) return ir.imm(OP.sar_i32_imm, t.gprDst(2), RAX, 31);
  const s = t.sext(RAX, 2);
  const r = t.temp();
  ir.imm(OP.sar_i64_imm, r, s, 15);
  const d = t.gprDst(2);
  ir.op(OP.dep16, d, RDX, r);
}

function bswap(t: Translator): void {
  const reg = t.gpr(0);
  if (t.opSize === 2) return t.writeReg(reg, 2, t.constant(0));
  const d = t.gprDst(reg);
  t.ir.op(t.opSize === 8 ? OP.bswap_i64 : OP.bswap_i32, d, d);
}

function swapped(t: Translator, value: number): number {
  const r = t.temp();
  t.ir.op(t.opSize === 8 ? OP.bswap_i64 : OP.bswap_i32, r, value);
  if (t.opSize === 2) t.ir.imm(OP.shr_i32_imm, r, r, 16);
  return r;
}

function movbe(t: Translator): void {
  t.storeZ(0, swapped(t, t.load(1)));
}

function setcc(t: Translator): void {
  t.store(0, t.cond01(t.opcode & 15));
}

function cmovcc(t: Translator): void {
  const { ir } = t;
  const src = t.load(1);
  const cond = t.cond(t.opcode & 15);
  const inverted = t.condInverted;
  const old = t.load(0);
  const size = t.opSize;
  const d = size === 8 ? t.gprDst(t.reg) : t.temp();
  ir.op4(OP.select, d, cond, inverted ? old : src, inverted ? src : old);
  if (size !== 8) t.store(0, d);
}

/** AL = [rBX + AL]. */
function xlatb(t: Translator): void {
  const { ir } = t;
  const wide = t.addrSize === 8;
  const offset = t.temp();
  ir.op(wide ? OP.add_i64 : OP.add_i32, offset, RBX, t.zext(RAX, 1));
  if (t.addrSize === 2) ir.op(OP.ext16u, offset, offset);
  t.linear(offset, t.segOverride >= 0 ? t.segOverride : DS, 1, READ);
  const v = t.temp();
  t.ld(OP.ld8u, v);
  t.writeReg(0, 1, v);
}

/** Data movement and conversion (SDM Vol. 1 5.1.1). */
/** Several vCPUs on one thread: who waits gives way. */
function pause(t: Translator): void {
  if (!t.pauseYields || t.isSingle) return;
  t.call(HELPER.pause, undefined, t.nextRip());
  t.endFault();
}

export const moveHandlers = {
  mov,
  movzx,
  movsx,
  movsxd: movsx,
  lea,
  xchg,
  xchgAcc,
  cbw,
  cwd,
  bswap,
  movbe,
  setcc,
  cmovcc,
  xlatb,
  nop: (_t: Translator) => {},
  pause,
};

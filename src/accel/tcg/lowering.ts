import type { HelperInfo } from '../../ir/helper-table.ts';
import { type BaseOp, OP_INFO } from '../../ir/ops.ts';
import { VECTOR_HI } from '../../runtime/x86/layout.ts';
import { compareFlags, comparePacked, compareScalar, minimum, packedMinimum } from './lowering-compare.ts';
import type { Lowering, LoweringContext } from './lowering-context.ts';
import {
  convertFloat,
  convertPacked,
  fromInteger,
  packedSquareRoot,
  round,
  squareRoot,
  toInteger,
} from './lowering-convert.ts';
import { arithmetic, packedArithmetic } from './lowering-float.ts';
import { fused } from './lowering-fma.ts';
import {
  binary,
  bswap,
  compare,
  deposit,
  ext8hu,
  ext32s,
  extendUnsigned,
  getState,
  lea,
  mov,
  movi,
  mulhs,
  mulhu,
  neg,
  not,
  putState,
  select,
  unary,
} from './lowering-integer.ts';
import { checkAddress, load, load256, store, store256 } from './lowering-memory.ts';
import {
  evenProducts,
  vbitselect,
  vconst,
  vectorBinary,
  vectorMask,
  vectorShift,
  vectorUnary,
  vmov,
  vshuffle,
  vsplat64,
  zeroExtendToVector,
} from './lowering-vector.ts';
import * as W from './wasm/opcodes.ts';

/** Each IR operation as wasm, written once for the interpreter and the region compiler. */
export const LOWERINGS = {
  mov,
  movi,
  select,

  add: binary(W.I32_ADD, W.I64_ADD),
  sub: binary(W.I32_SUB, W.I64_SUB),
  mul: binary(W.I32_MUL, W.I64_MUL),
  and: binary(W.I32_AND, W.I64_AND),
  or: binary(W.I32_OR, W.I64_OR),
  xor: binary(W.I32_XOR, W.I64_XOR),
  shl: binary(W.I32_SHL, W.I64_SHL),
  shr: binary(W.I32_SHR_U, W.I64_SHR_U),
  sar: binary(W.I32_SHR_S, W.I64_SHR_S),
  rotl: binary(W.I32_ROTL, W.I64_ROTL),
  rotr: binary(W.I32_ROTR, W.I64_ROTR),
  neg,
  not,
  clz: unary(W.I32_CLZ, W.I64_CLZ),
  ctz: unary(W.I32_CTZ, W.I64_CTZ),
  popcnt: unary(W.I32_POPCNT, W.I64_POPCNT),
  bswap,
  mulhu,
  mulhs,

  eq: compare(W.I32_EQ, W.I64_EQ),
  ne: compare(W.I32_NE, W.I64_NE),
  ltu: compare(W.I32_LT_U, W.I64_LT_U),
  lts: compare(W.I32_LT_S, W.I64_LT_S),
  leu: compare(W.I32_LE_U, W.I64_LE_U),
  les: compare(W.I32_LE_S, W.I64_LE_S),

  ext8u: extendUnsigned(0xff),
  ext8hu,
  ext16u: extendUnsigned(0xffff),
  ext32u: extendUnsigned(-1),
  ext8s: unary(W.I32_EXTEND8_S, W.I64_EXTEND8_S),
  ext16s: unary(W.I32_EXTEND16_S, W.I64_EXTEND16_S),
  ext32s,
  dep8: deposit(0xff, 0),
  dep8h: deposit(0xff, 8),
  dep16: deposit(0xffff, 0),

  lea,

  get8u: getState(W.I32_LOAD8_U),
  get16u: getState(W.I32_LOAD16_U),
  get32u: getState(W.I32_LOAD),
  put8: putState(W.I32_STORE8),
  put16: putState(W.I32_STORE16),
  put32: putState(W.I32_STORE),

  ld8u: load(W.I32_LOAD8_U, W.I32, 1, W.I32_WRAP_I64),
  ld8s: load(W.I64_LOAD8_S, W.I64, 1, W.I64_EXTEND8_S),
  ld16u: load(W.I32_LOAD16_U, W.I32, 2, W.I32_WRAP_I64),
  ld16s: load(W.I64_LOAD16_S, W.I64, 2, W.I64_EXTEND16_S),
  ld32u: load(W.I32_LOAD, W.I32, 4, W.I32_WRAP_I64),
  ld32s: load(W.I64_LOAD32_S, W.I64, 4, W.I64_EXTEND32_S),
  ld64: load(W.I64_LOAD, W.I64, 8, 0),
  ld128: load(W.V128_LOAD, W.V128, 16, 0),
  ld256: load256,
  chkaddr: checkAddress,
  st8: store(W.I32_STORE8, W.I32, 1),
  st16: store(W.I32_STORE16, W.I32, 2),
  st32: store(W.I32_STORE, W.I32, 4),
  st64: store(W.I64_STORE, W.I64, 8),
  st128: store(W.V128_STORE, W.V128, 16),

  st256: store256,

  fadd: arithmetic(W.F32_ADD, W.F64_ADD),
  fsub: arithmetic(W.F32_SUB, W.F64_SUB),
  fmul: arithmetic(W.F32_MUL, W.F64_MUL),
  fdiv: arithmetic(W.F32_DIV, W.F64_DIV),
  vfadd: packedArithmetic(W.F32X4_ADD, W.F64X2_ADD, 1),
  vfsub: packedArithmetic(W.F32X4_SUB, W.F64X2_SUB, 1),
  vfmul: packedArithmetic(W.F32X4_MUL, W.F64X2_MUL, 1),
  vfdiv: packedArithmetic(W.F32X4_DIV, W.F64X2_DIV, 1),
  vfadd256: packedArithmetic(W.F32X4_ADD, W.F64X2_ADD, 2),
  vfsub256: packedArithmetic(W.F32X4_SUB, W.F64X2_SUB, 2),
  vfmul256: packedArithmetic(W.F32X4_MUL, W.F64X2_MUL, 2),
  vfdiv256: packedArithmetic(W.F32X4_DIV, W.F64X2_DIV, 2),
  fsqrt: squareRoot,
  fmin: minimum(W.F32_LT, W.F64_LT),
  fmax: minimum(W.F32_GT, W.F64_GT),
  vfsqrt: packedSquareRoot(1, VECTOR_HI),
  vfmin: packedMinimum(W.F32X4_PMIN, W.F64X2_PMIN, 1),
  vfmax: packedMinimum(W.F32X4_PMAX, W.F64X2_PMAX, 1),
  vfsqrt256: packedSquareRoot(2, VECTOR_HI),
  vfmin256: packedMinimum(W.F32X4_PMIN, W.F64X2_PMIN, 2),
  vfmax256: packedMinimum(W.F32X4_PMAX, W.F64X2_PMAX, 2),
  ffma: fused(0),
  vffma: fused(1),
  vffma256: fused(2),
  fcmp: compareScalar,
  vfcmp: comparePacked(1),
  vfcmp256: comparePacked(2),
  fcomi: compareFlags,
  ffromint: fromInteger,
  ftoint: toInteger,
  fcvt: convertFloat,
  vfcvt: convertPacked,
  fround: round(false),
  vfround: round(true),

  vmov,
  vconst,
  vand: vectorBinary(W.V128_AND),
  vor: vectorBinary(W.V128_OR),
  vxor: vectorBinary(W.V128_XOR),
  vandnot: vectorBinary(W.V128_ANDNOT),
  vnot: vectorUnary(W.V128_NOT),
  vbitselect,
  vshuffle,
  vswizzle: vectorBinary(W.I8X16_SWIZZLE),
  vadd8: vectorBinary(W.I8X16_ADD),
  vadd16: vectorBinary(W.I16X8_ADD),
  vadd32: vectorBinary(W.I32X4_ADD),
  vadd64: vectorBinary(W.I64X2_ADD),
  vsub8: vectorBinary(W.I8X16_SUB),
  vsub16: vectorBinary(W.I16X8_SUB),
  vsub32: vectorBinary(W.I32X4_SUB),
  vsub64: vectorBinary(W.I64X2_SUB),
  vadds8: vectorBinary(W.I8X16_ADD_SAT_S),
  vaddu8: vectorBinary(W.I8X16_ADD_SAT_U),
  vadds16: vectorBinary(W.I16X8_ADD_SAT_S),
  vaddu16: vectorBinary(W.I16X8_ADD_SAT_U),
  vsubs8: vectorBinary(W.I8X16_SUB_SAT_S),
  vsubu8: vectorBinary(W.I8X16_SUB_SAT_U),
  vsubs16: vectorBinary(W.I16X8_SUB_SAT_S),
  vsubu16: vectorBinary(W.I16X8_SUB_SAT_U),
  vmul16: vectorBinary(W.I16X8_MUL),
  vmul32: vectorBinary(W.I32X4_MUL),
  vmuleu32: evenProducts(W.I64X2_EXTMUL_LOW_I32X4_U),
  vmules32: evenProducts(W.I64X2_EXTMUL_LOW_I32X4_S),
  vdot16: vectorBinary(W.I32X4_DOT_I16X8_S),
  vavgu8: vectorBinary(W.I8X16_AVGR_U),
  vavgu16: vectorBinary(W.I16X8_AVGR_U),
  vmins8: vectorBinary(W.I8X16_MIN_S),
  vminu8: vectorBinary(W.I8X16_MIN_U),
  vmins16: vectorBinary(W.I16X8_MIN_S),
  vminu16: vectorBinary(W.I16X8_MIN_U),
  vmins32: vectorBinary(W.I32X4_MIN_S),
  vminu32: vectorBinary(W.I32X4_MIN_U),
  vmaxs8: vectorBinary(W.I8X16_MAX_S),
  vmaxu8: vectorBinary(W.I8X16_MAX_U),
  vmaxs16: vectorBinary(W.I16X8_MAX_S),
  vmaxu16: vectorBinary(W.I16X8_MAX_U),
  vmaxs32: vectorBinary(W.I32X4_MAX_S),
  vmaxu32: vectorBinary(W.I32X4_MAX_U),
  vabs8: vectorUnary(W.I8X16_ABS),
  vabs16: vectorUnary(W.I16X8_ABS),
  vabs32: vectorUnary(W.I32X4_ABS),
  veq8: vectorBinary(W.I8X16_EQ),
  veq16: vectorBinary(W.I16X8_EQ),
  veq32: vectorBinary(W.I32X4_EQ),
  veq64: vectorBinary(W.I64X2_EQ),
  vgts8: vectorBinary(W.I8X16_GT_S),
  vgts16: vectorBinary(W.I16X8_GT_S),
  vgts32: vectorBinary(W.I32X4_GT_S),
  vgts64: vectorBinary(W.I64X2_GT_S),
  vpacks16: vectorBinary(W.I8X16_NARROW_I16X8_S),
  vpacku16: vectorBinary(W.I8X16_NARROW_I16X8_U),
  vpacks32: vectorBinary(W.I16X8_NARROW_I32X4_S),
  vpacku32: vectorBinary(W.I16X8_NARROW_I32X4_U),
  vexts8: vectorUnary(W.I16X8_EXTEND_LOW_I8X16_S),
  vextu8: vectorUnary(W.I16X8_EXTEND_LOW_I8X16_U),
  vexts16: vectorUnary(W.I32X4_EXTEND_LOW_I16X8_S),
  vextu16: vectorUnary(W.I32X4_EXTEND_LOW_I16X8_U),
  vexts32: vectorUnary(W.I64X2_EXTEND_LOW_I32X4_S),
  vextu32: vectorUnary(W.I64X2_EXTEND_LOW_I32X4_U),
  vshl16: vectorShift(W.I16X8_SHL),
  vshl32: vectorShift(W.I32X4_SHL),
  vshl64: vectorShift(W.I64X2_SHL),
  vshr16: vectorShift(W.I16X8_SHR_U),
  vshr32: vectorShift(W.I32X4_SHR_U),
  vshr64: vectorShift(W.I64X2_SHR_U),
  vsar16: vectorShift(W.I16X8_SHR_S),
  vsar32: vectorShift(W.I32X4_SHR_S),
  vmask8: vectorMask(W.I8X16_BITMASK),
  vmask32: vectorMask(W.I32X4_BITMASK),
  vmask64: vectorMask(W.I64X2_BITMASK),
  vsplat64,
  vzext64: zeroExtendToVector(W.I64, W.I64X2_REPLACE_LANE),
  vzext32: zeroExtendToVector(W.I32, W.I32X4_REPLACE_LANE),

  call: (cx) => cx.call(),

  goto: (cx) => cx.goto(),
  br: (cx) => cx.branch(),
  goto_ind: (cx) => cx.gotoIndirect(),
  exit: (cx) => cx.exitBlock(),
} as const satisfies Record<BaseOp, Lowering>;

/** Lowering by opcode. */
export const LOWERING_OF: readonly Lowering[] = OP_INFO.map((info) => LOWERINGS[info.base]);

const VALUE_TYPE = { i32: W.I32, i64: W.I64, f32: W.F32, f64: W.F64, v128: W.V128 } as const;

/** Wasm type of each opcode's suffix, W.I64 where it has none: what `LoweringContext.type` is. */
export const TYPE_OF: Uint8Array = Uint8Array.from(OP_INFO, (info) => VALUE_TYPE[info.type ?? 'i64']);

/** Emits a call of `helper` for the 'call' operation being lowered: both back ends use it. */
export function lowerHelperCall(cx: LoweringContext, helper: HelperInfo): void {
  const { code } = cx;
  const result = helper.result ? cx.scratch(W.I64, 0) : -1;
  cx.beforeHelper(helper);
  if (helper.args > 0) cx.a(W.I64);
  if (helper.args > 1) cx.b(W.I64);
  if (helper.args > 2) cx.c(W.I64);
  cx.callHelper(helper);
  if (helper.result) {
    if (cx.unusedResult) code.op(W.DROP);
    else code.localSet(result);
  }
  cx.afterHelper(helper);
  if (!helper.result || cx.unusedResult) return;
  cx.dest(W.I64);
  code.localGet(result);
  cx.result(W.I64);
}

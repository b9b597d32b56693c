/**
 * Operand codes of the opcode tables: the letters of SDM Vol. 2D appendix A.2 (addressing method, then operand type).
 * Each compiles to two numbers: where the operand is (K_*) and how wide it is (W_*).
 */

// ---- where
export const K_NONE = 0;
/** General register or memory by ModRM.rm. */
export const K_E = 1;
/** General register by ModRM.reg. */
export const K_G = 2;
/** General register by ModRM.rm, mod is ignored or 3. */
export const K_R = 3;
/** Memory by ModRM.rm. */
export const K_M = 4;
/** General register in the low three bits of the opcode. */
export const K_Z = 5;
/** Immediate (sign-extended in immLo/immHi). */
export const K_I = 6;
/** Relative branch target. */
export const K_J = 7;
/** Far pointer immediate. */
export const K_A = 8;
/** Absolute offset (address-size immediate). */
export const K_O = 9;
/** Segment register by ModRM.reg. */
export const K_S = 10;
export const K_C = 11;
export const K_D = 12;
/** String operands DS:rSI and ES:rDI. */
export const K_X = 13;
export const K_Y = 14;
/** Fixed general register. */
export const K_AX = 15;
export const K_CX = 16;
export const K_DX = 17;
/** The constant 1. */
export const K_ONE = 18;
/** Fixed segment register: K_SEG + ES..GS. */
export const K_SEG = 20;
/** XMM by reg; XMM or memory; XMM by rm. */
export const K_V = 32;
export const K_W = 33;
export const K_U = 34;
/** MMX by reg; MMX or memory; MMX by rm. */
export const K_P = 35;
export const K_Q = 36;
export const K_N = 37;
/** XMM0 as an implied operand. */
export const K_XMM0 = 38;
/** x87: ST(0), ST(rm). */
export const K_ST0 = 39;
export const K_STI = 40;
/** Second immediate byte (ENTER). */
export const K_I2 = 41;
/** XMM or YMM by VEX.vvvv; by bits 7..4 of an immediate byte; general register by VEX.vvvv. */
export const K_H = 42;
export const K_L = 43;
export const K_B = 44;
/** Memory whose index register is an XMM or YMM (VSIB). */
export const K_VM = 45;

// ---- width: 1..8 fixed bytes, others by operand size
export const W_NONE = 0;
/** 2, 4 or 8 by operand size. */
export const W_V = 20;
/** 2 or 4 (4 for 64-bit operand size). */
export const W_Z = 21;
/** 4 or 8 (8 for 64-bit operand size only). */
export const W_Y = 22;
/** 8 in 64-bit mode, else 4. */
export const W_NATIVE = 23;
/** Register form by operand size, memory form 16 bits (MOV Ev,Sw; SLDT …). */
export const W_V_MEM16 = 24;
/** Register form 32 (64 with REX.W), memory form 8, 16 bits (PINSR, PEXTR). */
export const W_Y_MEM8 = 25;
export const W_Y_MEM16 = 26;
/** By VEX.L: 16 or 32 bytes, or a half, a quarter, an eighth of it. */
export const W_X = 30;
export const W_X2 = 31;
export const W_X4 = 32;
export const W_X8 = 33;
/** 32 bytes. */
export const W_QQ = 34;

export const OPERANDS = {
  Eb: [K_E, 1],
  Ew: [K_E, 2],
  Ed: [K_E, 4],
  Eq: [K_E, 8],
  Ev: [K_E, W_V],
  Ey: [K_E, W_Y],
  EvMw: [K_E, W_V_MEM16],
  EyMb: [K_E, W_Y_MEM8],
  EyMw: [K_E, W_Y_MEM16],
  Gb: [K_G, 1],
  Gw: [K_G, 2],
  Gd: [K_G, 4],
  Gq: [K_G, 8],
  Gv: [K_G, W_V],
  Gy: [K_G, W_Y],
  Gz: [K_G, W_Z],
  Gn: [K_G, W_NATIVE],
  Ry: [K_R, W_Y],
  Rv: [K_R, W_V],
  Rn: [K_R, W_NATIVE],
  Rb: [K_R, 1],
  Rd: [K_R, 4],
  M: [K_M, W_NONE],
  Mb: [K_M, 1],
  Mw: [K_M, 2],
  Md: [K_M, 4],
  Mq: [K_M, 8],
  Mv: [K_M, W_V],
  My: [K_M, W_Y],
  Mt: [K_M, 10],
  Mdq: [K_M, 16],
  Mp: [K_M, W_NONE],
  Ms: [K_M, W_NONE],
  Ma: [K_M, W_Z],
  Zb: [K_Z, 1],
  Zv: [K_Z, W_V],
  Zy: [K_Z, W_Y],
  /** sIb is sign-extended to the operand size; Ib is shown as a byte. */
  Ib: [K_I, 1],
  sIb: [K_I, W_V],
  Iw: [K_I, 2],
  Iz: [K_I, W_Z],
  Iv: [K_I, W_V],
  sIz: [K_I, W_V],
  I2b: [K_I2, 1],
  Jb: [K_J, 1],
  Jz: [K_J, W_Z],
  Ap: [K_A, W_NONE],
  Ob: [K_O, 1],
  Ov: [K_O, W_V],
  Sw: [K_S, 2],
  Cn: [K_C, W_NATIVE],
  Dn: [K_D, W_NATIVE],
  Xb: [K_X, 1],
  Xv: [K_X, W_V],
  Xz: [K_X, W_Z],
  Yb: [K_Y, 1],
  Yv: [K_Y, W_V],
  Yz: [K_Y, W_Z],
  AL: [K_AX, 1],
  AX: [K_AX, 2],
  rAX: [K_AX, W_V],
  eAX: [K_AX, W_Z],
  CL: [K_CX, 1],
  DX: [K_DX, 2],
  '1': [K_ONE, 1],
  ES: [K_SEG, 2],
  CS: [K_SEG + 1, 2],
  SS: [K_SEG + 2, 2],
  DS: [K_SEG + 3, 2],
  FS: [K_SEG + 4, 2],
  GS: [K_SEG + 5, 2],
  Vdq: [K_V, 16],
  Vps: [K_V, 16],
  Vpd: [K_V, 16],
  Vss: [K_V, 4],
  Vsd: [K_V, 8],
  Vq: [K_V, 8],
  Vd: [K_V, 4],
  Wdq: [K_W, 16],
  Wps: [K_W, 16],
  Wpd: [K_W, 16],
  Wss: [K_W, 4],
  Wsd: [K_W, 8],
  Wq: [K_W, 8],
  Wd: [K_W, 4],
  Ww: [K_W, 2],
  Wb: [K_W, 1],
  Udq: [K_U, 16],
  Ups: [K_U, 16],
  Upd: [K_U, 16],
  Uq: [K_U, 8],
  Pq: [K_P, 8],
  Pd: [K_P, 4],
  Qq: [K_Q, 8],
  Qd: [K_Q, 4],
  Nq: [K_N, 8],
  XMM0: [K_XMM0, 16],
  /** VEX: x = 16 or 32 bytes by VEX.L; the digit behind it divides that. */
  Vx: [K_V, W_X],
  Hx: [K_H, W_X],
  Wx: [K_W, W_X],
  Ux: [K_U, W_X],
  Mx: [K_M, W_X],
  Lx: [K_L, W_X],
  Wx2: [K_W, W_X2],
  Wx4: [K_W, W_X4],
  Wx8: [K_W, W_X8],
  Vqq: [K_V, W_QQ],
  Hqq: [K_H, W_QQ],
  Wqq: [K_W, W_QQ],
  Mqq: [K_M, W_QQ],
  Hdq: [K_H, 16],
  Hss: [K_H, 4],
  Hsd: [K_H, 8],
  By: [K_B, W_Y],
  VMd: [K_VM, 4],
  VMq: [K_VM, 8],
  ST0: [K_ST0, 10],
  STi: [K_STI, 10],
} as const satisfies Record<string, readonly [number, number]>;

export type OperandCode = keyof typeof OPERANDS;

/** True if the code needs a ModRM byte. */
export function usesModrm(code: OperandCode): boolean {
  const k = OPERANDS[code][0] as number;
  return (
    (k >= K_E && k <= K_M) || (k >= K_S && k <= K_D) || (k >= K_V && k <= K_N) || k === K_STI || k === K_VM
  );
}

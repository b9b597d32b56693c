import { NO_SLOT, OP, OP_INFO } from './ops.ts';

/**
 * Appends IR words of one block to a region of wasm memory. The front end calls it; it never reads back.
 * Positions are byte addresses in the memory; every operation starts 8-byte aligned.
 */
export class IrBuilder {
  private readonly words: Int32Array;
  /** Word index of the next operation. */
  private pos = 0;
  private limit = 0;
  private tempNext = 0;
  private readonly tempBase: number;
  private readonly tempLimit: number;
  /** Restore word attached to operations that may fault: set by the front end at each guest instruction. */
  restore = 0;

  constructor(buffer: ArrayBufferLike, tempBase: number, tempLimit: number) {
    this.words = new Int32Array(buffer);
    this.tempBase = tempBase;
    this.tempLimit = Math.min(tempLimit, NO_SLOT & ~15);
    this.tempNext = tempBase;
  }

  /** Starts a block at byte address `start`; `end` is the first byte it must not write. */
  begin(start: number, end: number): void {
    this.pos = start >>> 2;
    this.limit = (end >>> 2) - 16;
    this.tempNext = this.tempBase;
    this.restore = 0;
  }

  /** Byte address behind the last operation. */
  get address(): number {
    return (this.pos << 2) >>> 0;
  }

  /** True when the block must end now for want of room. */
  get full(): boolean {
    return this.pos >= this.limit;
  }

  /** A fresh temporary slot (16 bytes wide). Temporaries live until `resetTemps` and never across blocks. */
  temp(): number {
    const t = this.tempNext;
    if (t >= this.tempLimit) throw new Error('IR block uses too many temporaries');
    this.tempNext = t + 16;
    return t;
  }

  /** Makes all temporaries free for reuse (between guest instructions). */
  resetTemps(): void {
    this.tempNext = this.tempBase;
  }

  /** Format 'dab'. */
  op(opcode: number, d: number, a: number, b = 0): void {
    const p = this.pos;
    this.words[p] = opcode | (d << 16);
    this.words[p + 1] = a | (b << 16);
    this.pos = p + 2;
  }

  /** Format 'dai' with a sign-extended 32-bit immediate. */
  imm(opcode: number, d: number, a: number, value: number): void {
    this.imm64(opcode, d, a, value | 0, (value | 0) >> 31);
  }

  /** Format 'dai' with a 64-bit immediate in two halves. */
  imm64(opcode: number, d: number, a: number, lo: number, hi: number): void {
    const p = this.pos;
    this.words[p] = opcode | (d << 16);
    this.words[p + 1] = a;
    this.words[p + 2] = lo;
    this.words[p + 3] = hi;
    this.pos = p + 4;
  }

  /** Format 'dabc'. */
  op4(opcode: number, d: number, a: number, b: number, c: number, x = 0, imm = 0): void {
    const p = this.pos;
    this.words[p] = opcode | (d << 16);
    this.words[p + 1] = a | (b << 16);
    this.words[p + 2] = c | (x << 16);
    this.words[p + 3] = imm;
    this.pos = p + 4;
  }

  /** Format 'dab128': four 32-bit words of constant, lowest first. */
  op128(
    opcode: number,
    d: number,
    a: number,
    b: number,
    c0: number,
    c1: number,
    c2: number,
    c3: number,
  ): void {
    const p = this.pos;
    this.words[p] = opcode | (d << 16);
    this.words[p + 1] = a | (b << 16);
    this.words[p + 2] = c0;
    this.words[p + 3] = c1;
    this.words[p + 4] = c2;
    this.words[p + 5] = c3;
    this.pos = p + 6;
  }

  movi(d: number, value: number): void {
    this.imm(OP.movi, d, 0, value);
  }

  movi64(d: number, lo: number, hi: number): void {
    this.imm64(OP.movi, d, 0, lo, hi);
  }

  /** Guest memory access; `value` is the destination of a load and the source of a store. */
  mem(opcode: number, value: number, address: number, info: number, disp = 0): void {
    const p = this.pos;
    this.words[p] = opcode | (value << 16);
    this.words[p + 1] = address | (info << 16);
    this.words[p + 2] = disp;
    this.words[p + 3] = this.restore;
    this.pos = p + 4;
  }

  /** Calls runtime helper number `helper`; pass NO_SLOT for an unused result. */
  call(
    helper: number,
    d: number = NO_SLOT,
    a: number = NO_SLOT,
    b: number = NO_SLOT,
    c: number = NO_SLOT,
  ): void {
    this.op4(OP.call, d, a, b, c, helper, this.restore);
  }

  /** Float arithmetic (fadd … fdiv): carries the restore word for the soft-float helper. */
  farith(opcode: number, d: number, a: number, b: number): void {
    this.op4(opcode, d, a, b, 0, 0, this.restore);
  }

  goto(ripLo: number, ripHi: number): void {
    this.imm64(OP.goto, 0, 0, ripLo, ripHi);
  }

  br(condition: number, takenLo: number, takenHi: number, elseLo: number, elseHi: number): void {
    this.op128(OP.br, 0, condition, 0, takenLo, takenHi, elseLo, elseHi);
  }

  gotoInd(): void {
    this.op(OP.goto_ind, 0, 0);
  }

  exit(): void {
    this.op(OP.exit, 0, 0);
  }

  /** Size in bytes of the operation with this opcode. */
  static sizeOf(opcode: number): number {
    return OP_INFO[opcode]!.size;
  }
}

import type { IrBuilder } from '../../ir/builder.ts';
import { OP } from '../../ir/ops.ts';
import {
  CS,
  HF_AVX,
  HF_CPL_MASK,
  HF_CS_FLAT,
  HF_DR7,
  HF_EM,
  HF_ONE_INSN,
  HF_OSFXSR,
  HF_PE,
  HF_RF,
  HF_SHADOW,
  HF_SS32,
  HF_TF,
  HF_TS,
  HF_VM,
  RIP,
  RSP,
  SS,
} from '../../runtime/x86/layout.ts';
import type { CodeWindow, TranslatedBlock, TranslationRequest } from '../target.ts';
import type { DecodeTable } from './decode-table.ts';
import { DECODE_FETCH, DECODE_OK } from './decoder.ts';
import type { FeatureSet } from './features.ts';
import { HELPER } from './helpers.ts';
import { loadOp, Operands, READ, storeOp, WRITE } from './operands.ts';

/** Emits the IR of one instruction. */
export type Handler = (t: Translator) => void;

/** Modes in which a block is one instruction that ends with `end_of_insn`. */
const SINGLE = HF_TF | HF_SHADOW | HF_DR7 | HF_RF | HF_ONE_INSN;

/** Translates blocks of x86 code to IR. One instance per vCPU, reused for every block. */
export class Translator extends Operands {
  /** PAUSE leaves translated code. */
  readonly pauseYields: boolean;
  private readonly handlers: readonly Handler[];
  private code: CodeWindow | undefined;
  /** The block has its terminator. */
  private ended = false;
  private single = false;

  /** `handlers[n]` belongs to row n of the table. */
  constructor(table: DecodeTable, handlers: readonly Handler[], pauseYields = false) {
    super(table);
    this.pauseYields = pauseYields;
    this.handlers = handlers;
  }

  /** The block is one instruction that ends with `end_of_insn`. */
  get isSingle(): boolean {
    return this.single;
  }

  protected override nextPage(): number {
    return this.code!.nextPage();
  }

  protected override nextPageBytes(): number {
    return this.code!.nextBytes ?? super.nextPageBytes();
  }

  /** Protected mode outside virtual-8086 mode. */
  get protectedMode(): boolean {
    return (this.flags & (HF_PE | HF_VM)) === HF_PE;
  }

  /** The block has its terminator. */
  get hasEnded(): boolean {
    return this.ended;
  }

  get cpl(): number {
    return this.flags & HF_CPL_MASK;
  }

  /** Emits one block; see TargetDescriptor.translateBlock. */
  translate(request: TranslationRequest, ir: IrBuilder, result: TranslatedBlock): void {
    this.begin(request, ir);
    let offset = 0;
    let insns = 0;
    let crossed = false;
    const max = this.single ? 1 : request.maxInsns;
    while (!this.ended) {
      this.locate(request, offset);
      ir.restore = offset | (this.restoreCc << 16);
      const status = this.decode();
      if (status === DECODE_FETCH) {
        if (insns > 0) this.jump(this.ripLo, this.ripHi);
        break;
      }
      request.onInsn?.(offset, this.length);
      this.advance(this.length);
      this.instruction(status);
      offset += this.length;
      insns++;
      crossed = this.crossed;
      if (!this.ended && (insns >= max || crossed || this.pos >= this.limit || ir.full))
        this.jump(this.nextLo, this.nextHi);
    }
    result.sizeBytes = offset;
    result.insns = insns;
    result.crossesPage = crossed;
    this.code = undefined;
  }

  private begin(request: TranslationRequest, ir: IrBuilder): void {
    const { flags, code } = request;
    this.ir = ir;
    this.code = code;
    this.setMode(flags);
    this.beginFlags();
    this.beginOperands(flags);
    this.single = (flags & SINGLE) !== 0;
    this.bytes = code.bytes;
    this.pos = code.start;
    this.limit = code.end;
    this.crossed = false;
    this.fetchFailed = false;
    this.ended = false;
    if ((flags & (HF_DR7 | HF_RF)) === HF_DR7) this.call(HELPER.check_code_breakpoint);
  }

  private instruction(status: number): void {
    if (!this.flagsHoldTemps) this.ir.resetTemps();
    this.beginInsnOperands();
    if (status === DECODE_OK) this.handlers[this.row]!(this);
    else this.raiseGp();
  }

  /** Sets RIP of the current instruction. */
  private locate(request: TranslationRequest, offset: number): void {
    const sum = (request.ripLo >>> 0) + offset;
    this.ripLo = sum | 0;
    this.ripHi = (request.ripHi + (sum > 0xffffffff ? 1 : 0)) | 0;
    this.truncateRip();
    this.nextLo = this.ripLo;
    this.nextHi = this.ripHi;
  }

  private truncateRip(): void {
    if (this.code64) return;
    this.ripHi = 0;
    if (!this.code32) this.ripLo &= 0xffff;
  }

  private advance(length: number): void {
    const sum = (this.ripLo >>> 0) + length;
    this.nextLo = sum | 0;
    this.nextHi = this.code64 ? (this.ripHi + (sum > 0xffffffff ? 1 : 0)) | 0 : 0;
    if (!this.code64 && !this.code32) this.nextLo &= 0xffff;
  }

  // ---- exceptions

  private raise(helper: number): void {
    this.call(helper);
    this.endFault();
  }

  raiseUd(): void {
    this.raise(HELPER.raise_ud);
  }

  /** #GP(0). */
  raiseGp(): void {
    this.call(HELPER.raise_gp, undefined, this.constant(0));
    this.endFault();
  }

  /** Ends the instruction with #GP(0) unless CPL is 0. Returns true if it did. */
  needCpl0(): boolean {
    if (this.cpl === 0) return false;
    this.raiseGp();
    return true;
  }

  /** Ends the instruction with #UD outside protected mode (or in virtual-8086 mode). Returns true if it did. */
  needProtected(): boolean {
    if (this.protectedMode) return false;
    this.raiseUd();
    return true;
  }

  get features(): FeatureSet {
    return this.table.features;
  }

  raiseNm(): void {
    this.raise(HELPER.raise_nm);
  }

  /** VEX-encoded vectors: #UD without CR4.OSXSAVE and XCR0's SSE and AVX bits, #NM if CR0.TS. Returns true if the instruction ended. */
  avxUnavailable(): boolean {
    if ((this.flags & HF_AVX) === 0) this.raiseUd();
    else if (this.flags & HF_TS) this.raiseNm();
    return this.ended;
  }

  /** x87: #NM if CR0.EM or CR0.TS is set. Returns true if the instruction ended. */
  fpuUnavailable(): boolean {
    if ((this.flags & (HF_EM | HF_TS)) === 0) return false;
    this.raise(HELPER.raise_nm);
    return true;
  }

  /** MMX: #UD if CR0.EM, #NM if CR0.TS. Returns true if the instruction ended. */
  mmxUnavailable(): boolean {
    if (this.flags & HF_EM) this.raiseUd();
    else if (this.flags & HF_TS) this.raise(HELPER.raise_nm);
    return this.ended;
  }

  /** SSE: #UD if CR0.EM or no CR4.OSFXSR, #NM if CR0.TS; or the VEX form of an SSE instruction. Returns true if the instruction ended. */
  sseUnavailable(): boolean {
    if (this.vex) return this.avxUnavailable();
    if (this.flags & HF_EM || (this.flags & HF_OSFXSR) === 0) this.raiseUd();
    else if (this.flags & HF_TS) this.raise(HELPER.raise_nm);
    return this.ended;
  }

  // ---- block ends

  /** After a helper that always faults. */
  endFault(): void {
    if (this.ended) return;
    this.ended = true;
    this.ir.exit();
  }

  /** Whether an address needs no check as a branch target: 48 bits, sign-extended, or not 64-bit code. */
  private plainTarget(hi: number): boolean {
    return !this.code64 || (hi << 16) >> 16 === hi;
  }

  /** A near branch target in a slot; in 64-bit code #GP(0) at the branch if it is not canonical. Before anything is written. */
  checkedTarget(target: number, d = this.temp()): number {
    if (!this.code64) return target;
    this.flushFlags();
    this.ir.mem(OP.chkaddr, d, target, this.memInfo(CS), 0);
    return d;
  }

  /** Checks a constant target before the instruction writes anything (CALL). */
  checkTarget(lo: number, hi: number): void {
    if (!this.plainTarget(hi)) this.checkedTarget(this.constant(lo, hi));
  }

  /** A taken branch to a constant target. */
  jumpTo(lo: number, hi: number): void {
    if (this.plainTarget(hi)) this.jump(lo, hi);
    else this.endAt(this.checkedTarget(this.constant(lo, hi)));
  }

  /** Continues at a constant RIP, same key. */
  jump(lo: number, hi: number): void {
    if (this.single) return this.endAt(this.constant(lo, hi));
    this.syncFlags();
    this.ir.goto(lo, hi);
    this.ended = true;
  }

  /** Continues at a constant target if the condition slot is non-zero (zero when `inverted`), else behind the instruction. */
  branch(condition: number, inverted: boolean, lo: number, hi: number): void {
    if (this.single || !this.plainTarget(hi)) {
      const target = this.constant(lo, hi);
      const next = this.constant(this.nextLo, this.nextHi);
      const rip = this.temp();
      this.ir.op4(OP.select, rip, condition, inverted ? next : target, inverted ? target : next);
      return this.endAt(this.plainTarget(hi) ? rip : this.checkedTarget(rip));
    }
    this.syncFlags();
    if (inverted) this.ir.br(condition, this.nextLo, this.nextHi, lo, hi);
    else this.ir.br(condition, lo, hi, this.nextLo, this.nextHi);
    this.ended = true;
  }

  /** Continues at the RIP in a slot; KEY may have changed. */
  endAt(rip: number): void {
    this.syncFlags();
    this.ir.op(OP.mov, RIP, rip);
    this.endOfInsn(rip);
    this.ir.gotoInd();
    this.ended = true;
  }

  /** Continues behind the instruction after something that may have changed KEY, the mapping or the interrupt state. */
  endState(): void {
    this.endAt(this.constant(this.nextLo, this.nextHi));
  }

  /** After a helper that has stored RIP. `trap` false: no single-step trap after this instruction. */
  endRipStored(trap = true): void {
    this.syncFlags();
    if (this.single) {
      const rip = this.temp();
      this.ir.op(OP.mov, rip, RIP);
      this.endOfInsn(rip, trap);
    }
    this.ir.gotoInd();
    this.ended = true;
  }

  private endOfInsn(rip: number, trap = true): void {
    if (!this.single) return;
    const flags = this.constant(trap ? this.flags : this.flags & ~HF_TF, 0);
    this.call(HELPER.end_of_insn, undefined, rip, flags);
  }

  /** RIP behind the instruction as a constant. */
  nextRip(): number {
    return this.constant(this.nextLo, this.nextHi);
  }

  /**
   * Near indirect branch target: truncated to the operand size, checked against the CS limit where CS is not flat and to be
   * canonical in 64-bit code. To be called before the instruction writes anything; `endAt` takes the result.
   */
  indirectTarget(target: number, size: number): number {
    if (this.code64) return this.checkedTarget(target);
    const rip = this.zext(target, size);
    if ((this.flags & HF_CS_FLAT) === 0) this.call(HELPER.check_branch, undefined, rip);
    return rip;
  }

  // ---- stack

  get stack32(): boolean {
    return (this.flags & HF_SS32) !== 0;
  }

  /** Offset in SS at `delta` from the stack pointer. */
  private stackOffset(delta: number): number {
    const t = this.temp();
    this.ir.imm(OP.add_i32_imm, t, RSP, delta);
    if (!this.stack32) this.ir.op(OP.ext16u, t, t);
    return t;
  }

  /** Stores a value at `delta` from the stack pointer, which stays. */
  stackStore(value: number, size: number, delta: number): void {
    if (this.code64) {
      this.flushFlags();
      this.ir.mem(storeOp(size), value, RSP, this.memInfo(SS), delta);
      return;
    }
    this.useAddress(this.linearSlot(this.stackOffset(delta), SS, size, WRITE), SS);
    this.st(storeOp(size), value);
  }

  /** Loads from `delta` above the stack pointer into slot d. */
  stackLoad(d: number, size: number, delta: number): void {
    if (this.code64) {
      this.flushFlags();
      this.ir.mem(loadOp(size), d, RSP, this.memInfo(SS), delta);
      return;
    }
    this.useAddress(this.linearSlot(this.stackOffset(delta), SS, size, READ), SS);
    this.ld(loadOp(size), d);
  }

  /** Adds to the stack pointer in the stack's width. */
  adjustStack(delta: number): void {
    const d = this.gprDst(4);
    if (this.code64) {
      this.ir.imm(OP.add_i64_imm, d, d, delta);
    } else if (this.stack32) {
      this.ir.imm(OP.add_i32_imm, d, d, delta);
    } else {
      const t = this.temp();
      this.ir.imm(OP.add_i32_imm, t, d, delta);
      this.ir.op(OP.dep16, d, d, t);
    }
  }

  push(value: number, size: number): void {
    this.stackStore(value, size, -size);
    this.adjustStack(-size);
  }

  /** Value on top of the stack; the stack pointer does not move (call adjustStack after the last faulting operation). */
  peek(size: number): number {
    const t = this.temp();
    this.stackLoad(t, size, 0);
    return t;
  }
}

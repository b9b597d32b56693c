import type { HelperInfo } from '../../../ir/helper-table.ts';
import type { OpInfo } from '../../../ir/ops.ts';
import { SLOT_FAULT, SLOT_INTERP_IP, SLOT_RESTORE, SLOT_RIP, TB_RIP } from '../../../runtime/tcg/layout.ts';
import { SCRATCH } from '../../../runtime/x86/layout.ts';
import { lowerHelperCall, TYPE_OF } from '../lowering.ts';
import type { LoweringContext } from '../lowering-context.ts';
import type { WasmCode } from '../wasm/code.ts';
import * as W from '../wasm/opcodes.ts';
import {
  FIELD_A,
  FIELD_B,
  FIELD_C,
  FIELD_D,
  FIELD_IMM,
  FIELD_RESTORE,
  FIELD_X,
  loadOf,
  storeOf,
} from './operands.ts';

/** Wasm function indexes that handlers call. */
export interface InterpFunctions {
  readonly helper: (helper: HelperInfo) => number;
  /** (va: i64, ip, tb, size: i32), the load with an i64 result: RIP and RESTORE, then the runtime's slow path. */
  readonly slowLoad: number;
  readonly slowStore: number;
  readonly load128: number;
  readonly store128: number;
  readonly load256: number;
  readonly store256: number;
  /** Soft-float helper by operation name. */
  readonly byName: (name: string) => HelperInfo | undefined;
}

/** What one of the interpreter's functions does at the ends of a handler. */
export interface InterpFlow {
  /** Leave: FAULT is set. */
  fault(): void;
  /** Operation `call`. */
  call(): void;
  goto(): void;
  branch(): void;
  gotoIndirect(): void;
  exitBlock(): void;
}

/** Number of the scratch local that holds a result on its way to the slot. */
const RESULT = 9;

const FIELD_OF = { a: FIELD_A, b: FIELD_B, c: FIELD_C, d: FIELD_D } as const;

/**
 * Lowering context of the interpreter: operands are slot offsets in the operation at `ip`. Locals 0 and 1 of every function
 * that has handlers are `ip` and `tb`.
 */
export class InterpContext implements LoweringContext {
  readonly code: WasmCode;
  readonly cpuBase: number;
  readonly isStatic = false;
  knownInfo = -1;
  zeroDisp = false;
  /** Set in fused sequences, which are matched only without MEM_RMW. */
  neverRmw = false;
  readonly knownX = -1;
  readonly unusedResult = false;
  info!: OpInfo;
  type: W.ValueType = W.I64;
  /** The helper whose case is being emitted. */
  helper: HelperInfo | undefined;
  /** Byte offset of the operation from `ip`: not 0 in a fused sequence. */
  base = 0;
  /** Locals. */
  ip = 0;
  tb = 1;
  /** Local that carries the forwarded value of a fused pair, -1: none. */
  private forward = -1;
  private forwardIn = false;
  private forwardOut = false;
  private readonly functions: InterpFunctions;
  private readonly flow: InterpFlow;
  private readonly scratchLocals = new Map<number, number>();

  constructor(code: WasmCode, cpuBase: number, functions: InterpFunctions, flow: InterpFlow) {
    this.code = code;
    this.cpuBase = cpuBase;
    this.functions = functions;
    this.flow = flow;
  }

  /** Starts a new function: scratch locals are declared afresh. */
  beginFunction(): void {
    this.scratchLocals.clear();
  }

  /** The operation to be lowered next, `base` bytes behind `ip`. */
  beginOp(info: OpInfo, base = 0): void {
    this.info = info;
    this.type = TYPE_OF[info.opcode]!;
    this.base = base;
    this.forwardIn = this.forwardOut = false;
  }

  /** The i32 result of this operation goes to the next one's operand a instead of its slot. */
  forwardResult(): void {
    this.forward = this.scratch(W.I32, 1);
    this.forwardOut = true;
  }

  /** Operand a of this operation is the forwarded value. */
  forwardOperand(): void {
    this.forwardIn = true;
  }

  word(): number {
    throw new Error('the interpreter has no constant operands');
  }

  /** Pushes a field of the operation. */
  field(opcode: number, offset: number): void {
    this.code.localGet(this.ip);
    this.code.mem(opcode, this.base + offset);
  }

  private slot(offset: number, type: W.ValueType): void {
    this.field(W.I32_LOAD16_U, offset);
    this.code.mem(loadOf(type), this.cpuBase);
  }

  a(type: W.ValueType): void {
    if (this.forwardIn) this.code.localGet(this.forward);
    else this.slot(FIELD_A, type);
  }

  b(type: W.ValueType): void {
    if (this.info.isImm) this.imm(type);
    else this.slot(FIELD_B, type);
  }

  c(type: W.ValueType): void {
    this.slot(FIELD_C, type);
  }

  d(type: W.ValueType): void {
    this.slot(FIELD_D, type);
  }

  imm(type: W.ValueType): void {
    this.field(type === W.I32 ? W.I32_LOAD : W.I64_LOAD, FIELD_IMM);
  }

  x(type: W.ValueType): void {
    this.field(type === W.I32 ? W.I32_LOAD16_U : W.I64_LOAD16_U, FIELD_X);
  }

  imm32(type: W.ValueType): void {
    this.field(type === W.I32 ? W.I32_LOAD : W.I64_LOAD32_S, FIELD_RESTORE);
  }

  disp(): void {
    this.field(W.I64_LOAD32_S, FIELD_IMM);
  }

  fieldB(): void {
    this.field(W.I32_LOAD16_U, FIELD_B);
  }

  constant128(): void {
    this.field(W.V128_LOAD, FIELD_IMM);
  }

  /** The slot's offset is read in `result`, so that it need not survive a call in between. */
  dest(): void {}

  result(type: W.ValueType): void {
    const { code } = this;
    if (this.forwardOut) {
      code.localSet(this.forward);
      return;
    }
    const value = this.scratch(type, RESULT);
    code.localSet(value);
    this.field(W.I32_LOAD16_U, FIELD_D);
    code.localGet(value);
    if (type === W.I32) code.op(W.I64_EXTEND_I32_U);
    code.mem(storeOf(type), this.cpuBase);
  }

  loadState(opcode: number): void {
    this.field(W.I32_LOAD16_U, FIELD_A);
    this.code.mem(opcode, this.cpuBase);
  }

  stateAddress(): void {
    this.field(W.I32_LOAD16_U, FIELD_D);
  }

  storeState(opcode: number, extra = 0): void {
    this.code.mem(opcode, this.cpuBase + extra);
  }

  vector(field: 'a' | 'b' | 'c' | 'd', extra: number): void {
    this.field(W.I32_LOAD16_U, FIELD_OF[field]);
    this.code.mem(W.V128_LOAD, this.cpuBase + extra);
  }

  loadControl(opcode: number, offset: number): void {
    this.code.i32(this.cpuBase + offset);
    this.code.mem(opcode, 0);
  }

  /** `storeControl(offset, opcode, value)`: stores what `value` pushes. */
  storeControl(offset: number, opcode: number, value: () => void): void {
    this.code.i32(this.cpuBase + offset);
    value();
    this.code.mem(opcode, 0);
  }

  scratch(type: W.ValueType, n: number): number {
    const key = (type << 8) | n;
    let local = this.scratchLocals.get(key);
    if (local === undefined) {
      local = this.code.local(type);
      this.scratchLocals.set(key, local);
    }
    return local;
  }

  /** RIP = tb.rip + (restore & 0xffff); RESTORE = restore. */
  storeRestore(): void {
    const { code } = this;
    this.storeControl(SLOT_RIP, W.I64_STORE, () => {
      code.localGet(this.tb);
      code.mem(W.I64_LOAD, TB_RIP);
      this.field(W.I64_LOAD16_U, FIELD_RESTORE);
      code.op(W.I64_ADD);
    });
    this.storeControl(SLOT_RESTORE, W.I64_STORE, () => this.field(W.I64_LOAD32_U, FIELD_RESTORE));
  }

  private leaveOnFault(): void {
    const { code } = this;
    this.loadControl(W.I32_LOAD, SLOT_FAULT);
    code.op1(W.IF, W.VOID);
    this.flow.fault();
    code.op(W.END);
  }

  /** Pushes the arguments of the out-of-line slow paths: va, ip of the operation, tb, size. */
  private slowArguments(va: number, size: number): void {
    const { code } = this;
    code.localGet(va);
    code.localGet(this.ip);
    if (this.base !== 0) {
      code.i32(this.base);
      code.op(W.I32_ADD);
    }
    code.localGet(this.tb);
    code.i32(size);
  }

  /**
   * Calls an out-of-line slow path. `ip` waits in memory meanwhile, so that the fast path need not keep it on the stack: a value
   * that lives across a call is spilled where it is defined, which would be in the dispatch of every operation.
   */
  private slowCall(va: number, size: number, index: number): void {
    const { code } = this;
    this.storeControl(SLOT_INTERP_IP, W.I32_STORE, () => code.localGet(this.ip));
    this.slowArguments(va, size);
    code.op1(W.CALL, index);
    this.loadControl(W.I32_LOAD, SLOT_INTERP_IP);
    code.localSet(this.ip);
    this.leaveOnFault();
  }

  slowLoad(va: number, size: number): void {
    this.slowCall(va, size, this.functions.slowLoad);
  }

  slowStore(va: number, size: number): void {
    this.slowCall(va, size, this.functions.slowStore);
  }

  slowLoad128(va: number): void {
    this.storeRestore();
    this.code.localGet(va);
    this.code.i32(this.cpuBase + SCRATCH);
    this.fieldB();
    this.code.op1(W.CALL, this.functions.load128);
    this.leaveOnFault();
    this.loadControl(W.V128_LOAD, SCRATCH);
  }

  slowLoad256(va: number): void {
    this.slow256(va, this.functions.load256);
  }

  slowStore256(va: number): void {
    this.slow256(va, this.functions.store256);
  }

  slowStore128(va: number): void {
    this.slow256(va, this.functions.store128);
  }

  /** Passes the address of operand d to the runtime. */
  private slow256(va: number, index: number): void {
    this.storeRestore();
    this.code.localGet(va);
    this.field(W.I32_LOAD16_U, FIELD_D);
    this.code.i32(this.cpuBase);
    this.code.op(W.I32_ADD);
    this.fieldB();
    this.code.op1(W.CALL, index);
    this.leaveOnFault();
  }

  call(): void {
    if (this.helper === undefined) this.flow.call();
    else lowerHelperCall(this, this.helper);
  }

  beforeHelper(helper: HelperInfo): void {
    if (helper.faults || helper.needsRip) this.storeRestore();
  }

  callHelper(helper: HelperInfo): void {
    this.code.op1(W.CALL, this.functions.helper(helper));
  }

  afterHelper(helper: HelperInfo): void {
    if (helper.faults) this.leaveOnFault();
  }

  slotOffset(field: 'd' | 'a' | 'b' | 'c'): void {
    this.field(W.I64_LOAD16_U, FIELD_OF[field]);
  }

  slowHelper(name: string, push: () => void, keep = false): void {
    const helper = this.functions.byName(name);
    if (helper === undefined) {
      this.code.op(W.UNREACHABLE);
      return;
    }
    this.storeRestore();
    push();
    this.callHelper(helper);
    if (helper.result && !keep) this.code.op(W.DROP);
    this.afterHelper(helper);
  }

  goto(): void {
    this.flow.goto();
  }

  branch(): void {
    this.flow.branch();
  }

  gotoIndirect(): void {
    this.flow.gotoIndirect();
  }

  exitBlock(): void {
    this.flow.exitBlock();
  }
}

import type { HelperInfo } from '../../ir/helper-table.ts';
import type { OpInfo } from '../../ir/ops.ts';
import type { WasmCode } from './wasm/code.ts';
import type { ValueType } from './wasm/opcodes.ts';

/**
 * What a lowering needs from the back end it emits for. Both back ends implement it: the interpreter generator (operands are
 * slot numbers read from the IR word at run time) and the region compiler (operands are known; slots may be wasm locals).
 *
 * Order of calls in a lowering: `dest(t)` first if the operation writes `d`, then operands, computation, `result(t)` last.
 * Between `dest` and `result` the lowering leaves one more value on the wasm stack than `dest` found; blocks opened in between
 * are closed again. An operation that leaves through a fault writes nothing.
 */
export interface LoweringContext {
  readonly code: WasmCode;
  /** The operation being lowered. */
  readonly info: OpInfo;
  /** Value type of its type suffix (W.I64 where it has none). */
  readonly type: ValueType;
  /** Address of the register file. */
  readonly cpuBase: number;

  // ---- fields known while emitting, so that lowerings can emit less
  /** True when `word` works: operand fields are constants. */
  readonly isStatic: boolean;
  /** Bits of the `b` field of a memory operation (MEM_*), -1 if only known at run time. */
  readonly knownInfo: number;
  /** A load whose `knownInfo` is -1 has no MEM_RMW. */
  readonly neverRmw?: boolean;
  /** `disp` is known to be zero. */
  readonly zeroDisp: boolean;
  /** `x` field of a 'dabc' operation, -1 if only known at run time. */
  readonly knownX: number;
  /** Result slot of a call is NO_SLOT: drop the result. */
  readonly unusedResult: boolean;
  /** 32-bit word `n` of the operation (static back ends only). */
  word(n: number): number;

  // ---- operands: push the value of a slot with the type; I32 takes the low half of an integer slot
  a(type: ValueType): void;
  /** Operand b, or the immediate of an `_imm` form. */
  b(type: ValueType): void;
  c(type: ValueType): void;
  /** The slot named by `d`, as an operand (stores). */
  d(type: ValueType): void;
  /** Immediate of format 'dai' (I32: its low half). */
  imm(type: ValueType): void;
  /** `x` field of 'dabc'. */
  x(type: ValueType): void;
  /** Second 32-bit word of the second unit (`imm` of 'dabc'), sign-extended for I64. */
  imm32(type: ValueType): void;
  /** `disp` of a memory operation, sign-extended. */
  disp(): void;
  /** `b` field itself, as i32 (MEM_* info of a memory operation). */
  fieldB(): void;
  /** The 16-byte constant of 'dab128'. */
  constant128(): void;

  // ---- results
  dest(type: ValueType): void;
  /** Pops the result into `d`; I32 is zero-extended, I64 written whole, F32/F64 write 4/8 bytes. */
  result(type: ValueType): void;

  // ---- state bytes outside the promoted slots
  /** Pushes what `opcode` (any load) reads at state offset `a`. */
  loadState(opcode: number): void;
  /** `stateAddress(); …value…; storeState(opcode)` writes at state offset `d`. */
  stateAddress(): void;
  /** `extra` bytes behind `d`. */
  storeState(opcode: number, extra?: number): void;
  /** Pushes the 128 bits `extra` bytes behind the slot of a field. */
  vector(field: 'a' | 'b' | 'c' | 'd', extra: number): void;
  /** Pushes what `opcode` reads at the fixed state offset `offset` (control words). */
  loadControl(opcode: number, offset: number): void;

  /** Index of the n-th scratch local of a type (n counts from 0). Its value does not survive the operation. */
  scratch(type: ValueType, n: number): number;

  // ---- slow paths of guest memory: `va` is a local (i64). They store RIP and RESTORE, call the runtime and leave on a fault.
  /** Pushes the loaded value, zero-extended i64. */
  slowLoad(va: number, sizeBytes: number): void;
  /** Stores operand d. */
  slowStore(va: number, sizeBytes: number): void;
  /** Pushes a v128. */
  slowLoad128(va: number): void;
  slowStore128(va: number): void;
  /** Loads into operand d, stores it; 256 bits. */
  slowLoad256(va: number): void;
  slowStore256(va: number): void;

  // ---- helpers
  /** The `call` operation: finds out which helper and calls `lowerHelperCall`. */
  call(): void;
  /** Before the arguments: RIP and RESTORE for a helper that needs them, promoted slots to memory. */
  beforeHelper(helper: HelperInfo): void;
  /** The call instruction. */
  callHelper(helper: HelperInfo): void;
  /** Behind the call (stack as before the arguments): leave on a fault, reload promoted slots. */
  afterHelper(helper: HelperInfo): void;
  /** Pushes the state offset that a field names (i64). */
  slotOffset(field: 'd' | 'a' | 'b' | 'c'): void;
  /**
   * Calls the helper `name`, which may fault, inside exactly one label opened by the lowering. `push`: its arguments. `keep`: its
   * result stays on the stack.
   */
  slowHelper(name: string, push: () => void, keep?: boolean): void;

  // ---- terminators
  goto(): void;
  branch(): void;
  gotoIndirect(): void;
  exitBlock(): void;
}

/** Emits the code of one operation. */
export type Lowering = (cx: LoweringContext) => void;

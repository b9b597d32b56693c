import type { HelperInfo } from '../../ir/helper-table.ts';
import { NO_SLOT, OP_INFO, type OpInfo } from '../../ir/ops.ts';
import { SLOT_FAULT, SLOT_RESTORE, SLOT_RIP } from '../../runtime/tcg/layout.ts';
import { SCRATCH, TEMP_BASE, TEMP_LIMIT } from '../../runtime/x86/layout.ts';
import { assert } from '../../util/errors.ts';
import { LOWERING_OF, lowerHelperCall, TYPE_OF } from './lowering.ts';
import type { LoweringContext } from './lowering-context.ts';
import type { Region, RegionBlock } from './region.ts';
import type { RegionFlow } from './region-flow.ts';
import type { RegionImports } from './region-imports.ts';
import { CALL, MOVI, OP_FLAGS, PURE, READS_A, READS_B, READS_C, READS_D } from './region-ops.ts';
import type { WasmCode } from './wasm/code.ts';
import * as W from './wasm/opcodes.ts';

/** Where the value of a temporary is. */
const NOWHERE = 0;
const CONSTANT = 1;
/** Not computed yet: its operation is emitted where the value is used, once. */
const PENDING = 2;
const LOCAL = 3;

const CELLS = (TEMP_LIMIT - TEMP_BASE) >> 4;
/** Operations nested in one expression at most. */
const MAX_NESTING = 8;
const MAX_PENDING = 12;
/** Locals that a wasm function may have. */
const LOCALS_LIMIT = 65536;

/** Control flow that the context needs from the code generator. */
export interface RegionFlowControl {
  /** Branches to the common fault exit if the i32 on the stack is not zero. `extra`: labels opened by the lowering itself. */
  faultIf(extra: number): void;
  /** Returns to the dispatcher at once if the i32 on the stack is not zero. */
  returnIf(): void;
}

function loadOf(type: W.ValueType): number {
  switch (type) {
    case W.F32:
      return W.F32_LOAD;
    case W.F64:
      return W.F64_LOAD;
    case W.V128:
      return W.V128_LOAD;
    case W.I32:
      return W.I32_LOAD;
    default:
      return W.I64_LOAD;
  }
}

function storeOf(type: W.ValueType): number {
  switch (type) {
    case W.F32:
      return W.F32_STORE;
    case W.F64:
      return W.F64_STORE;
    case W.V128:
      return W.V128_STORE;
    default:
      return W.I64_STORE;
  }
}

/**
 * Lowering context of the region compiler. Promoted slots are i64 locals; temporaries are constants, expressions not emitted
 * yet, or locals of the type they were computed in; everything else is memory at a constant address.
 */
export class RegionContext implements LoweringContext {
  readonly code: WasmCode;
  readonly cpuBase: number;
  readonly isStatic = true;
  info: OpInfo = OP_INFO[0]!;
  type: W.ValueType = W.I64;
  /** Promoted slots that may differ from memory at this point. */
  dirty = 0;
  private readonly words: Int32Array;
  private region!: Region;
  private readonly flow: RegionFlow;
  private imports!: RegionImports;
  private control!: RegionFlowControl;
  private readonly limit: number;
  private readonly slotLocals = new Int32Array(32);
  private readonly scratchLocals = new Map<number, number>();
  /** By cell and type (I32 odd): number of the region * LOCALS_LIMIT + index of the local. */
  private readonly tempLocals = new Float64Array(CELLS * 2);
  private regionNumber = 0;
  // ---- operation under way
  private at = 0;
  private opIndex = 0;
  private nesting = 0;
  /** The operation is nested: its result stays on the stack, with this type. */
  private onStack = false;
  private stackType: W.ValueType = W.I64;
  private ripLo = 0;
  private ripHi = 0;
  // ---- temporaries of the current block
  private readonly kind = new Uint8Array(CELLS);
  private readonly cellType = new Uint8Array(CELLS);
  /** CONSTANT: low and high half. PENDING: index of the operation. LOCAL: index of the local. */
  private readonly cellLo = new Int32Array(CELLS);
  private readonly cellHi = new Int32Array(CELLS);
  /** PENDING: promoted slots that the expression reads; height of the expression. */
  private readonly cellMask = new Int32Array(CELLS);
  private readonly cellHeight = new Uint8Array(CELLS);
  private readonly usedCells: number[] = [];
  private readonly pending: number[] = [];
  private readonly consumed = new Set<number>();

  constructor(code: WasmCode, cpuBase: number, words: Int32Array, flow: RegionFlow, limit: number) {
    this.code = code;
    this.cpuBase = cpuBase;
    this.words = words;
    this.flow = flow;
    this.limit = limit;
  }

  /** Starts the function of a region that `flow` has analysed: declares locals for its promoted slots. */
  beginRegion(region: Region, imports: RegionImports, control: RegionFlowControl): void {
    this.region = region;
    this.imports = imports;
    this.control = control;
    this.regionNumber++;
    this.scratchLocals.clear();
    for (let n = 0; n < 32; n++)
      this.slotLocals[n] = (this.flow.mentioned & (1 << n)) === 0 ? -1 : this.code.local(W.I64);
  }

  // ---- promoted slots

  /** Loads the slots of a mask into their locals. */
  loadSlots(mask: number): void {
    for (let n = 0; n < 32; n++) {
      if ((mask & (1 << n)) === 0) continue;
      this.code.i32(0);
      this.code.mem(W.I64_LOAD, this.cpuBase + n * 8);
      this.code.localSet(this.slotLocals[n]!);
    }
  }

  storeSlots(mask: number): void {
    for (let n = 0; n < 32; n++) {
      if ((mask & (1 << n)) === 0) continue;
      this.code.i32(0);
      this.code.localGet(this.slotLocals[n]!);
      this.code.mem(W.I64_STORE, this.cpuBase + n * 8);
    }
  }

  /** Stores a constant to the RIP slot. */
  storeRip(lo: number, hi: number): void {
    this.code.i32(0);
    this.code.i64(lo, hi);
    this.code.mem(W.I64_STORE, this.cpuBase + SLOT_RIP);
  }

  // ---- blocks and operations

  beginBlock(block: RegionBlock, dirtyIn: number): void {
    this.ripLo = block.ripLo;
    this.ripHi = block.ripHi;
    this.dirty = dirtyIn;
    for (const cell of this.usedCells) this.kind[cell] = NOWHERE;
    this.usedCells.length = 0;
    this.pending.length = 0;
    this.flow.markMemoryCells(block);
  }

  /** Emits one operation of the current block, or puts it off. */
  emitOp(index: number): void {
    if (this.flow.dead[index] === 1) return;
    const at = this.region.ops[index]!;
    const opcode = this.region.opcodes[index]!;
    const flags = OP_FLAGS[opcode]!;
    const d = this.flow.written(at, flags);
    const cell = d === NO_SLOT ? -1 : this.flow.cellOf(d);
    this.settle(at, flags, d, cell);
    if (cell >= 0) {
      if (opcode === MOVI) {
        this.setCell(cell, CONSTANT, W.I64, this.words[at + 2]!, this.words[at + 3]!);
        return;
      }
      if (this.defer(index, at, flags, cell)) return;
    }
    this.lower(index, at, opcode);
    if (d < this.limit) this.dirty |= 1 << (d >> 3);
  }

  /** Pushes the condition of a `br`. */
  condition(at: number): void {
    this.at = at;
    this.onStack = false;
    this.operand(this.words[at + 1]! & 0xffff, W.I32);
  }

  private lower(index: number, at: number, opcode: number): void {
    this.at = at;
    this.opIndex = index;
    this.info = OP_INFO[opcode]!;
    this.type = TYPE_OF[opcode]!;
    this.onStack = false;
    LOWERING_OF[opcode]!(this);
  }

  // ---- putting off

  /** Emits the pending expressions that this operation would make wrong. */
  private settle(at: number, flags: number, d: number, cell: number): void {
    if (this.pending.length === 0) return;
    const isCall = (flags & CALL) !== 0;
    let mask = d < this.limit ? 1 << (d >> 3) : 0;
    if (isCall && this.flow.helperOf(at).writes === true) mask = -1;
    if ((flags & READS_D) !== 0) {
      const stored = this.flow.cellOf(this.words[at]! >>> 16);
      // the slow path needs the value again
      if (stored >= 0 && this.kind[stored] === PENDING) this.flush(stored);
    }
    if (mask === 0 && cell < 0) return;
    this.markConsumed(at, flags);
    for (let i = 0; i < this.pending.length; ) {
      const p = this.pending[i]!;
      if (
        !this.consumed.has(p) &&
        ((this.cellMask[p]! & mask) !== 0 || (cell >= 0 && this.mentions(p, cell)))
      ) {
        this.flush(p);
        i = 0;
      } else {
        i++;
      }
    }
  }

  private eachOperandCell(at: number, flags: number, visit: (cell: number) => void): void {
    const w = this.words;
    const see = (slot: number): void => {
      const cell = this.flow.cellOf(slot);
      if (cell >= 0) visit(cell);
    };
    if ((flags & READS_A) !== 0) see(w[at + 1]! & 0xffff);
    if ((flags & READS_B) !== 0) see(w[at + 1]! >>> 16);
    if ((flags & READS_C) !== 0) see(w[at + 2]! & 0xffff);
    if ((flags & READS_D) !== 0) see(w[at]! >>> 16);
  }

  /** Collects in `consumed` the pending expressions that become part of this operation. */
  private markConsumed(at: number, flags: number): void {
    this.consumed.clear();
    this.consume(at, flags);
  }

  private consume(at: number, flags: number): void {
    this.eachOperandCell(at, flags, (cell) => {
      if (this.kind[cell] !== PENDING || this.consumed.has(cell)) return;
      this.consumed.add(cell);
      const inner = this.cellLo[cell]!;
      this.consume(this.region.ops[inner]!, OP_FLAGS[this.region.opcodes[inner]!]!);
    });
  }

  /** The pending expression at cell `p` reads cell `cell` directly. */
  private mentions(p: number, cell: number): boolean {
    const index = this.cellLo[p]!;
    let found = false;
    this.eachOperandCell(this.region.ops[index]!, OP_FLAGS[this.region.opcodes[index]!]!, (c) => {
      if (c === cell) found = true;
    });
    return found;
  }

  /** Puts off an operation whose only use comes later in the block. */
  private defer(index: number, at: number, flags: number, cell: number): boolean {
    if ((flags & PURE) === 0 || this.flow.uses[index] !== 1 || this.pending.length >= MAX_PENDING)
      return false;
    let height = 1;
    let ok = true;
    let mask = this.flow.readMask(at, flags);
    const w = this.words;
    const see = (slot: number): void => {
      if (slot < this.limit) return;
      const c = this.flow.cellOf(slot);
      if (c < 0 || this.kind[c] === NOWHERE) {
        ok = false;
      } else if (this.kind[c] === PENDING) {
        mask |= this.cellMask[c]!;
        height = Math.max(height, this.cellHeight[c]! + 1);
      }
    };
    if ((flags & READS_A) !== 0) see(w[at + 1]! & 0xffff);
    if ((flags & READS_B) !== 0) see(w[at + 1]! >>> 16);
    if ((flags & READS_C) !== 0) see(w[at + 2]! & 0xffff);
    if (!ok || height > MAX_NESTING || this.readsOwn(at, flags, cell)) return false;
    this.setCell(cell, PENDING, W.I64, index, 0);
    this.cellMask[cell] = mask;
    this.cellHeight[cell] = height;
    this.pending.push(cell);
    return true;
  }

  /** An expression whose operands are read from the temporary that it is to go to cannot be put off. */
  private readsOwn(at: number, flags: number, cell: number): boolean {
    let own = false;
    this.eachOperandCell(at, flags, (c) => {
      if (c === cell) own = true;
    });
    if (own) return true;
    this.markConsumed(at, flags);
    for (const p of this.consumed) if (this.mentions(p, cell)) return true;
    return false;
  }

  /** Computes a pending expression into a local now. */
  private flush(cell: number): void {
    const index = this.cellLo[cell]!;
    this.removePending(cell);
    const saved = this.save();
    this.nesting++;
    this.lower(index, this.region.ops[index]!, this.region.opcodes[index]!);
    this.nesting--;
    this.restore(saved);
  }

  private removePending(cell: number): void {
    const i = this.pending.indexOf(cell);
    if (i >= 0) this.pending.splice(i, 1);
    this.kind[cell] = NOWHERE;
  }

  private setCell(cell: number, kind: number, type: W.ValueType, lo: number, hi: number): void {
    if (this.kind[cell] === PENDING) this.removePending(cell);
    this.kind[cell] = kind;
    this.cellType[cell] = type;
    this.cellLo[cell] = lo;
    this.cellHi[cell] = hi;
    this.usedCells.push(cell);
  }

  private save(): readonly [number, number, OpInfo, W.ValueType, boolean, W.ValueType] {
    return [this.at, this.opIndex, this.info, this.type, this.onStack, this.stackType];
  }

  private restore(saved: readonly [number, number, OpInfo, W.ValueType, boolean, W.ValueType]): void {
    [this.at, this.opIndex, this.info, this.type, this.onStack, this.stackType] = saved;
  }

  /** Emits the expression of a pending cell; its value is on the stack afterwards. Returns its type. */
  private nested(cell: number): W.ValueType {
    const index = this.cellLo[cell]!;
    this.removePending(cell);
    const saved = this.save();
    const at = this.region.ops[index]!;
    const opcode = this.region.opcodes[index]!;
    this.at = at;
    this.opIndex = index;
    this.info = OP_INFO[opcode]!;
    this.type = TYPE_OF[opcode]!;
    this.onStack = true;
    this.nesting++;
    LOWERING_OF[opcode]!(this);
    this.nesting--;
    const type = this.stackType;
    this.restore(saved);
    return type;
  }

  // ---- operands

  private convert(from: W.ValueType, to: W.ValueType): void {
    if (from === to) return;
    this.code.op(to === W.I32 ? W.I32_WRAP_I64 : W.I64_EXTEND_I32_U);
  }

  private operand(slot: number, type: W.ValueType): void {
    const { code } = this;
    if (type === W.I32 || type === W.I64) {
      if (slot < this.limit) {
        code.localGet(this.slotLocals[slot >> 3]!);
        this.convert(W.I64, type);
        return;
      }
      const cell = this.flow.cellOf(slot);
      if (cell >= 0) return this.cellOperand(cell, type);
    }
    code.i32(0);
    code.mem(loadOf(type), this.cpuBase + slot);
  }

  private cellOperand(cell: number, type: W.ValueType): void {
    const { code } = this;
    switch (this.kind[cell]) {
      case CONSTANT:
        if (type === W.I32) code.i32(this.cellLo[cell]!);
        else code.i64(this.cellLo[cell]!, this.cellHi[cell]!);
        return;
      case PENDING:
        this.convert(this.nested(cell), type);
        return;
      case LOCAL:
        code.localGet(this.cellLo[cell]!);
        this.convert(this.cellType[cell]!, type);
        return;
      default:
        assert(false, `temporary ${cell} is read before it is written (${this.info.name})`);
    }
  }

  a(type: W.ValueType): void {
    this.operand(this.words[this.at + 1]! & 0xffff, type);
  }

  b(type: W.ValueType): void {
    if (this.info.isImm) this.imm(type);
    else this.operand(this.words[this.at + 1]! >>> 16, type);
  }

  c(type: W.ValueType): void {
    this.operand(this.words[this.at + 2]! & 0xffff, type);
  }

  d(type: W.ValueType): void {
    this.operand(this.words[this.at]! >>> 16, type);
  }

  imm(type: W.ValueType): void {
    if (type === W.I32) this.code.i32(this.words[this.at + 2]!);
    else this.code.i64(this.words[this.at + 2]!, this.words[this.at + 3]!);
  }

  x(type: W.ValueType): void {
    if (type === W.I32) this.code.i32(this.knownX);
    else this.code.i64s(this.knownX);
  }

  imm32(type: W.ValueType): void {
    if (type === W.I32) this.code.i32(this.words[this.at + 3]!);
    else this.code.i64s(this.words[this.at + 3]!);
  }

  disp(): void {
    this.code.i64s(this.words[this.at + 2]!);
  }

  fieldB(): void {
    this.code.i32(this.knownInfo);
  }

  constant128(): void {
    const w = this.words;
    const at = this.at;
    this.code.v128(w[at + 2]!, w[at + 3]!, w[at + 4]!, w[at + 5]!);
  }

  get knownInfo(): number {
    return this.words[this.at + 1]! >>> 16;
  }

  get zeroDisp(): boolean {
    return this.words[this.at + 2] === 0;
  }

  get knownX(): number {
    return this.words[this.at + 2]! >>> 16;
  }

  get unusedResult(): boolean {
    return this.words[this.at]! >>> 16 === NO_SLOT;
  }

  word(n: number): number {
    return this.words[this.at + n]!;
  }

  // ---- results

  /** The result goes to memory: its address must be on the stack before the value. */
  private resultInMemory(type: W.ValueType): boolean {
    if (this.onStack) return false;
    if (type !== W.I32 && type !== W.I64) return true;
    const d = this.words[this.at]! >>> 16;
    return d >= this.limit && this.flow.cellOf(d) < 0;
  }

  dest(type: W.ValueType): void {
    if (this.resultInMemory(type)) this.code.i32(0);
  }

  result(type: W.ValueType): void {
    const { code } = this;
    if (this.onStack) {
      this.stackType = type;
      return;
    }
    const d = this.words[this.at]! >>> 16;
    if (this.resultInMemory(type)) {
      if (type === W.I32) code.op(W.I64_EXTEND_I32_U);
      code.mem(storeOf(type), this.cpuBase + d);
      return;
    }
    if (d < this.limit) {
      if (type === W.I32) code.op(W.I64_EXTEND_I32_U);
      code.localSet(this.slotLocals[d >> 3]!);
      return;
    }
    const cell = this.flow.cellOf(d);
    const local = this.tempLocal(cell, type);
    code.localSet(local);
    this.setCell(cell, LOCAL, type, local, 0);
  }

  private tempLocal(cell: number, type: W.ValueType): number {
    const key = cell * 2 + (type === W.I32 ? 1 : 0);
    const known = this.tempLocals[key]! - this.regionNumber * LOCALS_LIMIT;
    if (known >= 0) return known;
    const local = this.code.local(type);
    this.tempLocals[key] = this.regionNumber * LOCALS_LIMIT + local;
    return local;
  }

  // ---- state bytes

  loadState(opcode: number): void {
    this.code.i32(0);
    this.code.mem(opcode, this.cpuBase + (this.words[this.at + 1]! & 0xffff));
  }

  stateAddress(): void {
    this.code.i32(0);
  }

  storeState(opcode: number, extra = 0): void {
    this.code.mem(opcode, this.cpuBase + (this.words[this.at]! >>> 16) + extra);
  }

  vector(field: 'a' | 'b' | 'c' | 'd', extra: number): void {
    this.code.i32(0);
    this.code.mem(W.V128_LOAD, this.cpuBase + this.slotOf(field) + extra);
  }

  /** The slot that a field names. */
  private slotOf(field: 'a' | 'b' | 'c' | 'd'): number {
    const w = this.words;
    const { at } = this;
    switch (field) {
      case 'a':
        return w[at + 1]! & 0xffff;
      case 'b':
        return w[at + 1]! >>> 16;
      case 'c':
        return w[at + 2]! & 0xffff;
      default:
        return w[at]! >>> 16;
    }
  }

  loadControl(opcode: number, offset: number): void {
    this.code.i32(0);
    this.code.mem(opcode, this.cpuBase + offset);
  }

  scratch(type: W.ValueType, n: number): number {
    const key = (this.nesting * 16 + n) * 256 + type;
    let local = this.scratchLocals.get(key);
    if (local === undefined) {
      local = this.code.local(type);
      this.scratchLocals.set(key, local);
    }
    return local;
  }

  // ---- slow paths

  /** Pushes RIP and restore word of the operation. */
  private position(restore: number): void {
    this.rip(restore);
    this.code.i32(restore);
  }

  private rip(restore: number): void {
    const sum = (this.ripLo >>> 0) + (restore & 0xffff);
    this.code.i64(sum | 0, sum > 0xffffffff ? this.ripHi + 1 : this.ripHi);
  }

  private storePosition(restore: number): void {
    const { code } = this;
    code.i32(0);
    this.rip(restore);
    code.mem(W.I64_STORE, this.cpuBase + SLOT_RIP);
    code.i32(0);
    code.i64(restore, 0);
    code.mem(W.I64_STORE, this.cpuBase + SLOT_RESTORE);
  }

  private get restoreWord(): number {
    return this.words[this.at + 3]!;
  }

  slowLoad(va: number, sizeBytes: number): void {
    const { code } = this;
    code.localGet(va);
    code.i32(sizeBytes | (this.knownInfo << 8));
    this.position(this.restoreWord);
    code.op1(W.CALL, this.imports.regionLoad());
    this.loadControl(W.I32_LOAD, SLOT_FAULT);
    this.control.faultIf(1);
  }

  slowStore(va: number, sizeBytes: number): void {
    const { code } = this;
    code.localGet(va);
    this.d(W.I64);
    code.i32(sizeBytes | (this.knownInfo << 8));
    this.position(this.restoreWord);
    code.op1(W.CALL, this.imports.regionStore());
    this.control.faultIf(1);
  }

  slowLoad128(va: number): void {
    const { code } = this;
    this.storePosition(this.restoreWord);
    code.localGet(va);
    code.i32(this.cpuBase + SCRATCH);
    code.i32(this.knownInfo);
    code.op1(W.CALL, this.imports.load128());
    this.loadControl(W.I32_LOAD, SLOT_FAULT);
    this.control.faultIf(1);
    this.loadControl(W.V128_LOAD, SCRATCH);
  }

  slowLoad256(va: number): void {
    this.slowState(va, this.imports.load256());
  }

  slowStore256(va: number): void {
    this.slowState(va, this.imports.store256());
  }

  slowStore128(va: number): void {
    this.slowState(va, this.imports.store128());
  }

  /** Passes the address of operand d to the runtime. */
  private slowState(va: number, index: number): void {
    const { code } = this;
    this.storePosition(this.restoreWord);
    code.localGet(va);
    code.i32(this.cpuBase + (this.words[this.at]! >>> 16));
    code.i32(this.knownInfo);
    code.op1(W.CALL, index);
    this.loadControl(W.I32_LOAD, SLOT_FAULT);
    this.control.faultIf(1);
  }

  // ---- helpers

  call(): void {
    lowerHelperCall(this, this.flow.helperOf(this.at));
  }

  beforeHelper(helper: HelperInfo): void {
    if (helper.faults || helper.needsRip) this.storePosition(this.restoreWord);
    if (!helper.reads && !helper.writes) return;
    this.storeSlots(this.dirty);
    this.dirty = 0;
  }

  callHelper(helper: HelperInfo): void {
    this.code.op1(W.CALL, this.imports.helper(helper));
  }

  afterHelper(helper: HelperInfo): void {
    if (helper.faults) {
      this.loadControl(W.I32_LOAD, SLOT_FAULT);
      if (helper.reads || helper.writes) this.control.returnIf();
      else this.control.faultIf(0);
    }
    if (helper.writes) this.loadSlots(this.flow.reload[this.opIndex]!);
  }

  slotOffset(field: 'a' | 'b' | 'c' | 'd'): void {
    this.code.i64s(this.slotOf(field));
  }

  slowHelper(name: string, push: () => void, keep = false): void {
    const { code } = this;
    const helper = this.imports.byName(name);
    if (helper === undefined) {
      code.op(W.UNREACHABLE);
      return;
    }
    this.storePosition(this.restoreWord);
    push();
    this.callHelper(helper);
    if (helper.result && !keep) code.op(W.DROP);
    if (!helper.faults) return;
    this.loadControl(W.I32_LOAD, SLOT_FAULT);
    this.control.faultIf(1);
  }

  // ---- terminators are the code generator's

  goto(): void {
    assert(false, 'terminator inside a block');
  }

  branch(): void {
    assert(false, 'terminator inside a block');
  }

  gotoIndirect(): void {
    assert(false, 'terminator inside a block');
  }

  exitBlock(): void {
    assert(false, 'terminator inside a block');
  }
}

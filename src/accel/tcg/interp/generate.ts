import type { HelperInfo } from '../../../ir/helper-table.ts';
import { OP_INFO, type OpInfo } from '../../../ir/ops.ts';
import {
  EXIT_HOT,
  SLOT_EXIT_ARG,
  SLOT_EXIT_REASON,
  SLOT_EXIT_REQUEST,
  SLOT_RIP,
  SLOT_SAMPLED_TIER,
  TB_DESCRIPTOR_SIZE,
  TB_FUNC,
  TB_HOT,
  TIER_INTERPRETER,
} from '../../../runtime/tcg/layout.ts';
import { LOWERING_OF } from '../lowering.ts';
import { WasmCode } from '../wasm/code.ts';
import { EXTERNAL_FUNCTION, WasmModule } from '../wasm/module.ts';
import * as W from '../wasm/opcodes.ts';
import { InterpContext, type InterpFlow, type InterpFunctions } from './context.ts';
import { blockDiffers, emitDispatcher, probeJumpCache } from './dispatcher.ts';
import { FUSIONS, type Fusion } from './fusion.ts';
import { FIELD_ELSE, FIELD_IMM, FIELD_X } from './operands.ts';
import { emitSlowPath, SLOW_PARAMS } from './slow-path.ts';

/**
 * Generator of the interpreter module (tier 0). Imports: `env.memory` (shared), `env.table` (functions () -> ()), `runtime.*` (slow
 * paths, tb_find and every helper by name). Exports: `enter: () -> i32` (an EXIT_* reason), `run: () -> ()`. Table entry 0 is set
 * to `run`: executes from the RIP and KEY slots until it must return to the dispatcher.
 *
 * Three functions hold handlers, so that the hot one stays small: `run` (integer operations, memory, terminators), `rare` (vector
 * and float operations) and `callHelper` (one case per runtime helper).
 */
export interface InterpOptions {
  readonly cpuBase: number;
  readonly helpers: readonly HelperInfo[];
}

const IP = 0;
const TB = 1;

export function generateInterpreter(options: InterpOptions): Uint8Array {
  return new Generator(options).generate();
}

/** Operations that live in the second function. */
function isRare(info: OpInfo): boolean {
  return (
    info.name.startsWith('v') || /(128|256)$/.test(info.name) || info.type === 'f32' || info.type === 'f64'
  );
}

class Generator {
  private readonly module = new WasmModule();
  private readonly code = new WasmCode();
  private readonly cpuBase: number;
  private readonly helpers: readonly HelperInfo[];
  private readonly helperFunctions: number[] = [];
  private tbFind = 0;
  private loadSlow = 0;
  private storeSlow = 0;
  private load128 = 0;
  private store128 = 0;
  private load256 = 0;
  private store256 = 0;
  private functions!: InterpFunctions;
  private rareFunction = 0;
  private callFunction = 0;
  private readonly voidType: number;
  private readonly stepType: number;

  constructor(options: InterpOptions) {
    this.cpuBase = options.cpuBase;
    this.helpers = options.helpers;
    this.voidType = this.module.type([], []);
    this.stepType = this.module.type([W.I32, W.I32], [W.I32]);
  }

  generate(): Uint8Array {
    const { module } = this;
    this.imports();
    const run = module.declare(this.voidType);
    this.rareFunction = module.declare(this.stepType);
    this.callFunction = module.declare(this.stepType);
    const enter = module.declare(module.type([], [W.I32]));
    const slowLoad = module.declare(module.type(SLOW_PARAMS, [W.I64]));
    const slowStore = module.declare(module.type(SLOW_PARAMS, []));
    const byName = new Map(this.helpers.map((h) => [h.name, h]));
    this.functions = {
      slowLoad,
      slowStore,
      load128: this.load128,
      store128: this.store128,
      load256: this.load256,
      store256: this.store256,
      helper: (h) => this.helperFunctions[h.index]!,
      byName: (name) => byName.get(name),
    };
    this.run();
    this.rare();
    this.callHelper();
    this.enter(run);
    this.slowPath(this.loadSlow, false);
    this.slowPath(this.storeSlow, true);
    module.export('run', EXTERNAL_FUNCTION, run);
    module.export('enter', EXTERNAL_FUNCTION, enter);
    module.element(0, [run]);
    return module.build().slice();
  }

  private slowPath(runtime: number, isStore: boolean): void {
    emitSlowPath(this.context(this.stepFlow()), runtime, isStore);
    this.module.addBody(this.code);
  }

  private imports(): void {
    const { module } = this;
    module.importMemory('env', 'memory', 1, 65536);
    module.importTable('env', 'table', 1);
    const runtime = (name: string, params: number[], results: number[]) =>
      module.importFunction('runtime', name, module.type(params, results));
    this.loadSlow = runtime('ld_slow', [W.I64, W.I32], [W.I64]);
    this.storeSlow = runtime('st_slow', [W.I64, W.I64, W.I32], []);
    this.load128 = runtime('ld128_slow', [W.I64, W.I32, W.I32], []);
    this.store128 = runtime('st128_slow', [W.I64, W.I32, W.I32], []);
    this.load256 = runtime('ld256_slow', [W.I64, W.I32, W.I32], []);
    this.store256 = runtime('st256_slow', [W.I64, W.I32, W.I32], []);
    this.tbFind = runtime('tb_find', [], [W.I32]);
    for (const h of this.helpers) {
      this.helperFunctions[h.index] = runtime(
        h.name,
        Array<number>(h.args).fill(W.I64),
        h.result ? [W.I64] : [],
      );
    }
  }

  private context(flow: InterpFlow): InterpContext {
    return new InterpContext(this.code, this.cpuBase, this.functions, flow);
  }

  /**
   * `block`s around a `br_table` with one case per handler: `select` pushes the number to dispatch on, `targets[n]` is the case
   * of number n (-1: the trap behind the last case), `handler(case, depth)` emits a case; `depth` is the label of what encloses
   * the whole switch. A handler never falls through.
   */
  private dispatch(
    caseCount: number,
    targets: readonly number[],
    select: () => void,
    handler: (index: number, depth: number) => void,
  ): void {
    const { code } = this;
    for (let i = 0; i <= caseCount; i++) code.op1(W.BLOCK, W.VOID);
    select();
    code.byte(W.BR_TABLE);
    code.u32(targets.length);
    for (const t of targets) code.u32(t < 0 ? caseCount : t);
    code.u32(caseCount);
    code.op(W.END);
    for (let i = 0; i < caseCount; i++) {
      handler(i, caseCount - i);
      code.op(W.END);
    }
    code.op(W.UNREACHABLE);
  }

  private run(): void {
    const { code } = this;
    code.begin(0);
    code.local(W.I32);
    code.local(W.I32);
    const rip = code.local(W.I64);
    const cx: InterpContext = this.context(this.runFlow(() => cx, rip));
    cx.loadControl(W.I64_LOAD, SLOT_RIP);
    code.localSet(rip);
    code.op1(W.LOOP, W.VOID);
    this.enterBlock(cx, rip);
    code.op1(W.LOOP, W.VOID);
    this.runCases(cx);
    code.op(W.END);
    code.op(W.END);
    code.op(W.END);
    this.module.addBody(code);
  }

  /** With `rip` set: stores RIP, finds the block, polls, counts; falls through with `ip` and `tb` set or returns. */
  private enterBlock(cx: InterpContext, rip: number): void {
    const { code } = this;
    cx.storeControl(SLOT_RIP, W.I64_STORE, () => code.localGet(rip));
    probeJumpCache(code, this.cpuBase, rip);
    code.localSet(TB);
    blockDiffers(cx, TB, rip);
    code.i64s(0);
    code.op(W.I64_NE);
    this.returnIf();
    code.localGet(TB);
    code.mem(W.I32_LOAD, TB_FUNC);
    code.op1(W.IF, W.VOID);
    code.localGet(TB);
    code.mem(W.I32_LOAD, TB_FUNC);
    code.op1(W.RETURN_CALL_INDIRECT, this.voidType);
    code.byte(0);
    code.op(W.END);
    code.i32(this.cpuBase + SLOT_EXIT_REQUEST);
    code.mem(W.I32_ATOMIC_LOAD, 0, 2);
    code.op1(W.IF, W.VOID);
    cx.storeControl(SLOT_SAMPLED_TIER, W.I32_STORE, () => code.i32(TIER_INTERPRETER));
    code.op(W.RETURN);
    code.op(W.END);
    this.countDown(cx);
    code.localGet(TB);
    code.i32(TB_DESCRIPTOR_SIZE);
    code.op(W.I32_ADD);
    code.localSet(IP);
  }

  private returnIf(): void {
    this.code.op1(W.IF, W.VOID);
    this.code.op(W.RETURN);
    this.code.op(W.END);
  }

  private countDown(cx: InterpContext): void {
    const { code } = this;
    const hot = cx.scratch(W.I32, 0);
    code.localGet(TB);
    code.localGet(TB);
    code.mem(W.I32_LOAD, TB_HOT);
    code.i32(1);
    code.op(W.I32_SUB);
    code.localTee(hot);
    code.mem(W.I32_STORE, TB_HOT);
    code.localGet(hot);
    code.op(W.I32_EQZ);
    code.op1(W.IF, W.VOID);
    cx.storeControl(SLOT_EXIT_REASON, W.I32_STORE, () => code.i32(EXIT_HOT));
    cx.storeControl(SLOT_EXIT_ARG, W.I32_STORE, () => code.localGet(TB));
    code.op(W.RETURN);
    code.op(W.END);
  }

  /** Label of the loop around the handlers, from the current handler; the block loop is one further. */
  private nextLabel = 0;

  private runFlow(cx: () => InterpContext, rip: number): InterpFlow {
    const { code } = this;
    const enter = () => code.op1(W.BR, this.nextLabel + 1);
    return {
      fault: () => code.op(W.RETURN),
      exitBlock: () => code.op(W.RETURN),
      goto: () => {
        cx().field(W.I64_LOAD, FIELD_IMM);
        code.localSet(rip);
        enter();
      },
      branch: () => {
        // at ip + FIELD_IMM, or at ip + FIELD_ELSE when the condition is zero
        code.localGet(IP);
        this.advance(FIELD_ELSE - FIELD_IMM);
        cx().a(W.I32);
        code.op(W.SELECT);
        code.mem(W.I64_LOAD, cx().base + FIELD_IMM);
        code.localSet(rip);
        enter();
      },
      gotoIndirect: () => {
        cx().loadControl(W.I64_LOAD, SLOT_RIP);
        code.localSet(rip);
        enter();
      },
      call: () => this.callStep(this.callFunction, this.nextLabel),
    };
  }

  /** Calls a function that executes the operation at ip and returns the next ip, 0 on a fault. */
  private callStep(index: number, next: number): void {
    const { code } = this;
    code.localGet(IP);
    code.localGet(TB);
    code.op1(W.CALL, index);
    code.localTee(IP);
    code.op1(W.BR_IF, next);
    code.op(W.RETURN);
  }

  private advance(size: number): void {
    const { code } = this;
    code.localGet(IP);
    code.i32(size);
    code.op(W.I32_ADD);
  }

  private runCases(cx: InterpContext): void {
    const common = OP_INFO.filter((i) => !isRare(i));
    const rareCase = common.length + FUSIONS.length;
    const targets = OP_INFO.map((i) => (isRare(i) ? rareCase : common.indexOf(i)));
    FUSIONS.forEach((_, i) => targets.push(common.length + i));
    this.dispatch(
      rareCase + 1,
      targets,
      () => {
        cx.base = 0;
        cx.field(W.I32_LOAD16_U, 0);
      },
      (index, depth) => {
        this.nextLabel = depth;
        const info = common[index];
        const fusion = FUSIONS[index - common.length];
        if (info !== undefined) this.plainCase(cx, info);
        else if (fusion !== undefined) this.fusedCase(cx, fusion);
        else this.callStep(this.rareFunction, depth);
      },
    );
  }

  /** Goes on to the operation `size` bytes further. */
  private next(size: number): void {
    this.advance(size);
    this.code.localSet(IP);
    this.code.op1(W.BR, this.nextLabel);
  }

  private plainCase(cx: InterpContext, info: OpInfo): void {
    cx.beginOp(info);
    LOWERING_OF[info.opcode]!(cx);
    if (info.effect !== 'control' && info.effect !== 'call') this.next(info.size);
  }

  private fusedCase(cx: InterpContext, fusion: Fusion): void {
    let base = 0;
    cx.neverRmw = true;
    fusion.ops.forEach((opcode, i) => {
      const info = OP_INFO[opcode]!;
      const last = i === fusion.ops.length - 1;
      cx.beginOp(info, base);
      if (i === fusion.forward) cx.forwardResult();
      if (fusion.forward >= 0 && last) cx.forwardOperand();
      LOWERING_OF[opcode]!(cx);
      base += info.size;
      if (last && info.effect !== 'control') this.next(base);
    });
    cx.neverRmw = false;
  }

  /** Flow of the functions that execute one operation and return the next ip. */
  private stepFlow(): InterpFlow {
    const { code } = this;
    const unexpected = () => {
      throw new Error('terminator outside the main function');
    };
    return {
      fault: () => {
        code.i32(0);
        code.op(W.RETURN);
      },
      call: unexpected,
      goto: unexpected,
      branch: unexpected,
      gotoIndirect: unexpected,
      exitBlock: unexpected,
    };
  }

  private rare(): void {
    const { code } = this;
    code.begin(2);
    const cx = this.context(this.stepFlow());
    const rare = OP_INFO.filter(isRare);
    this.dispatch(
      rare.length,
      OP_INFO.map((i) => rare.indexOf(i)),
      () => cx.field(W.I32_LOAD16_U, 0),
      (index) => {
        const info = rare[index]!;
        cx.beginOp(info);
        LOWERING_OF[info.opcode]!(cx);
        this.advance(info.size);
        code.op(W.RETURN);
      },
    );
    code.op(W.END);
    this.module.addBody(code);
  }

  private callHelper(): void {
    const { code } = this;
    code.begin(2);
    const cx = this.context(this.stepFlow());
    const call = OP_INFO.find((i) => i.name === 'call')!;
    cx.beginOp(call);
    this.dispatch(
      this.helpers.length,
      this.helpers.map((_, i) => i),
      () => cx.field(W.I32_LOAD16_U, FIELD_X),
      (index) => {
        cx.helper = this.helpers[index]!;
        LOWERING_OF[call.opcode]!(cx);
        this.advance(call.size);
        code.op(W.RETURN);
      },
    );
    code.op(W.END);
    this.module.addBody(code);
  }

  private enter(run: number): void {
    this.code.begin(0);
    emitDispatcher(this.context(this.stepFlow()), run, this.tbFind, this.voidType);
    this.module.addBody(this.code);
  }
}

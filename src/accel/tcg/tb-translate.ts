import { IrBuilder } from '../../ir/builder.ts';
import { PassContext } from '../../ir/passes/block.ts';
import { removeDeadStores } from '../../ir/passes/dead-stores.ts';
import { printIr } from '../../ir/printer.ts';
import { RAM_BASE, SLOT_KEY, SLOT_RIP, TB_DESCRIPTOR_SIZE } from '../../runtime/tcg/layout.ts';
import {
  HF_DR7,
  HF_ONE_INSN,
  HF_RF,
  HF_SHADOW,
  HF_TF,
  TEMP_BASE,
  TEMP_LIMIT,
} from '../../runtime/x86/layout.ts';
import type {
  CodeWindow,
  TargetDescriptor,
  TranslatedBlock,
  TranslationRequest,
} from '../../target/target.ts';
import type { TcgCounters } from './counters.ts';
import { fuseBlock } from './interp/fusion.ts';
import { hex64, LOG_IN_ASM, LOG_OP, LOG_OP_OPT, type TcgLog } from './log.ts';
import type { RuntimeExports } from './runtime-host.ts';
import { TB_MAX_BYTES, type TbCache } from './tb-cache.ts';
import type { TcgMemory } from './tcg-memory.ts';

/** Guest instructions per block at most. */
const MAX_INSNS = 64;
/** Modes in which a block is a single instruction. */
const SINGLE_INSN_FLAGS = HF_TF | HF_SHADOW | HF_DR7 | HF_RF | HF_ONE_INSN;
/** Room kept behind the builder's limit for the longest single instruction. */
const IR_SLACK = 0x2000;
/** Longest x86 instruction, twice: what is copied from a device to run code there. */
const UNCACHED_BYTES = 32;
const NEVER_HOT = 0x7fffffff;
const PAGE_BYTES = 0x1000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class Window implements CodeWindow {
  readonly bytes: Uint8Array;
  start = 0;
  end = 0;
  /** Host address of the following page: -2 = not asked yet. */
  second = -2;
  private readonly runtime: RuntimeExports;

  constructor(bytes: Uint8Array, runtime: RuntimeExports) {
    this.bytes = bytes;
    this.runtime = runtime;
  }

  /** How much of the following page can be executed. */
  nextBytes = PAGE_BYTES;

  nextPage(): number {
    if (this.nextBytes <= 0) return -1;
    if (this.second === -2) this.second = this.runtime.tb_next_page() >>> 0 || -1;
    return this.second;
  }
}

export interface TranslatorOptions {
  readonly memory: TcgMemory;
  readonly cpuBase: number;
  readonly runtime: RuntimeExports;
  readonly target: TargetDescriptor;
  readonly cache: TbCache;
  readonly counters: TcgCounters;
  readonly log: TcgLog;
  readonly nowNs: () => number;
}

/** Translates the block at the RIP and KEY slots into the cache. */
export class TbTranslator {
  /** Executions before a block is reported as hot. */
  hotThreshold = NEVER_HOT;
  private readonly o: TranslatorOptions;
  private readonly ir: IrBuilder;
  private readonly passes: PassContext;
  private readonly window: Window;
  private readonly request: Mutable<TranslationRequest>;
  private readonly result: TranslatedBlock = { sizeBytes: 0, insns: 0, crossesPage: false };
  private readonly insns: number[] = [];
  private readonly onInsn = (offset: number, length: number): void => {
    this.insns.push(offset, length);
  };

  constructor(options: TranslatorOptions) {
    this.o = options;
    const { memory, target } = options;
    this.ir = new IrBuilder(memory.buffer, TEMP_BASE, TEMP_LIMIT);
    this.passes = new PassContext(memory.buffer, TEMP_BASE, target.localSlotLimit, target.helpers);
    this.window = new Window(options.memory.u8, options.runtime);
    this.request = { ripLo: 0, ripHi: 0, flags: 0, csBase: 0, maxInsns: 0, code: this.window };
  }

  /** Translates code at `hostPc` (RAM or ROM). Returns the block, or 0 when its first instruction cannot be fetched whole. */
  translate(hostPc: number): number {
    const w = this.window;
    w.start = hostPc;
    const room = this.o.runtime.tb_code_room();
    const inPage = PAGE_BYTES - (hostPc & 0xfff);
    w.end = (hostPc + Math.min(room, inPage)) >>> 0;
    w.nextBytes = Math.min(PAGE_BYTES, room - inPage);
    w.second = -2;
    return this.emit(hostPc, MAX_INSNS, true);
  }

  /** One instruction from bytes that lie outside RAM, read one by one. The block is not findable; 0 as above. */
  translateUncached(readByte: (offset: number) => number): number {
    const w = this.window;
    const buffer = RAM_BASE - 0x1000; // the last page below RAM belongs to nobody
    for (let i = 0; i < UNCACHED_BYTES; i++) this.o.memory.u8[buffer + i] = readByte(i);
    w.start = buffer;
    w.end = buffer + Math.min(UNCACHED_BYTES, this.o.runtime.tb_code_room());
    w.second = -1;
    return this.emit(buffer, 1, false);
  }

  private emit(hostPc: number, maxInsns: number, cached: boolean): number {
    const { o, request, result, window } = this;
    const started = o.nowNs();
    const slots = o.cpuBase >>> 2;
    const words = o.memory.u32;
    request.ripLo = words[slots + (SLOT_RIP >> 2)]! | 0;
    request.ripHi = words[slots + (SLOT_RIP >> 2) + 1]! | 0;
    request.flags = words[slots + (SLOT_KEY >> 2)]! | 0;
    request.csBase = words[slots + (SLOT_KEY >> 2) + 1]! | 0;
    request.maxInsns = (request.flags & SINGLE_INSN_FLAGS) !== 0 ? 1 : maxInsns;
    const logging = (o.log.mask & (LOG_IN_ASM | LOG_OP | LOG_OP_OPT)) !== 0;
    if (logging) request.onInsn = this.onInsn;
    else delete request.onInsn;
    this.insns.length = 0;
    const tb = o.cache.reserve();
    const irStart = tb + TB_DESCRIPTOR_SIZE;
    this.ir.begin(irStart, tb + TB_MAX_BYTES - IR_SLACK);
    result.sizeBytes = 0;
    result.insns = 0;
    result.crossesPage = false;
    o.target.translateBlock(request, this.ir, result);
    if (result.insns === 0) return 0;
    if (logging) this.logBlock(irStart, this.ir.address);
    const irEnd = removeDeadStores(this.passes, irStart, this.ir.address);
    if ((o.log.mask & LOG_OP_OPT) !== 0)
      o.log.write(`${this.opText('OP after optimization', irStart, irEnd)}\n`);
    o.cache.commit(tb, {
      ripLo: request.ripLo,
      ripHi: request.ripHi,
      flags: request.flags,
      csBase: request.csBase,
      hostPc,
      hostPc2: result.crossesPage ? window.second : 0,
      irEnd,
      sizeBytes: result.sizeBytes,
      insns: result.insns,
      hot: cached ? this.hotThreshold : NEVER_HOT,
      cached,
    });
    this.count(result, irEnd - irStart, o.nowNs() - started);
    fuseBlock(o.memory.i32, irStart, irEnd, TEMP_BASE);
    return tb;
  }

  private count(block: TranslatedBlock, irBytes: number, ns: number): void {
    const { counters } = this.o;
    counters.blocks++;
    counters.guestInsns += block.insns;
    counters.guestBytes += block.sizeBytes;
    counters.irBytes += irBytes;
    counters.translateNs += ns;
  }

  /** Guest code and the operations that the front end made of it. */
  private logBlock(irStart: number, irEnd: number): void {
    const { log, target } = this.o;
    const { request, insns } = this;
    let text = '';
    if ((log.mask & LOG_IN_ASM) !== 0) {
      text += '----------------\nIN:\n';
      const rip = (BigInt(request.ripHi >>> 0) << 32n) | BigInt(request.ripLo >>> 0);
      for (let i = 0; i < insns.length; i += 2) {
        const bytes = this.codeBytes(insns[i]!, insns[i + 1]!);
        const at = rip + BigInt(insns[i]!);
        const linear = at + BigInt(request.csBase >>> 0);
        text += `0x${linear.toString(16).padStart(8, '0')}:  ${target.disassemble(bytes, at, request.flags).text}\n`;
      }
    }
    if ((log.mask & LOG_OP) !== 0) text += this.opText('OP', irStart, irEnd);
    if (text !== '') log.write(`${text}\n`);
  }

  private opText(title: string, irStart: number, irEnd: number): string {
    const { target, memory } = this.o;
    const { ripHi, ripLo, flags } = this.request;
    return (
      `${title}:  ${hex64(ripHi, ripLo)} flags ${(flags >>> 0).toString(16)}\n` +
      `${printIr(memory.i32, irStart, irEnd, { ...target, tempBase: TEMP_BASE })}\n`
    );
  }

  private codeBytes(offset: number, length: number): Uint8Array {
    const { bytes, start, end, second } = this.window;
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const at = start + offset + i;
      out[i] = at < end ? bytes[at]! : bytes[second + (at - end)]!;
    }
    return out;
  }
}

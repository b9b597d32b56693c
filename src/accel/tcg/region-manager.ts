import { TB_FLAGS, TB_FUNC, TB_HOT, TB_INVALID } from '../../runtime/tcg/layout.ts';
import type { TargetDescriptor } from '../../target/target.ts';
import { CompileChannel, REQUEST_WORDS, type StartCompiler } from './compile-channel.ts';
import type { TcgCounters } from './counters.ts';
import { hex64, LOG_OUT_ASM, type TcgLog } from './log.ts';
import type { Region } from './region.ts';
import { RegionFormer } from './region-form.ts';
import { RegionModuleBuilder } from './region-module.ts';
import { encodedSize, encodeRegion } from './region-wire.ts';
import type { RuntimeExports } from './runtime-host.ts';
import type { TcgMemory } from './tcg-memory.ts';
import {
  BATCH_SIZE,
  REGION_MAX_BLOCKS,
  REGION_MAX_INSNS,
  REGION_WARM_DIVISOR,
  REHOT_THRESHOLD,
  TABLE_LIMIT,
} from './tuning.ts';
import { printCode } from './wasm/text.ts';
import { type WasmModuleHandle, type WasmTable, webAssembly } from './webassembly.ts';

export interface RegionManagerOptions {
  readonly memory: TcgMemory;
  readonly cpuBase: number;
  readonly runtime: RuntimeExports;
  readonly target: TargetDescriptor;
  readonly table: WasmTable;
  readonly counters: TcgCounters;
  readonly log: TcgLog;
  readonly nowNs: () => number;
  readonly hotThreshold: number;
  /** Compile every region at once, alone (tier=jit). */
  readonly eager: boolean;
  /** Starts a thread that calls `runCompiler`; without it regions are compiled on this thread. */
  readonly startCompiler: StartCompiler | undefined;
}

interface CompiledRegion {
  readonly entryTb: number;
  /** Index in the function table. */
  readonly slot: number;
  readonly blocks: readonly number[];
  state: 'queued' | 'installed' | 'dead';
}

const NEVER_HOT = 0x7fffffff;

/**
 * Queues hot blocks' regions, has them compiled in batches (by the background compiler if there is one), installs them in the
 * function table, and lets them die with their blocks.
 */
export class RegionManager {
  private readonly o: RegionManagerOptions;
  private readonly words: Int32Array;
  private readonly former: RegionFormer;
  private readonly builder: RegionModuleBuilder;
  private readonly byBlock = new Map<number, CompiledRegion[]>();
  private readonly freeSlots: number[] = [];
  private nextSlot = 1;
  private queue: CompiledRegion[] = [];
  private readonly queued = new Set<number>();
  private readonly channel: CompileChannel | undefined;
  /** The queue's regions for the background compiler. */
  private readonly request = new Int32Array(REQUEST_WORDS);
  private requestLength = 0;
  /** Regions that the background compiler works on; empty with `sentStale` set when its result is to be thrown away. */
  private sent: CompiledRegion[] = [];
  private sentStale = false;
  /** The function table is exhausted: the whole cache should be flushed. */
  full = false;

  constructor(options: RegionManagerOptions) {
    this.o = options;
    this.words = options.memory.i32;
    this.former = new RegionFormer({
      words: this.words,
      peek: (ripLo, ripHi) => options.runtime.tb_peek(ripLo, ripHi),
      maxInsns: REGION_MAX_INSNS,
      maxBlocks: REGION_MAX_BLOCKS,
      maxHotLeft: options.hotThreshold - Math.floor(options.hotThreshold / REGION_WARM_DIVISOR),
    });
    this.builder = new RegionModuleBuilder({
      words: this.words,
      cpuBase: options.cpuBase,
      target: options.target,
    });
    if (options.startCompiler === undefined || options.eager || (options.log.mask & LOG_OUT_ASM) !== 0)
      return;
    const { helpers, localSlotLimit } = options.target;
    this.channel = new CompileChannel(options.memory.buffer, options.cpuBase, helpers, localSlotLimit);
    this.channel.receiveModule = options.startCompiler(this.channel.start);
  }

  /** A block became hot; it must be the one at the RIP and KEY slots. */
  hot(tb: number): void {
    const w = this.words;
    if (this.queued.has(tb)) {
      w[(tb + TB_HOT) >>> 2] = REHOT_THRESHOLD;
      return this.compileQueue();
    }
    if (this.nextSlot >= TABLE_LIMIT && this.freeSlots.length === 0) {
      this.full = true;
      w[(tb + TB_HOT) >>> 2] = NEVER_HOT;
      return;
    }
    this.enqueue(tb);
    w[(tb + TB_HOT) >>> 2] = REHOT_THRESHOLD;
    if (this.o.eager || this.queue.length >= BATCH_SIZE) this.compileQueue();
  }

  private enqueue(entryTb: number): void {
    const { o } = this;
    const started = o.nowNs();
    const region = this.former.form(entryTb);
    if (this.requestLength + encodedSize(region) > REQUEST_WORDS) return;
    const slot = this.takeSlot();
    const compiled: CompiledRegion = {
      entryTb,
      slot,
      blocks: region.blocks.map((b) => b.tb),
      state: 'queued',
    };
    this.register(compiled);
    this.queue.push(compiled);
    this.queued.add(entryTb);
    o.counters.regions++;
    o.counters.regionBlocks += region.blocks.length;
    o.counters.regionInsns += region.insns;
    if (this.channel !== undefined) {
      this.requestLength = encodeRegion(region, slot, this.request, this.requestLength);
    } else {
      const bytes = this.builder.add(region, slot);
      o.counters.regionBytes += bytes;
      if ((o.log.mask & LOG_OUT_ASM) !== 0) this.logCode(region, bytes);
    }
    o.counters.emitNs += o.nowNs() - started;
  }

  private logCode(region: Region, bytes: number): void {
    const entry = region.blocks[region.entry]!;
    this.o.log.write(
      `OUT: region at ${hex64(entry.ripHi, entry.ripLo)}: ${region.blocks.length} blocks, ${region.insns} insns, ${bytes} bytes\n` +
        `${printCode(this.builder.code.bytes, 0, bytes).join('\n')}\n\n`,
    );
  }

  /** Compiles what is queued, or has it compiled. Cheap when nothing is. */
  compileQueue(): void {
    if (this.channel !== undefined) return this.exchange(this.channel);
    if (this.queue.length === 0) return;
    const started = this.o.nowNs();
    const { Module } = webAssembly();
    this.instantiate(new Module(this.builder.finish()), this.takeQueue());
    this.o.counters.compileNs += this.o.nowNs() - started;
  }

  /** Installs what the background compiler has finished. To be called now and then; cheap. */
  poll(): void {
    if (this.channel?.isDone === true) this.exchange(this.channel);
  }

  private exchange(channel: CompileChannel): void {
    if (channel.isDone) this.receive(channel);
    if (this.queue.length === 0 || !channel.isIdle) return;
    channel.send(this.request.subarray(0, this.requestLength));
    this.requestLength = 0;
    this.sent = this.queue;
    this.queue = [];
  }

  private receive(channel: CompileChannel): void {
    const started = this.o.nowNs();
    const batch = channel.take();
    const regions = this.sent;
    this.sent = [];
    for (const region of regions) this.queued.delete(region.entryTb);
    if (this.sentStale) {
      this.sentStale = false;
    } else if (batch === undefined) {
      for (const region of regions) this.reject(region);
    } else {
      this.instantiate(batch.module, regions);
      this.o.counters.regionBytes += batch.codeBytes;
    }
    this.o.counters.compileNs += this.o.nowNs() - started;
  }

  private takeQueue(): CompiledRegion[] {
    const regions = this.queue;
    this.queue = [];
    this.queued.clear();
    return regions;
  }

  private instantiate(module: WasmModuleHandle, regions: readonly CompiledRegion[]): void {
    const { o } = this;
    const { Instance } = webAssembly();
    new Instance(module, {
      env: { memory: o.memory.memory, table: o.table },
      runtime: o.runtime as unknown as Record<string, unknown>,
    });
    for (const region of regions) this.install(region);
    o.counters.regionModules++;
  }

  /** The region could not be compiled: its block stays interpreted. */
  private reject(region: CompiledRegion): void {
    this.o.counters.regionRejected++;
    if (region.state !== 'dead') {
      for (const tb of region.blocks) this.forget(tb, region);
      region.state = 'dead';
      this.words[(region.entryTb + TB_HOT) >>> 2] = NEVER_HOT;
    }
    this.releaseSlot(region.slot);
  }

  private install(region: CompiledRegion): void {
    if (region.state === 'dead') return this.releaseSlot(region.slot);
    region.state = 'installed';
    this.words[(region.entryTb + TB_FUNC) >>> 2] = region.slot;
    this.words[(region.entryTb + TB_HOT) >>> 2] = NEVER_HOT;
  }

  // ---- the function table

  private takeSlot(): number {
    const free = this.freeSlots.pop();
    if (free !== undefined) return free;
    const { table } = this.o;
    if (this.nextSlot >= table.length) table.grow(table.length);
    return this.nextSlot++;
  }

  private releaseSlot(slot: number): void {
    this.o.table.set(slot, this.o.table.get(0));
    this.freeSlots.push(slot);
  }

  // ---- death

  private register(region: CompiledRegion): void {
    for (const tb of region.blocks) {
      const list = this.byBlock.get(tb);
      if (list === undefined) this.byBlock.set(tb, [region]);
      else list.push(region);
    }
  }

  /** Ends the background compiler. */
  dispose(): void {
    this.channel?.stop();
  }

  /** A block's code has changed: every region that holds a copy of it dies. */
  onBlockInvalidated(tb: number): void {
    const regions = this.byBlock.get(tb);
    if (regions === undefined) return;
    for (const region of [...regions]) this.kill(region);
  }

  private kill(region: CompiledRegion): void {
    const { o } = this;
    o.counters.regionsInvalidated++;
    for (const tb of region.blocks) this.forget(tb, region);
    const wasQueued = region.state === 'queued';
    region.state = 'dead';
    const entry = region.entryTb;
    this.words[(entry + TB_FUNC) >>> 2] = 0;
    this.queued.delete(entry);
    if ((this.words[(entry + TB_FLAGS) >>> 2]! & TB_INVALID) === 0) {
      this.words[(entry + TB_HOT) >>> 2] = o.hotThreshold;
    }
    if (!wasQueued) this.releaseSlot(region.slot); // a queued one gives its slot back when its module has been instantiated
  }

  private forget(tb: number, region: CompiledRegion): void {
    const list = this.byBlock.get(tb);
    if (list === undefined) return;
    const rest = list.filter((r) => r !== region);
    if (rest.length === 0) this.byBlock.delete(tb);
    else this.byBlock.set(tb, rest);
  }

  onAllInvalidated(): void {
    const { table } = this.o;
    if (this.queue.length > 0) this.builder.finish();
    this.queue = [];
    this.queued.clear();
    this.requestLength = 0;
    if (this.sent.length > 0) this.sentStale = true;
    this.sent = [];
    const interpreter = table.get(0);
    for (let slot = 1; slot < this.nextSlot; slot++) table.set(slot, interpreter);
    this.byBlock.clear();
    this.freeSlots.length = 0;
    this.nextSlot = 1;
    this.full = false;
  }
}

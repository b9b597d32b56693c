import type { HelperInfo } from '../../ir/helper-table.ts';
import { TB_FLAGS, TB_FUNC, TB_HOT, TB_INVALID } from '../../runtime/tcg/layout.ts';
import type { TargetDescriptor } from '../../target/target.ts';
import type { TcgCounters } from './counters.ts';
import { hex64, LOG_OUT_ASM, type TcgLog } from './log.ts';
import { generateRegion } from './region-codegen.ts';
import { formRegion } from './region-form.ts';
import { RegionImports } from './region-imports.ts';
import type { Region } from './region.ts';
import type { RuntimeExports } from './runtime-host.ts';
import type { TcgMemory } from './tcg-memory.ts';
import { REGION_MAX_BLOCKS, REGION_MAX_INSNS, REGION_WARM_DIVISOR, TABLE_GROWTH } from './tuning.ts';
import { WasmCode } from './wasm/code.ts';
import { WasmModule } from './wasm/module.ts';
import { printCode } from './wasm/text.ts';
import { webAssembly, type WasmTable } from './webassembly.ts';

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
}

interface CompiledRegion {
  readonly entryTb: number;
  /** Index in the function table. */
  readonly slot: number;
  readonly blocks: readonly number[];
}

const NEVER_HOT = 0x7fffffff;

/** Compiles regions, installs them in the function table, and lets them die with their blocks. */
export class RegionManager {
  private readonly o: RegionManagerOptions;
  private readonly words: Int32Array;
  private readonly code = new WasmCode();
  private readonly helperNames: ReadonlyMap<string, HelperInfo>;
  private readonly byBlock = new Map<number, CompiledRegion[]>();
  private readonly freeSlots: number[] = [];
  private nextSlot = 1;

  constructor(options: RegionManagerOptions) {
    this.o = options;
    this.words = options.memory.i32;
    this.helperNames = new Map(options.target.helpers.map((h) => [h.name, h]));
  }

  /** Compiles the region of a hot block, which must be the block at the RIP and KEY slots. */
  compile(entryTb: number): void {
    const { o } = this;
    const started = o.nowNs();
    const region = formRegion(entryTb, {
      words: this.words,
      peek: (ripLo, ripHi) => o.runtime.tb_peek(ripLo, ripHi),
      maxInsns: REGION_MAX_INSNS,
      maxBlocks: REGION_MAX_BLOCKS,
      maxHotLeft: o.hotThreshold - Math.floor(o.hotThreshold / REGION_WARM_DIVISOR),
    });
    const slot = this.takeSlot();
    const bytes = this.emit(region, slot);
    const emitted = o.nowNs();
    const { Instance, Module } = webAssembly();
    new Instance(new Module(bytes), {
      env: { memory: o.memory.memory, table: o.table },
      runtime: o.runtime as unknown as Record<string, unknown>,
    });
    o.counters.emitNs += emitted - started;
    o.counters.compileNs += o.nowNs() - emitted;
    this.install(region, slot);
    this.count(region, bytes.length);
  }

  private emit(region: Region, slot: number): Uint8Array {
    const { o } = this;
    const module = new WasmModule();
    const voidType = module.type([], []);
    module.importMemory('env', 'memory', 1, 65536);
    module.importTable('env', 'table', 1);
    const imports = new RegionImports(module, this.helperNames);
    generateRegion(region, {
      words: this.words, cpuBase: o.cpuBase, helpers: o.target.helpers, localSlotLimit: o.target.localSlotLimit,
      code: this.code, imports, voidType,
    });
    const index = module.addFunction(voidType, this.code);
    module.element(slot, [index]);
    const bytes = module.build();
    if ((o.log.mask & LOG_OUT_ASM) !== 0) this.logCode(region, bytes);
    return bytes;
  }

  private logCode(region: Region, bytes: Uint8Array): void {
    const entry = region.blocks[region.entry]!;
    this.o.log.write(
      `OUT: region at ${hex64(entry.ripHi, entry.ripLo)}: ${region.blocks.length} blocks, ${region.insns} insns, ${bytes.length} bytes\n` +
      `${printCode(this.code.bytes, 0, this.code.pos).join('\n')}\n\n`,
    );
  }

  private count(region: Region, bytes: number): void {
    const { counters } = this.o;
    counters.regions++;
    counters.regionModules++;
    counters.regionBlocks += region.blocks.length;
    counters.regionInsns += region.insns;
    counters.regionBytes += bytes;
  }

  // ---- the function table

  private takeSlot(): number {
    const free = this.freeSlots.pop();
    if (free !== undefined) return free;
    const { table } = this.o;
    if (this.nextSlot >= table.length) table.grow(TABLE_GROWTH);
    return this.nextSlot++;
  }

  private install(region: Region, slot: number): void {
    const entryTb = region.blocks[region.entry]!.tb;
    const compiled: CompiledRegion = { entryTb, slot, blocks: region.blocks.map((b) => b.tb) };
    for (const tb of compiled.blocks) {
      const list = this.byBlock.get(tb);
      if (list === undefined) this.byBlock.set(tb, [compiled]);
      else list.push(compiled);
    }
    this.words[(entryTb + TB_FUNC) >>> 2] = slot;
    this.words[(entryTb + TB_HOT) >>> 2] = NEVER_HOT;
    this.o.runtime.jc_update_func(entryTb);
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
    const entry = region.entryTb;
    this.words[(entry + TB_FUNC) >>> 2] = 0;
    if ((this.words[(entry + TB_FLAGS) >>> 2]! & TB_INVALID) === 0) {
      this.words[(entry + TB_HOT) >>> 2] = o.hotThreshold;
      o.runtime.jc_update_func(entry);
    }
    o.table.set(region.slot, o.table.get(0));
    this.freeSlots.push(region.slot);
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
    const interpreter = table.get(0);
    for (let slot = 1; slot < this.nextSlot; slot++) table.set(slot, interpreter);
    this.byBlock.clear();
    this.freeSlots.length = 0;
    this.nextSlot = 1;
  }
}

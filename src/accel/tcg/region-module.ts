import type { HelperInfo } from '../../ir/helper-table.ts';
import type { TargetDescriptor } from '../../target/target.ts';
import type { Region } from './region.ts';
import { generateRegion } from './region-codegen.ts';
import { RegionContext } from './region-context.ts';
import { RegionFlow } from './region-flow.ts';
import { RegionImports } from './region-imports.ts';
import { WasmCode } from './wasm/code.ts';
import { WasmModule } from './wasm/module.ts';

export interface RegionModuleOptions {
  readonly words: Int32Array;
  readonly cpuBase: number;
  readonly target: Pick<TargetDescriptor, 'helpers' | 'localSlotLimit'>;
}

/** Imports of a module: `env.memory`, `env.table`, and functions of `runtime`. Instantiating it fills the table slots. */
export class RegionModuleBuilder {
  private readonly o: RegionModuleOptions;
  private readonly helperNames: ReadonlyMap<string, HelperInfo>;
  /** Emitter of the last region added. */
  readonly code = new WasmCode();
  private readonly flow: RegionFlow;
  private readonly cx: RegionContext;
  private module!: WasmModule;
  private imports!: RegionImports;
  private voidType = 0;
  private slots: number[] = [];

  constructor(options: RegionModuleOptions) {
    this.o = options;
    this.helperNames = new Map(options.target.helpers.map((h) => [h.name, h]));
    const { words, cpuBase, target } = options;
    this.flow = new RegionFlow(words, target.helpers, target.localSlotLimit);
    this.cx = new RegionContext(this.code, cpuBase, words, this.flow, target.localSlotLimit);
    this.begin();
  }

  private begin(): void {
    const module = new WasmModule();
    this.module = module;
    this.voidType = module.type([], []);
    module.importMemory('env', 'memory', 1, 65536);
    module.importTable('env', 'table', 1);
    this.imports = new RegionImports(module, this.helperNames);
    this.slots = [];
  }

  /** Regions added since the last `finish`. */
  get size(): number {
    return this.slots.length;
  }

  /** Adds the function of a region, to stand at `slot` of the table. Returns the size of its code in bytes. */
  add(region: Region, slot: number): number {
    const { words, cpuBase } = this.o;
    generateRegion(region, {
      words,
      cpuBase,
      flow: this.flow,
      cx: this.cx,
      code: this.code,
      imports: this.imports,
      voidType: this.voidType,
    });
    this.module.addFunction(this.voidType, this.code);
    this.slots.push(slot);
    return this.code.pos;
  }

  /** The binary module of all regions added; a view that the next `finish` overwrites. Starts the next module. */
  finish(): Uint8Array {
    // imports were added while bodies were emitted, so only now are the functions' own indexes known
    this.slots.forEach((slot, i) => this.module.element(slot, [this.imports.count + i]));
    const bytes = this.module.build();
    this.begin();
    return bytes;
  }
}

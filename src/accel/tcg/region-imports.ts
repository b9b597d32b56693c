import type { HelperInfo } from '../../ir/helper-table.ts';
import type { WasmModule } from './wasm/module.ts';
import * as W from './wasm/opcodes.ts';

/** Functions of the runtime that one module of regions calls: imported when first used, so that instances stay cheap. */
export class RegionImports {
  private readonly module: WasmModule;
  private readonly helperNames: ReadonlyMap<string, HelperInfo>;
  private readonly indexes = new Map<string, number>();

  constructor(module: WasmModule, helperNames: ReadonlyMap<string, HelperInfo>) {
    this.module = module;
    this.helperNames = helperNames;
  }

  private function(name: string, params: readonly W.ValueType[], results: readonly W.ValueType[]): number {
    let index = this.indexes.get(name);
    if (index === undefined) {
      index = this.module.importFunction('runtime', name, this.module.type(params, results));
      this.indexes.set(name, index);
    }
    return index;
  }

  /** Number of functions imported: the index of the module's first own function. */
  get count(): number {
    return this.indexes.size;
  }

  /** (va, sizeInfo, rip, restore) → value. */
  regionLoad(): number {
    return this.function('region_load', [W.I64, W.I32, W.I64, W.I32], [W.I64]);
  }

  /** (va, value, sizeInfo, rip, restore) → FAULT. */
  regionStore(): number {
    return this.function('region_store', [W.I64, W.I64, W.I32, W.I64, W.I32], [W.I32]);
  }

  load128(): number {
    return this.function('ld128_slow', [W.I64, W.I32, W.I32], []);
  }

  load256(): number {
    return this.function('ld256_slow', [W.I64, W.I32, W.I32], []);
  }

  store256(): number {
    return this.function('st256_slow', [W.I64, W.I32, W.I32], []);
  }

  store128(): number {
    return this.function('st128_slow', [W.I64, W.I32, W.I32], []);
  }

  helper(h: HelperInfo): number {
    return this.function(h.name, new Array<number>(h.args).fill(W.I64), h.result ? [W.I64] : []);
  }

  byName(name: string): HelperInfo | undefined {
    return this.helperNames.get(name);
  }
}

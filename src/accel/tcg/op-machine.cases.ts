import type { IrBuilder } from '../../ir/builder.ts';
import { expandHelpers, type HelperInfo } from '../../ir/helper-table.ts';
import {
  FAULT_EXCEPTION,
  SLOT_FAULT,
  SLOT_KEY,
  SLOT_RIP,
  TLB_ADDEND,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_READ,
  TLB_TABLE_SIZE,
  TLB_WRITE,
  VCPU_BASE,
} from '../../runtime/tcg/layout.ts';
import { CPUID_TABLE, FP_FAST, MSR_STORE, RAX, RDX, VECTOR_HI } from '../../runtime/x86/layout.ts';
import { type WasmMemory, webAssembly } from './webassembly.ts';

/** Everything a back end needs to run test blocks: memory, helpers, and a runtime made of JavaScript functions. */
export interface OpEnvironment {
  readonly memory: WasmMemory;
  readonly cpuBase: number;
  readonly helpers: readonly HelperInfo[];
  /** Runtime functions by name: slow paths, tb_find (returns 0) and the helpers, with bigint for i64. */
  readonly runtime: Readonly<Record<string, (...args: never[]) => unknown>>;
}

/** A back end under test. */
export interface OpBackend {
  readonly name: string;
  /**
   * Translates what `emit` appends as the block at RIP `BLOCK_RIP` and the KEY slot's key, and executes it from there until
   * control leaves it (all state stored to memory, RIP where execution continues).
   */
  run(emit: (ir: IrBuilder) => void): void;
}

export const BLOCK_RIP = 0xffff_8000_0040_1000n;
export const NEXT_RIP = 0xffff_8000_0040_1234n;
const MEMORY_PAGES = 0x810_0000 >> 16;
/** Host page that the test's virtual page maps to, and the virtual page. */
export const HOST_PAGE = 0x800_0000;
export const PAGE_VA = 0xffff_8880_1234_5000n;
export const UNMAPPED_VA = 0x7fff_1234_0000n;

const HELPERS = expandHelpers({
  t_args0: { args: 0, result: true, doc: '42' },
  t_args3: { args: 3, result: true, reads: true, doc: 'a + 2 b + 3 c + RAX' },
  t_write: { args: 1, writes: true, doc: 'RAX = a, RDX = ~a' },
  t_fault: { args: 1, result: true, faults: true, doc: 'faults unless a is 0' },
  t_needs_rip: { args: 0, result: true, needsRip: true, doc: 'RIP' },
  ...Object.fromEntries(
    ['f', 'vf', 'vf256'].flatMap((kind) =>
      ['add', 'sub', 'mul', 'div'].flatMap((op) =>
        ['f32', 'f64'].map((type) => [
          `${kind.replace('256', '')}${op}${kind.endsWith('256') ? '256' : ''}_${type}`,
          { args: 3, faults: true, doc: 'soft-float' } as const,
        ]),
      ),
    ),
  ),
});
export const HELPER = Object.fromEntries(HELPERS.map((h) => [h.name, h.index])) as Record<string, number>;
export const SOFT_FLOAT_MARK = 0x5051_5253n;

/** The environment with typed access to the register file. */
export class OpMachine implements OpEnvironment {
  readonly memory: WasmMemory;
  readonly cpuBase = VCPU_BASE;
  readonly helpers = HELPERS;
  readonly runtime: OpEnvironment['runtime'];
  readonly view: DataView;
  /** Slow-path and soft-float calls since the last `reset`. */
  calls: string[] = [];

  constructor() {
    this.memory = new (webAssembly().Memory)({ initial: MEMORY_PAGES, maximum: 65536, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.runtime = this.makeRuntime();
    for (let tlb = 0; tlb < 3 * TLB_ENTRIES; tlb++) {
      for (const tag of [TLB_READ, TLB_WRITE]) {
        this.view.setBigInt64(this.cpuBase + TLB_BASE + tlb * TLB_ENTRY_SIZE + tag, -1n, true);
      }
    }
    this.reset();
  }

  reset(): void {
    this.calls = [];
    this.set(SLOT_FAULT, 0n);
    this.set(SLOT_RIP, BLOCK_RIP);
    this.set(SLOT_KEY, 0x1234n);
    this.set(FP_FAST, 1n);
  }

  get(slot: number): bigint {
    return this.view.getBigUint64(this.cpuBase + slot, true);
  }

  set(slot: number, value: bigint): void {
    this.view.setBigUint64(this.cpuBase + slot, BigInt.asUintN(64, value), true);
  }

  get128(slot: number): bigint {
    return this.get(slot) | (this.get(slot + 8) << 64n);
  }

  set128(slot: number, value: bigint): void {
    this.set(slot, value);
    this.set(slot + 8, value >> 64n);
  }

  /** Maps PAGE_VA to HOST_PAGE in one soft TLB. */
  map(mmuIndex: number, readable: boolean, writable: boolean): void {
    const entry =
      this.cpuBase +
      TLB_BASE +
      mmuIndex * TLB_TABLE_SIZE +
      (Number(PAGE_VA >> 12n) % TLB_ENTRIES) * TLB_ENTRY_SIZE;
    const tag = BigInt.asIntN(64, PAGE_VA);
    this.view.setBigInt64(entry + TLB_READ, readable ? tag : -1n, true);
    this.view.setBigInt64(entry + TLB_WRITE, writable ? tag : -1n, true);
    this.view.setInt32(entry + TLB_ADDEND, HOST_PAGE - Number(BigInt.asIntN(32, PAGE_VA)), true);
  }

  private record(name: string, va: bigint, ...rest: (bigint | number)[]): void {
    const address = BigInt.asUintN(64, va).toString(16);
    this.calls.push(
      [name, address, ...rest.map((x) => BigInt.asUintN(64, BigInt(x)).toString(16))].join(' '),
    );
  }

  private fault(): void {
    this.set(SLOT_FAULT, BigInt(FAULT_EXCEPTION));
  }

  private makeRuntime(): OpEnvironment['runtime'] {
    const softFloat = (name: string) => (d: bigint) => {
      this.calls.push(name);
      this.view.setUint32(this.cpuBase + Number(d), Number(SOFT_FLOAT_MARK), true);
    };
    return {
      ld_slow: (va: bigint, sizeInfo: number): bigint => {
        this.record('ld', va, sizeInfo);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
        return BigInt.asUintN(8 * (sizeInfo & 0xff), 0x8182838485868788n);
      },
      st_slow: (va: bigint, value: bigint, sizeInfo: number): void => {
        this.record('st', va, BigInt.asUintN(8 * (sizeInfo & 0xff), value), sizeInfo);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
      },
      ld128_slow: (va: bigint, address: number, info: number): void => {
        this.record('ld128', va, info);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) return this.fault();
        this.view.setBigUint64(address, 0x1112131415161718n, true);
        this.view.setBigUint64(address + 8, 0x2122232425262728n, true);
      },
      st128_slow: (va: bigint, address: number, info: number): void => {
        this.record(
          'st128',
          va,
          this.view.getBigUint64(address, true),
          this.view.getBigUint64(address + 8, true),
          info,
        );
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
      },
      ld256_slow: (va: bigint, address: number, info: number): void => {
        this.record('ld256', va, info);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) return this.fault();
        for (const [at, value] of [
          [0, 0x11n],
          [8, 0x12n],
          [VECTOR_HI, 0x13n],
          [VECTOR_HI + 8, 0x14n],
        ] as const)
          this.view.setBigUint64(address + at, value, true);
      },
      st256_slow: (va: bigint, address: number, info: number): void => {
        const words = [0, 8, VECTOR_HI, VECTOR_HI + 8].map((at) =>
          this.view.getBigUint64(address + at, true),
        );
        this.record('st256', va, ...words, info);
        if (BigInt.asUintN(64, va) >> 12n === UNMAPPED_VA >> 12n) this.fault();
      },
      tb_find: (): number => 0,
      t_args0: (): bigint => 42n,
      t_args3: (a: bigint, b: bigint, c: bigint): bigint => a + 2n * b + 3n * c + this.get(RAX),
      t_write: (a: bigint): void => {
        this.set(RAX, a);
        this.set(RDX, ~a);
      },
      t_fault: (a: bigint): bigint => {
        if (a !== 0n) this.fault();
        return 99n;
      },
      t_needs_rip: (): bigint => BigInt.asIntN(64, this.get(SLOT_RIP)),
      ...Object.fromEntries(
        HELPERS.filter((h) => /^v?f(add|sub|mul|div)(256)?_/.test(h.name)).map((h) => [
          h.name,
          softFloat(h.name),
        ]),
      ),
    };
  }
}

export const hex = (x: bigint): string => `0x${BigInt.asUintN(128, x).toString(16)}`;
export const lo = (x: bigint): number => Number(BigInt.asIntN(32, x));
export const hi = (x: bigint): number => Number(BigInt.asIntN(32, x >> 32n));

/** Ends the block. */
export function goNext(ir: IrBuilder): void {
  ir.goto(lo(NEXT_RIP), hi(NEXT_RIP));
}

/** A reproducible arbitrary value. */
export function random128(seed: number): bigint {
  let x = BigInt(seed) * 0x9e37_79b9_7f4a_7c15n + 1n;
  let out = 0n;
  for (let i = 0; i < 2; i++) {
    x = BigInt.asUintN(64, x ^ (x << 13n));
    x ^= x >> 7n;
    x = BigInt.asUintN(64, x ^ (x << 17n));
    out = (out << 64n) | x;
  }
  return out;
}

/** Integer inputs and outputs live in never-promoted state. */
export const INPUT = MSR_STORE;
export const OUTPUT = CPUID_TABLE;

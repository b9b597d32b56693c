/** The part of the JavaScript API of WebAssembly that the translator uses, the same in Node.js and in browsers. */

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

export interface WasmTable {
  readonly length: number;
  grow(delta: number): number;
  get(index: number): (() => void) | null;
  set(index: number, value: (() => void) | null): void;
}

export interface WasmGlobal {
  value: number | bigint;
}

/** A compiled module; it may be sent to another thread. */
export interface WasmModuleHandle {
  readonly [Symbol.toStringTag]?: string;
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

export type WasmImports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface WasmApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Table: new (descriptor: { element: 'anyfunc'; initial: number; maximum?: number }) => WasmTable;
  readonly Global: new (
    descriptor: { value: 'i32' | 'i64'; mutable: boolean },
    value: number | bigint,
  ) => WasmGlobal;
  readonly Module: new (bytes: Uint8Array) => WasmModuleHandle;
  readonly Instance: new (module: WasmModuleHandle, imports: WasmImports) => WasmInstance;
}

/** The host's WebAssembly object. */
export function webAssembly(): WasmApi {
  return (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;
}

export const WASM_PAGE_SIZE = 65536;

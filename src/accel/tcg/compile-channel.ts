/**
 * The background compiler: a thread that turns queued regions into the bytes of a wasm module, so that guest code does not wait
 * for it. Both sides share memory only and need no event loop. One batch is under way at a time.
 */
import type { HelperInfo } from '../../ir/helper-table.ts';
import { RegionModuleBuilder } from './region-module.ts';
import { RegionDecoder } from './region-wire.ts';
import { type WasmModuleHandle, webAssembly } from './webassembly.ts';

/** What the thread is started with; all of it can be sent to a worker. */
export interface CompilerStart {
  /** The machine's memory, where the IR is. */
  readonly memory: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly request: SharedArrayBuffer;
  readonly result: SharedArrayBuffer;
  readonly cpuBase: number;
  readonly helpers: readonly HelperInfo[];
  readonly localSlotLimit: number;
}

/** Starts the compiler thread. Returns how to get the modules that it compiles itself, if the host can pass them without an event loop. */
export type StartCompiler = (start: CompilerStart) => ReceiveModule | undefined;

/** The oldest module that the compiler thread has sent and nobody has taken; undefined if there is none. */
export type ReceiveModule = () => WasmModuleHandle | undefined;

const STATE = 0;
const LENGTH = 1;
const CODE_BYTES = 2;
const CONTROL_WORDS = 4;

const IDLE = 0;
const REQUESTED = 1;
const DONE = 2;
const FAILED = 3;
const STOPPED = 4;

/** Words of request that one batch may take, and bytes of module it may give. */
export const REQUEST_WORDS = 1 << 16;
const RESULT_BYTES = 1 << 23;

/** The machine thread's end. */
export class CompileChannel {
  readonly start: CompilerStart;
  private readonly control: Int32Array;
  private readonly request: Int32Array;
  private readonly result: Uint8Array;
  /** Set once the thread has been started. */
  receiveModule: ReceiveModule | undefined;

  constructor(
    memory: SharedArrayBuffer,
    cpuBase: number,
    helpers: readonly HelperInfo[],
    localSlotLimit: number,
  ) {
    this.start = {
      memory,
      cpuBase,
      helpers,
      localSlotLimit,
      control: new SharedArrayBuffer(4 * CONTROL_WORDS),
      request: new SharedArrayBuffer(4 * REQUEST_WORDS),
      result: new SharedArrayBuffer(RESULT_BYTES),
    };
    this.control = new Int32Array(this.start.control);
    this.request = new Int32Array(this.start.request);
    this.result = new Uint8Array(this.start.result);
  }

  get isIdle(): boolean {
    return Atomics.load(this.control, STATE) === IDLE;
  }

  /** A batch has been finished, well or badly, and `take` will give it. */
  get isDone(): boolean {
    const state = Atomics.load(this.control, STATE);
    return state === DONE || state === FAILED;
  }

  /** Hands over a batch; only while idle. */
  send(words: Int32Array): void {
    this.request.set(words);
    this.control[LENGTH] = words.length;
    Atomics.store(this.control, STATE, REQUESTED);
    Atomics.notify(this.control, STATE);
  }

  /** The module of the finished batch, undefined if it failed; the channel is idle again. */
  take(): { readonly module: WasmModuleHandle; readonly codeBytes: number } | undefined {
    const failed = Atomics.load(this.control, STATE) === FAILED;
    const module = failed ? undefined : this.takeModule();
    Atomics.store(this.control, STATE, IDLE);
    return module && { module, codeBytes: this.control[CODE_BYTES]! };
  }

  private takeModule(): WasmModuleHandle | undefined {
    if (this.receiveModule !== undefined) return this.receiveModule();
    const { Module } = webAssembly();
    return new Module(this.result.slice(0, this.control[LENGTH]));
  }

  /** Ends the thread. */
  stop(): void {
    Atomics.store(this.control, STATE, STOPPED);
    Atomics.notify(this.control, STATE);
  }
}

/**
 * The compiler thread: returns after `stop`. With `sendModule` it has the host compile each module here and sends it to where
 * `ReceiveModule` takes it; otherwise the machine thread compiles the bytes.
 */
export function runCompiler(start: CompilerStart, sendModule?: (module: WasmModuleHandle) => void): void {
  const { Module } = webAssembly();
  const control = new Int32Array(start.control);
  const request = new Int32Array(start.request);
  const result = new Uint8Array(start.result);
  const words = new Int32Array(start.memory);
  const decoder = new RegionDecoder(words);
  const target = { helpers: start.helpers, localSlotLimit: start.localSlotLimit };
  let builder = new RegionModuleBuilder({ words, cpuBase: start.cpuBase, target });
  for (;;) {
    const state = Atomics.load(control, STATE);
    if (state === STOPPED) return;
    if (state !== REQUESTED) {
      Atomics.wait(control, STATE, state);
      continue;
    }
    const length = control[LENGTH]!;
    let outcome = DONE;
    try {
      let codeBytes = 0;
      for (let at = 0; at < length; at = decoder.next) {
        const region = decoder.read(request, at);
        if (region === undefined) throw new Error('the IR of a region was overwritten');
        codeBytes += builder.add(region, decoder.slot);
      }
      const bytes = builder.finish();
      if (sendModule === undefined) result.set(bytes);
      else sendModule(new Module(bytes));
      control[CODE_BYTES] = codeBytes;
      control[LENGTH] = bytes.length;
    } catch {
      // the arena was emptied under our feet (the machine thread knows and drops the batch), or a region is too big
      builder = new RegionModuleBuilder({ words, cpuBase: start.cpuBase, target });
      outcome = FAILED;
    }
    if (Atomics.compareExchange(control, STATE, REQUESTED, outcome) === STOPPED) return;
  }
}

/**
 * The threads in which vCPUs run, as shared memory: how any thread gets them out of the guest, and how the machine thread hands a
 * vCPU to a thread of its own and takes it back. All words are Int32.
 */
import { RUN_IMMEDIATE_EXIT } from './bindings/common.ts';
import type { KvmSystem } from './kvm-system.ts';

/** Bits of the request word. */
export const REQUEST_RETURN = 1;
/** A vCPU with a thread of its own was handed back. */
export const REQUEST_SERVICE = 4;
/** Never cleared: the process or the machine ends, no vCPU may be entered any more. */
export const REQUEST_STOP = 2;

// ---- words
const REQUEST = 0;
const COUNT = 1;
const FIRST = 8;
const STRIDE = 8;
const THREAD = 0;
const RUN_LOW = 1;
const RUN_HIGH = 2;
const STATE = 3;
const RESULT = 4;

/** Who has a vCPU: the machine thread (`parked`), its own thread (`running`); `quit` ends the latter. */
export const PARKED = 0;
export const RUNNING = 1;
export const QUIT = 2;

const RUN_HEAD_BYTES = 64;
/** A thread that was kicked is back within microseconds; this is for one that the host does not schedule. */
const PARK_STEP_MS = 20;

export class KvmThreads {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly #system: () => KvmSystem;
  readonly #runs = new Map<number, Uint8Array>();

  static create(system: KvmSystem, vcpus: number): KvmThreads {
    const threads = new KvmThreads(new SharedArrayBuffer(4 * (FIRST + vcpus * STRIDE)), () => system);
    threads.words[COUNT] = vcpus;
    return threads;
  }

  /** `system` is asked for when a thread is to be interrupted. */
  constructor(buffer: SharedArrayBuffer, system: () => KvmSystem) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.#system = system;
  }

  /** Byte offset of the request word. */
  static readonly requestOffset = 4 * REQUEST;

  /** To be called in the thread that enters vCPU `index`. */
  register(index: number, runAddress: number): void {
    const at = this.#at(index);
    this.words[at + RUN_LOW] = (runAddress % 2 ** 32) | 0;
    this.words[at + RUN_HIGH] = Math.floor(runAddress / 2 ** 32);
    Atomics.store(this.words, at + THREAD, this.#system().threadId());
  }

  get requests(): number {
    return Atomics.load(this.words, REQUEST);
  }

  /** Sets request bits; the first vCPU's thread must then be kicked. */
  request(bits: number): void {
    Atomics.or(this.words, REQUEST, bits);
  }

  /** The requests that have come; all but the one to stop are cleared. */
  takeRequests(): number {
    return Atomics.and(this.words, REQUEST, REQUEST_STOP);
  }

  /** Gets a vCPU out of the guest, or keeps it from entering. The request to look at comes before. */
  kick(index: number): void {
    const at = this.#at(index);
    const thread = Atomics.load(this.words, at + THREAD);
    if (thread === 0) return;
    this.#runOf(index)[RUN_IMMEDIATE_EXIT] = 1;
    this.#system().interrupt(thread);
  }

  kickAll(): void {
    for (let index = 0; index < this.words[COUNT]!; index++) this.kick(index);
  }

  /** No vCPU is entered any more: to be called before threads are ended. */
  stop(): void {
    if ((this.requests & REQUEST_STOP) !== 0) return;
    this.request(REQUEST_STOP);
    this.kickAll();
    for (let index = 1; index < this.words[COUNT]!; index++) this.#setState(index, QUIT);
  }

  // --- a vCPU with a thread of its own

  isParked(index: number): boolean {
    return Atomics.load(this.words, this.#at(index) + STATE) !== RUNNING;
  }

  /** What KVM_RUN gave when the vCPU was last handed back. */
  result(index: number): number {
    return this.words[this.#at(index) + RESULT]!;
  }

  /** The machine thread lets the vCPU run. */
  release(index: number): void {
    this.#setState(index, RUNNING);
  }

  /** The machine thread takes it back, which ends when its thread has seen it. */
  park(index: number): void {
    const at = this.#at(index) + STATE;
    while (Atomics.load(this.words, at) === RUNNING) {
      this.kick(index);
      Atomics.wait(this.words, at, RUNNING, PARK_STEP_MS);
    }
  }

  /** The machine thread has every vCPU and lets none run again: nobody needs to stop them. */
  end(): void {
    for (let index = 1; index < this.words[COUNT]!; index++) this.quit(index);
    this.request(REQUEST_STOP);
  }

  /** Ends the thread of the vCPU. */
  quit(index: number): void {
    this.park(index);
    this.#setState(index, QUIT);
  }

  /** The vCPU's own thread: waits until it may run; false: it ends. */
  waitForRun(index: number): boolean {
    const at = this.#at(index) + STATE;
    for (;;) {
      const state = Atomics.load(this.words, at);
      if (state === QUIT || (this.requests & REQUEST_STOP) !== 0) return false;
      if (state === RUNNING) return true;
      Atomics.wait(this.words, at, state);
    }
  }

  /** The vCPU's own thread hands it back; the machine thread must then be woken. */
  handBack(index: number, result: number): void {
    this.words[this.#at(index) + RESULT] = result;
    const at = this.#at(index) + STATE;
    Atomics.compareExchange(this.words, at, RUNNING, PARKED);
    Atomics.notify(this.words, at);
  }

  #setState(index: number, state: number): void {
    const at = this.#at(index) + STATE;
    Atomics.store(this.words, at, state);
    Atomics.notify(this.words, at);
  }

  #at(index: number): number {
    return FIRST + index * STRIDE;
  }

  #runOf(index: number): Uint8Array {
    let run = this.#runs.get(index);
    if (run === undefined) {
      const at = this.#at(index);
      const address = (this.words[at + RUN_LOW]! >>> 0) + this.words[at + RUN_HIGH]! * 2 ** 32;
      run = this.#system().view(address, RUN_HEAD_BYTES);
      this.#runs.set(index, run);
    }
    return run;
  }
}

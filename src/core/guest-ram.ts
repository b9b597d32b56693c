/**
 * The one buffer that holds all guest RAM and ROM, with dirty tracking per page. It is a view of the wasm memory that
 * translated code works in, so offsets in it are what translated code adds to its base.
 */
import { type Disposable, toDisposable } from '../util/disposal.ts';

export const RAM_PAGE_SHIFT = 12;
export const RAM_PAGE_SIZE = 1 << RAM_PAGE_SHIFT;

/** Who follows dirty pages: one bit each in the page's byte. */
export const DIRTY_DISPLAY = 1;
export const DIRTY_MIGRATION = 2;

/** Told about every write to RAM that does not come from guest instructions (DMA, loaders, the monitor, gdb). */
export type RamWriteListener = (ramOffset: number, sizeBytes: number) => void;

/** Knows of writes by the guest that nobody marked: calls `mark` with those since the last time. */
export type DirtySource = (mark: (ramOffset: number, sizeBytes: number) => void) => void;

export class GuestRam {
  /** The whole buffer; a RAM region's `ramOffset` indexes it. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** One byte per 4 KiB page of `bytes`: the clients that have not yet seen its last write. */
  readonly dirty: Uint8Array;
  /** Clients that follow dirty pages now; a writer may skip the marking while this is 0. */
  #dirtyClients = 0;
  #dirtySource: DirtySource | undefined;
  #writeListeners: readonly RamWriteListener[] = [];
  #dirtyClientListeners: ReadonlyArray<(clients: number) => void> = [];

  /** `dirty`, if given, has one byte per page of `bytes` (so that it can live in shared memory as well). */
  constructor(bytes: Uint8Array, dirty?: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.dirty = dirty ?? new Uint8Array(Math.ceil(bytes.length / RAM_PAGE_SIZE));
  }

  get dirtyClients(): number {
    return this.#dirtyClients;
  }

  /** Starts or stops following for one client; on start its pages count as clean. */
  setDirtyClient(client: number, enabled: boolean): void {
    const clients = enabled ? this.#dirtyClients | client : this.#dirtyClients & ~client;
    if (clients === this.#dirtyClients) return;
    this.#dirtyClients = clients;
    if (enabled) for (let i = 0; i < this.dirty.length; i++) this.dirty[i]! &= ~client;
    for (const listener of this.#dirtyClientListeners) listener(clients);
  }

  /** The softmmu subscribes, to send stores through its slow path while anybody follows. */
  onDirtyClientsChanged(listener: (clients: number) => void): Disposable {
    this.#dirtyClientListeners = [...this.#dirtyClientListeners, listener];
    return toDisposable(() => {
      this.#dirtyClientListeners = this.#dirtyClientListeners.filter((l) => l !== listener);
    });
  }

  /** Called after each write by anybody but translated code: marks pages dirty, invalidates translated code. */
  onWrite(listener: RamWriteListener): Disposable {
    this.#writeListeners = [...this.#writeListeners, listener];
    return toDisposable(() => {
      this.#writeListeners = this.#writeListeners.filter((l) => l !== listener);
    });
  }

  notifyWrite(ramOffset: number, sizeBytes: number): void {
    if (this.#dirtyClients !== 0) this.markDirty(ramOffset, sizeBytes);
    const listeners = this.#writeListeners;
    for (let i = 0; i < listeners.length; i++) listeners[i]!(ramOffset, sizeBytes);
  }

  markDirty(ramOffset: number, sizeBytes: number): void {
    if (sizeBytes <= 0) return;
    const first = Math.floor(ramOffset / RAM_PAGE_SIZE);
    const last = Math.floor((ramOffset + sizeBytes - 1) / RAM_PAGE_SIZE);
    for (let page = first; page <= last; page++) this.dirty[page]! |= this.#dirtyClients;
  }

  /** An accelerator that keeps a log of its own is asked before anybody looks. */
  setDirtySource(source: DirtySource | undefined): void {
    this.#dirtySource = source;
  }

  /** Calls `visit` with the offset of each page that is dirty for `client` in the range, and makes it clean. */
  takeDirty(client: number, ramOffset: number, sizeBytes: number, visit: (pageOffset: number) => void): void {
    const first = Math.floor(ramOffset / RAM_PAGE_SIZE);
    const end = Math.min(this.dirty.length, Math.ceil((ramOffset + sizeBytes) / RAM_PAGE_SIZE));
    this.#dirtySource?.((at, size) => this.markDirty(at, size));
    for (let page = first; page < end; page++) {
      if ((this.dirty[page]! & client) === 0) continue;
      this.dirty[page]! &= ~client;
      visit(page * RAM_PAGE_SIZE);
    }
  }
}

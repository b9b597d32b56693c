/** The I/O thread's end: takes requests out of the ring, carries them out on nodes, puts completions into the other. */
import { Doorbell } from '../../util/ring.ts';
import { BlockError, type BlockNode, EIO, EROFS, isZero } from '../block-node.ts';
import { NO_HANDLE } from './block-channel.ts';
import * as layout from './channel-layout.ts';

/** How a drive uses its node. */
export interface ExportOptions {
  readonly isReadOnly: boolean;
  /** A write is complete when it is on stable storage. */
  readonly isWritethrough: boolean;
  /** `cache.no-flush`: a flush does nothing. */
  readonly ignoresFlush: boolean;
  /** `off`, `on`: zeroes are written as such; `unmap`: and need not stay allocated. */
  readonly detectZeroes: 'off' | 'on' | 'unmap';
  /** Discards reach the node. */
  readonly discard: boolean;
}

export interface BlockExport {
  readonly node: BlockNode;
  readonly options: ExportOptions;
}

/** Answers messages: a server that is not about blocks but waits for files all the same. */
export interface MessageHandler {
  /** The reply, valid until the next call; at most `room` bytes. */
  handle(request: Uint8Array, room: number): Uint8Array;
  reset(): void;
}

/** How the machine is told of completions. */
export interface MachineSignal {
  readonly doorbell: Doorbell;
  kick(): void;
}

export interface ServerHost {
  /** Handles messages of the main thread that have arrived; called whenever the doorbell was rung. */
  pollMessages(): void;
  /** Resolves after one turn of the event loop. */
  turn(): Promise<void>;
  /** A request failed in a way that no request should. */
  reportBug(error: unknown): void;
}

interface WaitAsync {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
    timeoutMs?: number,
  ): { readonly async: boolean; readonly value: string | Promise<string> };
}

/** Turns of the microtask queue that synchronous file calls need at most to complete. */
const MICROTASKS = 200;

interface Request {
  readonly id: number;
  readonly handle: number;
  readonly op: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly segments: readonly Uint8Array[];
}

export class BlockServer {
  readonly #parts: layout.ChannelParts;
  readonly #doorbell: Doorbell;
  readonly #host: ServerHost;
  readonly #exports = new Map<number, BlockExport>();
  readonly #handlers = new Map<number, MessageHandler>();
  readonly #header = new Uint8Array(layout.HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #segments = new Uint8Array(layout.MAX_PIECE_SEGMENTS * layout.SEGMENT_BYTES);
  readonly #segmentView = new DataView(this.#segments.buffer);
  readonly #completion = new Uint8Array(layout.COMPLETION_BYTES);
  readonly #completionView = new DataView(this.#completion.buffer);
  #ram: ArrayBufferLike | undefined;
  #signal: MachineSignal | undefined;
  #underWay = 0;
  #isEnding = false;
  #nextHandle = 1;
  #wakeIdle: (() => void) | undefined;
  #spare: Uint8Array[] = [];

  constructor(buffer: SharedArrayBuffer, host: ServerHost) {
    this.#parts = layout.channelParts(buffer);
    this.#doorbell = new Doorbell(this.#parts.words, 0);
    this.#host = host;
  }

  /** Requests that come before are left in the ring. */
  attach(ram: ArrayBufferLike, signal: MachineSignal): void {
    this.#ram = ram;
    this.#signal = signal;
  }

  export(entry: BlockExport): number {
    const handle = this.#nextHandle++;
    this.#exports.set(handle, entry);
    return handle;
  }

  exportMessages(handler: MessageHandler): number {
    const handle = this.#nextHandle++;
    this.#handlers.set(handle, handler);
    return handle;
  }

  get exports(): ReadonlyMap<number, BlockExport> {
    return this.#exports;
  }

  unexport(handle: number): BlockExport | undefined {
    const entry = this.#exports.get(handle);
    this.#exports.delete(handle);
    return entry;
  }

  /** The loop ends once what is under way has completed. */
  end(): void {
    this.#isEnding = true;
    this.#doorbell.ring();
  }

  /**
   * Serves until `end`. Sleeps in `Atomics.wait` when nothing is under way, and in the event loop when something is. Other work
   * of this thread (opening, closing) must be announced with `hold`.
   */
  async run(): Promise<void> {
    for (;;) {
      const seen = this.#doorbell.read();
      this.#host.pollMessages();
      this.#drain();
      for (let i = 0; i < MICROTASKS && this.#underWay > 0 && this.#doorbell.read() === seen; i++)
        await Promise.resolve();
      if (this.#doorbell.read() !== seen) {
        // Busy without pause: asynchronous files and messages get their turn all the same.
        if (this.#underWay > 0) await this.#host.turn();
        continue;
      }
      if (this.#isEnding && this.#underWay === 0) return;
      if (this.#underWay > 0) await this.#sleepInLoop(seen);
      else this.#doorbell.wait(seen);
    }
  }

  /** Keeps the thread in its event loop until `work` settles. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await work;
    } finally {
      this.#leave();
    }
  }

  async #sleepInLoop(seen: number): Promise<void> {
    const { words } = this.#parts;
    const waiting = (Atomics as unknown as WaitAsync).waitAsync(words, 0, seen);
    if (!waiting.async) return;
    const idle = new Promise<void>((resolve) => (this.#wakeIdle = resolve));
    await Promise.race([waiting.value, idle]);
    this.#wakeIdle = undefined;
  }

  #leave(): void {
    if (--this.#underWay === 0) this.#wakeIdle?.();
  }

  #drain(): void {
    const { requests } = this.#parts;
    if (this.#signal === undefined) return;
    while (requests.readable >= layout.HEADER_BYTES) {
      this.#underWay++;
      void this.#serve(this.#take());
    }
  }

  #take(): Request {
    const { requests, bounce } = this.#parts;
    requests.read(this.#header);
    const view = this.#headerView;
    const count = view.getUint32(layout.AT_SEGMENTS, true);
    requests.read(this.#segments.subarray(0, count * layout.SEGMENT_BYTES));
    const segments: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * layout.SEGMENT_BYTES;
      const address = this.#segmentView.getFloat64(at + layout.AT_ADDRESS, true);
      const length = this.#segmentView.getUint32(at + layout.AT_BYTES, true);
      const isRam = this.#segmentView.getUint32(at + layout.AT_SPACE, true) === layout.SPACE_RAM;
      segments.push(
        isRam ? new Uint8Array(this.#ram!, address, length) : bounce.subarray(address, address + length),
      );
    }
    return {
      id: view.getUint32(layout.AT_ID, true),
      handle: view.getUint32(layout.AT_HANDLE, true),
      op: view.getUint32(layout.AT_OP, true),
      offset: view.getFloat64(layout.AT_OFFSET, true),
      sizeBytes: view.getFloat64(layout.AT_SIZE, true),
      segments,
    };
  }

  async #serve(request: Request): Promise<void> {
    let error = 0;
    try {
      if (request.handle === NO_HANDLE) error = request.sizeBytes;
      else if (request.op === layout.OP_MESSAGE) error = this.#answer(request);
      else await this.#execute(request);
    } catch (failure) {
      error = failure instanceof BlockError ? failure.errno : EIO;
      if (!(failure instanceof BlockError)) this.#host.reportBug(failure);
    }
    this.#complete(request.id, error);
    this.#leave();
  }

  /** Returns the reply's length. Without segments the handler forgets its client. */
  #answer({ handle, segments, sizeBytes }: Request): number {
    const handler = this.#handlers.get(handle);
    if (segments.length === 0) handler?.reset();
    if (handler === undefined || segments.length === 0) return 0;
    const request = new Uint8Array(sizeBytes);
    const into: Uint8Array[] = [];
    let at = 0;
    for (const segment of segments) {
      const count = Math.min(segment.length, sizeBytes - at);
      request.set(segment.subarray(0, count), at);
      at += count;
      if (count < segment.length) into.push(segment.subarray(count));
    }
    const room = into.reduce((sum, segment) => sum + segment.length, 0);
    const reply = handler.handle(request, room);
    let done = 0;
    for (const segment of into) {
      const part = reply.subarray(done, done + segment.length);
      segment.set(part);
      done += part.length;
    }
    return done;
  }

  #complete(id: number, error: number): void {
    this.#completionView.setUint32(0, id, true);
    this.#completionView.setInt32(4, error, true);
    this.#parts.completions.write(this.#completion);
    this.#signal!.doorbell.ring();
    this.#signal!.kick();
  }

  async #execute(request: Request): Promise<void> {
    const entry = this.#exports.get(request.handle);
    if (entry === undefined) throw new BlockError(EIO, 'no such drive');
    const { node, options } = entry;
    const { op, offset, sizeBytes } = request;
    if (op !== layout.OP_FLUSH && offset + sizeBytes > node.sizeBytes)
      throw new BlockError(EIO, 'beyond the end of the medium');
    if (op === layout.OP_READ) return this.#read(node, request);
    if (op === layout.OP_FLUSH) return options.ignoresFlush ? undefined : node.flush();
    if (options.isReadOnly) throw new BlockError(EROFS, 'read-only');
    switch (op) {
      case layout.OP_WRITE:
        await this.#write(entry, request);
        break;
      case layout.OP_DISCARD:
        if (options.discard) await node.discard(offset, sizeBytes);
        return;
      default:
        await node.writeZeroes(offset, sizeBytes, op === layout.OP_ZERO_UNMAP && options.discard);
    }
    if (options.isWritethrough && !options.ignoresFlush) await node.flush();
  }

  async #read(node: BlockNode, { segments, offset, sizeBytes }: Request): Promise<void> {
    if (segments.length === 1) return node.read(offset, segments[0]!);
    const buffer = this.#borrow(sizeBytes);
    const bytes = buffer.subarray(0, sizeBytes);
    try {
      await node.read(offset, bytes);
      let at = 0;
      for (const segment of segments) {
        segment.set(bytes.subarray(at, at + segment.length));
        at += segment.length;
      }
    } finally {
      this.#spare.push(buffer);
    }
  }

  async #write({ node, options }: BlockExport, { segments, offset, sizeBytes }: Request): Promise<void> {
    const write = async (bytes: Uint8Array): Promise<void> => {
      if (options.detectZeroes !== 'off' && isZero(bytes)) {
        const unmap = options.detectZeroes === 'unmap' && options.discard;
        await node.writeZeroes(offset, sizeBytes, unmap);
      } else await node.write(offset, bytes);
    };
    if (segments.length === 1) return write(segments[0]!);
    const buffer = this.#borrow(sizeBytes);
    try {
      let at = 0;
      for (const segment of segments) {
        buffer.set(segment, at);
        at += segment.length;
      }
      await write(buffer.subarray(0, sizeBytes));
    } finally {
      this.#spare.push(buffer);
    }
  }

  /** A buffer for scattered requests; a few of the usual size are kept. */
  #borrow(sizeBytes: number): Uint8Array {
    const spare = this.#spare.pop();
    if (this.#spare.length > 8) this.#spare.length = 8;
    if (spare !== undefined && spare.length >= sizeBytes) return spare;
    return new Uint8Array(Math.max(65536, sizeBytes));
  }
}

/** The machine thread's end of block I/O: requests of devices into a ring, completions out of another. */
import {
  BLOCK_EINVAL,
  BLOCK_EIO,
  BLOCK_ENOMEDIUM,
  BLOCK_ENOSPC,
  BLOCK_EROFS,
  BLOCK_OK,
  type BlockBackend,
  type BlockCompletion,
} from '../../core/block-backend.ts';
import type { ShareBackend } from '../../core/share-backend.ts';
import { assert } from '../../util/errors.ts';
import { Doorbell } from '../../util/ring.ts';
import type { ErrorAction } from '../drive-config.ts';
import { BouncePool } from './bounce-pool.ts';
import * as layout from './channel-layout.ts';

/** A medium as the I/O thread opened it. */
export interface MediumInfo {
  readonly handle: number;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly blockSizeBytes: number;
  /** The first 512 bytes, where boards look for a partition table. */
  readonly firstSector?: Uint8Array;
}

export interface BackendOptions {
  readonly readError: ErrorAction;
  readonly writeError: ErrorAction;
}

export interface ChannelPorts {
  /** A request failed and its drive says "stop": pause the machine; `resume` tries again. */
  onStop(): void;
}

interface Piece {
  readonly handle: number;
  readonly op: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly views: readonly Uint8Array[];
  readonly done: BlockCompletion;
  bounceAt: number;
  bounceBytes: number;
}

export class BlockChannel {
  readonly #parts: layout.ChannelParts;
  readonly #ram: ArrayBufferLike;
  readonly #doorbell: Doorbell;
  readonly #pool = new BouncePool(layout.BOUNCE_BYTES);
  readonly #underWay = new Map<number, Piece>();
  /** Not yet in the ring. */
  #waiting: Piece[] = [];
  /** Failed with "stop"; tried again when the machine runs on. */
  #stopped: Array<() => void> = [];
  readonly #scratch: DataView;
  readonly #scratchBytes: Uint8Array;
  readonly #completion = new Uint8Array(layout.COMPLETION_BYTES);
  readonly #completionView = new DataView(this.#completion.buffer);
  readonly #ports: ChannelPorts;
  #nextId = 1;

  /** `ram`: the buffer that guest RAM lies in. */
  constructor(buffer: SharedArrayBuffer, ram: ArrayBufferLike, ports: ChannelPorts) {
    this.#parts = layout.channelParts(buffer);
    this.#ram = ram;
    this.#ports = ports;
    this.#doorbell = new Doorbell(this.#parts.words, 0);
    const bytes = layout.HEADER_BYTES + layout.MAX_PIECE_SEGMENTS * layout.SEGMENT_BYTES;
    this.#scratchBytes = new Uint8Array(bytes);
    this.#scratch = new DataView(this.#scratchBytes.buffer);
  }

  createBackend(medium: MediumInfo | undefined, options: BackendOptions): ChannelBackend {
    return new ChannelBackend(this, medium, options);
  }

  createShare(handle: number): ShareBackend {
    return {
      request: (out, into, done) => {
        const bytes = out.reduce((sum, view) => sum + view.length, 0);
        this.submit(handle, layout.OP_MESSAGE, 0, bytes, [...out, ...into], done);
      },
      reset: () => this.submit(handle, layout.OP_MESSAGE, 0, 0, [], () => {}),
    };
  }

  /** Requests that have not completed. */
  get isBusy(): boolean {
    return this.#underWay.size > 0 || this.#waiting.length > 0;
  }

  /** Takes completions; devices hear of theirs. Cheap when there are none. */
  poll(): void {
    const { completions } = this.#parts;
    while (completions.readable >= layout.COMPLETION_BYTES) {
      completions.read(this.#completion);
      this.#complete(this.#completionView.getUint32(0, true), this.#completionView.getInt32(4, true));
    }
    if (this.#waiting.length > 0) this.#sendWaiting();
  }

  /** The machine runs again: what stopped it is tried anew. */
  resume(): void {
    for (const retry of this.#stopped.splice(0)) retry();
  }

  stop(retry: () => void): void {
    this.#stopped.push(retry);
    this.#ports.onStop();
  }

  submit(
    handle: number,
    op: number,
    offset: number,
    sizeBytes: number,
    views: readonly Uint8Array[],
    done: BlockCompletion,
  ): void {
    this.#waiting.push({ handle, op, offset, sizeBytes, views, done, bounceAt: -1, bounceBytes: 0 });
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    let sent = 0;
    while (sent < this.#waiting.length && this.#send(this.#waiting[sent]!)) sent++;
    if (sent === 0) return;
    this.#waiting = sent === this.#waiting.length ? [] : this.#waiting.slice(sent);
    this.#doorbell.ring();
  }

  #send(piece: Piece): boolean {
    const { requests } = this.#parts;
    const most = layout.HEADER_BYTES + piece.views.length * layout.SEGMENT_BYTES;
    if (this.#underWay.size >= layout.MAX_UNDER_WAY || requests.writable < most) return false;
    if (!this.#bounce(piece)) return false;
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0 || 1;
    const length = this.#encode(piece, id);
    this.#underWay.set(id, piece);
    const written = requests.write(this.#scratchBytes.subarray(0, length));
    assert(written === length, 'request ring overflow');
    return true;
  }

  /** Reserves and fills bounce memory for what does not lie in guest RAM. */
  #bounce(piece: Piece): boolean {
    let outside = 0;
    for (const view of piece.views) if (view.buffer !== this.#ram) outside += view.length;
    if (outside === 0) return true;
    const bytes = Math.ceil(outside / 512) * 512;
    const at = this.#pool.allocate(bytes);
    if (at < 0) return false;
    piece.bounceAt = at;
    piece.bounceBytes = bytes;
    if (piece.op === layout.OP_WRITE)
      this.#forBounced(piece, (view, from) => this.#parts.bounce.set(view, from));
    return true;
  }

  #forBounced(piece: Piece, visit: (view: Uint8Array, bounceAt: number) => void): void {
    let at = piece.bounceAt;
    for (const view of piece.views) {
      if (view.buffer === this.#ram) continue;
      visit(view, at);
      at += view.length;
    }
  }

  #encode(piece: Piece, id: number): number {
    const view = this.#scratch;
    let at = layout.HEADER_BYTES;
    let bounceAt = piece.bounceAt;
    let nextAddress = -1;
    let nextSpace = -1;
    for (const part of piece.views) {
      const space = part.buffer === this.#ram ? layout.SPACE_RAM : layout.SPACE_BOUNCE;
      const address = space === layout.SPACE_RAM ? part.byteOffset : bounceAt;
      if (space === layout.SPACE_BOUNCE) bounceAt += part.length;
      if (space === nextSpace && address === nextAddress) {
        const before = at - layout.SEGMENT_BYTES + layout.AT_BYTES;
        view.setUint32(before, view.getUint32(before, true) + part.length, true);
      } else {
        view.setFloat64(at + layout.AT_ADDRESS, address, true);
        view.setUint32(at + layout.AT_BYTES, part.length, true);
        view.setUint32(at + layout.AT_SPACE, space, true);
        at += layout.SEGMENT_BYTES;
      }
      nextAddress = address + part.length;
      nextSpace = space;
    }
    view.setUint32(layout.AT_LENGTH, at, true);
    view.setUint32(layout.AT_ID, id, true);
    view.setUint32(layout.AT_HANDLE, piece.handle, true);
    view.setUint32(layout.AT_OP, piece.op, true);
    view.setFloat64(layout.AT_OFFSET, piece.offset, true);
    view.setFloat64(layout.AT_SIZE, piece.sizeBytes, true);
    view.setUint32(layout.AT_SEGMENTS, (at - layout.HEADER_BYTES) / layout.SEGMENT_BYTES, true);
    return at;
  }

  #complete(id: number, error: number): void {
    const piece = this.#underWay.get(id);
    assert(piece !== undefined, 'completion of an unknown request');
    this.#underWay.delete(id);
    if (piece.bounceAt >= 0) {
      const { bounce } = this.#parts;
      if (piece.op === layout.OP_READ && error === BLOCK_OK)
        this.#forBounced(piece, (view, from) => view.set(bounce.subarray(from, from + view.length)));
      this.#pool.release(piece.bounceAt, piece.bounceBytes);
    }
    piece.done(error);
  }
}

/** A drive's back end over the channel. */
export class ChannelBackend implements BlockBackend {
  onMediumChanged: (() => void) | undefined;
  /** Completed and failed requests; times in nanoseconds are not kept. */
  readonly counters = { readBytes: 0, readOps: 0, writtenBytes: 0, writeOps: 0, flushes: 0, discards: 0 };
  readonly #channel: BlockChannel;
  readonly #options: BackendOptions;
  #medium: MediumInfo | undefined;

  constructor(channel: BlockChannel, medium: MediumInfo | undefined, options: BackendOptions) {
    this.#channel = channel;
    this.#medium = medium;
    this.#options = options;
  }

  get sizeBytes(): number {
    return this.#medium?.sizeBytes ?? 0;
  }

  get isReadOnly(): boolean {
    return this.#medium?.isReadOnly ?? false;
  }

  get firstSector(): Uint8Array | undefined {
    return this.#medium?.firstSector;
  }

  get blockSizeBytes(): number {
    return this.#medium?.blockSizeBytes ?? 512;
  }

  /** Another medium, or none; the device hears of it. */
  changeMedium(medium: MediumInfo | undefined): void {
    this.#medium = medium;
    this.onMediumChanged?.();
  }

  read(offset: number, into: readonly Uint8Array[], done: BlockCompletion): void {
    this.#transfer(layout.OP_READ, offset, into, done);
  }

  write(offset: number, from: readonly Uint8Array[], done: BlockCompletion): void {
    this.#transfer(layout.OP_WRITE, offset, from, done);
  }

  flush(done: BlockCompletion): void {
    this.#request(layout.OP_FLUSH, 0, 0, [], done);
  }

  discard(offset: number, sizeBytes: number, done: BlockCompletion): void {
    this.#request(layout.OP_DISCARD, offset, sizeBytes, [], done);
  }

  writeZeroes(offset: number, sizeBytes: number, mayUnmap: boolean, done: BlockCompletion): void {
    this.#request(mayUnmap ? layout.OP_ZERO_UNMAP : layout.OP_ZERO, offset, sizeBytes, [], done);
  }

  #transfer(op: number, offset: number, views: readonly Uint8Array[], done: BlockCompletion): void {
    let sizeBytes = 0;
    for (const view of views) sizeBytes += view.length;
    if (sizeBytes <= layout.MAX_PIECE_BYTES && views.length <= layout.MAX_PIECE_SEGMENTS) {
      this.#request(op, offset, sizeBytes, views, done);
      return;
    }
    const pieces = split(offset, views);
    let left = pieces.length;
    let first = BLOCK_OK;
    for (const piece of pieces) {
      this.#request(op, piece.offset, piece.sizeBytes, piece.views, (error) => {
        if (first === BLOCK_OK) first = error;
        if (--left === 0) done(first);
      });
    }
  }

  #request(
    op: number,
    offset: number,
    sizeBytes: number,
    views: readonly Uint8Array[],
    done: BlockCompletion,
  ): void {
    const medium = this.#medium;
    this.#count(op, sizeBytes);
    const send = (): void =>
      this.#channel.submit(medium?.handle ?? 0, op, offset, sizeBytes, views, (error) => {
        if (error === BLOCK_OK) done(error);
        else this.#onError(op, error, send, done);
      });
    const refusal = this.#refusal(op, offset, sizeBytes);
    // Through the ring all the same: a completion never comes before the call has returned.
    if (refusal !== BLOCK_OK) this.#channel.submit(NO_HANDLE, op, 0, refusal, [], done);
    else send();
  }

  #count(op: number, sizeBytes: number): void {
    const { counters } = this;
    if (op === layout.OP_READ) {
      counters.readOps++;
      counters.readBytes += sizeBytes;
    } else if (op === layout.OP_FLUSH) counters.flushes++;
    else if (op === layout.OP_DISCARD) counters.discards++;
    else {
      counters.writeOps++;
      counters.writtenBytes += sizeBytes;
    }
  }

  #refusal(op: number, offset: number, sizeBytes: number): number {
    const medium = this.#medium;
    if (medium === undefined) return BLOCK_ENOMEDIUM;
    if (op === layout.OP_FLUSH) return BLOCK_OK;
    if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
      return BLOCK_EINVAL;
    if (op !== layout.OP_READ && medium.isReadOnly) return BLOCK_EROFS;
    return offset + sizeBytes > medium.sizeBytes ? BLOCK_EIO : BLOCK_OK;
  }

  #onError(op: number, error: number, retry: () => void, done: BlockCompletion): void {
    const { readError, writeError } = this.#options;
    let action = op === layout.OP_READ ? readError : writeError;
    if (action === 'enospc') action = error === BLOCK_ENOSPC ? 'stop' : 'report';
    if (action === 'stop') this.#channel.stop(retry);
    else done(action === 'ignore' ? BLOCK_OK : error);
  }
}

/** Handle of requests that only come back with the error in their size field. */
export const NO_HANDLE = 0xffffffff;

interface Split {
  readonly offset: number;
  sizeBytes: number;
  readonly views: Uint8Array[];
}

function split(offset: number, views: readonly Uint8Array[]): Split[] {
  const pieces: Split[] = [];
  let piece: Split = { offset, sizeBytes: 0, views: [] };
  let at = offset;
  for (const view of views) {
    for (let from = 0; from < view.length; ) {
      const full =
        piece.sizeBytes === layout.MAX_PIECE_BYTES || piece.views.length === layout.MAX_PIECE_SEGMENTS;
      if (full) {
        pieces.push(piece);
        piece = { offset: at, sizeBytes: 0, views: [] };
      }
      const count = Math.min(view.length - from, layout.MAX_PIECE_BYTES - piece.sizeBytes);
      piece.views.push(view.subarray(from, from + count));
      piece.sizeBytes += count;
      from += count;
      at += count;
    }
  }
  pieces.push(piece);
  return pieces;
}

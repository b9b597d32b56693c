/** Guest memory as a device's data transfer sees it: a list of segments turned into views that a back end reads or fills. */
import type { AddressSpace } from './address-space.ts';

export interface DmaSegment {
  readonly addr: number;
  readonly sizeBytes: number;
}

interface Piece {
  readonly view: Uint8Array;
  /** Offset in the RAM buffer, or −1: a copy, since no writable RAM is there. */
  readonly ramOffset: number;
}

/**
 * The views of one transfer. RAM is used in place. What is not RAM reads as all ones, and writes to it (and to ROM) are
 * lost: a transfer never reaches another device's registers.
 */
export class DmaBuffer {
  readonly views: readonly Uint8Array[];
  readonly sizeBytes: number;
  readonly #memory: AddressSpace;
  readonly #pieces: readonly Piece[];

  constructor(memory: AddressSpace, segments: readonly DmaSegment[], toMemory: boolean) {
    this.#memory = memory;
    const pieces: Piece[] = [];
    let total = 0;
    for (const { addr, sizeBytes } of segments) {
      total += sizeBytes;
      addPieces(pieces, memory, addr, sizeBytes, toMemory);
    }
    this.#pieces = pieces;
    this.sizeBytes = total;
    this.views = pieces.map((piece) => piece.view);
  }

  /** After data has been put into the views: translated code in them is stale, and pages are dirty. */
  commit(): void {
    for (const { ramOffset, view } of this.#pieces) {
      if (ramOffset >= 0) this.#memory.ram.notifyWrite(ramOffset, view.length);
    }
  }

  /** Copies `bytes` into the views from the transfer's offset `at`, as far as they reach. */
  fill(bytes: Uint8Array, at = 0): void {
    this.#overlap(bytes, at, (view, part) => view.set(part));
  }

  /** Copies what the views hold from the transfer's offset `at` into `bytes`. */
  read(bytes: Uint8Array, at = 0): void {
    this.#overlap(bytes, at, (view, part) => part.set(view));
  }

  #overlap(bytes: Uint8Array, at: number, copy: (view: Uint8Array, part: Uint8Array) => void): void {
    let start = 0;
    for (const view of this.views) {
      const from = Math.max(start, at);
      const to = Math.min(start + view.length, at + bytes.length);
      if (from < to) copy(view.subarray(from - start, to - start), bytes.subarray(from - at, to - at));
      start += view.length;
    }
  }
}

function addPieces(
  pieces: Piece[],
  memory: AddressSpace,
  addr: number,
  size: number,
  toMemory: boolean,
): void {
  let at = addr;
  let left = size;
  while (left > 0) {
    const range = memory.find(at);
    const count = range === undefined ? left : Math.min(left, range.end - at);
    if (range === undefined || range.ramOffset < 0 || (toMemory && range.readOnly)) {
      // One copy for the rest: a hole ends nowhere that a transfer would care about.
      pieces.push({ view: new Uint8Array(count).fill(0xff), ramOffset: -1 });
    } else {
      const ramOffset = range.ramOffset + (at - range.start);
      pieces.push({ view: memory.ram.bytes.subarray(ramOffset, ramOffset + count), ramOffset });
    }
    at += count;
    left -= count;
  }
}

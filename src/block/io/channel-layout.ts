/**
 * Shared memory between the machine thread and the I/O thread: a ring of requests, a ring of completions, a doorbell for the
 * I/O thread, and bounce memory for data outside guest RAM.
 *
 * A request is a header of 40 bytes and 16 bytes a segment; a completion is 8 bytes: id, error. All little-endian.
 */
import { SharedRing } from '../../util/ring.ts';

export const REQUEST_RING_BYTES = 2 ** 18;
export const MAX_UNDER_WAY = 1024;
export const COMPLETION_BYTES = 8;
export const COMPLETION_RING_BYTES = 2 * MAX_UNDER_WAY * COMPLETION_BYTES;
export const BOUNCE_BYTES = 2 ** 22;
/** Longest request in the ring; longer ones are sent in pieces. */
export const MAX_PIECE_BYTES = 2 ** 20;
export const MAX_PIECE_SEGMENTS = 1024;

export const HEADER_BYTES = 40;
export const SEGMENT_BYTES = 16;

/** Offsets in the header. */
export const AT_LENGTH = 0;
export const AT_ID = 4;
export const AT_HANDLE = 8;
export const AT_OP = 12;
export const AT_OFFSET = 16; // float64
export const AT_SIZE = 24; // float64
export const AT_SEGMENTS = 32;

/** Offsets in a segment. */
export const AT_ADDRESS = 0; // float64
export const AT_BYTES = 8;
export const AT_SPACE = 12;

export const SPACE_RAM = 0;
export const SPACE_BOUNCE = 1;

export const OP_READ = 0;
export const OP_WRITE = 1;
export const OP_FLUSH = 2;
export const OP_DISCARD = 3;
export const OP_ZERO = 4;
export const OP_ZERO_UNMAP = 5;
/** A message and room for its reply; the first `size` bytes are the message. A completion's error is the reply's length. */
export const OP_MESSAGE = 6;

const WORDS_BYTES = 16;
const REQUESTS_AT = WORDS_BYTES;
const COMPLETIONS_AT = REQUESTS_AT + SharedRing.byteLength(REQUEST_RING_BYTES);
const BOUNCE_AT = COMPLETIONS_AT + SharedRing.byteLength(COMPLETION_RING_BYTES);

export interface ChannelParts {
  /** The I/O thread's doorbell. */
  readonly words: Int32Array;
  readonly requests: SharedRing;
  readonly completions: SharedRing;
  readonly bounce: Uint8Array;
}

export function createChannelBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(BOUNCE_AT + BOUNCE_BYTES);
}

export function channelParts(buffer: SharedArrayBuffer): ChannelParts {
  return {
    words: new Int32Array(buffer, 0, WORDS_BYTES / 4),
    requests: new SharedRing(buffer, REQUESTS_AT, REQUEST_RING_BYTES),
    completions: new SharedRing(buffer, COMPLETIONS_AT, COMPLETION_RING_BYTES),
    bounce: new Uint8Array(buffer, BOUNCE_AT, BOUNCE_BYTES),
  };
}

/**
 * Requests from the main thread to the machine thread: JSON messages in a ring, each preceded by its length. The machine
 * thread takes them while guest code runs, without ever entering its event loop. Answers go the other way as ordinary
 * messages.
 */
import { assert } from '../util/errors.ts';
import { Doorbell, SharedRing } from '../util/ring.ts';

const RING_CAPACITY = 2 ** 19;
const WORDS_BYTES = 16;
const DOORBELL = 0;
const NEWS = 1;
const HEADER = 4;
/** Longest message in characters. */
export const MAX_REQUEST = RING_CAPACITY / 2;

export class ControlChannel {
  readonly buffer: SharedArrayBuffer;
  /** What the machine thread sleeps on. */
  readonly doorbell: Doorbell;
  readonly #words: Int32Array;
  readonly #ring: SharedRing;

  static create(): ControlChannel {
    return new ControlChannel(new SharedArrayBuffer(WORDS_BYTES + SharedRing.byteLength(RING_CAPACITY)));
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS_BYTES / 4);
    this.doorbell = new Doorbell(this.#words, DOORBELL);
    this.#ring = new SharedRing(buffer, WORDS_BYTES, RING_CAPACITY);
  }

  /** Main thread: false if there is no room now. The caller rings the doorbell. */
  send(message: unknown): boolean {
    const bytes = encode(JSON.stringify(message));
    assert(bytes.length <= MAX_REQUEST, 'control message too long');
    if (this.#ring.writable < bytes.length + HEADER) return false;
    const framed = new Uint8Array(HEADER + bytes.length);
    new DataView(framed.buffer).setUint32(0, bytes.length, true);
    framed.set(bytes, HEADER);
    this.#ring.write(framed);
    return true;
  }

  /** Machine thread: the next message, or undefined. */
  receive(): unknown {
    if (this.#ring.readable < HEADER) return undefined;
    const header = new Uint8Array(HEADER);
    this.#ring.read(header);
    const bytes = new Uint8Array(new DataView(header.buffer).getUint32(0, true));
    this.#ring.read(bytes);
    return JSON.parse(decode(bytes));
  }

  /** Machine thread: true if the main thread must be sent a message to look at its rings. */
  setNews(): boolean {
    return Atomics.exchange(this.#words, NEWS, 1) === 0;
  }

  /** Main thread, before it looks. */
  clearNews(): void {
    Atomics.store(this.#words, NEWS, 0);
  }
}

/** ASCII only: other characters are escaped, as JSON allows. */
function encode(json: string): Uint8Array {
  const ascii = json.replace(
    /[\u0080-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const bytes = new Uint8Array(ascii.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = ascii.charCodeAt(i);
  return bytes;
}

function decode(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

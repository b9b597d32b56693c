/** A queue of bytes of fixed capacity. Pushing to a full queue drops the byte and reports it. */
export class ByteFifo {
  readonly capacity: number;
  readonly #data: Uint8Array;
  #head = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#data = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get free(): number {
    return this.capacity - this.#length;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  get isFull(): boolean {
    return this.#length === this.capacity;
  }

  /** False, and no change, when full. */
  push(byte: number): boolean {
    if (this.#length === this.capacity) return false;
    this.#data[(this.#head + this.#length) % this.capacity] = byte;
    this.#length++;
    return true;
  }

  /** The oldest byte, or -1 when empty. */
  shift(): number {
    if (this.#length === 0) return -1;
    const byte = this.#data[this.#head]!;
    this.#head = (this.#head + 1) % this.capacity;
    this.#length--;
    return byte;
  }

  /** The byte `index` places behind the oldest one, or -1. */
  peek(index = 0): number {
    if (index >= this.#length) return -1;
    return this.#data[(this.#head + index) % this.capacity]!;
  }

  clear(): void {
    this.#head = 0;
    this.#length = 0;
  }

  /** The content, oldest byte first. */
  toArray(): Uint8Array {
    const out = new Uint8Array(this.#length);
    for (let i = 0; i < out.length; i++) out[i] = this.peek(i);
    return out;
  }

  /** Replaces the content; bytes beyond the capacity are dropped. */
  assign(bytes: ArrayLike<number>): void {
    this.clear();
    for (let i = 0; i < bytes.length; i++) this.push(bytes[i]!);
  }
}

/** Bytes that wait for acknowledgement: chunks as the host gave them, read at any position, dropped from the front. */
export class SendBuffer {
  #chunks: Uint8Array[] = [];
  #first = 0;
  /** Bytes of the first chunk that are gone. */
  #skip = 0;
  #length = 0;
  /** Where the last `copy` ended: sending goes on from there. */
  #cursor = { position: 0, chunk: 0, at: 0 };

  get length(): number {
    return this.#length;
  }

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#skip = 0;
    this.#length = 0;
    this.#cursor = { position: 0, chunk: 0, at: 0 };
  }

  /** Copies `count` bytes from `position`; the caller knows that they are there. */
  copy(position: number, into: Uint8Array, at: number, count: number): void {
    this.#seek(position);
    const cursor = this.#cursor;
    let done = 0;
    while (done < count) {
      const chunk = this.#chunks[cursor.chunk]!;
      const part = Math.min(count - done, chunk.length - cursor.at);
      into.set(chunk.subarray(cursor.at, cursor.at + part), at + done);
      done += part;
      cursor.at += part;
      if (cursor.at === chunk.length) {
        cursor.chunk++;
        cursor.at = 0;
      }
    }
    cursor.position = position + count;
  }

  drop(count: number): void {
    let left = count;
    this.#length -= count;
    while (left > 0) {
      const chunk = this.#chunks[this.#first]!;
      const rest = chunk.length - this.#skip;
      if (left < rest) {
        this.#skip += left;
        break;
      }
      left -= rest;
      this.#skip = 0;
      this.#chunks[this.#first++] = EMPTY;
    }
    const cursor = this.#cursor;
    cursor.position -= count;
    if (this.#first > 64 && this.#first * 2 > this.#chunks.length) {
      this.#chunks.splice(0, this.#first);
      cursor.chunk -= this.#first;
      this.#first = 0;
    }
    if (cursor.position < 0) this.#rewind();
  }

  #rewind(): void {
    this.#cursor.position = 0;
    this.#cursor.chunk = this.#first;
    this.#cursor.at = this.#skip;
  }

  #seek(position: number): void {
    const cursor = this.#cursor;
    if (position < cursor.position) this.#rewind();
    while (cursor.position < position) {
      const rest = this.#chunks[cursor.chunk]!.length - cursor.at;
      const part = Math.min(position - cursor.position, rest);
      cursor.position += part;
      cursor.at += part;
      if (part === rest) {
        cursor.chunk++;
        cursor.at = 0;
      }
    }
  }
}

const EMPTY = new Uint8Array(0);

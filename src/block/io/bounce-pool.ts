/** First-fit allocation of pieces of bounce memory, in units of a sector. */
export class BouncePool {
  /** Free ranges, by offset, never touching. */
  #free: Array<{ start: number; end: number }>;

  constructor(sizeBytes: number) {
    this.#free = [{ start: 0, end: sizeBytes }];
  }

  /** Offset of `sizeBytes` (a multiple of 512), or -1 when there is no room. */
  allocate(sizeBytes: number): number {
    for (let i = 0; i < this.#free.length; i++) {
      const range = this.#free[i]!;
      if (range.end - range.start < sizeBytes) continue;
      const { start } = range;
      range.start += sizeBytes;
      if (range.start === range.end) this.#free.splice(i, 1);
      return start;
    }
    return -1;
  }

  release(start: number, sizeBytes: number): void {
    const end = start + sizeBytes;
    let i = 0;
    while (i < this.#free.length && this.#free[i]!.start < start) i++;
    this.#free.splice(i, 0, { start, end });
    this.#join(i);
    if (i > 0) this.#join(i - 1);
  }

  #join(i: number): void {
    const range = this.#free[i]!;
    const next = this.#free[i + 1];
    if (next === undefined || next.start !== range.end) return;
    range.end = next.end;
    this.#free.splice(i + 1, 1);
  }
}

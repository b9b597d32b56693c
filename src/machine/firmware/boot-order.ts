/** Devices by `bootindex`: firmware tries the lowest first. */

export class BootOrder {
  readonly #entries: Array<{ readonly path: string; readonly index: number }> = [];

  /** `path` is the device's Open Firmware path: `/pci@i0cf8/ide@1,1/drive@0/disk@0`. */
  add(path: string, index: number): void {
    this.#entries.push({ path, index });
  }

  /** Whether an index is in use: two devices cannot share one. */
  has(index: number): boolean {
    return this.#entries.some((entry) => entry.index === index);
  }

  get paths(): readonly string[] {
    return [...this.#entries].sort((a, b) => a.index - b.index).map((entry) => entry.path);
  }
}

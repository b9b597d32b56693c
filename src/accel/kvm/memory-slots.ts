/** Keeps KVM's memory slots in step with the board's map of RAM and ROM. */
import type { RamRange } from '../accelerator.ts';
import type { VmFd } from './ioctls/vm-fd.ts';

const PAGE = 4096;

interface Slot extends RamRange {
  readonly slot: number;
}

export class MemorySlots {
  readonly #vm: VmFd;
  readonly #ramAddress: number;
  readonly #slots = new Map<string, Slot>();
  readonly #free: number[] = [];
  #next = 0;
  #logDirty = false;

  /** `ramAddress`: where the RAM buffer lies in this process. */
  constructor(vm: VmFd, ramAddress: number) {
    this.#vm = vm;
    this.#ramAddress = ramAddress;
  }

  /** Removes what has gone before it adds what is new, since slots must not overlap. Parts that are no whole page are left out. */
  update(ranges: readonly RamRange[]): void {
    const wanted = new Map(
      ranges
        .map(wholePages)
        .filter((r) => r.sizeBytes > 0)
        .map((range) => [key(range), range]),
    );
    for (const [name, slot] of this.#slots) {
      if (wanted.has(name)) continue;
      this.#set({ ...slot, sizeBytes: 0 });
      this.#slots.delete(name);
      this.#free.push(slot.slot);
    }
    for (const [name, range] of wanted) {
      if (this.#slots.has(name)) continue;
      const slot = { ...range, slot: this.#free.pop() ?? this.#next++ };
      this.#set(slot);
      this.#slots.set(name, slot);
    }
  }

  /** Whether the kernel notes which pages are written. */
  setDirtyLogging(enabled: boolean): void {
    if (enabled === this.#logDirty) return;
    this.#logDirty = enabled;
    for (const slot of this.#slots.values()) if (!slot.readOnly) this.#set(slot);
  }

  /** Calls `mark` with runs of bytes in the RAM buffer that the guest wrote since the last call. */
  takeDirty(mark: (ramOffset: number, sizeBytes: number) => void): void {
    if (!this.#logDirty) return;
    for (const slot of this.#slots.values()) {
      if (slot.readOnly) continue;
      const pages = slot.sizeBytes / PAGE;
      // shared: the kernel is given its address
      const bitmap = new Uint8Array(new SharedArrayBuffer(Math.ceil(pages / 64) * 8));
      this.#vm.getDirtyLog(slot.slot, bitmap);
      markRuns(bitmap, pages, (first, count) => mark(slot.ramOffset + first * PAGE, count * PAGE));
    }
  }

  /** How many there are now. */
  get count(): number {
    return this.#slots.size;
  }

  #set(slot: Slot): void {
    this.#vm.setMemory({
      slot: slot.slot,
      start: slot.start,
      sizeBytes: slot.sizeBytes,
      hostAddress: this.#ramAddress + slot.ramOffset,
      readOnly: slot.readOnly,
      logDirty: this.#logDirty && !slot.readOnly,
    });
  }
}

function key({ start, sizeBytes, ramOffset, readOnly }: RamRange): string {
  return `${start},${sizeBytes},${ramOffset},${readOnly}`;
}

function wholePages(range: RamRange): RamRange {
  const start = Math.ceil(range.start / PAGE) * PAGE;
  const end = Math.floor((range.start + range.sizeBytes) / PAGE) * PAGE;
  return {
    ...range,
    start,
    sizeBytes: Math.max(0, end - start),
    ramOffset: range.ramOffset + (start - range.start),
  };
}

function markRuns(bitmap: Uint8Array, pages: number, mark: (first: number, count: number) => void): void {
  let first = -1;
  for (let page = 0; page <= pages; page++) {
    const isSet = page < pages && ((bitmap[page >> 3]! >> (page & 7)) & 1) !== 0;
    if (isSet && first < 0) first = page;
    if (isSet || first < 0) continue;
    mark(first, page - first);
    first = -1;
  }
}

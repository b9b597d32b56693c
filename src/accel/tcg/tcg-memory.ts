import {
  RAM_BASE,
  RAM_MAP_COUNT,
  RAM_MAP_FLAGS,
  RAM_MAP_HOST,
  RAM_MAP_MAX,
  RAM_MAP_ROM,
  RAM_MAP_ROWS,
  RAM_MAP_SIZE,
  RAM_MAP_START,
  VCPU_BASE,
  VCPU_STRIDE,
} from '../../runtime/tcg/layout.ts';
import { assert, UserError } from '../../util/errors.ts';
import type { RamRange } from '../accelerator.ts';
import { WASM_PAGE_SIZE, type WasmMemory, webAssembly } from './webassembly.ts';

const MAX_PAGES = 65536;
const RAM_MAP_ROW_SIZE = 32;

/** The one shared memory of a machine under the translator: guest RAM, CPU state, soft TLBs and translated blocks. */
export class TcgMemory {
  readonly memory: WasmMemory;
  readonly buffer: SharedArrayBuffer;
  /** Size of the RAM part. */
  readonly ramBytes: number;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly view: DataView;

  /** Throws `UserError` when the host cannot give that much memory. */
  constructor(ramBytes: number) {
    const pages = Math.ceil((RAM_BASE + ramBytes) / WASM_PAGE_SIZE);
    if (pages > MAX_PAGES)
      throw new UserError(
        'ram-size',
        `guest memory of ${ramBytes} bytes is more than the translator can map`,
      );
    const { Memory } = webAssembly();
    try {
      this.memory = new Memory({ initial: pages, maximum: MAX_PAGES, shared: true });
    } catch (cause) {
      throw new UserError('ram-size', `cannot allocate ${ramBytes} bytes of guest memory`, { cause });
    }
    this.buffer = this.memory.buffer;
    this.ramBytes = ramBytes;
    this.u8 = new Uint8Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.view = new DataView(this.buffer);
  }

  /** Bytes of guest RAM and ROM, for a `GuestRam`. */
  get ram(): Uint8Array {
    return this.u8.subarray(RAM_BASE, RAM_BASE + this.ramBytes);
  }

  /** Address of a vCPU's register file. */
  cpuBase(index: number): number {
    return VCPU_BASE + index * VCPU_STRIDE;
  }

  /** Publishes the physical map of RAM and ROM to the page walker. The caller flushes the soft TLBs afterwards. */
  setRamMap(ranges: readonly RamRange[]): void {
    assert(ranges.length <= RAM_MAP_MAX, 'too many RAM ranges');
    this.u32[RAM_MAP_COUNT >>> 2] = ranges.length;
    let row = RAM_MAP_ROWS;
    for (const range of ranges) {
      this.view.setFloat64(row + RAM_MAP_START, range.start, true);
      this.view.setFloat64(row + RAM_MAP_SIZE, range.sizeBytes, true);
      this.view.setUint32(row + RAM_MAP_HOST, RAM_BASE + range.ramOffset, true);
      this.view.setUint32(row + RAM_MAP_FLAGS, range.readOnly ? RAM_MAP_ROM : 0, true);
      row += RAM_MAP_ROW_SIZE;
    }
  }

  /** Address in this memory of a guest-physical address, 0 where there is neither RAM nor ROM. */
  hostAddress(physical: number): number {
    const count = this.u32[RAM_MAP_COUNT >>> 2]!;
    let row = RAM_MAP_ROWS;
    for (let i = 0; i < count; i++, row += RAM_MAP_ROW_SIZE) {
      const offset = physical - this.view.getFloat64(row + RAM_MAP_START, true);
      if (offset >= 0 && offset < this.view.getFloat64(row + RAM_MAP_SIZE, true)) {
        return this.view.getUint32(row + RAM_MAP_HOST, true) + offset;
      }
    }
    return 0;
  }

  /** Address in this memory of an offset in the guest's RAM buffer. */
  ramAddress(ramOffset: number): number {
    return RAM_BASE + ramOffset;
  }
}

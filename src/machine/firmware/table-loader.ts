/**
 * `etc/table-loader`: commands by which firmware allocates the ACPI blobs, links them and computes their checksums
 * (QEMU's published interface, "BIOS linker/loader"). Each command has 128 bytes, numbers are little-endian.
 */
import { assert } from '../../util/errors.ts';

const COMMAND_BYTES = 128;
const NAME_BYTES = 56;

const ALLOCATE = 1;
const ADD_POINTER = 2;
const ADD_CHECKSUM = 3;

/** Where firmware puts a blob: anywhere below 4 GiB, or in 0xf0000…0xfffff. */
export const ZONE_HIGH = 1;
export const ZONE_FSEG = 2;

export class TableLoader {
  readonly #commands: DataView[] = [];

  allocate(file: string, alignment: number, zone: number): void {
    const view = this.#command(ALLOCATE);
    putName(view, 4, file);
    view.setUint32(4 + NAME_BYTES, alignment, true);
    view.setUint8(8 + NAME_BYTES, zone);
  }

  /** The `size` bytes at `at` of `file` hold an offset in `target`: its address is added. */
  addPointer(file: string, at: number, size: 4 | 8, target: string): void {
    const view = this.#command(ADD_POINTER);
    putName(view, 4, file);
    putName(view, 4 + NAME_BYTES, target);
    view.setUint32(4 + 2 * NAME_BYTES, at, true);
    view.setUint8(8 + 2 * NAME_BYTES, size);
  }

  /** The byte at `at` makes the sum of `length` bytes from `start` zero. */
  addChecksum(file: string, at: number, start: number, length: number): void {
    const view = this.#command(ADD_CHECKSUM);
    putName(view, 4, file);
    view.setUint32(4 + NAME_BYTES, at, true);
    view.setUint32(8 + NAME_BYTES, start, true);
    view.setUint32(12 + NAME_BYTES, length, true);
  }

  bytes(): Uint8Array {
    const out = new Uint8Array(COMMAND_BYTES * this.#commands.length);
    this.#commands.forEach((view, i) => {
      out.set(new Uint8Array(view.buffer), i * COMMAND_BYTES);
    });
    return out;
  }

  #command(command: number): DataView {
    const view = new DataView(new ArrayBuffer(COMMAND_BYTES));
    view.setUint32(0, command, true);
    this.#commands.push(view);
    return view;
  }
}

function putName(view: DataView, at: number, name: string): void {
  assert(name.length < NAME_BYTES);
  for (let i = 0; i < name.length; i++) view.setUint8(at + i, name.charCodeAt(i));
}

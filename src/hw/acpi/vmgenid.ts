/**
 * VM generation ID (Microsoft "Virtual Machine Generation ID"; QEMU docs/specs/vmgenid.txt): 128 bits in guest memory that change when
 * the machine is a copy. Firmware places the page through `etc/vmgenid_guid` and writes its address to `etc/vmgenid_addr`.
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { Device } from '../../core/device.ts';
import { bytes, defineState, type Stateful, stateful } from '../../core/vmstate.ts';

export const VMGENID_PAGE_BYTES = 4096;
/** Where the identifier lies in the page: firmware may put a header before it. */
export const VMGENID_GUID_OFFSET = 40;

const schema = defineState('vmgenid', 1, { guid: bytes(16), address: bytes(8) });

export class VmGenId implements Device {
  readonly vmstate: Stateful;
  /** Content of the `fw_cfg` file `etc/vmgenid_addr`, which the guest writes. */
  readonly address: Uint8Array;
  readonly #s = schema.create();
  readonly #memory: AddressSpace;
  readonly #given: Uint8Array;

  /** `guid`: 16 bytes as they lie in memory (first three fields little-endian). */
  constructor(guid: Uint8Array, memory: AddressSpace) {
    this.#memory = memory;
    this.#given = guid;
    this.#s.guid.set(guid);
    this.address = this.#s.address;
    this.vmstate = stateful(schema, this.#s, { postLoad: () => this.publish() });
  }

  /** The page for `fw_cfg` file `etc/vmgenid_guid`. */
  page(): Uint8Array {
    const page = new Uint8Array(VMGENID_PAGE_BYTES);
    page.set(this.#s.guid, VMGENID_GUID_OFFSET);
    return page;
  }

  get guidText(): string {
    return formatGuid(this.#s.guid);
  }

  reset(): void {
    this.#s.guid.set(this.#given);
    this.address.fill(0);
  }

  /** Puts the identifier where firmware said the page is. */
  publish(): void {
    const address = Number(new DataView(this.address.buffer, this.address.byteOffset).getBigUint64(0, true));
    if (address > 0 && address < 2 ** 52)
      this.#memory.writeBytes(address + VMGENID_GUID_OFFSET, this.#s.guid);
  }
}

/** `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` as bytes in memory order; undefined if it is none. */
export function parseGuid(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return undefined;
  const digits = text.replaceAll('-', '');
  const bytesInOrder = Uint8Array.from({ length: 16 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
  return swapped(bytesInOrder);
}

export function formatGuid(guid: Uint8Array): string {
  const hex = Array.from(swapped(guid), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The first three fields change their byte order. */
function swapped(guid: Uint8Array): Uint8Array {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (i) => guid[i]!);
}

/** What a network card and its back end are to each other. Frames are Ethernet frames without preamble and check sequence. */

/** The transport checksum is not yet there: it is computed from `checksumStart` and put `checksumOffset` further. */
export const FRAME_NEEDS_CHECKSUM = 1;
/** Somebody has verified the checksums. */
export const FRAME_CHECKED = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_ECN = 0x80;

/** What goes along with a frame; the fields are those of `struct virtio_net_hdr` (virtio 1.2, 5.1.6). */
export interface FrameMeta {
  flags: number;
  gsoType: number;
  /** Bytes of headers that each segment repeats. */
  headerBytes: number;
  /** Payload bytes of each segment. */
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

export function createMeta(): FrameMeta {
  return { flags: 0, gsoType: GSO_NONE, headerBytes: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 };
}

/** A frame that is complete as it is. */
export const PLAIN_FRAME: Readonly<FrameMeta> = Object.freeze(createMeta());

/** What a card takes besides complete frames of ordinary size. */
export const OFFLOAD_CHECKSUM = 1;
export const OFFLOAD_TCPV4 = 2;
export const OFFLOAD_TCPV6 = 4;

/** Longest frame: 64 KiB of IP behind an Ethernet header with a VLAN tag. */
export const MAX_FRAME_BYTES = 65535 + 18;

/** The card's side. */
export interface NetFrontend {
  /**
   * Takes a frame, which is only valid during the call. False: no room now; the frame stays first in line until the card calls
   * `NetBackend.resume`. A frame that the card filters out counts as taken.
   */
  receive(frame: Uint8Array, meta: Readonly<FrameMeta>): boolean;
  /** After the last of several `receive` calls in a row. */
  received?(): void;
  /** There is room again after `send` said no. */
  writable(): void;
  linkChanged?(up: boolean): void;
}

/** The back end's side. */
export interface NetBackend {
  readonly isLinkUp: boolean;
  connect(frontend: NetFrontend): void;
  /** False: no room now; `writable` will be called. The frame is copied. */
  send(frame: Uint8Array, meta?: Readonly<FrameMeta>): boolean;
  /** Memory for a frame of that length, to be filled and given away with `commit`; undefined as `send`'s false. */
  reserve(length: number): Uint8Array | undefined;
  commit(meta: Readonly<FrameMeta>): void;
  /** The card has room again. */
  resume(): void;
  /** What the card's driver takes now: `OFFLOAD_…`. */
  setOffloads(offloads: number): void;
}

/** A card that is plugged into nothing: what it sends is lost. */
export class NullNetBackend implements NetBackend {
  readonly isLinkUp = true;
  #scratch = new Uint8Array(0);

  connect(): void {}

  send(): boolean {
    return true;
  }

  reserve(length: number): Uint8Array {
    if (this.#scratch.length < length) this.#scratch = new Uint8Array(length);
    return this.#scratch.subarray(0, length);
  }

  commit(): void {}
  resume(): void {}
  setOffloads(): void {}
}

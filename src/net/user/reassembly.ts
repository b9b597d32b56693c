/** Puts IPv4 fragments together again (RFC 791 3.2), in bounded memory and time. */
import { equalAt } from './address.ts';
import { get16 } from './ip-output.ts';

const MAX_DATAGRAMS = 16;
const MAX_FRAGMENTS = 64;
const LIFETIME_MS = 15_000;
const MAX_PAYLOAD = 65535 - 20;

interface Datagram {
  /** Addresses, identification and protocol. */
  readonly key: Uint8Array;
  readonly expiresMs: number;
  readonly pieces: Array<{ readonly offset: number; readonly bytes: Uint8Array }>;
  total: number;
}

export class Reassembly {
  #datagrams: Datagram[] = [];

  /** Takes a fragment with its header at `ip`; the complete packet behind an Ethernet header when it was the last one missing. */
  add(frame: Uint8Array, ip: number, headerEnd: number, end: number, nowMs: number): Uint8Array | undefined {
    const flags = get16(frame, ip + 6);
    const offset = (flags & 0x1fff) * 8;
    const more = (flags & 0x2000) !== 0;
    const length = end - headerEnd;
    if (offset + length > MAX_PAYLOAD || (more && (length & 7) !== 0) || length === 0) return undefined;
    const datagram = this.#find(frame, ip, nowMs);
    if (datagram.pieces.length >= MAX_FRAGMENTS) return undefined;
    if (!more) datagram.total = offset + length;
    const overlaps = datagram.pieces.some(
      (piece) => offset < piece.offset + piece.bytes.length && piece.offset < offset + length,
    );
    if (!overlaps) datagram.pieces.push({ offset, bytes: frame.slice(headerEnd, end) });
    return this.#complete(datagram, frame, ip);
  }

  #find(frame: Uint8Array, ip: number, nowMs: number): Datagram {
    this.#datagrams = this.#datagrams.filter((d) => d.expiresMs > nowMs);
    const key = new Uint8Array(11);
    key.set(frame.subarray(ip + 12, ip + 20));
    key.set(frame.subarray(ip + 4, ip + 6), 8);
    key[10] = frame[ip + 9]!;
    const known = this.#datagrams.find((d) => equalAt(d.key, 0, key));
    if (known !== undefined) return known;
    if (this.#datagrams.length >= MAX_DATAGRAMS) this.#datagrams.shift();
    const made: Datagram = { key, expiresMs: nowMs + LIFETIME_MS, pieces: [], total: -1 };
    this.#datagrams.push(made);
    return made;
  }

  #complete(datagram: Datagram, frame: Uint8Array, ip: number): Uint8Array | undefined {
    const { pieces, total } = datagram;
    const have = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    if (total < 0 || have !== total) return undefined;
    this.#datagrams = this.#datagrams.filter((d) => d !== datagram);
    const start = ip + 20;
    const whole = new Uint8Array(start + total);
    whole.set(frame.subarray(0, start));
    whole[ip] = 0x45;
    whole[ip + 2] = (total + 20) >> 8;
    whole[ip + 3] = (total + 20) & 0xff;
    whole[ip + 6] = 0;
    whole[ip + 7] = 0;
    for (const { offset, bytes } of pieces)
      if (offset + bytes.length <= total) whole.set(bytes, start + offset);
    return whole;
  }
}

/** Internet addresses as bytes: 4 of IPv4, 16 of IPv6. */

export type IpBytes = Uint8Array;

/** Undefined for what is no dotted quad. */
export function parseIpv4(text: string): IpBytes | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = match.slice(1).map(Number);
  return bytes.every((n) => n < 256) ? Uint8Array.from(bytes) : undefined;
}

/** RFC 4291 2.2, without zone. */
export function parseIpv6(text: string): IpBytes | undefined {
  let source = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const v4 = parseIpv4(dotted[2]!);
    if (v4 === undefined) return undefined;
    source = `${dotted[1]}${((v4[0]! << 8) | v4[1]!).toString(16)}:${((v4[2]! << 8) | v4[3]!).toString(16)}`;
  }
  const halves = source.split('::');
  if (halves.length > 2 || !source.includes(':')) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const given = groups.flat();
  if (given.length > 8 || (halves.length === 1 && given.length !== 8)) return undefined;
  if (!given.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  const zeros = new Array<string>(8 - given.length).fill('0');
  const words = halves.length === 1 ? given : [...groups[0]!, ...zeros, ...groups[1]!];
  const bytes = new Uint8Array(16);
  words.forEach((word, n) => {
    const value = Number.parseInt(word, 16);
    bytes[2 * n] = value >> 8;
    bytes[2 * n + 1] = value & 0xff;
  });
  return bytes;
}

export function parseIp(text: string): IpBytes | undefined {
  return text.includes(':') ? parseIpv6(text.replace(/%.*$/, '')) : parseIpv4(text);
}

/** IPv6 in the form of RFC 5952. */
export function formatIp(bytes: IpBytes): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, n) => (bytes[2 * n]! << 8) | bytes[2 * n + 1]!);
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (list: readonly number[]): string => list.map((word) => word.toString(16)).join(':');
  if (best.at < 0) return hex(words);
  return `${hex(words.slice(0, best.at))}::${hex(words.slice(best.at + best.length))}`;
}

/** Whether `length` bytes of two arrays are equal. */
export function equalAt(a: Uint8Array, at: number, b: Uint8Array, from = 0, length = b.length): boolean {
  for (let i = 0; i < length; i++) if (a[at + i] !== b[from + i]) return false;
  return true;
}

/** Whether the first `prefix` bits agree. */
export function samePrefix(a: Uint8Array, at: number, b: IpBytes, prefix: number): boolean {
  const whole = prefix >> 3;
  if (!equalAt(a, at, b, 0, whole)) return false;
  const rest = prefix & 7;
  return rest === 0 || ((a[at + whole]! ^ b[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}

export function isLoopback(bytes: IpBytes): boolean {
  if (bytes.length === 4) return bytes[0] === 127;
  return bytes.every((byte, n) => byte === (n === 15 ? 1 : 0));
}

/** An address with its last bytes replaced. */
export function withHost(net: IpBytes, host: number): IpBytes {
  const bytes = net.slice();
  const last = bytes.length - 1;
  bytes[last] = (bytes[last]! & 0) | (host & 0xff);
  if (host > 0xff) bytes[last - 1] = (host >> 8) & 0xff;
  return bytes;
}

/** `aa:bb:cc:dd:ee:ff`, or undefined. */
export function parseMac(text: string): Uint8Array | undefined {
  const parts = text.split(/[:-]/);
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-f]{1,2}$/i.test(part))) return undefined;
  return Uint8Array.from(parts, (part) => Number.parseInt(part, 16));
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

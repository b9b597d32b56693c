/** Answers questions to the name server from what the host itself resolves, where it has no name server to pass them on to (RFC 1035). */
import type { NetHost } from '../host.ts';
import { parseIp } from './address.ts';
import { get16, put16, put32 } from './ip-output.ts';

const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
const RCODE_NAME = 3;
const RCODE_NOT_IMPLEMENTED = 4;
const TTL_SECONDS = 60;
const MAX_UNDER_WAY = 64;

export class NameResolver {
  readonly #host: NetHost;
  #underWay = 0;

  constructor(host: NetHost) {
    this.#host = host;
  }

  /** Undefined: not a question, or too many at once. */
  async answer(query: Uint8Array): Promise<Uint8Array | undefined> {
    if (query.length < 12 || (query[2]! & 0x80) !== 0 || get16(query, 4) !== 1) return undefined;
    const question = readQuestion(query);
    if (question === undefined || this.#underWay >= MAX_UNDER_WAY) return undefined;
    const { name, type, end } = question;
    if (type !== TYPE_A && type !== TYPE_AAAA) return reply(query, end, [], RCODE_NOT_IMPLEMENTED);
    this.#underWay++;
    try {
      const all = await this.#host.lookup(name);
      const family = type === TYPE_A ? 4 : 6;
      const found = all
        .filter((entry) => entry.family === family)
        .flatMap(({ address }) => parseIp(address) ?? []);
      return reply(query, end, found.slice(0, 16), 0);
    } catch {
      return reply(query, end, [], RCODE_NAME);
    } finally {
      this.#underWay--;
    }
  }
}

function readQuestion(query: Uint8Array): { name: string; type: number; end: number } | undefined {
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = query[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > query.length) return undefined;
    labels.push(String.fromCharCode(...query.subarray(at, at + length)));
    at += length;
  }
  if (at + 4 > query.length || get16(query, at + 2) !== CLASS_IN) return undefined;
  return { name: labels.join('.'), type: get16(query, at), end: at + 4 };
}

function reply(query: Uint8Array, end: number, addresses: readonly Uint8Array[], rcode: number): Uint8Array {
  const size = addresses.reduce((sum, address) => sum + 12 + address.length, end);
  const out = new Uint8Array(size);
  out.set(query.subarray(0, end));
  put16(out, 2, 0x8080 | ((query[2]! & 1) << 8) | rcode);
  put16(out, 6, addresses.length);
  put32(out, 8, 0);
  let at = end;
  for (const address of addresses) {
    put16(out, at, 0xc00c);
    put16(out, at + 2, address.length === 4 ? TYPE_A : TYPE_AAAA);
    put16(out, at + 4, CLASS_IN);
    put32(out, at + 6, TTL_SECONDS);
    put16(out, at + 10, address.length);
    out.set(address, at + 12);
    at += 12 + address.length;
  }
  return out;
}

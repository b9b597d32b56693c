/** A read-only TFTP server (RFC 1350) with block size, transfer size, time-out and window options (RFC 2348, 2349, 7440). */
import type { HostFile, HostTimer, NetHost } from '../host.ts';
import { equalAt, type IpBytes } from './address.ts';
import { get16, put16, type Route } from './ip-output.ts';

export const TFTP_PORT = 69;
const READ = 1;
const WRITE = 2;
const DATA = 3;
const ACKNOWLEDGE = 4;
const ERROR = 5;
const OPTION_ACK = 6;
const MAX_SESSIONS = 20;
const MAX_NAME = 512;
/** Largest block that goes into one frame. */
const MAX_BLOCK = 1428;
const MAX_WINDOW = 64;
const RETRY_MS = 1000;
const MAX_RETRIES = 5;
const FIRST_PORT = 49152;

interface Session {
  readonly route: Route;
  readonly guestPort: number;
  /** Ours for this transfer. */
  readonly port: number;
  readonly file: HostFile;
  blockBytes: number;
  window: number;
  /** Blocks acknowledged. */
  acked: number;
  optionsPending: Uint8Array | undefined;
  retries: number;
  deadlineMs: number;
}

export class TftpServer {
  readonly #host: NetHost;
  readonly #root: string | undefined;
  readonly #send: (route: Route, from: number, to: number, payload: Uint8Array) => void;
  readonly #timer: HostTimer;
  #sessions: Session[] = [];
  #nextPort = FIRST_PORT;

  constructor(
    host: NetHost,
    root: string | undefined,
    send: (route: Route, from: number, to: number, payload: Uint8Array) => void,
  ) {
    this.#host = host;
    this.#root = root;
    this.#send = send;
    this.#timer = host.timer(() => this.#tick());
  }

  close(): void {
    for (const session of this.#sessions) session.file.close();
    this.#sessions = [];
    this.#timer.cancel();
  }

  /** A datagram to `port`, ours; true if it was for this server. QEMU's clients may go on talking to port 69. */
  input(route: Route, guestPort: number, port: number, payload: Uint8Array): boolean {
    const session = this.#sessions.find(
      (s) =>
        s.guestPort === guestPort && (port === s.port || port === TFTP_PORT) && this.#isFor(s, route.target),
    );
    if (session === undefined && port !== TFTP_PORT) return false;
    const operation = payload.length >= 4 ? get16(payload, 0) : 0;
    if (operation === READ) this.#onRead(route, guestPort, payload);
    else if (operation === WRITE) this.#error(route, TFTP_PORT, guestPort, 2, 'Access violation');
    else if (session !== undefined && operation === ACKNOWLEDGE) this.#onAck(session, get16(payload, 2));
    else if (session !== undefined && operation === ERROR) this.#end(session);
    return true;
  }

  #isFor(session: Session, guest: IpBytes): boolean {
    return session.route.target.length === guest.length && equalAt(session.route.target, 0, guest);
  }

  #onRead(route: Route, guestPort: number, payload: Uint8Array): void {
    const words = splitStrings(payload.subarray(2, 2 + MAX_NAME));
    const [name = '', mode = ''] = words;
    const refuse = (code: number, text: string): void => this.#error(route, TFTP_PORT, guestPort, code, text);
    if (mode.toLowerCase() !== 'octet') return refuse(4, 'Unsupported transfer mode');
    const file = this.#root === undefined ? undefined : this.#host.openFile(this.#root, name);
    if (file === undefined) return refuse(1, 'File not found');
    for (const old of this.#sessions)
      if (old.guestPort === guestPort && this.#isFor(old, route.target)) this.#end(old);
    if (this.#sessions.length >= MAX_SESSIONS) this.#end(this.#sessions[0]!);
    const session: Session = {
      route,
      guestPort,
      port: this.#port(),
      file,
      blockBytes: 512,
      window: 1,
      acked: 0,
      optionsPending: undefined,
      retries: 0,
      deadlineMs: 0,
    };
    this.#sessions.push(session);
    session.optionsPending = negotiate(session, words.slice(2));
    this.#transmit(session);
    this.#timer.arm(RETRY_MS);
  }

  #port(): number {
    this.#nextPort = this.#nextPort >= 65535 ? FIRST_PORT : this.#nextPort + 1;
    return this.#nextPort;
  }

  #onAck(session: Session, block: number): void {
    if (session.optionsPending !== undefined) {
      if (block !== 0) return;
      session.optionsPending = undefined;
      this.#transmit(session);
      return;
    }
    // Block numbers are 16 bits and wrap.
    const ahead = (block - session.acked) & 0xffff;
    if (ahead === 0 || ahead > session.window) {
      if (ahead === 0 && session.window > 1) this.#transmit(session);
      return;
    }
    session.acked += ahead;
    if (session.acked >= this.#blocks(session)) this.#end(session);
    else this.#transmit(session);
  }

  /** A file whose size is a multiple of the block's ends with an empty block. */
  #blocks(session: Session): number {
    return Math.floor(session.file.sizeBytes / session.blockBytes) + 1;
  }

  #transmit(session: Session): void {
    session.deadlineMs = this.#host.nowMs() + RETRY_MS;
    session.retries = 0;
    this.#emit(session);
  }

  #emit(session: Session): void {
    const { route, port, guestPort, file, blockBytes, optionsPending } = session;
    if (optionsPending !== undefined) {
      this.#send(route, port, guestPort, optionsPending);
      return;
    }
    const last = Math.min(session.acked + session.window, this.#blocks(session));
    for (let block = session.acked + 1; block <= last; block++) {
      const bytes = file.read((block - 1) * blockBytes, blockBytes);
      const packet = new Uint8Array(4 + bytes.length);
      put16(packet, 0, DATA);
      put16(packet, 2, block & 0xffff);
      packet.set(bytes, 4);
      this.#send(route, port, guestPort, packet);
    }
  }

  #error(route: Route, port: number, guestPort: number, code: number, text: string): void {
    const packet = new Uint8Array(5 + text.length);
    put16(packet, 0, ERROR);
    put16(packet, 2, code);
    for (let i = 0; i < text.length; i++) packet[4 + i] = text.charCodeAt(i);
    this.#send(route, port, guestPort, packet);
  }

  #end(session: Session): void {
    session.file.close();
    this.#sessions = this.#sessions.filter((other) => other !== session);
  }

  #tick(): void {
    const nowMs = this.#host.nowMs();
    for (const session of [...this.#sessions]) {
      if (session.deadlineMs > nowMs) continue;
      session.deadlineMs = nowMs + RETRY_MS;
      if (++session.retries > MAX_RETRIES) this.#end(session);
      else this.#emit(session);
    }
    if (this.#sessions.length > 0) this.#timer.arm(RETRY_MS);
  }
}

/** Takes the options that are understood, and gives the packet that acknowledges them. */
function negotiate(session: Session, words: readonly string[]): Uint8Array | undefined {
  const taken: string[] = [];
  for (let i = 0; i + 1 < words.length; i += 2) {
    const name = words[i]!.toLowerCase();
    const value = Number(words[i + 1]);
    if (!Number.isInteger(value) || value < 0) continue;
    if (name === 'tsize') taken.push(name, String(session.file.sizeBytes));
    else if (name === 'blksize' && value >= 8) {
      session.blockBytes = Math.min(value, MAX_BLOCK);
      taken.push(name, String(session.blockBytes));
    } else if (name === 'windowsize' && value >= 1) {
      session.window = Math.min(value, MAX_WINDOW);
      taken.push(name, String(session.window));
    } else if (name === 'timeout' && value >= 1 && value <= 255) taken.push(name, String(value));
  }
  if (taken.length === 0) return undefined;
  const text = `${taken.join('\0')}\0`;
  const packet = new Uint8Array(2 + text.length);
  put16(packet, 0, OPTION_ACK);
  for (let i = 0; i < text.length; i++) packet[2 + i] = text.charCodeAt(i);
  return packet;
}

/** Strings that end with a zero byte; what follows the last zero is not one. */
function splitStrings(bytes: Uint8Array): string[] {
  const words: string[] = [];
  let word = '';
  for (const byte of bytes) {
    if (byte === 0) {
      words.push(word);
      word = '';
    } else word += String.fromCharCode(byte);
  }
  return words;
}

/**
 * One TCP connection of the guest (RFC 9293), whose other end is a stream of the host: window scaling (RFC 7323), retransmission (RFC
 * 6298), fast retransmit and recovery (RFC 6582). Sequence numbers are 32-bit integers compared by their difference.
 */
import {
  createMeta,
  FRAME_CHECKED,
  FRAME_NEEDS_CHECKSUM,
  type FrameMeta,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TCPV4,
  OFFLOAD_TCPV6,
} from '../../core/net-backend.ts';
import { foldSum, inetChecksum } from '../../util/inet-checksum.ts';
import type { HostStream, StreamHandlers } from '../host.ts';
import type { NetLink } from '../net-client.ts';
import {
  addressSum,
  type HeaderWriter,
  headerBytes,
  MTU,
  PROTOCOL_TCP,
  put16,
  put32,
  type Route,
} from './ip-output.ts';
import { SendBuffer } from './send-buffer.ts';
import { readTcpOptions } from './tcp-options.ts';

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_PSH = 8;
export const TCP_ACK = 16;

/** Bytes waiting for the guest at which reading from the host pauses. */
const SEND_LIMIT = 1024 * 1024;
/** Bytes that may wait for the host: the window offered to the guest. */
const RECEIVE_LIMIT = 1024 * 1024;
const WINDOW_SHIFT = 7;
/** What arrived out of order, at most. */
const MAX_STRAYS = 128;
const MAX_GSO_BYTES = 64000;
const STAGE_BYTES = 65536;
const INITIAL_RTO_MS = 300;
const MAX_RTO_MS = 8000;
const MAX_RETRIES = 10;
const MAX_CWND = 4 * 1024 * 1024;

/** What a flow needs of the stack around it. */
export interface FlowPorts {
  readonly headers: HeaderWriter;
  link(): NetLink | undefined;
  /** The link's end that the stack is. */
  readonly self: Parameters<NetLink['send']>[0];
  nowMs(): number;
  /** Calls `output` before the present batch of work ends. */
  schedule(flow: TcpFlow): void;
  /** The ring to the guest is full: call `output` when it is not. */
  blocked(flow: TcpFlow): void;
  /** `deadlineMs` was set. */
  timed(flow: TcpFlow): void;
  /** Calls `acknowledge` in a moment. */
  delayAck(flow: TcpFlow): void;
  removed(flow: TcpFlow): void;
}

export type TcpState = 'connecting' | 'syn-received' | 'syn-sent' | 'open' | 'closed';

export class TcpFlow implements StreamHandlers {
  readonly route: Route;
  /** Port of the guest, and the one it talks to. */
  readonly guestPort: number;
  readonly remotePort: number;
  readonly describe: string;
  state: TcpState;
  /** Time of the next retransmission; Infinity: none. */
  deadlineMs = Number.POSITIVE_INFINITY;
  scheduled = false;
  stream: HostStream | undefined;

  readonly #ports: FlowPorts;
  readonly #meta: FrameMeta = createMeta();
  readonly #buffer = new SendBuffer();
  readonly #pseudoSum: number;
  readonly #headerBytes: number;
  #mss = 536;
  // Towards the guest
  #sndUna: number;
  #sndNxt: number;
  #sndMax: number;
  #sndWnd = 0;
  #sndShift = 0;
  #cwnd = MAX_CWND;
  #ssthresh = MAX_CWND;
  #dupAcks = 0;
  #recover: number | undefined;
  #rtoMs = INITIAL_RTO_MS;
  #retries = 0;
  #hostEnded = false;
  #finSent = false;
  #paused = false;
  // From the guest
  #irs = 0;
  #rcvNxt = 0;
  #rcvAdvertised = 0;
  #scaled = false;
  #needAck = false;
  /** What the guest was last told. */
  #acked = 0;
  #guestEnded = false;
  #strays: Array<{ readonly seq: number; readonly bytes: Uint8Array; readonly fin: boolean }> = [];
  #stage: Uint8Array | undefined;
  #stageBytes = 0;

  constructor(
    ports: FlowPorts,
    route: Route,
    guestPort: number,
    remotePort: number,
    iss: number,
    name: string,
  ) {
    this.#ports = ports;
    this.route = route;
    this.guestPort = guestPort;
    this.remotePort = remotePort;
    this.describe = name;
    this.state = 'connecting';
    this.#sndUna = iss | 0;
    this.#sndNxt = iss | 0;
    this.#sndMax = iss | 0;
    this.#pseudoSum = addressSum(route.source, route.target) + PROTOCOL_TCP;
    this.#headerBytes = headerBytes(route);
  }

  get receiveQueueBytes(): number {
    return (this.stream?.pendingBytes ?? 0) + this.#stageBytes;
  }

  get sendQueueBytes(): number {
    return this.#buffer.length;
  }

  // --- opening

  /** The guest's SYN: its options are taken now, the answer comes when the host has connected. */
  acceptSyn(frame: Uint8Array, tcp: number, seq: number, window: number): void {
    this.#irs = seq | 0;
    this.#rcvNxt = (seq + 1) | 0;
    this.#rcvAdvertised = this.#rcvNxt;
    this.#takeOptions(frame, tcp);
    this.#sndWnd = window;
  }

  /** A connection to the guest: sends the first SYN. */
  open(): void {
    this.state = 'syn-sent';
    this.#mss = this.#largestMss;
    this.#scaled = true;
    this.#sendSyn(TCP_SYN);
  }

  get #largestMss(): number {
    return MTU - (this.route.source.length === 4 ? 40 : 60);
  }

  #takeOptions(frame: Uint8Array, tcp: number): void {
    const { mss, windowShift } = readTcpOptions(frame, tcp);
    this.#mss = Math.max(88, Math.min(mss ?? 536, this.#largestMss));
    this.#scaled = windowShift !== undefined;
    this.#sndShift = windowShift ?? 0;
  }

  // --- the host's end

  connected(): void {
    if (this.state !== 'connecting') return;
    this.state = 'syn-received';
    this.#sendSyn(TCP_SYN | TCP_ACK);
  }

  data(bytes: Uint8Array): void {
    if (this.state === 'closed' || bytes.length === 0) return;
    this.#buffer.push(bytes);
    if (!this.#paused && this.#buffer.length >= SEND_LIMIT) {
      this.#paused = true;
      this.stream?.pause();
    }
    this.#ports.schedule(this);
  }

  ended(): void {
    this.#hostEnded = true;
    this.#ports.schedule(this);
  }

  /** The host took what the guest sent: the window opens. */
  drained(): void {
    if (this.state === 'closed') return;
    const opened = (this.#rcvNxt + this.#receiveWindow() - this.#rcvAdvertised) | 0;
    if (opened >= 2 * this.#mss) {
      this.#needAck = true;
      this.#ports.schedule(this);
    }
  }

  closed(code: string): void {
    if (this.state === 'closed') return;
    this.stream = undefined;
    if (this.state === 'connecting' || code !== '') this.abort();
    else this.ended();
  }

  /** Resets the connection on the guest's side and lets the host's go. */
  abort(): void {
    if (this.state === 'closed') return;
    if (this.state !== 'syn-sent') this.#emit(TCP_RST | TCP_ACK, this.#sndNxt, 0);
    this.remove();
  }

  remove(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.stream?.destroy();
    this.stream = undefined;
    this.#buffer.clear();
    this.#strays = [];
    this.#stage = undefined;
    this.#ports.removed(this);
  }

  // --- segments of the guest

  /** A segment with TCP header at `tcp` and payload from `at` to `end`. */
  input(frame: Uint8Array, tcp: number, at: number, end: number): void {
    const flags = frame[tcp + 13]!;
    const seq = read32(frame, tcp + 4);
    const ack = read32(frame, tcp + 8);
    if ((flags & TCP_RST) !== 0) {
      this.#onReset(seq, ack, flags);
      return;
    }
    if (this.state === 'connecting') return;
    if (this.state === 'syn-sent') {
      this.#onSynAck(frame, tcp, flags, seq, ack);
      return;
    }
    if ((flags & TCP_SYN) !== 0) {
      // Its SYN again, or somebody who does not know of this connection (RFC 9293 3.10.7.4).
      if (seq === this.#irs && this.state === 'syn-received') this.#sendSyn(TCP_SYN | TCP_ACK);
      else this.#ackSoon();
      return;
    }
    if ((flags & TCP_ACK) === 0) return;
    if (!this.#onAck(ack, ((frame[tcp + 14]! << 8) | frame[tcp + 15]!) << this.#sndShift, at === end)) return;
    const fin = (flags & TCP_FIN) !== 0;
    if (end > at || fin) this.#onData(frame, seq, at, end, fin);
    this.#finishIfDone();
  }

  #onReset(seq: number, ack: number, flags: number): void {
    if (this.state === 'syn-sent') {
      if ((flags & TCP_ACK) !== 0 && ack === this.#sndMax) this.remove();
      return;
    }
    const distance = (seq - this.#rcvNxt) | 0;
    if (distance < 0 || distance > this.#receiveWindow()) return;
    // RFC 5961 3.2: only the exact number counts, others are asked again.
    if (distance === 0 || this.state === 'connecting') this.remove();
    else this.#ackSoon();
  }

  #onSynAck(frame: Uint8Array, tcp: number, flags: number, seq: number, ack: number): void {
    if ((flags & TCP_ACK) === 0 || ack !== this.#sndMax || (flags & TCP_SYN) === 0) return;
    this.acceptSyn(frame, tcp, seq, (frame[tcp + 14]! << 8) | frame[tcp + 15]!);
    this.#sndUna = ack;
    this.#sndNxt = ack;
    this.#opened();
    this.#ackSoon();
  }

  #opened(): void {
    this.state = 'open';
    this.#retries = 0;
    this.#rtoMs = INITIAL_RTO_MS;
    this.#stopTimer();
    this.#ports.schedule(this);
  }

  /** False: the segment is not to be looked at further. */
  #onAck(ack: number, window: number, isBare: boolean): boolean {
    const acked = (ack - this.#sndUna) | 0;
    if (((ack - this.#sndMax) | 0) > 0) {
      this.#ackSoon();
      return false;
    }
    if (this.state === 'syn-received') {
      if (acked <= 0) return false;
      this.#sndUna = (this.#sndUna + 1) | 0;
      this.#opened();
    }
    const before = this.#sndWnd;
    if (acked >= 0) this.#sndWnd = window;
    if (acked > 0) this.#acknowledged(ack);
    else if (acked === 0 && isBare && before === window && this.#sndMax !== this.#sndUna) this.#onDuplicate();
    if (this.#buffer.length > 0 || this.#hostEnded) this.#ports.schedule(this);
    return true;
  }

  #acknowledged(ack: number): void {
    const acked = (ack - this.#sndUna) | 0;
    this.#buffer.drop(Math.min(acked, this.#buffer.length));
    this.#sndUna = ack;
    if (((this.#sndNxt - ack) | 0) < 0) this.#sndNxt = ack;
    this.#retries = 0;
    this.#rtoMs = INITIAL_RTO_MS;
    this.#dupAcks = 0;
    this.#growWindow(acked);
    if (this.#sndUna === this.#sndMax) this.#stopTimer();
    else this.#startTimer();
    if (this.#paused && this.#buffer.length < SEND_LIMIT / 2) {
      this.#paused = false;
      this.stream?.resume();
    }
  }

  #growWindow(acked: number): void {
    if (this.#recover !== undefined) {
      if (((this.#sndUna - this.#recover) | 0) >= 0) this.#recover = undefined;
      else this.#resend();
      return;
    }
    const step = this.#cwnd < this.#ssthresh ? acked : Math.ceil((this.#mss * acked) / this.#cwnd);
    this.#cwnd = Math.min(MAX_CWND, this.#cwnd + step);
  }

  #onDuplicate(): void {
    if (this.#recover !== undefined || ++this.#dupAcks < 3) return;
    this.#recover = this.#sndMax;
    this.#ssthresh = Math.max(16 * this.#mss, ((this.#sndMax - this.#sndUna) | 0) >> 1);
    this.#cwnd = this.#ssthresh;
    this.#resend();
  }

  /** The first segment that is not acknowledged, once more. */
  #resend(): void {
    const count = Math.min(this.#buffer.length, this.#mss);
    if (count > 0) this.#emit(TCP_ACK | TCP_PSH, this.#sndUna, count);
    else if (this.#finSent) this.#emit(TCP_ACK | TCP_FIN, this.#sndUna, 0);
  }

  #onData(frame: Uint8Array, seq: number, from: number, end: number, hasFin: boolean): void {
    let at = from;
    let fin = hasFin;
    const skip = (this.#rcvNxt - seq) | 0;
    if (skip > 0) at = Math.min(end, at + skip);
    if (skip > end - from || (skip === end - from && !fin) || this.#guestEnded) {
      this.#ackSoon(); // nothing new: a retransmission, or a probe of a closed window
      return;
    }
    const room = this.#receiveWindow();
    if (skip < 0) {
      this.#keepStray(frame, seq, at, end, fin);
      this.#emitAck();
      return;
    }
    if (end - at > room) {
      end = at + room;
      fin = false;
    }
    this.#take(frame, at, end);
    this.#rcvNxt = (this.#rcvNxt + (end - at)) | 0;
    const hadStrays = this.#strays.length > 0;
    if (fin) this.#onFin();
    else if (hadStrays) this.#takeStrays();
    // RFC 9293 3.8.6.3: at least every second full segment at once, a small one a little later.
    if (fin || hadStrays || ((this.#rcvNxt - this.#acked) | 0) >= 2 * this.#mss) this.#ackSoon();
    else {
      this.#ports.schedule(this);
      this.#ports.delayAck(this);
    }
  }

  /** Copies payload into the stage, which goes to the host when it is full or the batch ends. */
  #take(frame: Uint8Array, at: number, end: number): void {
    let from = at;
    while (from < end) {
      this.#stage ??= new Uint8Array(STAGE_BYTES);
      const count = Math.min(end - from, STAGE_BYTES - this.#stageBytes);
      this.#stage.set(frame.subarray(from, from + count), this.#stageBytes);
      this.#stageBytes += count;
      from += count;
      if (this.#stageBytes === STAGE_BYTES) this.#flushStage();
    }
  }

  #flushStage(): void {
    if (this.#stageBytes === 0) return;
    const stage = this.#stage!;
    const count = this.#stageBytes;
    this.#stageBytes = 0;
    if (count * 2 > STAGE_BYTES) {
      this.#stage = undefined;
      this.stream?.write(stage.subarray(0, count));
    } else this.stream?.write(stage.slice(0, count));
  }

  #keepStray(frame: Uint8Array, seq: number, at: number, end: number, fin: boolean): void {
    const distance = (seq - this.#rcvNxt) | 0;
    if (distance + (end - at) > this.#receiveWindow() || this.#strays.length >= MAX_STRAYS) return;
    if (this.#strays.some((s) => s.seq === seq && s.bytes.length >= end - at)) return;
    this.#strays.push({ seq, bytes: frame.slice(at, end), fin });
  }

  #takeStrays(): void {
    for (let found = true; found && !this.#guestEnded; ) {
      found = false;
      for (let i = 0; i < this.#strays.length; i++) {
        const { seq, bytes, fin } = this.#strays[i]!;
        const skip = (this.#rcvNxt - seq) | 0;
        if (skip < 0) continue;
        this.#strays.splice(i--, 1);
        if (skip > bytes.length || (skip === bytes.length && !fin)) continue;
        this.#take(bytes, skip, bytes.length);
        this.#rcvNxt = (this.#rcvNxt + bytes.length - skip) | 0;
        found = true;
        if (fin) {
          this.#onFin();
          break;
        }
      }
    }
  }

  #onFin(): void {
    this.#rcvNxt = (this.#rcvNxt + 1) | 0;
    this.#guestEnded = true;
    this.#strays = [];
    this.#flushStage();
    this.stream?.end();
  }

  #finishIfDone(): void {
    if (!this.#guestEnded || !this.#finSent || this.#sndUna !== this.#sndMax) return;
    this.#emitAck();
    this.#flushStage();
    // What the host has not taken yet is still written: the stream, ended both ways, goes by itself.
    this.stream = undefined;
    this.remove();
  }

  // --- segments for the guest

  /** Sends what may be sent now. */
  output(): void {
    this.scheduled = false;
    if (this.state === 'closed') return;
    this.#flushStage();
    if (this.state === 'open') this.#outputData();
    if (this.#needAck && !this.#emitAck()) this.#ports.blocked(this);
  }

  #outputData(): void {
    const link = this.#ports.link();
    const gso = this.route.source.length === 4 ? OFFLOAD_TCPV4 : OFFLOAD_TCPV6;
    const canGso = link !== undefined && (link.offloadsOf(this.#ports.self) & gso) !== 0;
    const most = canGso ? MAX_GSO_BYTES - (MAX_GSO_BYTES % this.#mss) : this.#mss;
    for (;;) {
      const sent = (this.#sndNxt - this.#sndUna) | 0;
      const room = Math.min(this.#sndWnd, this.#cwnd) - sent;
      const left = this.#buffer.length - sent;
      const count = Math.min(left, room, most);
      if (count <= 0) break;
      // A small piece waits for a window that takes a whole segment, unless it is all there is (RFC 9293 3.8.6.2.1).
      if (count < this.#mss && count < left && sent > 0) break;
      if (!this.#emit(TCP_ACK | (count === left ? TCP_PSH : 0), this.#sndNxt, count)) {
        this.#ports.blocked(this);
        return;
      }
      this.#advance(count);
    }
    const sent = (this.#sndNxt - this.#sndUna) | 0;
    const isFinAcked = this.#finSent && this.#sndUna === this.#sndMax;
    if (this.#hostEnded && sent === this.#buffer.length && !isFinAcked) this.#sendFin();
    else if (this.#buffer.length > sent && sent === 0 && this.#sndWnd === 0) this.#startTimerOnce();
  }

  #sendFin(): void {
    if (!this.#emit(TCP_ACK | TCP_FIN, this.#sndNxt, 0)) {
      this.#ports.blocked(this);
      return;
    }
    this.#finSent = true;
    this.#advance(1);
  }

  #advance(count: number): void {
    this.#sndNxt = (this.#sndNxt + count) | 0;
    if (((this.#sndNxt - this.#sndMax) | 0) > 0) this.#sndMax = this.#sndNxt;
    this.#startTimerOnce();
  }

  /** The delay of an acknowledgement is over. */
  acknowledge(): void {
    if (this.state !== 'open' || this.#acked === this.#rcvNxt) return;
    this.#ackSoon();
  }

  /** The retransmission timer ran out. */
  expired(): void {
    this.#stopTimer();
    if (++this.#retries > MAX_RETRIES) {
      this.abort();
      return;
    }
    this.#rtoMs = Math.min(MAX_RTO_MS, this.#rtoMs * 2);
    if (this.state === 'syn-received') this.#sendSyn(TCP_SYN | TCP_ACK);
    else if (this.state === 'syn-sent') this.#sendSyn(TCP_SYN);
    else if (this.state === 'open') this.#onTimeout();
  }

  #onTimeout(): void {
    if (this.#sndWnd === 0 && this.#buffer.length > 0) {
      // A probe of the closed window (RFC 9293 3.8.6.1): a guest that lives and waits may take for ever.
      this.#retries = Math.min(this.#retries, 5);
      this.#emit(TCP_ACK, this.#sndUna, 1);
      if (this.#sndMax === this.#sndUna) this.#sndMax = (this.#sndUna + 1) | 0;
      this.#startTimer();
      return;
    }
    this.#ssthresh = Math.max(4 * this.#mss, ((this.#sndMax - this.#sndUna) | 0) >> 1);
    this.#cwnd = 4 * this.#mss;
    this.#recover = undefined;
    this.#dupAcks = 0;
    this.#sndNxt = this.#sndUna;
    this.#startTimer();
    this.#ports.schedule(this);
  }

  #sendSyn(flags: number): void {
    const options = new Uint8Array(this.#scaled ? 8 : 4);
    options.set([2, 4, this.#largestMss >> 8, this.#largestMss & 0xff]);
    if (this.#scaled) options.set([3, 3, WINDOW_SHIFT, 1], 4);
    const iss = this.state === 'syn-received' || this.state === 'syn-sent' ? this.#sndUna : this.#sndNxt;
    this.#emit(flags, iss, 0, options);
    this.#sndNxt = (iss + 1) | 0;
    this.#sndMax = this.#sndNxt;
    this.#startTimer();
  }

  #ackSoon(): void {
    this.#needAck = true;
    this.#ports.schedule(this);
  }

  #emitAck(): boolean {
    return this.#emit(TCP_ACK, this.#sndNxt, 0);
  }

  /** Free bytes of what the guest may send; never less than promised before. */
  #receiveWindow(): number {
    const free = Math.max(0, RECEIVE_LIMIT - this.receiveQueueBytes);
    const promised = (this.#rcvAdvertised - this.#rcvNxt) | 0;
    const most = this.#scaled ? 0xffff << WINDOW_SHIFT : 0xffff;
    return Math.max(Math.min(free, most), Math.min(promised, most), 0);
  }

  /** One segment, or several in one frame that the card's driver cuts. False: no room in the ring. */
  #emit(flags: number, seq: number, count: number, options?: Uint8Array): boolean {
    const { route } = this;
    const link = this.#ports.link();
    if (link === undefined) return true;
    const self = this.#ports.self;
    const tcp = this.#headerBytes;
    const header = 20 + (options?.length ?? 0);
    const frame = link.reserve(self, tcp + header + count);
    if (frame === undefined) return false;
    this.#ports.headers.ip(frame, route, PROTOCOL_TCP, header + count);
    const isSyn = (flags & TCP_SYN) !== 0;
    this.#writeHeader(frame, tcp, flags, seq, header, isSyn);
    if (options !== undefined) frame.set(options, tcp + 20);
    if (count > 0) this.#buffer.copy((seq - this.#sndUna) | 0, frame, tcp + header, count);
    const sum = this.#pseudoSum + header + count;
    const offloads = link.offloadsOf(self);
    const isLarge = count > this.#mss;
    if (isLarge || (offloads & OFFLOAD_CHECKSUM) !== 0) this.#askChecksum(frame, tcp, sum, header, isLarge);
    else {
      this.#meta.flags = FRAME_CHECKED;
      this.#meta.gsoType = GSO_NONE;
      put16(frame, tcp + 16, inetChecksum(frame, tcp, header + count, sum));
    }
    link.commit(self, this.#meta);
    if ((flags & TCP_ACK) !== 0) {
      this.#needAck = false;
      this.#acked = this.#rcvNxt;
    }
    return true;
  }

  #writeHeader(
    frame: Uint8Array,
    tcp: number,
    flags: number,
    seq: number,
    header: number,
    isSyn: boolean,
  ): void {
    put16(frame, tcp, this.remotePort);
    put16(frame, tcp + 2, this.guestPort);
    put32(frame, tcp + 4, seq);
    put32(frame, tcp + 8, (flags & TCP_ACK) !== 0 ? this.#rcvNxt : 0);
    frame[tcp + 12] = (header >> 2) << 4;
    frame[tcp + 13] = flags;
    const window = this.#receiveWindow();
    const shift = isSyn || !this.#scaled ? 0 : WINDOW_SHIFT;
    const field = Math.min(0xffff, window >> shift);
    this.#rcvAdvertised = (this.#rcvNxt + (field << shift)) | 0;
    put16(frame, tcp + 14, field);
    put32(frame, tcp + 16, 0); // checksum, urgent pointer
  }

  #askChecksum(frame: Uint8Array, tcp: number, sum: number, header: number, isLarge: boolean): void {
    const meta = this.#meta;
    const isV4 = this.route.source.length === 4;
    put16(frame, tcp + 16, foldSum(sum));
    meta.flags = FRAME_NEEDS_CHECKSUM;
    meta.checksumStart = tcp;
    meta.checksumOffset = 16;
    meta.gsoType = !isLarge ? GSO_NONE : isV4 ? GSO_TCPV4 : GSO_TCPV6;
    meta.gsoSize = isLarge ? this.#mss : 0;
    meta.headerBytes = isLarge ? tcp + header : 0;
  }

  // --- timer

  #startTimer(): void {
    this.deadlineMs = this.#ports.nowMs() + this.#rtoMs;
    this.#ports.timed(this);
  }

  #startTimerOnce(): void {
    if (this.deadlineMs === Number.POSITIVE_INFINITY) this.#startTimer();
  }

  #stopTimer(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }
}

function read32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** The main thread's view of a machine: requests, events, character devices. Portable; the threads come from the host. */

import type { KickWord } from '../accel/accelerator.ts';
import type { DriveConfig } from '../block/drive-config.ts';
import type { MediumInfo } from '../block/io/block-channel.ts';
import type { BlockInfo, BlockStart, OpenedDrive } from '../block/io/protocol.ts';
import type { NodeOptions } from '../block/node-options.ts';
import { CharChannel } from '../chardev/char-channel.ts';
import { CharPump } from '../chardev/char-pump.ts';
import type { CharStream } from '../chardev/char-stream.ts';
import type { NetStart } from '../net/net-config.ts';
import type { NetDescription } from '../net/net-service.ts';
import { AssertionError, UserError } from '../util/errors.ts';
import { Emitter } from '../util/events.ts';
import type { MachineConfig } from './config.ts';
import { ControlChannel } from './control-channel.ts';
import type { LifecycleEvent, MachineEnd, RunState } from './lifecycle.ts';
import {
  type AddressKind,
  type FileImage,
  MAX_TRANSFER,
  type MachineMessage,
  type MachineRequests,
  type MachineStart,
  type ModuleImage,
  type RequestMessage,
  type RequestName,
} from './protocol.ts';
import { TickerChannel } from './ticker.ts';

/** The two threads of a machine, made by the host. */
export interface MachineThreads {
  /** To the machine thread. */
  start(message: MachineStart): void;
  /** Starts the ticker thread once there is a vCPU to interrupt, in place of one that interrupted another vCPU. */
  startTicker(words: Int32Array, kick: KickWord): void;
  onMessage: ((message: MachineMessage) => void) | undefined;
  /** How this thread gets the vCPU out of guest code. */
  kicker(kick: KickWord): () => void;
  /** A thread died of a bug of ours. */
  onError: ((error: Error) => void) | undefined;
  /** Ends both threads; resolves when they are gone. */
  terminate(): Promise<void>;
  /** Whether the threads keep the process alive. */
  setReferenced(referenced: boolean): void;
  sleep(ms: number): Promise<void>;
}

/** Guest RAM, and what wakes the machine thread. */
export interface MachineWakeUp {
  readonly ram: SharedArrayBuffer;
  readonly kick: KickWord;
  /** Begins with the machine's doorbell. */
  readonly control: SharedArrayBuffer;
}

/** The I/O thread, made by the host. */
export interface BlockPort {
  readonly start: BlockStart;
  /** Requests of the machine are served from now on. */
  attach(machine: MachineWakeUp): void;
  /** A further drive, with its medium if it has one. Rejects with `UserError`. */
  openDrive(drive: DriveConfig): Promise<OpenedDrive>;
  /** A further node, as a drive that devices may name. */
  addNode(node: NodeOptions, option: string): Promise<OpenedDrive>;
  removeNode(nodeName: string): Promise<void>;
  /** Nothing uses this medium any more. */
  release(handle: number): Promise<void>;
  resize(handle: number, sizeBytes: number): Promise<MediumInfo>;
  info(): Promise<BlockInfo>;
  close(): Promise<void>;
}

/** The network thread, made by the host. */
export interface NetPort {
  readonly start: NetStart;
  attach(machine: Pick<MachineWakeUp, 'kick' | 'control'>): void;
  describe(): Promise<NetDescription>;
  /** `info usernet`. */
  connections(): Promise<string>;
  /** `hostfwd_add`; rejects with `UserError`. */
  addForward(netdev: string | undefined, rule: string): Promise<void>;
  /** False: there is no such rule. */
  removeForward(netdev: string | undefined, rule: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface MachineParts {
  readonly config: MachineConfig;
  readonly kernel: FileImage | undefined;
  readonly modules: readonly ModuleImage[];
  readonly firmware: FileImage | undefined;
  readonly roms: readonly FileImage[];
  /** Host streams of COM1…COM4; undefined: the port does not exist. */
  readonly serial: ReadonlyArray<CharStream | undefined>;
  readonly debugCon: CharStream | undefined;
  /** Undefined: no drives. */
  readonly block?: BlockPort | undefined;
  /** Undefined: no network. */
  readonly net?: NetPort | undefined;
  /** Host streams of character devices that devices name. */
  readonly chardevs?: ReadonlyArray<readonly [id: string, stream: CharStream]>;
  /** The peer of `-qtest`. */
  readonly qtest?: CharStream | undefined;
}

/** An event of the control protocol. */
export interface MachineNotice {
  readonly name: string;
  readonly data: unknown;
}

/** How long a stream that takes nothing may hold up the end. */
const FINISH_TIMEOUT_MS = 2000;

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** What monitors use of a machine. */
export interface MachineControl {
  readonly config: MachineConfig;
  readonly accelerator: string;
  readonly state: RunState;
  /** The I/O thread; undefined: drives cannot be added. */
  readonly block: BlockPort | undefined;
  /** The network thread; undefined without network. */
  readonly net: NetPort | undefined;
  readonly onEvent: Emitter<LifecycleEvent>['event'];
  readonly onNotice: Emitter<MachineNotice>['event'];
  request<N extends RequestName>(
    name: N,
    params: MachineRequests[N]['params'],
  ): Promise<MachineRequests[N]['result']>;
  read(address: bigint, length: number, kind: AddressKind): Promise<Uint8Array>;
}

export class MachineClient implements MachineControl {
  readonly config: MachineConfig;
  /** Resolves when the machine has been built; rejects with `UserError` if that is impossible. */
  readonly started: Promise<void>;
  /** Resolves when the machine has ended; rejects if a thread died. */
  readonly ended: Promise<MachineEnd>;

  readonly #threads: MachineThreads;
  readonly #control = ControlChannel.create();
  readonly #ticker = TickerChannel.create();
  #owesKick = false;
  readonly #parts: MachineParts;
  readonly #pumps: CharPump[] = [];
  readonly #events = new Emitter<LifecycleEvent>();
  readonly #notices = new Emitter<MachineNotice>();
  readonly #log = new Emitter<string>();
  readonly #waiting = new Map<number, Waiting>();
  #queue: RequestMessage[] = [];
  #nextId = 1;
  #kick: (() => void) | undefined;
  #accelerator = '';
  #state: RunState = 'prelaunch';
  #end: MachineEnd | undefined;
  #failure: Error | undefined;
  #resolveStarted!: () => void;
  #rejectStarted!: (error: Error) => void;
  #resolveEnded!: (end: MachineEnd) => void;
  #rejectEnded!: (error: Error) => void;
  #disposal: Promise<void> | undefined;

  constructor(threads: MachineThreads, parts: MachineParts) {
    this.config = parts.config;
    this.#threads = threads;
    this.#parts = parts;
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    // Whoever awaits them later still sees the error; nobody needs to.
    this.started.catch(() => {});
    this.ended.catch(() => {});
    threads.onMessage = (message) => this.#onMessage(message);
    threads.onError = (error) => this.#fail(error);
    threads.start(this.#startMessage());
  }

  /** Name of the accelerator in use; empty before the machine has started. */
  get accelerator(): string {
    return this.#accelerator;
  }

  /** The network thread; undefined without network. */
  get net(): NetPort | undefined {
    return this.#parts.net;
  }

  get state(): RunState {
    return this.#state;
  }

  /** The I/O thread; undefined: drives cannot be added. */
  get block(): BlockPort | undefined {
    return this.#parts.block;
  }

  /** Life-cycle events. */
  get onEvent(): Emitter<LifecycleEvent>['event'] {
    return this.#events.event;
  }

  /** Events of the control protocol other than those of the life cycle. */
  get onNotice(): Emitter<MachineNotice>['event'] {
    return this.#notices.event;
  }

  get onLog(): Emitter<string>['event'] {
    return this.#log.event;
  }

  /** Asks the machine thread; rejects with `UserError` if it refuses or has ended. */
  request<N extends RequestName>(
    name: N,
    params: MachineRequests[N]['params'],
  ): Promise<MachineRequests[N]['result']> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#end !== undefined)
      return Promise.reject(new UserError('MachineEnded', 'the machine has ended'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#queue.push({ id, name, params });
      this.#flush();
    });
  }

  /** Reads guest memory of any length. */
  async read(address: bigint, length: number, kind: AddressKind): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; at += MAX_TRANSFER) {
      const count = Math.min(MAX_TRANSFER, length - at);
      out.set(await this.request('read', { address: String(address + BigInt(at)), length: count, kind }), at);
    }
    return out;
  }

  async write(address: bigint, bytes: Uint8Array, kind: AddressKind): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_TRANSFER) {
      const part = bytes.subarray(at, at + MAX_TRANSFER);
      const hex = Array.from(part, (b) => b.toString(16).padStart(2, '0')).join('');
      await this.request('write', { address: String(address + BigInt(at)), hex, kind });
    }
  }

  /** Ends the machine and its threads and releases the character devices. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    await this.#threads.terminate();
    await this.#parts.block?.close();
    await this.#parts.net?.close();
    const sleep = (ms: number): Promise<void> => this.#threads.sleep(ms);
    await Promise.all(this.#pumps.map((pump) => pump.finish(sleep, FINISH_TIMEOUT_MS)));
    const { serial, debugCon, chardevs = [], qtest } = this.#parts;
    const streams = [...serial, debugCon, ...chardevs.map(([, stream]) => stream), qtest];
    await Promise.all(streams.map((stream) => stream?.dispose() ?? Promise.resolve()));
    const gone = new UserError('MachineEnded', 'the machine was disposed');
    for (const waiting of this.#waiting.values()) waiting.reject(gone);
    this.#waiting.clear();
    this.#end ??= { reason: 'host-quit', status: 0 };
    this.#state = 'ended';
    this.#rejectStarted(gone);
    this.#resolveEnded(this.#end);
  }

  #startMessage(): MachineStart {
    const {
      config,
      kernel,
      modules,
      firmware,
      roms,
      serial,
      debugCon,
      chardevs = [],
      qtest,
      block,
      net,
    } = this.#parts;
    return {
      config,
      kernel,
      modules,
      firmware,
      roms,
      control: this.#control.buffer,
      ticker: this.#ticker.words,
      charDevices: {
        serial: serial.map((stream, n) => this.#connect(stream, n)),
        debugCon: this.#connect(debugCon, undefined),
        named: chardevs.map(([id, stream]) => [id, this.#connect(stream, undefined)!] as const),
        qtest: this.#connect(qtest, undefined),
      },
      block: block?.start,
      net: net?.start,
    };
  }

  #connect(stream: CharStream | undefined, serial: number | undefined): SharedArrayBuffer | undefined {
    if (stream === undefined) return undefined;
    const channel = CharChannel.create();
    const sendBreak = (): void => {
      if (serial !== undefined && this.#end === undefined)
        this.request('sendBreak', { serial }).catch(() => {});
    };
    this.#pumps.push(new CharPump(channel, stream, () => this.#wake(), sendBreak));
    return channel.buffer;
  }

  #wake(): void {
    this.#control.doorbell.ring();
    if (this.#kick === undefined) this.#owesKick = true;
    else this.#kick();
  }

  #flush(): void {
    let sent = 0;
    while (sent < this.#queue.length && this.#control.send(this.#queue[sent])) sent++;
    if (sent === 0) return;
    this.#queue = this.#queue.slice(sent);
    this.#wake();
  }

  #poll(): void {
    this.#control.clearNews();
    for (const pump of this.#pumps) pump.poll();
  }

  #onMessage(message: MachineMessage): void {
    switch (message.kind) {
      case 'started':
        this.#accelerator = message.accelerator;
        this.#kick = this.#threads.kicker(message.kick);
        this.#state = message.state;
        this.#parts.block?.attach({ ram: message.ram, kick: message.kick, control: this.#control.buffer });
        this.#parts.net?.attach({ kick: message.kick, control: this.#control.buffer });
        this.#threads.startTicker(this.#ticker.words, message.kick);
        if (this.#owesKick) this.#wake(); // what was sent before there was a vCPU to kick
        this.#resolveStarted();
        break;
      case 'kick':
        this.#accelerator = message.accelerator;
        this.#kick = this.#threads.kicker(message.kick);
        this.#threads.startTicker(this.#ticker.words, message.kick);
        break;
      case 'refused':
        this.#fail(new UserError(message.code, message.message));
        break;
      case 'news':
        this.#poll();
        break;
      case 'event':
        this.#onEvent(message.event, message.state);
        break;
      case 'notify':
        this.#notices.emit({ name: message.name, data: message.data });
        break;
      case 'reply':
        this.#waiting.get(message.id)?.resolve(message.value as never);
        this.#waiting.delete(message.id);
        this.#flush();
        break;
      case 'error':
        this.#waiting.get(message.id)?.reject(new UserError(message.code, message.message));
        this.#waiting.delete(message.id);
        this.#flush();
        break;
      case 'release':
        // A medium that cannot be closed any more is lost; the user hears of it at the end.
        this.#parts.block
          ?.release(message.handle)
          .catch((error: Error) => this.#log.emit(`${error.message}\n`));
        break;
      case 'log':
        this.#log.emit(message.text);
        break;
    }
  }

  #onEvent(event: LifecycleEvent, state: RunState): void {
    this.#state = state;
    if (event.kind === 'end') {
      this.#poll();
      this.#end = event.end;
      for (const waiting of this.#waiting.values()) waiting.resolve(null as never);
      this.#waiting.clear();
    }
    this.#events.emit(event);
    if (event.kind === 'end') this.#resolveEnded(event.end);
  }

  #fail(error: Error): void {
    this.#failure =
      error instanceof UserError
        ? error
        : new AssertionError(`machine thread: ${error.stack ?? error.message}`);
    this.#state = 'ended';
    this.#poll();
    this.#rejectStarted(this.#failure);
    this.#rejectEnded(this.#failure);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

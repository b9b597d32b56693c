/** What the network thread needs of its host: sockets, names, files, time. A browser's host offers what it can and refuses the rest. */

/** A byte stream to somebody outside. Calls of its handlers never come from within calls to it. */
export interface HostStream {
  /** Queues bytes, which belong to the stream from then on. */
  write(bytes: Uint8Array): void;
  /** Bytes queued and not yet taken by the host. */
  readonly pendingBytes: number;
  /** Nothing more will be written. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Gone at once, without further calls of handlers. */
  destroy(): void;
}

export interface StreamHandlers {
  connected(): void;
  /** The bytes belong to the receiver. */
  data(bytes: Uint8Array): void;
  /** The other side writes no more. */
  ended(): void;
  /** `pendingBytes` has become small. */
  drained(): void;
  /** The stream is gone; `code` is an errno name (`ECONNREFUSED`) or empty. */
  closed(code: string): void;
}

export type StreamTarget =
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number; readonly localAddress?: string }
  | { readonly kind: 'unix'; readonly path: string }
  /** Standard input and output of a program started by the shell. */
  | { readonly kind: 'command'; readonly command: string };

export interface AcceptedStream {
  readonly address: string;
  readonly port: number;
  /** To be called once, at once. */
  open(handlers: StreamHandlers): HostStream;
}

export interface Listener {
  readonly port: number;
  close(): void;
}

export interface DatagramSocket {
  /** The local port, 0 before it is bound. */
  readonly port: number;
  /** Lost when the host cannot take it. The bytes are copied. */
  send(bytes: Uint8Array, address: string, port: number): void;
  close(): void;
}

export interface DatagramOptions {
  readonly family: 4 | 6;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly reuse?: boolean;
  /** Joins this group. */
  readonly multicast?: string | undefined;
  readonly multicastInterface?: string | undefined;
}

export interface HostTimer {
  arm(ms: number): void;
  cancel(): void;
}

export interface HostFile {
  readonly sizeBytes: number;
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** An Ethernet device of the host. */
export interface HostTap {
  readonly name: string;
  /** False: no room now. */
  write(frame: Uint8Array): boolean;
  close(): void;
}

export interface TapOptions {
  readonly ifname: string | undefined;
  readonly fd: number | undefined;
  readonly script: string | undefined;
  readonly downscript: string | undefined;
}

export interface NetHost {
  nowMs(): number;
  timer(callback: () => void): HostTimer;
  randomBytes(count: number): Uint8Array;
  connect(target: StreamTarget, handlers: StreamHandlers): HostStream;
  /** Rejects with an error whose message says why. */
  listen(
    target: { readonly address: string | undefined; readonly port: number } | { readonly path: string },
    accept: (stream: AcceptedStream) => void,
  ): Promise<Listener>;
  /** A datagram socket; rejects if it cannot be bound. */
  datagram(
    options: DatagramOptions,
    received: (bytes: Uint8Array, address: string, port: number) => void,
  ): Promise<DatagramSocket>;
  /** Addresses of the servers that the host asks. */
  nameServers(): readonly string[];
  /** Numeric addresses of a name. */
  lookup(name: string): Promise<ReadonlyArray<{ readonly address: string; readonly family: 4 | 6 }>>;
  /** Whether an echo request is answered within a second; undefined: the host cannot send one. */
  ping(address: string, payload: Uint8Array): Promise<boolean> | undefined;
  /** A file below `root`, which it never leaves; undefined: none such. */
  openFile(root: string, name: string): HostFile | undefined;
  /** For `filter-dump`. */
  createFile(path: string): { write(bytes: Uint8Array): void; close(): void };
  tap(options: TapOptions, received: (frame: Uint8Array) => void): HostTap;
}

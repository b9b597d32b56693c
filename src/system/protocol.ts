/** What the main thread and the machine thread say to each other. Everything is structured-cloneable. */

import type { KickWord } from '../accel/accelerator.ts';
import type { BlockStart } from '../block/io/protocol.ts';
import type { NetStart } from '../net/net-config.ts';
import type { MachineConfig } from './config.ts';
import type { LifecycleEvent, RunState } from './lifecycle.ts';

/** A file of the user's; the bytes may lie in shared memory. */
export interface FileImage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ModuleImage extends FileImage {
  readonly args: string;
}

/** Shared memory of the character devices; undefined: not connected (the port does not exist). */
export interface CharDeviceBuffers {
  readonly serial: ReadonlyArray<SharedArrayBuffer | undefined>;
  readonly debugCon: SharedArrayBuffer | undefined;
  /** `-chardev` of devices, by id. */
  readonly named: ReadonlyArray<readonly [id: string, buffer: SharedArrayBuffer]>;
  /** The peer of `-qtest`. */
  readonly qtest: SharedArrayBuffer | undefined;
}

/** The first and only message to a machine thread; what follows comes through the control channel. */
export interface MachineStart {
  readonly config: MachineConfig;
  readonly kernel: FileImage | undefined;
  readonly modules: readonly ModuleImage[];
  readonly firmware: FileImage | undefined;
  /** Option ROMs of the host's packages that the machine may need; names without a path. */
  readonly roms: readonly FileImage[];
  readonly control: SharedArrayBuffer;
  readonly ticker: Int32Array;
  readonly charDevices: CharDeviceBuffers;
  /** Drives and the shared memory of their I/O thread; undefined: no drives. */
  readonly block: BlockStart | undefined;
  /** Back ends of network cards; undefined: none. */
  readonly net: NetStart | undefined;
}

/** Makes the vCPU leave guest code; from any thread. Not for `kick.thread`: that takes the host's help. */
export function kicker(kick: KickWord): () => void {
  const words = new Int32Array(kick.buffer, kick.byteOffset, 1);
  return () => void Atomics.or(words, 0, kick.bits);
}

export type MachineMessage =
  /** The machine exists; the first guest instruction follows at once (unless `-S`). */
  | {
      readonly kind: 'started';
      readonly kick: KickWord;
      /** The memory that guest RAM lies in. */
      readonly ram: SharedArrayBuffer;
      /** The one in use, of those asked for. */
      readonly accelerator: string;
      readonly state: RunState;
    }
  /** The vCPU is another one now. */
  | { readonly kind: 'kick'; readonly kick: KickWord; readonly accelerator: string }
  /** A user's mistake that only showed up here. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** Look at the rings. */
  | { readonly kind: 'news' }
  | { readonly kind: 'event'; readonly event: LifecycleEvent; readonly state: RunState }
  /** An event of the control protocol that is not one of the life cycle. */
  | { readonly kind: 'notify'; readonly name: string; readonly data: unknown }
  | { readonly kind: 'reply'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly code: string; readonly message: string }
  /** The medium of this handle is used no more. */
  | { readonly kind: 'release'; readonly handle: number }
  /** Text for the log that goes to the main thread when the host gives the machine thread no file of its own. */
  | { readonly kind: 'log'; readonly text: string };

/** Pixels are 0x00RRGGBB. `text`: the characters of a text mode. */
export interface ScreenImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint32Array;
  readonly text: readonly string[] | undefined;
}

export type AddressKind = 'physical' | 'virtual';

/** Requests with their parameters and results. Addresses and register values are decimal strings of unsigned numbers. */
export interface MachineRequests {
  resume: { params: Record<never, never>; result: null };
  pause: { params: Record<never, never>; result: null };
  reset: { params: Record<never, never>; result: null };
  powerdown: { params: Record<never, never>; result: null };
  quit: { params: Record<never, never>; result: null };
  read: { params: { address: string; length: number; kind: AddressKind }; result: Uint8Array };
  write: { params: { address: string; hex: string; kind: AddressKind }; result: null };
  registers: { params: Record<never, never>; result: Readonly<Record<string, string>> };
  setRegister: { params: { name: string; value: string }; result: null };
  info: { params: { topic: string }; result: string };
  log: { params: { items: readonly string[] }; result: null };
  accelerator: { params: { name: 'tcg' | 'kvm' }; result: null };
  nmi: { params: Record<never, never>; result: null };
  /** Chooses the vCPU that registers, virtual addresses and the like are of. */
  cpu: { params: { index: number }; result: null };
  disassemble: { params: { address: string; count: number; kind: AddressKind }; result: string };
  port: { params: { port: number; size: 1 | 2 | 4; value: number | undefined }; result: number };
  /** A command of the control protocol that needs the machine itself; arguments and result are JSON. */
  control: { params: { command: string; args: unknown }; result: unknown };
  /** The display's picture; undefined without display. */
  screen: { params: Record<never, never>; result: ScreenImage | undefined };
  /** Presses keys by name one after the other and releases them after `holdMs`. */
  sendKeys: { params: { keys: readonly string[]; holdMs: number }; result: null };
  sendBreak: { params: { serial: number }; result: null };
}

export type RequestName = keyof MachineRequests;

export interface RequestMessage<N extends RequestName = RequestName> {
  readonly id: number;
  readonly name: N;
  readonly params: MachineRequests[N]['params'];
}

/** Most bytes of one `read` or `write` request. */
export const MAX_TRANSFER = 65536;

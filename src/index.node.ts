/**
 * Lyrebird as a library:
 *
 *     import { createMachine } from 'lyrebird';
 *     await using machine = await createMachine({ memory: '512M', kernel: 'vmlinuz', append: 'console=ttyS0' });
 *     machine.serial[0].readable.pipeTo(…);
 *     await machine.run();
 *     console.log(await machine.finished);
 */
import type { ReadableStream, WritableStream } from 'node:stream/web';
import { NullStream } from './chardev/char-stream.ts';
import { parseCommandLine, type RunPlan } from './cli/command-line.ts';
import { version } from './cli/help.ts';
import { openDrives } from './host/node/block/open-drives.ts';
import { type BootImages, readBootFiles } from './host/node/boot-files.ts';
import { NodeMachineThreads } from './host/node/machine-threads.ts';
import { nodeMonitorFiles } from './host/node/monitor-files.ts';
import { openNetwork } from './host/node/net/net-thread.ts';
import type { AnsweredConnection, PolicyAnswer, PolicyHandler } from './host/node/net/policy-server.ts';
import { WebStreamChar } from './host/node/web-stream-char.ts';
import { kernelFormat } from './machine/boot/load-kernel.ts';
import { runCommand } from './monitor/commands.ts';
import type { ConnectionRequest } from './net/user/policy.ts';
import type { TcgTier } from './system/config.ts';
import type { LifecycleEvent, MachineEnd, RunState } from './system/lifecycle.ts';
import { MachineClient } from './system/machine-client.ts';
import type { FileImage, ScreenImage } from './system/protocol.ts';
import { UserError } from './util/errors.ts';

export type {
  AnsweredConnection,
  ConnectionRequest,
  LifecycleEvent,
  MachineEnd,
  PolicyAnswer,
  RunState,
  ScreenImage,
};
export { UserError };

/** A file by its path, or its content. */
export type FileSource = string | Uint8Array;

export interface MachineOptions {
  /** `x86_64` (default) or `i386`: without 64-bit mode. */
  readonly architecture?: 'x86_64' | 'i386';
  /** Bytes, or a size as `-m` takes it ("512M"). Default 128 MiB. */
  readonly memory?: number | string;
  /** As `-cpu`. */
  readonly cpu?: string;
  /** Linux bzImage, ELF kernel with PVH entry, or multiboot kernel; without one, firmware starts. */
  readonly kernel?: FileSource;
  /** Firmware; default: SeaBIOS of the host's packages if there is no kernel, else none. */
  readonly bios?: FileSource;
  readonly initrd?: FileSource;
  /** The kernel's command line. */
  readonly append?: string;
  /** How guest code is executed; default `auto`. */
  readonly tier?: TcgTier;
  /** Serial ports, 0 to 4; default 1. */
  readonly serialPorts?: number;
  /** A reset by the guest ends the machine. */
  readonly noReboot?: boolean;
  /** A power-off by the guest stops the machine but does not end it. */
  readonly noShutdown?: boolean;
  /** Adds `isa-debug-exit`: a guest's write of v to the port ends the machine with status (v << 1) | 1. */
  readonly debugExit?: { readonly iobase: number; readonly iosize: number };
  /**
   * Asked before the guest's user-mode network opens a connection to the outside, sends a datagram or an echo request there: `true`
   * lets it, `false` refuses, a function plays the server (TCP). Without a policy everything is let through; see `restrict=on`, too.
   */
  readonly networkPolicy?: PolicyHandler;
  /** Further options as the command line of `lyrebird-system-*` takes them; character devices are not among them. */
  readonly extraArgs?: readonly string[];
}

/** A serial port's two directions. */
export interface SerialConsole {
  /** Bytes from the guest. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Bytes or text for the guest. */
  readonly writable: WritableStream<Uint8Array | string>;
}

export interface MemoryAccessOptions {
  /** `physical` (default) or `virtual`: by the page tables the processor uses now. */
  readonly kind?: 'physical' | 'virtual';
}

export interface Machine extends AsyncDisposable {
  /** COM1, COM2, … */
  readonly serial: readonly SerialConsole[];
  readonly state: RunState;
  /** Resolves when the machine has ended: powered off, disposed of, or left through `isa-debug-exit`. */
  readonly finished: Promise<MachineEnd>;
  /** Starts it, or continues after `pause`. */
  run(): Promise<void>;
  pause(): Promise<void>;
  reset(): Promise<void>;
  /** Presses the power button. */
  powerDown(): Promise<void>;
  /** `UserError` (`UnmappedAddress`) when a virtual address is not mapped. */
  readMemory(address: number | bigint, length: number, options?: MemoryAccessOptions): Promise<Uint8Array>;
  writeMemory(address: number | bigint, bytes: Uint8Array, options?: MemoryAccessOptions): Promise<void>;
  /** All registers by lower-case name: rax…r15, rip, rflags, cr0…, cs, cs_base…, xmm0…xmm15 (128 bits). */
  readRegisters(): Promise<Readonly<Record<string, bigint>>>;
  writeRegister(name: string, value: bigint): Promise<void>;
  /** The display's picture (0x00RRGGBB a pixel) and, in text modes, its characters; undefined without display. */
  screenshot(): Promise<ScreenImage | undefined>;
  /** Presses keys together by QEMU's names: `['ctrl', 'alt', 'delete']`. */
  sendKeys(keys: readonly string[], holdMs?: number): Promise<void>;
  /** Runs a command of the human monitor and gives what it prints. */
  monitor(command: string): Promise<string>;
  /** Calls `listener` at resets, stops and the like; the result unsubscribes. */
  onEvent(listener: (event: LifecycleEvent) => void): () => void;
  /** Ends the machine and releases its threads. Safe to call twice. */
  dispose(): Promise<void>;
}

const MAX_SERIAL = 4;

/**
 * Builds a machine that stands still until `run`. Rejects with `UserError` for what cannot be built; `message` is one
 * line that names the option as the command line spells it.
 */
export async function createMachine(options: MachineOptions): Promise<Machine> {
  const plan = planOf(options);
  const images = loadImages(options, plan);
  const threads = new NodeMachineThreads(2);
  const serial = Array.from({ length: options.serialPorts ?? 1 }, () => new WebStreamChar());
  const block = await openDrives(plan.block).catch(async (error: unknown) => {
    await threads.terminate();
    throw error;
  });
  const net = await openNetwork(plan.net, options.networkPolicy).catch(async (error: unknown) => {
    await Promise.all([threads.terminate(), block?.close()]);
    throw error;
  });
  const client = new MachineClient(threads, {
    config: { ...plan.config, startPaused: true },
    ...images,
    serial,
    block,
    net,
    debugCon: plan.debugCon === undefined ? undefined : new NullStream(),
  });
  try {
    await client.started;
  } catch (error) {
    await client.dispose();
    throw error;
  }
  return new NodeMachine(client, serial);
}

function planOf(options: MachineOptions) {
  const { memory, serialPorts = 1 } = options;
  if (!Number.isInteger(serialPorts) || serialPorts < 0 || serialPorts > MAX_SERIAL) {
    throw new UserError('BadOption', `serialPorts: ${serialPorts} is not a number from 0 to ${MAX_SERIAL}`);
  }
  const args = ['-display', 'none', '-nodefaults', ...(options.extraArgs ?? [])];
  if (options.kernel !== undefined) args.push('-kernel', 'kernel');
  if (memory !== undefined) args.push('-m', typeof memory === 'number' ? `${memory}b` : memory);
  if (options.cpu !== undefined) args.push('-cpu', options.cpu);
  if (options.append !== undefined) args.push('-append', options.append);
  if (options.tier !== undefined) args.push('-accel', `tcg,tier=${options.tier}`);
  if (options.noReboot === true) args.push('-no-reboot');
  if (options.noShutdown === true) args.push('-no-shutdown');
  if (options.debugExit !== undefined) {
    const { iobase, iosize } = options.debugExit;
    args.push('-device', `isa-debug-exit,iobase=${iobase},iosize=${iosize}`);
  }
  const commandLine = parseCommandLine(args, options.architecture ?? 'x86_64');
  if (commandLine.kind !== 'run') throw new UserError('BadOption', 'extraArgs: an option that only prints');
  return commandLine.plan;
}

function loadImages(options: MachineOptions, plan: RunPlan): BootImages {
  const path = (source: FileSource | undefined): string | undefined =>
    typeof source === 'string' ? source : undefined;
  const inMemory = (source: Uint8Array, name = '(bytes)'): FileImage => {
    const bytes = new Uint8Array(new SharedArrayBuffer(source.length));
    bytes.set(source);
    return { name, bytes };
  };
  const given = options.kernel instanceof Uint8Array ? inMemory(options.kernel) : undefined;
  if (given !== undefined) kernelFormat(given); // refuses what is no kernel, here rather than in the machine thread
  const files = readBootFiles({
    kernel: given ?? path(options.kernel),
    initrd: path(options.initrd),
    firmware: options.bios instanceof Uint8Array ? inMemory(options.bios) : path(options.bios),
    firmwareDirs: plan.firmwareDirs,
    roms: plan.roms,
  });
  if (!(options.initrd instanceof Uint8Array)) return files;
  return { ...files, modules: [{ ...inMemory(options.initrd), args: '' }] };
}

class NodeMachine implements Machine {
  readonly serial: readonly SerialConsole[];
  readonly finished: Promise<MachineEnd>;
  readonly #client: MachineClient;

  constructor(client: MachineClient, serial: readonly SerialConsole[]) {
    this.#client = client;
    this.serial = serial;
    this.finished = client.ended.then(async (end) => {
      await client.dispose();
      return end;
    });
    this.finished.catch(() => {});
  }

  get state(): RunState {
    return this.#client.state;
  }

  async run(): Promise<void> {
    await this.#client.request('resume', {});
  }

  async pause(): Promise<void> {
    await this.#client.request('pause', {});
  }

  async reset(): Promise<void> {
    await this.#client.request('reset', {});
  }

  async powerDown(): Promise<void> {
    await this.#client.request('powerdown', {});
  }

  readMemory(
    address: number | bigint,
    length: number,
    options: MemoryAccessOptions = {},
  ): Promise<Uint8Array> {
    return this.#client.read(BigInt(address), length, options.kind ?? 'physical');
  }

  writeMemory(address: number | bigint, bytes: Uint8Array, options: MemoryAccessOptions = {}): Promise<void> {
    return this.#client.write(BigInt(address), bytes, options.kind ?? 'physical');
  }

  async readRegisters(): Promise<Readonly<Record<string, bigint>>> {
    const registers = await this.#client.request('registers', {});
    return Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, BigInt(value)]));
  }

  async writeRegister(name: string, value: bigint): Promise<void> {
    await this.#client.request('setRegister', { name, value: String(value) });
  }

  screenshot(): Promise<ScreenImage | undefined> {
    return this.#client.request('screen', {});
  }

  async sendKeys(keys: readonly string[], holdMs = 100): Promise<void> {
    await this.#client.request('sendKeys', { keys, holdMs });
  }

  monitor(command: string): Promise<string> {
    const quit = (): void => void this.dispose();
    return runCommand(
      { machine: this.#client, version: version().trim(), quit, files: nodeMonitorFiles },
      command,
    );
  }

  onEvent(listener: (event: LifecycleEvent) => void): () => void {
    const subscription = this.#client.onEvent(listener);
    return () => subscription.dispose();
  }

  dispose(): Promise<void> {
    return this.#client.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

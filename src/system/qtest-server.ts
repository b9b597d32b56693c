/**
 * The machine's end of the qtest protocol (QEMU docs/devel/qtest.rst): a test drives ports, memory, interrupt lines and the clock
 * in place of a processor. Lines of text: a command and its answer, `IRQ raise|lower N` in between.
 */
import type { AddressSpace } from '../core/address-space.ts';
import type { CharBackend, CharFrontend } from '../core/char-backend.ts';
import type { IrqLine } from '../core/irq.ts';
import type { AccessSize } from '../core/memory-region.ts';
import type { TimerQueue } from '../core/timer.ts';
import { type QtestClock, stepClock } from './qtest-clock.ts';

export interface QtestPorts {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly clock: QtestClock;
  readonly timers: TimerQueue;
  /** Input or output lines of a device by its path or name; undefined: no such device. */
  irqLines(path: string, direction: 'in' | 'out'): readonly IrqLine[] | undefined;
  /** Carries out resets and the like before the answer goes out. */
  settle(): void;
  log(line: string): void;
}

const MAX_LINE = 256 * 2 ** 20;
/** Largest piece of memory that one command names. */
const MAX_SIZE = 128 * 2 ** 20;
const NEWLINE = 0x0a;

type Handler = (args: readonly string[]) => string;

export class QtestServer implements CharFrontend {
  onReceivable: (() => void) | undefined;
  readonly #backend: CharBackend;
  readonly #ports: QtestPorts;
  readonly #handlers: ReadonlyMap<string, Handler>;
  #line = new Uint8Array(4096);
  #length = 0;
  #output: number[] | undefined;
  #written = 0;
  #intercepted: string | undefined;

  constructor(backend: CharBackend, ports: QtestPorts) {
    this.#backend = backend;
    this.#ports = ports;
    this.#handlers = new Map(Object.entries(this.#createHandlers()));
    backend.connect(this);
  }

  canReceive(): number {
    return 65536;
  }

  receive(byte: number): void {
    if (byte === NEWLINE) {
      const line = ascii(this.#line.subarray(0, this.#length));
      this.#length = 0;
      this.#run(line);
      return;
    }
    if (this.#length >= MAX_LINE) return;
    if (this.#length === this.#line.length) this.#grow();
    this.#line[this.#length++] = byte;
  }

  onWritable(): void {
    const output = this.#output;
    if (output === undefined) return;
    while (this.#written < output.length) {
      if (!this.#backend.write(output[this.#written]!)) return;
      this.#written++;
    }
    this.#output = undefined;
  }

  #grow(): void {
    const larger = new Uint8Array(this.#line.length * 2);
    larger.set(this.#line);
    this.#line = larger;
  }

  #run(line: string): void {
    const [name, ...args] = line.trim().split(/\s+/);
    if (name === undefined || name === '') return;
    this.#ports.log(`[R] ${line}`);
    const handler = this.#handlers.get(name);
    if (handler === undefined) return this.#send(`FAIL Unknown command '${name}'`);
    let answer: string;
    try {
      answer = handler(args);
    } catch (error) {
      if (!(error instanceof QtestError)) throw error;
      return this.#send(`FAIL ${error.message}`);
    }
    this.#ports.settle();
    this.#send(answer === '' ? 'OK' : `OK ${answer}`);
  }

  #send(line: string): void {
    this.#ports.log(`[S] ${line}`);
    let at = 0;
    if (this.#output === undefined) {
      for (; at < line.length; at++) if (!this.#backend.write(line.charCodeAt(at))) break;
      if (at === line.length && this.#backend.write(NEWLINE)) return;
      this.#output = [];
      this.#written = 0;
    }
    for (; at < line.length; at++) this.#output.push(line.charCodeAt(at));
    this.#output.push(NEWLINE);
  }

  #createHandlers(): Record<string, Handler> {
    const { memory, io, clock, timers } = this.#ports;
    const handlers: Record<string, Handler> = {
      readq: ([addr]) => hex64(memory.readU64(address(addr))),
      writeq: ([addr, value]) => {
        memory.writeU64(address(addr), BigInt.asUintN(64, integer(value)));
        return '';
      },
      read: ([addr, size]) => {
        const bytes = this.#read(addr, size);
        return `0x${hex(bytes)}`;
      },
      write: ([addr, size, data]) => this.#write(addr, size, fromHex(data ?? '')),
      b64read: ([addr, size]) => toBase64(this.#read(addr, size)),
      b64write: ([addr, size, data]) => this.#write(addr, size, fromBase64(data ?? '')),
      memset: ([addr, size, value]) => {
        const bytes = new Uint8Array(length(size)).fill(Number(integer(value) & 0xffn));
        memory.writeBytes(address(addr), bytes);
        return '';
      },
      endianness: () => 'little',
      clock_step: ([ns]) => {
        const deadline = timers.nextDeadlineNs();
        const target = ns === undefined ? deadline : clock.nowNs() + Number(integer(ns));
        if (Number.isFinite(target)) stepClock(clock, timers, target);
        return String(clock.nowNs());
      },
      clock_set: ([ns]) => {
        stepClock(clock, timers, Number(integer(ns)));
        return String(clock.nowNs());
      },
      irq_intercept_in: ([path]) => this.#intercept(path ?? '', 'in'),
      irq_intercept_out: ([path]) => this.#intercept(path ?? '', 'out'),
      set_irq_in: ([path, , n, level]) => {
        const line = this.#ports.irqLines(path ?? '', 'in')?.[Number(integer(n))];
        if (line === undefined) throw new QtestError('Unknown device');
        line.set(integer(level) !== 0n);
        return '';
      },
      module_load: () => '',
    };
    for (const [letter, size] of [
      ['b', 1],
      ['w', 2],
      ['l', 4],
    ] as const) {
      this.#addAccess(handlers, io, `in${letter}`, `out${letter}`, size, 4);
      this.#addAccess(handlers, memory, `read${letter}`, `write${letter}`, size, 16);
    }
    return handlers;
  }

  #addAccess(
    handlers: Record<string, Handler>,
    space: AddressSpace,
    read: string,
    write: string,
    size: AccessSize,
    digits: number,
  ): void {
    const mask = 2n ** BigInt(8 * size) - 1n;
    handlers[read] = ([addr]) => `0x${space.read(address(addr), size).toString(16).padStart(digits, '0')}`;
    handlers[write] = ([addr, value]) => {
      space.write(address(addr), size, Number(integer(value) & mask));
      return '';
    };
  }

  #read(addr: string | undefined, size: string | undefined): Uint8Array {
    const bytes = new Uint8Array(length(size));
    this.#ports.memory.readBytes(address(addr), bytes);
    return bytes;
  }

  /** Data that is too short is filled with zeroes. */
  #write(addr: string | undefined, size: string | undefined, data: Uint8Array): string {
    const bytes = new Uint8Array(length(size));
    bytes.set(data.subarray(0, bytes.length));
    this.#ports.memory.writeBytes(address(addr), bytes);
    return '';
  }

  /** The lines then lead to the test alone. */
  #intercept(path: string, direction: 'in' | 'out'): string {
    const key = `${direction} ${path}`;
    if (this.#intercepted === key) return '';
    if (this.#intercepted !== undefined) throw new QtestError('IRQ intercept already enabled');
    const lines = this.#ports.irqLines(path, direction);
    if (lines === undefined) throw new QtestError('Unknown device');
    this.#intercepted = key;
    lines.forEach((line, n) => {
      let last = false;
      line.redirect((level) => {
        if (level === last) return;
        last = level;
        this.#send(`IRQ ${level ? 'raise' : 'lower'} ${n}`);
      });
    });
    return '';
  }
}

class QtestError extends Error {}

/** As strtoul with base 0. */
function integer(text: string | undefined): bigint {
  const match = /^([-+]?)(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text ?? '');
  if (match === null) throw new QtestError(`not a number: '${text ?? ''}'`);
  const digits = match[2]!;
  const value = /^0[0-7]+$/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits);
  return match[1] === '-' ? -value : value;
}

/** Addresses beyond 2^53 answer like any other that nothing is at. */
function address(text: string | undefined): number {
  const value = BigInt.asUintN(64, integer(text));
  return value > 0x1f_ffff_ffff_0000n ? 0x1f_ffff_ffff_0000 : Number(value);
}

function length(text: string | undefined): number {
  const value = integer(text);
  if (value < 0n || value > BigInt(MAX_SIZE)) throw new QtestError('size out of range');
  return Number(value);
}

function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

function fromHex(text: string): Uint8Array {
  if (!/^0x([0-9a-f]{2})*$/i.test(text)) throw new QtestError('not hexadecimal data');
  const out = new Uint8Array((text.length - 2) / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 + 2 * i, 4 + 2 * i), 16);
  return out;
}

function ascii(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let k = 0; k < 4; k++) text += k <= left ? BASE64[(word >> (18 - 6 * k)) & 63] : '=';
  }
  return text;
}

function fromBase64(text: string): Uint8Array {
  const digits = text.replace(/=+$/, '');
  const out = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let word = 0;
  let bits = 0;
  let at = 0;
  for (const digit of digits) {
    const value = BASE64.indexOf(digit);
    if (value < 0) throw new QtestError('not base64 data');
    word = ((word << 6) | value) & 0xffffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[at++] = (word >> bits) & 0xff;
  }
  return out;
}

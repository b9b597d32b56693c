/**
 * Several users of one terminal (the guest's console, the monitor): output of all of them goes to it, input goes to the
 * one in front. Ctrl-A begins a command, as in QEMU.
 */
import type { CharStream, CharStreamClient } from './char-stream.ts';

export const DEFAULT_ESCAPE = 0x01;

const HELP = [
  'C-a h    print this help',
  'C-a x    exit emulator',
  'C-a c    switch between console and monitor',
  'C-a b    send break (magic sysrq)',
  'C-a t    toggle console timestamps',
  'C-a C-a  sends C-a',
];

export interface MuxOptions {
  /** Ctrl-A X. */
  readonly onQuit: () => void;
  /** The escape character; Ctrl-A if not given. */
  readonly escape?: number;
  /** Milliseconds since the start, for timestamps. */
  readonly nowMs: () => number;
}

export class CharMux implements CharStreamClient {
  readonly #terminal: CharStream;
  readonly #options: MuxOptions;
  readonly #escape: number;
  readonly #ports: MuxPort[] = [];
  #focus = 0;
  #escaped = false;
  #timestamps = false;
  #atLineStart = true;

  constructor(terminal: CharStream, options: MuxOptions) {
    this.#terminal = terminal;
    this.#options = options;
    this.#escape = options.escape ?? DEFAULT_ESCAPE;
    terminal.connect(this);
  }

  /** Another user; the first one is in front. */
  addPort(): CharStream {
    const port = new MuxPort(this);
    this.#ports.push(port);
    return port;
  }

  /** @internal Bytes for the terminal. */
  write(bytes: Uint8Array): boolean {
    return this.#terminal.write(this.#timestamps ? this.#withTimestamps(bytes) : bytes);
  }

  /** @internal */
  setInputPaused(port: MuxPort, paused: boolean): void {
    if (this.#ports[this.#focus] !== port) return;
    if (paused) this.#terminal.pauseInput();
    else this.#terminal.resumeInput();
  }

  /** @internal The terminal itself lives as long as its last user. */
  async release(port: MuxPort): Promise<void> {
    port.isOpen = false;
    if (this.#ports.every((p) => !p.isOpen)) await this.#terminal.dispose();
  }

  input(bytes: Uint8Array): void {
    let from = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.#escaped) {
        this.#escaped = false;
        this.#forward(bytes, from, i - 1);
        from = byte === this.#escape ? i : i + 1;
        if (byte !== this.#escape) this.#command(byte);
      } else if (byte === this.#escape) {
        this.#forward(bytes, from, i);
        from = i + 1;
        this.#escaped = true;
      }
    }
    this.#forward(bytes, from, bytes.length);
  }

  writable(): void {
    for (const port of this.#ports) port.client?.writable();
  }

  opened(): void {
    for (const port of this.#ports) port.client?.opened?.();
  }

  #forward(bytes: Uint8Array, from: number, to: number): void {
    if (to > from) this.#ports[this.#focus]?.client?.input(bytes.slice(from, to));
  }

  #command(byte: number): void {
    switch (String.fromCharCode(byte).toLowerCase()) {
      case 'x':
        this.#terminal.write(ascii('lyrebird: terminated\r\n'));
        this.#options.onQuit();
        break;
      case 'c':
        this.#switchFocus();
        break;
      case 'b':
        this.#ports[this.#focus]?.client?.sendBreak?.();
        break;
      case 't':
        this.#timestamps = !this.#timestamps;
        this.#atLineStart = true;
        break;
      case 'h':
      case '?':
        this.#terminal.write(ascii(`\r\n${HELP.join('\r\n')}\r\n`));
        break;
      default: // not a command: swallowed
    }
  }

  #switchFocus(): void {
    if (this.#ports.length < 2) return;
    this.#terminal.resumeInput();
    this.#focus = (this.#focus + 1) % this.#ports.length;
    const port = this.#ports[this.#focus]!;
    if (port.isPaused) this.#terminal.pauseInput();
    port.client?.opened?.();
  }

  #withTimestamps(bytes: Uint8Array): Uint8Array {
    const out: number[] = [];
    for (const byte of bytes) {
      if (this.#atLineStart) {
        const ms = Math.floor(this.#options.nowMs());
        const two = (n: number): string => String(n % 60).padStart(2, '0');
        const stamp = `[${two(Math.floor(ms / 3_600_000))}:${two(Math.floor(ms / 60_000))}:${two(Math.floor(ms / 1000))}.${String(ms % 1000).padStart(3, '0')}] `;
        out.push(...ascii(stamp));
      }
      out.push(byte);
      this.#atLineStart = byte === 0x0a;
    }
    return Uint8Array.from(out);
  }
}

class MuxPort implements CharStream {
  readonly #mux: CharMux;
  client: CharStreamClient | undefined;
  isPaused = false;
  isOpen = true;

  constructor(mux: CharMux) {
    this.#mux = mux;
  }

  write(bytes: Uint8Array): boolean {
    return this.#mux.write(bytes);
  }

  connect(client: CharStreamClient): void {
    this.client = client;
  }

  pauseInput(): void {
    this.isPaused = true;
    this.#mux.setInputPaused(this, true);
  }

  resumeInput(): void {
    this.isPaused = false;
    this.#mux.setInputPaused(this, false);
  }

  dispose(): Promise<void> {
    return this.#mux.release(this);
  }
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

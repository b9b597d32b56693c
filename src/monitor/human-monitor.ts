/** The human monitor on a character stream: prompt, line editing with history, one command at a time. */
import type { CharStream, CharStreamClient } from '../chardev/char-stream.ts';
import { COMMAND_NAMES, type MonitorContext, runCommand } from './commands.ts';

/** The prompt that scripts around QEMU's monitor wait for. */
const PROMPT = '(qemu) ';
const HISTORY_SIZE = 100;
const CTRL_A = 0x01;
const CTRL_C = 0x03;
const CTRL_E = 0x05;
const BACKSPACE = 0x08;
const TAB = 0x09;
const LF = 0x0a;
const CTRL_K = 0x0b;
const CR = 0x0d;
const CTRL_U = 0x15;
const CTRL_W = 0x17;
const ESCAPE = 0x1b;
const DELETE = 0x7f;

export class HumanMonitor implements CharStreamClient {
  readonly #stream: CharStream;
  readonly #context: MonitorContext;
  readonly #history: string[] = [];
  #historyAt = 0;
  #line = '';
  #cursor = 0;
  #escape = '';
  #lastWasCr = false;
  #greeted = false;
  #queue: string[] = [];
  #busy = false;

  /** `promptAtOnce`: the stream is the monitor's alone; otherwise it greets when it comes to the front. */
  constructor(stream: CharStream, context: MonitorContext, promptAtOnce: boolean) {
    this.#stream = stream;
    this.#context = context;
    stream.connect(this);
    if (promptAtOnce) this.opened();
  }

  opened(): void {
    if (!this.#greeted)
      this.#print(`\r\n${this.#context.version} monitor - type 'help' for more information\r\n`);
    else this.#print('\r\n');
    this.#greeted = true;
    this.#refresh();
  }

  writable(): void {}

  input(bytes: Uint8Array): void {
    for (const byte of bytes) this.#key(byte);
  }

  #key(byte: number): void {
    const afterCr = this.#lastWasCr;
    this.#lastWasCr = byte === CR;
    if (this.#escape !== '') return this.#escapeKey(byte);
    switch (byte) {
      case LF:
        if (!afterCr) this.#enter();
        break;
      case CR:
        this.#enter();
        break;
      case ESCAPE:
        this.#escape = '\x1b';
        break;
      case BACKSPACE:
      case DELETE:
        if (this.#cursor > 0) this.#edit(this.#cursor - 1, this.#cursor, '');
        break;
      case CTRL_A:
        this.#move(0);
        break;
      case CTRL_E:
        this.#move(this.#line.length);
        break;
      case CTRL_U:
        this.#edit(0, this.#cursor, '');
        break;
      case CTRL_K:
        this.#edit(this.#cursor, this.#line.length, '');
        break;
      case CTRL_W:
        this.#edit(this.#line.slice(0, this.#cursor).replace(/\S+\s*$/, '').length, this.#cursor, '');
        break;
      case CTRL_C:
        this.#print('^C\r\n');
        this.#setLine('');
        break;
      case TAB:
        this.#complete();
        break;
      default:
        if (byte >= 0x20 && byte < 0x80) this.#insert(String.fromCharCode(byte));
    }
  }

  /** Cursor keys: ESC [ A … D. */
  #escapeKey(byte: number): void {
    this.#escape += String.fromCharCode(byte);
    if (/^\x1b(\[[\d;]*)?$/.test(this.#escape)) return;
    const sequence = this.#escape.slice(1);
    this.#escape = '';
    if (sequence === '[A') this.#recall(this.#historyAt - 1);
    else if (sequence === '[B') this.#recall(this.#historyAt + 1);
    else if (sequence === '[C') this.#move(this.#cursor + 1);
    else if (sequence === '[D') this.#move(this.#cursor - 1);
    else if (sequence === '[3~') this.#edit(this.#cursor, this.#cursor + 1, '');
  }

  #insert(char: string): void {
    if (this.#busy || this.#cursor < this.#line.length) return this.#edit(this.#cursor, this.#cursor, char);
    this.#line += char;
    this.#cursor++;
    this.#print(char);
  }

  #edit(from: number, to: number, text: string): void {
    this.#line = this.#line.slice(0, from) + text + this.#line.slice(to);
    this.#cursor = from + text.length;
    this.#refresh();
  }

  #move(to: number): void {
    this.#cursor = Math.max(0, Math.min(to, this.#line.length));
    this.#refresh();
  }

  #setLine(text: string): void {
    this.#line = text;
    this.#cursor = text.length;
    this.#refresh();
  }

  #recall(index: number): void {
    if (index < 0 || index > this.#history.length) return;
    this.#historyAt = index;
    this.#setLine(this.#history[index] ?? '');
  }

  #complete(): void {
    const matches = COMMAND_NAMES.filter((name) => name.startsWith(this.#line));
    if (matches.length === 1) this.#setLine(`${matches[0]} `);
    else if (matches.length > 1) {
      this.#print(`\r\n${matches.join('  ')}\r\n`);
      this.#refresh();
    }
  }

  #enter(): void {
    this.#print('\r\n');
    const line = this.#line.trim();
    if (line !== '' && line !== this.#history.at(-1)) this.#history.push(line);
    if (this.#history.length > HISTORY_SIZE) this.#history.shift();
    this.#historyAt = this.#history.length;
    this.#line = '';
    this.#cursor = 0;
    this.#queue.push(line);
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (let line = this.#queue.shift(); line !== undefined; line = this.#queue.shift()) {
      const text = line === '' ? '' : await runCommand(this.#context, line);
      if (text !== '') this.#print(`${text.replaceAll('\n', '\r\n')}\r\n`);
    }
    this.#busy = false;
    this.#refresh();
  }

  #refresh(): void {
    if (this.#busy) return;
    const back = this.#line.length - this.#cursor;
    this.#print(`\r${PROMPT}${this.#line}\x1b[K${back > 0 ? `\x1b[${back}D` : ''}`);
  }

  #print(text: string): void {
    this.#stream.write(Uint8Array.from(text, (c) => c.charCodeAt(0) & 0xff));
  }
}

/**
 * A pseudo-terminal (`-serial pty`). Node has no `ioctl`, and a new pty is locked until TIOCSPTLCK: perl (part of every
 * Debian) or python3 is asked once to do it on the descriptor; the number of the terminal is read from /proc.
 * The master is polled: reading it while no one has the other side open gives EIO.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, read, readFileSync, write } from 'node:fs';
import type { CharStream, CharStreamClient } from '../../../chardev/char-stream.ts';
import { UserError } from '../../../util/errors.ts';
import { errorReason } from '../error-reason.ts';

/** TIOCSPTLCK of Linux on x86 and ARM. */
const TIOCSPTLCK = 0x40045431;
/**
 * Unlock, raw mode, and O_NONBLOCK again: a child process gets its standard streams in blocking mode, and the flag
 * belongs to the open file that both share.
 */
const UNLOCKERS: ReadonlyArray<readonly [string, readonly string[]]> = [
  [
    'perl',
    [
      '-MFcntl',
      '-e',
      `my $z = pack("i", 0); ioctl(STDIN, ${TIOCSPTLCK}, $z) or exit 1; system("stty raw -echo 2>/dev/null");` +
        'fcntl(STDIN, F_SETFL, O_RDWR | O_NONBLOCK) or exit 1;',
    ],
  ],
  [
    'python3',
    [
      '-c',
      `import fcntl,os,struct,tty; fcntl.ioctl(0, ${TIOCSPTLCK}, struct.pack("i", 0)); tty.setraw(0); os.set_blocking(0, False)`,
    ],
  ],
];

const POLL_ACTIVE_MS = 5;
const POLL_IDLE_MS = 40;
const POLL_DISCONNECTED_MS = 400;
const MAX_QUEUE = 65536;

export class PtyStream implements CharStream {
  /** `/dev/pts/N`. */
  readonly path: string;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(4096);
  #client: CharStreamClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #connected = false;
  #inputPaused = false;
  #busy = false;
  #queue: Uint8Array = new Uint8Array(0);
  #disposed = false;

  /** `UserError` where there is no /dev/ptmx or nothing that can unlock it. */
  constructor(option: string) {
    const refuse = (reason: string): UserError =>
      new UserError('PtyUnavailable', `${option}: no pseudo-terminal: ${reason}`);
    try {
      this.#fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    } catch (error) {
      throw refuse(errorReason(error));
    }
    const number = ptyNumber(this.#fd);
    const unlocked = UNLOCKERS.some(([program, args]) => {
      return spawnSync(program, args, { stdio: [this.#fd, 'ignore', 'ignore'] }).status === 0;
    });
    if (number === undefined || !unlocked) {
      closeSync(this.#fd);
      throw refuse('perl or python3 is needed to unlock it');
    }
    this.path = `/dev/pts/${number}`;
    // Once opened and closed, the other side counts as absent until somebody opens it.
    closeSync(openSync(this.path, constants.O_RDWR | constants.O_NOCTTY));
    this.#schedule(0);
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#connected) return true; // nobody listens
    const joined = new Uint8Array(this.#queue.length + bytes.length);
    joined.set(this.#queue);
    joined.set(bytes, this.#queue.length);
    this.#queue = joined;
    this.#schedule(0);
    return joined.length < MAX_QUEUE;
  }

  connect(client: CharStreamClient): void {
    this.#client = client;
  }

  pauseInput(): void {
    this.#inputPaused = true;
  }

  resumeInput(): void {
    this.#inputPaused = false;
    this.#schedule(0);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    clearTimeout(this.#timer);
    if (!this.#busy) closeSync(this.#fd);
  }

  #schedule(ms: number): void {
    if (this.#disposed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), ms);
    this.#timer.unref();
  }

  #poll(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#flush(() => {
      if (this.#inputPaused) return this.#settle(POLL_IDLE_MS);
      read(this.#fd, this.#buffer, 0, this.#buffer.length, null, (error, count) => {
        if (error !== null) this.#settle(this.#onReadError(error));
        else {
          this.#setConnected(true);
          if (!this.#disposed && count > 0) this.#client?.input(this.#buffer.slice(0, count));
          this.#settle(POLL_ACTIVE_MS);
        }
      });
    });
  }

  #onReadError(error: NodeJS.ErrnoException): number {
    const connected = error.code === 'EAGAIN';
    this.#setConnected(connected);
    if (!connected) return POLL_DISCONNECTED_MS;
    return this.#queue.length > 0 ? POLL_ACTIVE_MS : POLL_IDLE_MS;
  }

  #settle(nextMs: number): void {
    this.#busy = false;
    if (this.#disposed) closeSync(this.#fd);
    else this.#schedule(nextMs);
  }

  #flush(then: () => void): void {
    if (this.#queue.length === 0 || !this.#connected) {
      this.#queue = new Uint8Array(0);
      then();
      return;
    }
    write(this.#fd, this.#queue, 0, this.#queue.length, null, (error, count) => {
      if (error === null) this.#queue = this.#queue.slice(count);
      if (!this.#disposed && this.#queue.length < MAX_QUEUE) this.#client?.writable();
      then();
    });
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (connected) this.#client?.opened?.();
    else this.#client?.writable();
  }
}

/** Linux tells the number in the descriptor's information ("tty-index"). */
function ptyNumber(fd: number): number | undefined {
  try {
    const match = /^tty-index:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

// Drives an emulator's process over its standard input and output, in the manner of expect(1).

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';

/** What the guest had printed when it did not do what was expected. */
export class GuestTimeout extends Error {
  constructor(what: string, output: string) {
    super(`${what}; the guest's last output was:\n${output.slice(-2000)}`);
    this.name = 'GuestTimeout';
  }
}

export interface Match {
  /** Everything from the end of the previous match to the end of this one. */
  readonly text: string;
  readonly groups: readonly string[];
  /** Milliseconds from the start of the process to the output that completed the match. */
  readonly atMs: number;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

interface Waiter {
  check(): void;
}

/** A running emulator. Always end it with `close()` in a `finally`. */
export class GuestProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly startedMs: number;
  readonly commandLine: string;
  /** The exit status, once there is one; a signal counts as 128. */
  status: number | undefined;
  output = '';
  errors = '';
  #from = 0;
  #lastMs = 0;
  readonly #waiters = new Set<Waiter>();

  constructor(command: readonly string[], options: StartOptions = {}) {
    const [program = '', ...args] = command;
    this.commandLine = command.join(' ');
    this.startedMs = performance.now();
    this.child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => this.#received(text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    this.child.stdin.on('error', () => {}); // the process may go while we type
    this.child.on('error', (error) => {
      this.errors += `${error.message}\n`;
      this.#ended(127);
    });
    this.child.on('close', (code) => this.#ended(code ?? 128));
  }

  get elapsedMs(): number {
    return performance.now() - this.startedMs;
  }

  #received(text: string): void {
    this.output += text;
    this.#lastMs = this.elapsedMs;
    this.#wake();
  }

  #ended(status: number): void {
    this.status ??= status;
    this.#wake();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  #until<T>(what: string, timeoutMs: number, attempt: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        act();
      };
      const fail = (reason: string): void =>
        finish(() =>
          reject(new GuestTimeout(`${what}: ${reason} (${this.commandLine})`, this.output + this.errors)),
        );
      const waiter: Waiter = {
        check: () => {
          const result = attempt();
          if (result !== undefined) finish(() => resolve(result));
          else if (this.status !== undefined) fail(`the process ended with status ${this.status}`);
        },
      };
      const timer = setTimeout(() => fail(`not within ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
      this.#waiters.add(waiter);
      waiter.check();
    });
  }

  /** Waits for `pattern` in what the guest prints after the previous match. */
  expect(pattern: RegExp | string, timeoutMs: number): Promise<Match> {
    return this.#until(`waiting for ${String(pattern)}`, timeoutMs, () => {
      const rest = this.output.slice(this.#from);
      const found = typeof pattern === 'string' ? literal(rest, pattern) : pattern.exec(rest);
      if (!found) return undefined;
      const end = found.index + found[0].length;
      this.#from += end;
      return { text: rest.slice(0, end), groups: [...found], atMs: this.#lastMs };
    });
  }

  /** Types `text`. */
  send(text: string): void {
    this.child.stdin.write(text);
  }

  /** Waits for the process to end and returns its exit status. */
  exited(timeoutMs: number): Promise<number> {
    return this.#until('waiting for the process to end', timeoutMs, () => this.status);
  }

  /** Ends the process if it still runs. */
  async close(): Promise<void> {
    if (this.status !== undefined) return;
    this.child.kill('SIGKILL');
    await this.exited(10_000).catch(() => {});
  }
}

function literal(text: string, wanted: string): RegExpExecArray | null {
  const index = text.indexOf(wanted);
  if (index < 0) return null;
  return Object.assign([wanted] as unknown as RegExpExecArray, { index });
}

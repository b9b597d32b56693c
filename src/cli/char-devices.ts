/** Opens the character devices of a run and connects those that share a terminal. */

import { audioStreamName } from '../audio/audio-backends.ts';
import type { CharStream } from '../chardev/char-stream.ts';
import { CharMux } from '../chardev/mux.ts';
import type { CharSpec, NamedCharSpec } from '../chardev/spec.ts';
import { openCharStream } from '../host/node/chardev/open.ts';
import { UserError } from '../util/errors.ts';
import type { CharRequest, RunPlan } from './command-line.ts';

export interface OpenedDevices {
  readonly serial: ReadonlyArray<CharStream | undefined>;
  readonly debugCon: CharStream | undefined;
  /** `own`: nobody else uses the stream, so that the monitor may greet at once. */
  readonly monitors: readonly OpenedMonitor[];
  /** `-chardev` that devices of the registry name. */
  readonly chardevs: ReadonlyArray<readonly [id: string, stream: CharStream]>;
  readonly qtest: CharStream | undefined;
}

export interface OpenedMonitor {
  readonly stream: CharStream;
  readonly own: boolean;
  readonly mode: 'readline' | 'control';
  readonly pretty: boolean;
}

interface Backend {
  readonly stream: CharStream;
  readonly mux: CharMux | undefined;
  users: number;
}

export class DeviceOpener {
  readonly #plan: RunPlan;
  readonly #onQuit: () => void;
  readonly #named = new Map<string, Backend>();
  readonly #opened: CharStream[] = [];
  #stdioUser: string | undefined;

  constructor(plan: RunPlan, onQuit: () => void) {
    this.#plan = plan;
    this.#onQuit = onQuit;
  }

  /** `UserError` when one cannot be opened; those opened before are closed again. */
  async open(): Promise<OpenedDevices> {
    try {
      return await this.#open();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Releases everything (a terminal gets its mode back). */
  async close(): Promise<void> {
    await Promise.all(this.#opened.map((stream) => stream.dispose()));
  }

  async #open(): Promise<OpenedDevices> {
    const plan = this.#plan;
    const qtest = plan.qtest === undefined ? undefined : await this.#connect(plan.qtest);
    for (const chardev of plan.chardevs) await this.#openNamed(chardev);
    const monitors: OpenedMonitor[] = [];
    const serial: Array<CharStream | undefined> = [];
    if (plan.serial.length > MAX_SERIAL) {
      throw new UserError(
        'TooManySerialPorts',
        `${plan.serial[MAX_SERIAL]!.option}: there are only ${MAX_SERIAL} serial ports`,
      );
    }
    for (const request of plan.serial) {
      const stream = await this.#connect(request);
      serial.push(stream);
      if (request.mux && stream !== undefined)
        monitors.push({ stream: this.#lastMux!.addPort(), own: false, mode: 'readline', pretty: false });
    }
    const debugCon = plan.debugCon === undefined ? undefined : await this.#connect(plan.debugCon);
    for (const request of plan.monitors) {
      const stream = await this.#connect(request);
      const { mode = 'readline', pretty = false } = request;
      if (stream !== undefined) monitors.push({ stream, own: this.#isOwn(request.spec), mode, pretty });
    }
    const chardevs: Array<readonly [string, CharStream]> = [];
    for (const { properties, what } of plan.config.devices) {
      const id = properties['chardev'];
      if (id !== undefined) chardevs.push([String(id), this.#useNamed(String(id), what)]);
    }
    for (const { id, driver, path, rateHz } of plan.config.audiodevs) {
      if (driver !== 'wav') continue;
      const { WavFile } = await import('../host/node/audio/wav-file.ts');
      const file = new WavFile(path, rateHz, `-audiodev id=${id}`);
      this.#opened.push(file);
      chardevs.push([audioStreamName(id), file]);
    }
    return { serial, debugCon, monitors, chardevs, qtest };
  }

  #lastMux: CharMux | undefined;

  #isOwn(spec: CharSpec): boolean {
    return spec.kind !== 'chardev' || this.#named.get(spec.id)!.users === 1;
  }

  async #connect(request: CharRequest): Promise<CharStream | undefined> {
    const { spec, mux, option } = request;
    if (spec.kind === 'none') return undefined;
    if (spec.kind === 'chardev') return this.#useNamed(spec.id, option);
    const stream = await this.#openStream(spec, option, mux);
    if (!mux) return stream;
    this.#lastMux = this.#createMux(stream);
    return this.#lastMux.addPort();
  }

  async #openNamed(chardev: NamedCharSpec): Promise<void> {
    const stream = await this.#openStream(chardev.spec, `-chardev id=${chardev.id}`, chardev.mux);
    const mux = chardev.mux ? this.#createMux(stream) : undefined;
    this.#named.set(chardev.id, { stream, mux, users: 0 });
  }

  #useNamed(id: string, option: string): CharStream {
    const backend = this.#named.get(id);
    if (backend === undefined) throw new UserError('UnknownId', `${option}: no -chardev with id "${id}"`);
    if (backend.users++ > 0 && backend.mux === undefined) {
      throw new UserError(
        'DeviceInUse',
        `${option}: -chardev id=${id} is in use (mux=on lets several share it)`,
      );
    }
    return backend.mux === undefined ? backend.stream : backend.mux.addPort();
  }

  #createMux(stream: CharStream): CharMux {
    return new CharMux(stream, { onQuit: this.#onQuit, nowMs: () => process.uptime() * 1000 });
  }

  async #openStream(spec: CharSpec, option: string, mux: boolean): Promise<CharStream> {
    if (spec.kind === 'stdio') {
      if (this.#stdioUser !== undefined) {
        throw new UserError(
          'DeviceInUse',
          `${option}: standard input and output are in use by ${this.#stdioUser}`,
        );
      }
      this.#stdioUser = option;
    }
    const stream = await openCharStream(spec, {
      option,
      signal: !this.#plan.nographic && !mux,
      inform: (text) => process.stderr.write(`${text}\n`),
    });
    this.#opened.push(stream);
    return stream;
  }
}

const MAX_SERIAL = 4;

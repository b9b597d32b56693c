/**
 * The control protocol on a byte stream (QEMU QMP interface specification): greeting, negotiation, commands one after the other, and
 * events with their time.
 */
import type { CharStream, CharStreamClient } from '../../chardev/char-stream.ts';
import { AssertionError, UserError } from '../../util/errors.ts';
import { type QmpContext, runQmpCommand } from './commands.ts';
import { errorClass, qmpError } from './errors.ts';
import { isObject, type Json, type JsonItem, type JsonObject, JsonStream, printJson } from './json.ts';
import { versionInfo } from './version.ts';

/** Requests that may wait; more of them hold the stream back. */
const MAX_WAITING = 8;
const REQUEST_KEYS = new Set(['execute', 'exec-oob', 'arguments', 'id', 'control']);

export class QmpServer implements CharStreamClient {
  readonly #stream: CharStream;
  readonly #context: QmpContext;
  readonly #indent: string;
  #input = new JsonStream();
  #queue: JsonItem[] = [];
  #busy = false;
  #negotiated = false;
  #oob = false;
  #closed = false;

  /** `pretty`: answers over several lines. */
  constructor(stream: CharStream, context: QmpContext, pretty = false) {
    this.#stream = stream;
    this.#context = context;
    this.#indent = pretty ? '\n' : '';
    stream.connect(this);
    this.opened();
  }

  /** A new peer begins anew. */
  opened(): void {
    this.#input = new JsonStream();
    this.#queue = [];
    this.#negotiated = false;
    this.#oob = false;
    this.#send({ QMP: { version: versionInfo(this.#context.version), capabilities: ['oob'] } });
  }

  writable(): void {}

  input(bytes: Uint8Array): void {
    for (const item of this.#input.push(bytes)) {
      if (this.#isUrgent(item)) void this.#answer(item);
      else this.#queue.push(item);
    }
    if (this.#queue.length >= MAX_WAITING) this.#stream.pauseInput();
    if (!this.#busy) void this.#run();
  }

  /** Sends an event, once the peer has negotiated. */
  event(name: string, data: JsonObject | undefined, nowMs: number): void {
    if (!this.#negotiated) return;
    const seconds = Math.floor(nowMs / 1000);
    const timestamp = { seconds, microseconds: Math.floor((nowMs - seconds * 1000) * 1000) };
    this.#send({ timestamp, event: name, ...(data !== undefined && { data }) });
  }

  #isUrgent(item: JsonItem): boolean {
    return this.#oob && item.kind === 'value' && isObject(item.value) && item.value['exec-oob'] !== undefined;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      await this.#answer(item);
      if (this.#queue.length === MAX_WAITING - 1) this.#stream.resumeInput();
    }
    this.#busy = false;
  }

  async #answer(item: JsonItem): Promise<void> {
    const id = item.kind === 'value' && isObject(item.value) ? item.value['id'] : undefined;
    const withId = id === undefined ? {} : { id };
    try {
      const result = await this.#execute(item);
      this.#send({ return: result, ...withId });
    } catch (error) {
      if (error instanceof AssertionError || !(error instanceof Error)) throw error;
      const known = error instanceof UserError ? error : qmpError(error.message);
      this.#send({ error: { class: errorClass(known), desc: known.message }, ...withId });
    }
  }

  #execute(item: JsonItem): Promise<Json> | Json {
    if (item.kind === 'error') throw qmpError(`JSON parse error, ${item.reason}`);
    const request = item.value;
    if (!isObject(request)) throw qmpError('QMP input must be a JSON object');
    for (const key of Object.keys(request))
      if (!REQUEST_KEYS.has(key)) throw qmpError(`QMP input member '${key}' is unexpected`);
    const { execute, 'exec-oob': urgent } = request;
    if (execute !== undefined && urgent !== undefined)
      throw qmpError("QMP input member 'exec-oob' clashes with 'execute'");
    const name = execute ?? urgent;
    if (name === undefined) throw qmpError("QMP input lacks member 'execute'");
    if (typeof name !== 'string')
      throw qmpError(`QMP input member '${execute === undefined ? 'exec-oob' : 'execute'}' must be a string`);
    const args = request['arguments'] ?? {};
    if (!isObject(args)) throw qmpError("QMP input member 'arguments' must be an object");
    return this.#dispatch(name, args, urgent !== undefined);
  }

  #dispatch(name: string, args: JsonObject, urgent: boolean): Promise<Json> | Json {
    if (name === 'qmp_capabilities') return this.#negotiate(args);
    if (!this.#negotiated)
      throw qmpError("Expecting capabilities negotiation with 'qmp_capabilities'", 'CommandNotFound');
    if (urgent && !this.#oob) throw qmpError("QMP input member 'exec-oob' is unexpected");
    return runQmpCommand(this.#context, name, args, urgent);
  }

  #negotiate(args: JsonObject): Json {
    if (this.#negotiated)
      throw qmpError('Capabilities negotiation is already complete, command ignored', 'CommandNotFound');
    for (const key of Object.keys(args))
      if (key !== 'enable') throw qmpError(`Parameter '${key}' is unexpected`);
    const wanted = args['enable'] ?? [];
    if (!Array.isArray(wanted)) throw qmpError("Invalid parameter type for 'enable', expected: array");
    for (const capability of wanted as readonly Json[]) {
      if (typeof capability !== 'string')
        throw qmpError("Invalid parameter type for 'enable[0]', expected: string");
      if (capability !== 'oob') throw qmpError(`Parameter 'enable[0]' does not accept value '${capability}'`);
    }
    this.#oob = (wanted as readonly Json[]).includes('oob');
    this.#negotiated = true;
    return {};
  }

  #send(message: JsonObject): void {
    if (this.#closed) return;
    const text = `${printJson(message, this.#indent)}\r\n`;
    this.#stream.write(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
  }
}

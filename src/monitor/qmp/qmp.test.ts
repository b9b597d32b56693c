import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharStream, CharStreamClient } from '../../chardev/char-stream.ts';
import type { MachineControl } from '../../system/machine-client.ts';
import { ObjectStore } from '../../system/objects.ts';
import { UserError } from '../../util/errors.ts';
import type { QmpContext } from './commands.ts';
import { type JsonItem, JsonStream, parseJson, printJson } from './json.ts';
import { QmpServer } from './server.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('json: values follow each other, split anywhere', () => {
  const stream = new JsonStream();
  const items: JsonItem[] = [];
  for (const char of `{"a": [1, {"b": "}]\\""}]}{'x': 'it"s'}\n[true,null,-3]`)
    items.push(...stream.push(bytes(char)));
  assert.deepEqual(
    items.map((item) => (item.kind === 'value' ? JSON.parse(JSON.stringify(item.value)) : item)),
    [{ a: [1, { b: '}]"' }] }, { x: 'it"s' }, [true, null, -3]],
  );
});

test('json: mistakes are reported and the stream goes on', () => {
  const stream = new JsonStream();
  const kinds = (text: string): string[] => stream.push(bytes(text)).map((item) => item.kind);
  assert.deepEqual(kinds('{ "a" }'), ['error']);
  assert.deepEqual(kinds('{} '), ['value']);
  assert.deepEqual(
    stream.push(Uint8Array.of(0x7b, 0xff)).map((item) => item.kind),
    ['error'],
  );
  assert.deepEqual(kinds('{"a": 1, "a": 2}'), ['error']);
  assert.deepEqual(kinds(`${'['.repeat(2000)}`).slice(0, 1), ['error']);
});

test('json: outside of a message each scalar is one item, and each run of nonsense one mistake', () => {
  const stream = new JsonStream();
  const push = (text: string) => stream.push(bytes(text)).map(({ kind }) => kind);
  assert.deepEqual(push('null\n'), ['value']);
  assert.deepEqual(push('%p'), ['error']);
  assert.deepEqual(push('{"a": 1}'), ['value']);
  assert.deepEqual(push('{\u0001'), ['error']);
  assert.deepEqual(push('{}'), ['value']);
});

test('json: 64-bit numbers and text beyond ASCII survive', () => {
  assert.equal(printJson(parseJson('[18446744073709551615, -1, 0.5]')), '[18446744073709551615, -1, 0.5]');
  const item = new JsonStream().push(bytes('{"a": "gr\u00fc\u00df"}'))[0]!;
  assert.equal(item.kind === 'value' && printJson(item.value), '{"a": "gr\\u00fc\\u00df"}');
});

class Peer implements CharStream {
  readonly answers: Array<Record<string, unknown>> = [];
  client!: CharStreamClient;
  #text = '';
  write(data: Uint8Array): boolean {
    this.#text += new TextDecoder().decode(data);
    for (let end = this.#text.indexOf('\r\n'); end >= 0; end = this.#text.indexOf('\r\n')) {
      this.answers.push(JSON.parse(this.#text.slice(0, end)) as Record<string, unknown>);
      this.#text = this.#text.slice(end + 2);
    }
    return true;
  }
  connect(client: CharStreamClient): void {
    this.client = client;
  }
  pauseInput(): void {}
  resumeInput(): void {}
  async dispose(): Promise<void> {}

  async ask(text: string): Promise<Record<string, unknown>> {
    const before = this.answers.length;
    this.client.input(bytes(text));
    for (let i = 0; i < 50 && this.answers.length === before; i++) await Promise.resolve();
    return this.answers.at(-1)!;
  }
}

function fakeContext(requests: string[]): QmpContext {
  const machine = {
    state: 'running',
    config: { name: 'box', memoryBytes: 2 ** 27, accelerator: { kind: 'tcg' } },
    request: async (name: string, params: { command?: string }) => {
      requests.push(params.command ?? name);
      if (params.command === 'device_del') throw new UserError('DeviceNotFound', "Device 'x' not found");
      return null;
    },
  } as unknown as MachineControl;
  return {
    machine,
    version: 'Lyrebird version 1.2.3',
    quit: () => {},
    chardevs: [],
    objects: new ObjectStore(),
    preconfig: { isActive: false },
    writeFile: async () => {},
  };
}

const errorOf = (answer: Record<string, unknown>): unknown => (answer['error'] as { class: string }).class;

test('qmp: greeting, negotiation, commands, ids, error classes, events', async () => {
  const peer = new Peer();
  const requests: string[] = [];
  const server = new QmpServer(peer, fakeContext(requests));
  const greeting = peer.answers[0]!['QMP'] as { version: { qemu: { major: number } } };
  assert.equal(greeting.version.qemu.major, 7);
  assert.equal(errorOf(await peer.ask('{"execute": "query-version"}')), 'CommandNotFound');
  server.event('STOP', undefined, 1000);
  assert.equal(
    errorOf(await peer.ask('{"execute":"qmp_capabilities","arguments":{"enable":["nope"]}}')),
    'GenericError',
  );
  assert.deepEqual(await peer.ask('{"execute":"qmp_capabilities","id":7}'), { return: {}, id: 7 });
  assert.equal(errorOf(await peer.ask('{"execute":"qmp_capabilities"}')), 'CommandNotFound');
  const status = (await peer.ask('{"execute":"query-status"}'))['return'] as { status: string };
  assert.equal(status.status, 'running');
  assert.deepEqual(await peer.ask('{"execute":"stop"}'), { return: {} });
  assert.deepEqual(requests, ['pause']);
  assert.equal(errorOf(await peer.ask('{"execute":"device_del","arguments":{"id":"x"}}')), 'DeviceNotFound');
  assert.equal(errorOf(await peer.ask('{"execute":"no-such"}')), 'CommandNotFound');
  for (const wrong of [
    '{"execute":"stop","arguments":{"x":1}}',
    '{"execute":"device_del"}',
    '{"x":1}',
    '[]',
    '{"execute":1}',
  ])
    assert.equal(errorOf(await peer.ask(wrong)), 'GenericError', wrong);
  server.event('RESET', { guest: false }, 1500.25);
  assert.deepEqual(peer.answers.at(-1), {
    timestamp: { seconds: 1, microseconds: 500250 },
    event: 'RESET',
    data: { guest: false },
  });
});

test('qmp: the schema names every command once', async () => {
  const peer = new Peer();
  new QmpServer(peer, fakeContext([]));
  await peer.ask('{"execute":"qmp_capabilities"}');
  const schema = (await peer.ask('{"execute":"query-qmp-schema"}'))['return'] as Array<
    Record<string, string>
  >;
  const commands = (await peer.ask('{"execute":"query-commands"}'))['return'] as Array<{ name: string }>;
  const described = schema.filter((row) => row['meta-type'] === 'command').map((row) => row['name']);
  assert.deepEqual(
    described,
    commands.map(({ name }) => name),
  );
  const types = new Set(schema.map((row) => row['name']));
  for (const row of schema)
    if (row['arg-type'] !== undefined) assert.ok(types.has(row['arg-type']), row['name']);
});

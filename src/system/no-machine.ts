/** `-machine none`: no board, no processor. Programs ask it over the control protocol what the emulator has. */
import { UserError } from '../util/errors.ts';
import { Emitter } from '../util/events.ts';
import type { MachineConfig } from './config.ts';
import { Lifecycle, type LifecycleEvent, type MachineEnd, type RunState } from './lifecycle.ts';
import type { BlockPort, MachineControl, MachineNotice } from './machine-client.ts';
import type { AddressKind, MachineRequests, RequestName } from './protocol.ts';
import { object, type QomWorld, qomGet, qomList, qomRoot, qomSet } from './qom.ts';

type Args = Readonly<Record<string, unknown>>;

const TEXTS: Readonly<Record<string, string>> = {
  registers: '',
  jit: '',
  kvm: 'kvm support: disabled',
  pic: '',
  mtree: 'address-space: memory',
  qtree: 'bus: main-system-bus\n  type System',
  'qom-tree':
    '/machine (none-machine)\n  /peripheral (container)\n  /peripheral-anon (container)\n  /unattached (container)',
  pci: 'PCI: no buses',
  cpus: '',
  mem: 'No CPU available',
  lapic: 'No CPU available',
  memdev: '',
};

export class NoMachine implements MachineControl {
  readonly net = undefined;
  readonly config: MachineConfig;
  /** Resolves when somebody asked for the end. */
  readonly ended: Promise<MachineEnd>;
  readonly block: BlockPort | undefined;
  readonly #events = new Emitter<LifecycleEvent>();
  readonly #notices = new Emitter<MachineNotice>();
  readonly #lifecycle: Lifecycle;
  readonly #world: QomWorld;
  #resolveEnded!: (end: MachineEnd) => void;

  constructor(config: MachineConfig, block: BlockPort | undefined) {
    this.config = config;
    this.block = block;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    const machine = object('none-machine', { accel: () => this.accelerator }, [
      ['peripheral', object('container', {})],
      ['peripheral-anon', object('container', {})],
      ['unattached', object('container', {})],
    ]);
    this.#world = { tree: () => qomRoot(machine) };
    this.#lifecycle = new Lifecycle(config, {
      reset: () => {},
      setRunning: () => {},
      onEvent: (event) => {
        this.#events.emit(event);
        if (event.kind === 'end') this.#resolveEnded(event.end);
      },
    });
    this.#lifecycle.start();
  }

  get accelerator(): string {
    return this.config.accelerators[0]?.kind ?? 'tcg';
  }

  get state(): RunState {
    return this.#lifecycle.state;
  }

  get onEvent(): Emitter<LifecycleEvent>['event'] {
    return this.#events.event;
  }

  get onNotice(): Emitter<MachineNotice>['event'] {
    return this.#notices.event;
  }

  async request<N extends RequestName>(
    name: N,
    params: MachineRequests[N]['params'],
  ): Promise<MachineRequests[N]['result']> {
    const result = this.#carryOut(name, params as unknown as Args);
    this.#lifecycle.settle();
    return result as MachineRequests[N]['result'];
  }

  /** Nothing is anywhere. */
  async read(_address: bigint, length: number, kind: AddressKind): Promise<Uint8Array> {
    if (kind === 'virtual') throw noCpu();
    return new Uint8Array(length);
  }

  #carryOut(name: RequestName, params: Args): unknown {
    switch (name) {
      case 'resume':
        this.#lifecycle.resume();
        return null;
      case 'pause':
        this.#lifecycle.pause();
        return null;
      case 'reset':
        this.#lifecycle.requestReset('host-reset');
        return null;
      case 'quit':
        this.#lifecycle.quit();
        return null;
      case 'powerdown':
      case 'log':
        return null;
      case 'write':
        return null;
      case 'port':
        return 0xff;
      case 'screen':
        return undefined;
      case 'info':
        return this.#info(String(params['topic']));
      case 'control':
        return this.#control(String(params['command']), params['args'] as Args);
      default:
        throw noCpu();
    }
  }

  #info(topic: string): string {
    if (topic === 'status') return `VM status: ${this.state === 'running' ? 'running' : 'paused'}`;
    if (topic === 'accelerators') return `* ${this.accelerator}`;
    if (topic === 'name') return this.config.name;
    const text = Object.hasOwn(TEXTS, topic) ? TEXTS[topic] : undefined;
    if (text === undefined) throw new UserError('UnknownTopic', `info: unknown topic "${topic}"`);
    return text;
  }

  #control(command: string, args: Args): unknown {
    switch (command) {
      case 'query-cpus-fast':
      case 'query-pci':
      case 'x-drive-list':
        return [];
      case 'query-balloon':
      case 'balloon':
        throw new UserError('DeviceNotActive', 'No balloon device has been activated');
      case 'query-vm-generation-id':
        throw new UserError('GenericError', 'VM Generation ID device not found');
      case 'device_del':
        throw new UserError('DeviceNotFound', `Device '${String(args['id'])}' not found`);
      case 'device_add':
        throw new UserError('GenericError', 'this machine has no buses');
      case 'qom-list':
        return qomList(this.#world, String(args['path']));
      case 'qom-get':
        return qomGet(this.#world, String(args['path']), String(args['property']));
      case 'qom-set':
        return qomSet(this.#world, String(args['path']), String(args['property']), args['value']);
      default: {
        const name = args['device'] ?? args['id'] ?? args['name'];
        if (typeof name === 'string') throw new UserError('DeviceNotFound', `Device '${name}' not found`);
        throw new UserError('GenericError', `${command}: not supported by this machine`);
      }
    }
  }
}

function noCpu(): UserError {
  return new UserError('GenericError', 'No CPU available');
}

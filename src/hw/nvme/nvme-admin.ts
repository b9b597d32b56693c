/** The admin commands that are not about queues (NVMe 1.4, chapter 5): IDENTIFY, features, log pages, events. */
import type { DmaBuffer } from '../../core/dma.ts';
import { defineState, type Stateful, stateful, u32, u64, words } from '../../core/vmstate.ts';
import * as nvme from './nvme-codes.ts';
import { NvmeEvents } from './nvme-events.ts';
import * as identify from './nvme-identify.ts';
import { changedNamespacesLog, effectsLog, errorLog, firmwareLog, healthLog } from './nvme-logs.ts';
import type { NvmeNamespace } from './nvme-namespace.ts';

export const MAX_VECTORS = 128;

const schema = defineState('nvme-admin', 1, {
  arbitration: u32(6),
  power: u32(),
  temperatureHigh: u32(identify.TEMPERATURE_WARNING),
  temperatureLow: u32(),
  errorRecovery: u32(),
  writeCache: u32(1),
  coalescing: u32(),
  vectorConfig: words(MAX_VECTORS),
  atomicity: u32(),
  asyncEvents: u32(identify.EVENT_NAMESPACE_NOTICE),
  /** Milliseconds since 1970 as the host set them, and the controller's clock at that moment. */
  timestamp: u64(),
  timestampAtNs: u64(),
  /** A bit for each namespace that changed since the log was read. */
  changed: words(8),
});

export interface AdminPorts {
  readonly namespaces: ReadonlyMap<number, NvmeNamespace>;
  readonly controller: Uint8Array;
  readonly queuePairs: number;
  readonly vectors: number;
  readonly eventLimit: number;
  readonly nowNs: () => number;
  readonly bufferOf: (command: nvme.NvmeCommand, bytes: number, toMemory: boolean) => DmaBuffer | number;
  readonly complete: (command: nvme.NvmeCommand, status: number, result?: number) => void;
}

export class NvmeAdmin {
  readonly vmstate: Stateful;
  readonly events: NvmeEvents;
  readonly counters = { readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 };
  readonly #s = schema.create();
  readonly #ports: AdminPorts;

  constructor(ports: AdminPorts) {
    this.#ports = ports;
    this.events = new NvmeEvents(ports.eventLimit, (command, status, result) =>
      ports.complete(command, status, result),
    );
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    schema.reset(this.#s);
    this.events.reset();
  }

  get hasWriteCache(): boolean {
    return (this.#s.writeCache & 1) !== 0;
  }

  execute(command: nvme.NvmeCommand): void {
    switch (command.opcode) {
      case nvme.ADMIN_IDENTIFY:
        this.#identify(command);
        break;
      case nvme.ADMIN_GET_LOG:
        this.#getLog(command);
        break;
      case nvme.ADMIN_GET_FEATURES:
        this.#getFeature(command);
        break;
      case nvme.ADMIN_SET_FEATURES:
        this.#setFeature(command);
        break;
      case nvme.ADMIN_ASYNC_EVENT:
        this.events.request(command);
        break;
      default:
        this.#refuse(command, nvme.INVALID_OPCODE);
    }
  }

  #refuse(command: nvme.NvmeCommand, status: number): void {
    this.#ports.complete(command, status | nvme.DO_NOT_RETRY);
  }

  #reply(command: nvme.NvmeCommand, bytes: Uint8Array): void {
    if (bytes.length === 0) {
      this.#ports.complete(command, nvme.SUCCESS);
      return;
    }
    const buffer = this.#ports.bufferOf(command, bytes.length, true);
    if (typeof buffer === 'number') {
      this.#refuse(command, buffer);
      return;
    }
    buffer.fill(bytes);
    buffer.commit();
    this.#ports.complete(command, nvme.SUCCESS);
  }

  // --- IDENTIFY (5.15)

  #identify(command: nvme.NvmeCommand): void {
    const { namespaces, controller } = this.#ports;
    const { nsid } = command;
    const ids = [...namespaces.keys()].sort((a, b) => a - b);
    switch (nvme.dword(command, 10) & 0xff) {
      case 0x00: // namespace
      case 0x11: {
        if (nsid !== nvme.ALL_NAMESPACES && (nsid === 0 || nsid > identify.MAX_NAMESPACES))
          return this.#refuse(command, nvme.INVALID_NAMESPACE);
        return this.#reply(
          command,
          identify.identifyNamespace(namespaces.get(nsid === nvme.ALL_NAMESPACES ? ids[0]! : nsid)),
        );
      }
      case 0x01:
        return this.#reply(command, controller);
      case 0x02: // active namespaces
      case 0x10: // allocated ones
        if (nsid >= 0xfffffffe) return this.#refuse(command, nvme.INVALID_NAMESPACE);
        return this.#reply(command, identify.namespaceList(ids, nsid));
      case 0x03: {
        const namespace = namespaces.get(nsid);
        if (namespace === undefined) return this.#refuse(command, nvme.INVALID_NAMESPACE);
        return this.#reply(command, identify.namespaceNames(namespace));
      }
      case 0x12: // controllers of a namespace, of the subsystem: the one with id 0
      case 0x13: {
        const bytes = new Uint8Array(identify.IDENTIFY_BYTES);
        bytes[0] = nvme.dword(command, 10) >>> 16 === 0 ? 1 : 0;
        return this.#reply(command, bytes);
      }
      default:
        return this.#refuse(command, nvme.INVALID_FIELD);
    }
  }

  // --- log pages

  #getLog(command: nvme.NvmeCommand): void {
    const d10 = nvme.dword(command, 10);
    const page = d10 & 0xff;
    const dwords = ((d10 >>> 16) | ((nvme.dword(command, 11) & 0xffff) << 16)) >>> 0;
    const offset = nvme.dword(command, 12) + nvme.dword(command, 13) * 2 ** 32;
    const log = this.#log(page);
    if (log === undefined) return this.#refuse(command, nvme.INVALID_LOG_PAGE);
    if (offset > log.length || offset % 4 !== 0) return this.#refuse(command, nvme.INVALID_FIELD);
    const isKept = (d10 & 0x8000) !== 0;
    // What is asked for beyond the page is not written.
    this.#reply(command, log.subarray(offset, Math.min(log.length, offset + (dwords + 1) * 4)));
    if (!isKept) this.#logRead(page);
  }

  #log(page: number): Uint8Array | undefined {
    switch (page) {
      case nvme.LOG_ERRORS:
        return errorLog();
      case nvme.LOG_HEALTH:
        return healthLog(this.counters, this.#s.temperatureHigh);
      case nvme.LOG_FIRMWARE:
        return firmwareLog();
      case nvme.LOG_CHANGED_NAMESPACES:
        return changedNamespacesLog(this.#changed());
      case nvme.LOG_EFFECTS:
        return effectsLog();
      default:
        return undefined;
    }
  }

  #logRead(page: number): void {
    if (page === nvme.LOG_ERRORS) this.events.clear(nvme.EVENT_ERROR);
    else if (page === nvme.LOG_HEALTH) this.events.clear(nvme.EVENT_HEALTH);
    else if (page === nvme.LOG_CHANGED_NAMESPACES) {
      this.#s.changed.fill(0);
      this.events.clear(nvme.EVENT_NOTICE);
    }
  }

  #changed(): number[] {
    return Array.from({ length: identify.MAX_NAMESPACES }, (_, i) => i + 1).filter(
      (id) => (this.#s.changed[(id - 1) >> 5]! & (1 << ((id - 1) & 31))) !== 0,
    );
  }

  /** A namespace came, went or has another size. */
  namespaceChanged(id: number): void {
    this.#s.changed[(id - 1) >> 5]! |= 1 << ((id - 1) & 31);
    if ((this.#s.asyncEvents & identify.EVENT_NAMESPACE_NOTICE) !== 0)
      this.events.post(nvme.EVENT_NOTICE, 0, nvme.LOG_CHANGED_NAMESPACES);
  }

  // --- features (5.21.1)

  #getFeature(command: nvme.NvmeCommand): void {
    const feature = nvme.dword(command, 10) & 0xff;
    const select = (nvme.dword(command, 10) >> 8) & 7;
    const isChangeable = feature !== nvme.FEATURE_QUEUES && feature !== nvme.FEATURE_ARBITRATION;
    const value = this.#feature(feature, nvme.dword(command, 11));
    if (value === undefined || select > 3) return this.#refuse(command, nvme.INVALID_FIELD);
    if (select === 3) return this.#ports.complete(command, nvme.SUCCESS, isChangeable ? 4 : 0);
    if (feature === nvme.FEATURE_TIMESTAMP) return this.#reply(command, this.#timestamp());
    this.#ports.complete(command, nvme.SUCCESS, value);
  }

  #feature(feature: number, d11: number): number | undefined {
    const s = this.#s;
    switch (feature) {
      case nvme.FEATURE_ARBITRATION:
        return s.arbitration;
      case nvme.FEATURE_POWER:
        return s.power;
      case nvme.FEATURE_TEMPERATURE:
        return (d11 >> 20) & 3 ? s.temperatureLow : s.temperatureHigh;
      case nvme.FEATURE_ERROR_RECOVERY:
        return s.errorRecovery;
      case nvme.FEATURE_WRITE_CACHE:
        return s.writeCache;
      case nvme.FEATURE_QUEUES:
        return ((this.#ports.queuePairs - 1) | ((this.#ports.queuePairs - 1) << 16)) >>> 0;
      case nvme.FEATURE_COALESCING:
        return s.coalescing;
      case nvme.FEATURE_VECTOR:
        return (d11 & 0xffff) < this.#ports.vectors
          ? (d11 & 0xffff) | s.vectorConfig[d11 & 0xffff]!
          : undefined;
      case nvme.FEATURE_ATOMICITY:
        return s.atomicity;
      case nvme.FEATURE_ASYNC_EVENTS:
        return s.asyncEvents;
      case nvme.FEATURE_TIMESTAMP:
        return 0;
      default:
        return undefined;
    }
  }

  #setFeature(command: nvme.NvmeCommand): void {
    const feature = nvme.dword(command, 10) & 0xff;
    const value = nvme.dword(command, 11);
    if ((nvme.dword(command, 10) & 0x8000_0000) !== 0)
      return this.#refuse(command, nvme.FEATURE_NOT_SAVEABLE);
    const done = (result = 0): void => this.#ports.complete(command, nvme.SUCCESS, result);
    const s = this.#s;
    switch (feature) {
      case nvme.FEATURE_POWER:
        if ((value & 31) !== 0) return this.#refuse(command, nvme.INVALID_FIELD);
        s.power = value;
        return done();
      case nvme.FEATURE_TEMPERATURE:
        return this.#setTemperature(command, value);
      case nvme.FEATURE_ERROR_RECOVERY:
        s.errorRecovery = value & 0xffff;
        return done();
      case nvme.FEATURE_WRITE_CACHE:
        return this.#setWriteCache(command, value);
      case nvme.FEATURE_QUEUES:
        if ((value & 0xffff) === 0xffff || value >>> 16 === 0xffff)
          return this.#refuse(command, nvme.INVALID_FIELD);
        return done(this.#feature(feature, 0));
      case nvme.FEATURE_COALESCING:
        s.coalescing = value & 0xffff;
        return done();
      case nvme.FEATURE_VECTOR:
        if ((value & 0xffff) >= this.#ports.vectors) return this.#refuse(command, nvme.INVALID_FIELD);
        s.vectorConfig[value & 0xffff] = value & 0x10000;
        return done();
      case nvme.FEATURE_ATOMICITY:
        s.atomicity = value & 1;
        return done();
      case nvme.FEATURE_ASYNC_EVENTS:
        s.asyncEvents = value;
        return done();
      case nvme.FEATURE_TIMESTAMP:
        return this.#setTimestamp(command);
      case nvme.FEATURE_ARBITRATION:
        return this.#refuse(command, nvme.FEATURE_NOT_CHANGEABLE);
      default:
        return this.#refuse(command, nvme.INVALID_FIELD);
    }
  }

  #setTemperature(command: nvme.NvmeCommand, value: number): void {
    if ((value & 0xf0000) !== 0) return this.#refuse(command, nvme.INVALID_FIELD); // the composite sensor only
    if (((value >> 20) & 3) === 0) this.#s.temperatureHigh = value & 0xffff;
    else this.#s.temperatureLow = value & 0xffff;
    const health = healthLog(this.counters, this.#s.temperatureHigh);
    if (health[0] !== 0) this.events.post(nvme.EVENT_HEALTH, 1, nvme.LOG_HEALTH);
    this.#ports.complete(command, nvme.SUCCESS);
  }

  /** What was cached is on the medium before the cache counts as off. */
  #setWriteCache(command: nvme.NvmeCommand, value: number): void {
    const wasOn = this.hasWriteCache;
    this.#s.writeCache = value & 1;
    if (!wasOn || this.hasWriteCache) this.#ports.complete(command, nvme.SUCCESS);
    else this.flushAll((status) => this.#ports.complete(command, status));
  }

  flushAll(done: (status: number) => void): void {
    let left = this.#ports.namespaces.size;
    let worst = nvme.SUCCESS;
    if (left === 0) done(worst);
    for (const namespace of this.#ports.namespaces.values()) {
      namespace.flush((status) => {
        worst ||= status;
        if (--left === 0) done(worst);
      });
    }
  }

  #timestamp(): Uint8Array {
    const elapsedMs = (this.#ports.nowNs() - Number(this.#s.timestampAtNs)) / 1e6;
    const now = BigInt(Math.max(0, Math.floor(elapsedMs))) + this.#s.timestamp;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, now & 0xffff_ffff_ffffn, true);
    bytes[6] = this.#s.timestamp === 0n ? 0 : 2; // by whom it was set
    return bytes;
  }

  #setTimestamp(command: nvme.NvmeCommand): void {
    const buffer = this.#ports.bufferOf(command, 8, false);
    if (typeof buffer === 'number') return this.#refuse(command, buffer);
    const bytes = new Uint8Array(8);
    buffer.read(bytes);
    this.#s.timestamp = new DataView(bytes.buffer).getBigUint64(0, true) & 0xffff_ffff_ffffn;
    this.#s.timestampAtNs = BigInt(Math.max(0, Math.floor(this.#ports.nowNs())));
    this.#ports.complete(command, nvme.SUCCESS);
  }
}

/**
 * virtio SCSI host device (virtio 1.2, 5.6): queue 0 carries task management, queue 1 events, the others commands for the units of
 * a `ScsiBus`.
 */
import type { AccessSize } from '../../core/memory-region.ts';
import { bool, defineState, stateful, u32 } from '../../core/vmstate.ts';
import { fixedSense } from '../scsi/scsi-codes.ts';
import { ScsiBus, type ScsiPlace } from '../scsi/scsi-target.ts';
import type { ScsiResult, ScsiUnit } from '../scsi/scsi-unit.ts';
import { VIRTIO_ID_SCSI, type VirtioBackend, type VirtioPort } from './virtio-device.ts';
import { type Chain, readSegments, segmentViews, type VirtQueue, writeSegments } from './virtqueue.ts';

// Feature bits, 5.6.3
const F_HOTPLUG = 1n << 1n;
const F_CHANGE = 1n << 2n;

// Responses, 5.6.6.1 and 5.6.6.2
const S_OK = 0;
const S_OVERRUN = 1;
const S_ABORTED = 2;
const S_BAD_TARGET = 3;
const S_RESET = 4;
const S_FAILURE = 9;
const S_FUNCTION_SUCCEEDED = 10;
const S_FUNCTION_REJECTED = 11;
const S_INCORRECT_LUN = 12;

const CONTROL_QUEUE = 0;
const EVENT_QUEUE = 1;
const FIRST_REQUEST_QUEUE = 2;

// Control requests
const T_TMF = 0;
const T_AN_QUERY = 1;
const T_AN_SUBSCRIBE = 2;
const TMF_ABORT_TASK = 0;
const TMF_ABORT_TASK_SET = 1;
const TMF_CLEAR_ACA = 2;
const TMF_CLEAR_TASK_SET = 3;
const TMF_IT_NEXUS_RESET = 4;
const TMF_LOGICAL_UNIT_RESET = 5;
const TMF_QUERY_TASK = 6;
const TMF_QUERY_TASK_SET = 7;
const TMF_BYTES = 24;
const AN_BYTES = 20;

// Events, 5.6.6.3
const T_NO_EVENT = 0;
const T_TRANSPORT_RESET = 1;
const T_PARAM_CHANGE = 3;
const T_EVENTS_MISSED = 0x8000_0000;
const RESET_RESCAN = 1;
const RESET_REMOVED = 2;
const EVENT_BYTES = 16;

const CONFIG_BYTES = 36;
const SENSE_SIZE_AT = 20;
const CDB_SIZE_AT = 24;
const DEFAULT_SENSE_BYTES = 96;
const DEFAULT_CDB_BYTES = 32;
const MAX_SENSE_BYTES = 252;
const MAX_CDB_BYTES = 260;
/** Before the CDB: LUN, tag, attribute, priority, CRN. Before the sense data: lengths, status, response. */
const REQUEST_HEADER = 19;
const RESPONSE_HEADER = 12;

export const VIRTIO_SCSI_LIMITS = { maxTarget: 255, maxLun: 16383 } as const;

export interface VirtioScsiOptions {
  readonly queues: number;
  readonly queueSize: number;
  readonly segMaxAdjust: boolean;
  readonly maxSectors: number;
  readonly commandsPerLun: number;
  readonly hotplug: boolean;
  readonly parameterChange: boolean;
}

const schema = defineState('virtio-scsi', 1, {
  senseBytes: u32(DEFAULT_SENSE_BYTES),
  cdbBytes: u32(DEFAULT_CDB_BYTES),
  eventsMissed: bool(),
});

/** A command that a unit works on. */
interface Task {
  readonly place: ScsiPlace;
  readonly tag: bigint;
  readonly queue: VirtQueue;
  readonly chain: Chain;
  /** What the driver is told instead of the unit's result. */
  abortedAs: number;
  readonly waiting: Array<() => void>;
}

export class VirtioScsi implements VirtioBackend {
  readonly id = VIRTIO_ID_SCSI;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configSize = CONFIG_BYTES;
  readonly bus = new ScsiBus(VIRTIO_SCSI_LIMITS);
  readonly vmstate;
  readonly #s = schema.create();
  readonly #options: VirtioScsiOptions;
  readonly #tasks = new Set<Task>();
  /** Set before the first request. */
  #port!: VirtioPort;
  #epoch = 0;

  constructor(options: VirtioScsiOptions) {
    this.#options = options;
    this.queueSizes = new Array<number>(FIRST_REQUEST_QUEUE + options.queues).fill(options.queueSize);
    this.features = (options.hotplug ? F_HOTPLUG : 0n) | (options.parameterChange ? F_CHANGE : 0n);
    this.vmstate = stateful(schema, this.#s);
  }

  connect(port: VirtioPort): void {
    this.#port = port;
  }

  reset(): void {
    this.#epoch++;
    this.#tasks.clear();
    schema.reset(this.#s);
    for (const [, unit] of this.bus.units) unit.reset();
  }

  // --- units come and go

  attach(place: ScsiPlace, unit: ScsiUnit): void {
    this.bus.add(place, unit);
    unit.listener = {
      changed: (asc, ascq) =>
        this.#event(F_CHANGE, T_PARAM_CHANGE, this.bus.placeOf(unit), asc | (ascq << 8)),
    };
    this.#event(F_HOTPLUG, T_TRANSPORT_RESET, place, RESET_RESCAN);
  }

  /** Requests of the unit that are under way still complete. */
  detach(unit: ScsiUnit): void {
    const place = this.bus.placeOf(unit);
    unit.listener = undefined;
    this.bus.remove(unit);
    this.#event(F_HOTPLUG, T_TRANSPORT_RESET, place, RESET_REMOVED);
  }

  /** 5.6.6.3: without a buffer the event is lost, and the next one says so. */
  #event(feature: bigint, type: number, place: ScsiPlace | undefined, reason: number): void {
    const port: VirtioPort | undefined = this.#port;
    if (port?.isRunning !== true || (port.negotiated & feature) === 0n) return;
    const queue = port.queues[EVENT_QUEUE]!;
    const chain = queue.pop();
    if (chain === undefined) {
      this.#s.eventsMissed = true;
      return;
    }
    if (chain.inBytes < EVENT_BYTES) {
      port.guestError('virtio-scsi: a buffer for events is too small');
      queue.s.broken = true;
      return;
    }
    const missed = this.#s.eventsMissed ? T_EVENTS_MISSED : 0;
    this.#s.eventsMissed = false;
    const bytes = new Uint8Array(EVENT_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, (type | missed) >>> 0, true);
    if (place !== undefined && type !== T_NO_EVENT)
      bytes.set([1, place.target, 0x40 | (place.lun >> 8), place.lun & 0xff], 4);
    view.setUint32(12, reason, true);
    queue.push(chain, writeSegments(queue.ram, chain.in, bytes));
    port.notifyQueue(EVENT_QUEUE);
  }

  // --- configuration (5.6.4)

  readConfig(offset: number, size: AccessSize): number {
    const { queues, queueSize, segMaxAdjust, maxSectors, commandsPerLun } = this.#options;
    const view = new DataView(new ArrayBuffer(CONFIG_BYTES));
    view.setUint32(0, queues, true);
    view.setUint32(4, segMaxAdjust ? Math.max(1, queueSize - 2) : 126, true);
    view.setUint32(8, maxSectors, true);
    view.setUint32(12, commandsPerLun, true);
    view.setUint32(16, EVENT_BYTES, true);
    view.setUint32(SENSE_SIZE_AT, this.#s.senseBytes, true);
    view.setUint32(CDB_SIZE_AT, this.#s.cdbBytes, true);
    view.setUint16(30, VIRTIO_SCSI_LIMITS.maxTarget, true);
    view.setUint32(32, VIRTIO_SCSI_LIMITS.maxLun, true);
    let value = 0;
    for (let i = 0; i < size; i++) value |= view.getUint8(offset + i) << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset === SENSE_SIZE_AT && value <= MAX_SENSE_BYTES) this.#s.senseBytes = value;
    else if (offset === CDB_SIZE_AT && value >= 6 && value <= MAX_CDB_BYTES) this.#s.cdbBytes = value;
    else if (offset === SENSE_SIZE_AT || offset === CDB_SIZE_AT)
      this.#port.guestError(`virtio-scsi: bad size ${value}`);
  }

  // --- queues

  queueNotified(index: number): void {
    const queue = this.#port.queues[index]!;
    if (index === EVENT_QUEUE) {
      if (this.#s.eventsMissed) this.#event(F_HOTPLUG, T_NO_EVENT, undefined, 0);
      return;
    }
    do {
      queue.setNotification(false);
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        if (index === CONTROL_QUEUE) this.#control(queue, chain);
        else this.#command(queue, chain);
      }
    } while (queue.setNotification(true));
  }

  #break(queue: VirtQueue, reason: string): void {
    this.#port.guestError(`virtio-scsi: ${reason}`);
    queue.s.broken = true;
  }

  #command(queue: VirtQueue, chain: Chain): void {
    const { senseBytes, cdbBytes } = this.#s;
    const headerBytes = REQUEST_HEADER + cdbBytes;
    const responseBytes = RESPONSE_HEADER + senseBytes;
    if (chain.outBytes < headerBytes || chain.inBytes < responseBytes) {
      this.#break(queue, 'a request is too short');
      return;
    }
    const header = new Uint8Array(Math.max(headerBytes, REQUEST_HEADER + 16));
    readSegments(queue.ram, chain.out, header.subarray(0, headerBytes));
    const place = placeOf(header);
    const cdb = header.subarray(REQUEST_HEADER);
    if (place === undefined) {
      this.#respond(queue, chain, S_BAD_TARGET);
      return;
    }
    const [outBytes, inBytes] = [chain.outBytes - headerBytes, chain.inBytes - responseBytes];
    const data = {
      out: segmentViews(queue.ram, chain.out, headerBytes, outBytes),
      outBytes,
      in: segmentViews(queue.ram, chain.in, responseBytes, inBytes),
      inBytes,
    };
    const tag = new DataView(header.buffer).getBigUint64(8, true);
    const task: Task = { place, tag, queue, chain, abortedAs: S_OK, waiting: [] };
    const epoch = this.#epoch;
    this.#tasks.add(task);
    this.#port.hold();
    const isThere = this.bus.execute(place.target, place.lun, cdb, data, (result) => {
      this.#port.release();
      if (epoch === this.#epoch) this.#finish(task, result, inBytes > 0 ? inBytes : outBytes);
    });
    if (isThere) return;
    this.#port.release();
    this.#tasks.delete(task);
    this.#respond(queue, chain, S_BAD_TARGET);
  }

  #finish(task: Task, result: ScsiResult, room: number): void {
    this.#tasks.delete(task);
    const { queue, chain, abortedAs } = task;
    if (abortedAs !== S_OK) this.#respond(queue, chain, abortedAs);
    else if (result.isOverrun === true) this.#respond(queue, chain, S_OVERRUN);
    else this.#respond(queue, chain, S_OK, result, Math.max(0, room - result.bytes));
    for (const wake of task.waiting) wake();
  }

  /** 5.6.6.1: sense length, residual, qualifier, status, response; then sense data; then data. */
  #respond(queue: VirtQueue, chain: Chain, response: number, result?: ScsiResult, residual = 0): void {
    const bytes = new Uint8Array(RESPONSE_HEADER + this.#s.senseBytes);
    const view = new DataView(bytes.buffer);
    const sense =
      result?.sense === undefined ? undefined : fixedSense(result.sense).subarray(0, this.#s.senseBytes);
    view.setUint32(0, sense?.length ?? 0, true);
    view.setUint32(4, residual, true);
    bytes[10] = result?.status ?? 0;
    bytes[11] = response;
    if (sense !== undefined) bytes.set(sense, RESPONSE_HEADER);
    const written = writeSegments(queue.ram, chain.in, bytes);
    queue.push(
      chain,
      written +
        (result === undefined || chain.inBytes === written
          ? 0
          : Math.min(result.bytes, chain.inBytes - written)),
    );
    this.#port.notifyQueue(queue.index);
  }

  // --- control queue (5.6.6.2)

  #control(queue: VirtQueue, chain: Chain): void {
    const request = new Uint8Array(TMF_BYTES);
    const length = readSegments(queue.ram, chain.out, request);
    const type = new DataView(request.buffer).getUint32(0, true);
    if (type === T_TMF && length >= TMF_BYTES && chain.inBytes >= 1) this.#manage(queue, chain, request);
    else if ((type === T_AN_QUERY || type === T_AN_SUBSCRIBE) && length >= AN_BYTES && chain.inBytes >= 5) {
      this.#answer(queue, chain, Uint8Array.of(0, 0, 0, 0, S_OK)); // no asynchronous notifications to offer
    } else this.#break(queue, 'a control request is too short');
  }

  #answer(queue: VirtQueue, chain: Chain, bytes: Uint8Array): void {
    queue.push(chain, writeSegments(queue.ram, chain.in, bytes));
    this.#port.notifyQueue(queue.index);
  }

  /** SAM-5 chapter 7; a function that ends tasks is answered once they have ended. */
  #manage(queue: VirtQueue, chain: Chain, request: Uint8Array): void {
    const view = new DataView(request.buffer);
    const kind = view.getUint32(4, true);
    const place = placeOf(request.subarray(8));
    const answer = (code: number): void => this.#answer(queue, chain, Uint8Array.of(code));
    if (place === undefined || this.bus.luns(place.target).length === 0) {
      answer(S_BAD_TARGET);
      return;
    }
    const isUnit = this.bus.find(place.target, place.lun) !== undefined;
    if (!isUnit && kind !== TMF_IT_NEXUS_RESET) {
      answer(S_INCORRECT_LUN);
      return;
    }
    const tag = view.getBigUint64(16, true);
    const tasks = [...this.#tasks].filter(
      (task) =>
        task.place.target === place.target && (kind === TMF_IT_NEXUS_RESET || task.place.lun === place.lun),
    );
    switch (kind) {
      case TMF_ABORT_TASK:
        this.#end(
          tasks.filter((task) => task.tag === tag),
          S_ABORTED,
          () => answer(S_OK),
        );
        break;
      case TMF_ABORT_TASK_SET:
      case TMF_CLEAR_TASK_SET:
        this.#end(tasks, S_ABORTED, () => answer(S_OK));
        break;
      case TMF_LOGICAL_UNIT_RESET:
      case TMF_IT_NEXUS_RESET:
        this.#end(tasks, S_RESET, () => {
          for (const [at, unit] of this.bus.units) {
            if (at.target === place.target && (kind === TMF_IT_NEXUS_RESET || at.lun === place.lun))
              unit.reset();
          }
          answer(S_OK);
        });
        break;
      case TMF_QUERY_TASK:
        answer(tasks.some((task) => task.tag === tag) ? S_FUNCTION_SUCCEEDED : S_OK);
        break;
      case TMF_QUERY_TASK_SET:
        answer(tasks.length > 0 ? S_FUNCTION_SUCCEEDED : S_OK);
        break;
      case TMF_CLEAR_ACA:
        answer(S_FUNCTION_REJECTED);
        break;
      default:
        answer(S_FAILURE);
    }
  }

  /** The back end finishes what it has begun: only then is the guest's memory its own again. */
  #end(tasks: readonly Task[], response: number, done: () => void): void {
    let left = tasks.length;
    if (left === 0) done();
    for (const task of tasks) {
      task.abortedAs = response;
      task.waiting.push(() => {
        if (--left === 0) done();
      });
    }
  }
}

/** Byte 0 is 1, then target, then the unit in flat space (5.6.6.1); undefined: nothing of ours. */
function placeOf(header: Uint8Array): ScsiPlace | undefined {
  if (header[0] !== 1 || (header[2]! !== 0 && (header[2]! < 0x40 || header[2]! > 0x7f))) return undefined;
  return { target: header[1]!, lun: ((header[2]! & 0x3f) << 8) | header[3]! };
}

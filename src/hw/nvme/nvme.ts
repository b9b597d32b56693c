/**
 * An NVM Express controller (NVM Express Base Specification 1.4; PCI Express transport in chapter 2 and 3).
 *
 *   BAR 0  registers 0x0000, doorbells 0x1000 (64-bit)     BAR 4  MSI-X
 */
import type { AddressSpace } from '../../core/address-space.ts';
import type { MsiSink } from '../../core/cpu-ports.ts';
import type { Device } from '../../core/device.ts';
import type { DmaBuffer } from '../../core/dma.ts';
import { type AccessSize, MemoryRegion } from '../../core/memory-region.ts';
import type { TimerService } from '../../core/timer.ts';
import { array, defineState, type Stateful, stateful, u32 } from '../../core/vmstate.ts';
import { combineStates } from '../../core/vmstate-combine.ts';
import { allOnes } from '../../util/bits.ts';
import { MsiX } from '../pci/msix.ts';
import { PCI_COMMAND_MASTER, PciFunction } from '../pci/pci-device.ts';
import { MAX_VECTORS, NvmeAdmin } from './nvme-admin.ts';
import * as nvme from './nvme-codes.ts';
import { identifyController, MAX_NAMESPACES } from './nvme-identify.ts';
import type { NvmeNamespace } from './nvme-namespace.ts';
import { completionField, fetchCommand, isFull, postCompletion, submissionField } from './nvme-queues.ts';
import { commandBuffer } from './nvme-transfer.ts';

/** What controllers of this kind call themselves, and Intel's. */
export const NVME_IDS = [0x1b36, 0x0010] as const;
export const NVME_INTEL_IDS = [0x8086, 0x5845] as const;
const CLASS_CODE = 0x010802;
const REGISTER_BYTES = 0x4000;
const BAR_REGISTERS = 0;
const BAR_MSIX = 4;
/** Pairs of I/O queues at most; queue 0 is the admin queue. */
export const MAX_QUEUE_PAIRS = 64;
const QUEUES = MAX_QUEUE_PAIRS + 1;
/** Entries of a queue at most, less one. */
const MAX_ENTRIES = 0x7ff;
/** Memory pages of 4 KiB to 64 KiB. */
const MAX_PAGE_SHIFT = 4;

export interface NvmeOptions {
  readonly memory: AddressSpace;
  readonly msi: MsiSink;
  readonly timers: TimerService;
  readonly guestError: (text: string) => void;
  readonly serial: string;
  /** PCI vendor and device. */
  readonly ids: readonly [number, number];
  readonly queuePairs: number;
  readonly vectors: number;
  /** Most bytes of a transfer: smallest page << this; 0: no limit but ours. */
  readonly maxTransferShift: number;
  readonly eventLimit: number;
}

const schema = defineState('nvme', 1, {
  cc: u32(),
  csts: u32(),
  aqa: u32(),
  asq: array(2, u32()),
  acq: array(2, u32()),
  interruptMask: u32(),
  submission: array(QUEUES, submissionField),
  completion: array(QUEUES, completionField),
});

/** An entry for a completion queue that is full. */
interface Waiting {
  readonly command: nvme.NvmeCommand;
  readonly status: number;
  readonly result: number;
}

export class Nvme implements Device {
  readonly pci: PciFunction;
  readonly vmstate: Stateful;
  readonly namespaces = new Map<number, NvmeNamespace>();
  readonly #s = schema.create();
  readonly #options: NvmeOptions;
  readonly #admin: NvmeAdmin;
  readonly #msix: MsiX | undefined;
  /** Commands of each submission queue that are being worked on. */
  readonly #underWay = new Uint32Array(QUEUES);
  readonly #waiting = new Map<number, Waiting[]>();
  /** Counts resets: what belongs to an earlier life completes without a trace. */
  #epoch = 0;
  /** Commands whose buffers a back end may still touch. */
  #held = 0;
  #isProcessing = false;

  constructor(options: NvmeOptions) {
    this.#options = options;
    this.pci = new PciFunction({
      vendorId: options.ids[0],
      deviceId: options.ids[1],
      classCode: CLASS_CODE,
      revision: 2,
      interruptPin: 1,
    });
    const device = {
      read: (offset: number, size: AccessSize) => this.read(offset, size),
      write: (offset: number, size: AccessSize, value: number) => this.write(offset, size, value),
    };
    this.pci.addBar(BAR_REGISTERS, 'memory64', MemoryRegion.mmio('nvme', REGISTER_BYTES, device));
    const { vectors, msi } = options;
    if (vectors > 0)
      this.#msix = new MsiX(this.pci, BAR_MSIX, Math.min(vectors, MAX_VECTORS), msi, 'nvme-msix');
    this.pci.onConfigWritten = (offset, size) => this.#msix?.configWritten(offset, size);
    this.#admin = new NvmeAdmin({
      namespaces: this.namespaces,
      controller: identifyController({
        vendorId: options.ids[0],
        subsystemVendorId: 0x1af4,
        serial: options.serial,
        maxTransferShift: options.maxTransferShift,
        eventLimit: options.eventLimit - 1,
      }),
      queuePairs: options.queuePairs,
      vectors: Math.max(1, vectors),
      eventLimit: options.eventLimit,
      nowNs: () => options.timers.nowNs(),
      bufferOf: (command, bytes, toMemory) => this.#bufferOf(command, bytes, toMemory),
      complete: (command, status, result) => this.#complete(command, status, result),
    });
    this.vmstate = combineStates('nvme', [
      ['pci', this.pci.vmstate],
      ['controller', stateful(schema, this.#s, { postLoad: () => this.#sanitize() })],
      ['admin', this.#admin.vmstate],
      ...(this.#msix === undefined ? [] : [['msix', this.#msix.vmstate] as const]),
    ]);
  }

  /** `id` from 1; undefined: the first that is free. Returns the id, or undefined if there is no place. */
  attach(namespace: NvmeNamespace, id?: number): number | undefined {
    let chosen = id ?? 1;
    if (id === undefined) while (this.namespaces.has(chosen)) chosen++;
    if (chosen < 1 || chosen > MAX_NAMESPACES || this.namespaces.has(chosen)) return undefined;
    this.namespaces.set(chosen, namespace);
    namespace.onChanged = () => this.#admin.namespaceChanged(chosen);
    if (this.#isReady) this.#admin.namespaceChanged(chosen);
    return chosen;
  }

  /** 0: it is not attached. */
  idOf(namespace: NvmeNamespace): number {
    for (const [id, other] of this.namespaces) if (other === namespace) return id;
    return 0;
  }

  detach(namespace: NvmeNamespace): void {
    for (const [id, other] of this.namespaces) {
      if (other !== namespace) continue;
      this.namespaces.delete(id);
      namespace.onChanged = undefined;
      if (this.#isReady) this.#admin.namespaceChanged(id);
    }
  }

  reset(): void {
    this.pci.reset();
    this.#msix?.reset();
    this.#disable();
    schema.reset(this.#s);
    this.#updatePin();
  }

  // --- registers (3.1)

  read(offset: number, size: AccessSize): number {
    if (offset >= nvme.DOORBELLS) return 0;
    const word = this.#register(offset & ~3) >>> (8 * (offset & 3));
    return (word & allOnes(size)) >>> 0;
  }

  #register(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case nvme.REG_CAP: // contiguous queues, 7.5 s to become ready
        return (MAX_ENTRIES | (1 << 16) | (0x0f << 24)) >>> 0;
      case nvme.REG_CAP + 4: // NVM command set, pages up to 64 KiB
        return (1 << 5) | (MAX_PAGE_SHIFT << 20);
      case nvme.REG_VS:
        return nvme.VERSION_1_4;
      case nvme.REG_INTMS:
      case nvme.REG_INTMC:
        return s.interruptMask;
      case nvme.REG_CC:
        return s.cc;
      case nvme.REG_CSTS:
        return s.csts;
      case nvme.REG_AQA:
        return s.aqa;
      case nvme.REG_ASQ:
      case nvme.REG_ASQ + 4:
        return s.asq[(offset - nvme.REG_ASQ) >> 2]!;
      case nvme.REG_ACQ:
      case nvme.REG_ACQ + 4:
        return s.acq[(offset - nvme.REG_ACQ) >> 2]!;
      default:
        return 0;
    }
  }

  /** Registers are written whole. */
  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) {
      this.#options.guestError(`nvme: write of ${size} bytes at 0x${offset.toString(16)}`);
      return;
    }
    if (offset >= nvme.DOORBELLS) this.#ring((offset - nvme.DOORBELLS) >> 2, value);
    else this.#writeRegister(offset, value);
  }

  #writeRegister(offset: number, value: number): void {
    const s = this.#s;
    const isEnabled = (s.cc & nvme.CC_ENABLE) !== 0;
    switch (offset) {
      case nvme.REG_INTMS:
        if (this.#msix?.enabled !== true) s.interruptMask = (s.interruptMask | value) >>> 0;
        this.#updatePin();
        break;
      case nvme.REG_INTMC:
        if (this.#msix?.enabled !== true) s.interruptMask = (s.interruptMask & ~value) >>> 0;
        this.#updatePin();
        break;
      case nvme.REG_CC:
        this.#configure(value);
        break;
      case nvme.REG_AQA:
        if (!isEnabled) s.aqa = value & 0x0fff0fff;
        break;
      case nvme.REG_ASQ:
      case nvme.REG_ASQ + 4:
        if (!isEnabled)
          s.asq[(offset - nvme.REG_ASQ) >> 2] = offset === nvme.REG_ASQ ? (value & ~0xfff) >>> 0 : value;
        break;
      case nvme.REG_ACQ:
      case nvme.REG_ACQ + 4:
        if (!isEnabled)
          s.acq[(offset - nvme.REG_ACQ) >> 2] = offset === nvme.REG_ACQ ? (value & ~0xfff) >>> 0 : value;
        break;
      default:
    }
  }

  get #isReady(): boolean {
    return (this.#s.csts & nvme.CSTS_READY) !== 0;
  }

  get #pageBytes(): number {
    return 4096 << ((this.#s.cc >> 7) & 15);
  }

  /** 3.1.5: enabling, disabling, shutting down. */
  #configure(value: number): void {
    const s = this.#s;
    const before = s.cc;
    s.cc = value;
    const isEnabled = (value & nvme.CC_ENABLE) !== 0;
    const wasEnabled = (before & nvme.CC_ENABLE) !== 0;
    if (isEnabled && !wasEnabled) this.#enable();
    else if (!isEnabled && wasEnabled) {
      this.#disable();
      s.cc = value;
    }
    const shutdown = (value >> 14) & 3;
    if (shutdown !== 0 && ((before >> 14) & 3) === 0) {
      s.csts = (s.csts & ~0xc) | 4;
      const epoch = this.#epoch;
      this.#admin.flushAll(() => {
        if (epoch === this.#epoch) s.csts = (s.csts & ~0xc) | 8;
      });
    } else if (shutdown === 0) s.csts &= ~0xc;
  }

  #enable(): void {
    const s = this.#s;
    const pageShift = (s.cc >> 7) & 15;
    const commandSet = (s.cc >> 4) & 7;
    const base = (words: readonly number[]): bigint => (BigInt(words[1]!) << 32n) | BigInt(words[0]!);
    const [sqEntries, cqEntries] = [(s.aqa & 0xfff) + 1, ((s.aqa >> 16) & 0xfff) + 1];
    if (pageShift > MAX_PAGE_SHIFT || commandSet !== 0 || sqEntries < 2 || cqEntries < 2) {
      s.csts |= nvme.CSTS_FATAL;
      this.#options.guestError('nvme: enabled with a bad configuration');
      return;
    }
    Object.assign(s.submission[0]!, {
      exists: true,
      base: base(s.asq),
      size: sqEntries,
      head: 0,
      tail: 0,
      cqid: 0,
    });
    const cq = { exists: true, base: base(s.acq), size: cqEntries, head: 0, tail: 0, phase: 1 };
    Object.assign(s.completion[0]!, { ...cq, isInterrupting: true, vector: 0 });
    s.csts = nvme.CSTS_READY;
  }

  /** A controller reset (7.3.2): all queues are gone. It counts as done when no back end uses guest memory any more. */
  #disable(): void {
    const s = this.#s;
    this.#epoch++;
    this.#underWay.fill(0);
    this.#waiting.clear();
    this.#admin.reset();
    for (const queue of s.submission) Object.assign(queue, submissionField.create());
    for (const queue of s.completion) Object.assign(queue, completionField.create());
    s.interruptMask = 0;
    s.cc = 0;
    s.csts = this.#held > 0 ? nvme.CSTS_READY : 0;
    this.#updatePin();
  }

  #release(): void {
    if (--this.#held === 0 && (this.#s.cc & nvme.CC_ENABLE) === 0) this.#s.csts &= ~nvme.CSTS_READY;
  }

  /** What a snapshot of somebody else's may claim. */
  #sanitize(): void {
    const { submission, completion } = this.#s;
    for (const queue of [...submission, ...completion]) {
      if (queue.size < 2 || queue.size > 4096) queue.exists = false;
      queue.head %= Math.max(1, queue.size);
      queue.tail %= Math.max(1, queue.size);
    }
    for (const queue of submission)
      if (queue.cqid >= QUEUES || !completion[queue.cqid]!.exists) queue.exists = false;
    this.#updatePin();
  }

  // --- doorbells (3.1.24)

  #ring(index: number, value: number): void {
    const id = index >> 1;
    const isCompletion = (index & 1) !== 0;
    const queue = (isCompletion ? this.#s.completion : this.#s.submission)[id];
    if (!this.#isReady || (this.#s.cc & nvme.CC_ENABLE) === 0) return;
    if (queue?.exists !== true || (value & 0xffff) >= queue.size) {
      this.#options.guestError(`nvme: doorbell of queue ${id} with ${value}`);
      const info = queue?.exists === true ? 1 : 0;
      this.#admin.events.post(nvme.EVENT_ERROR, info, nvme.LOG_ERRORS);
      return;
    }
    if (isCompletion) {
      queue.head = value & 0xffff;
      this.#postWaiting(id);
      this.#updatePin();
    } else queue.tail = value & 0xffff;
    this.#processAll();
  }

  /** Fetches commands as long as there are some and their completions have somewhere to go. */
  #processAll(): void {
    if (this.#isProcessing || (this.pci.command & PCI_COMMAND_MASTER) === 0) return;
    this.#isProcessing = true;
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      for (let id = 0; id < QUEUES; id++) {
        const queue = this.#s.submission[id]!;
        if (!queue.exists || queue.head === queue.tail || this.#underWay[id]! >= queue.size) continue;
        if ((this.#waiting.get(queue.cqid)?.length ?? 0) > 0) continue;
        isBusy = true;
        this.#underWay[id]!++;
        const command = fetchCommand(this.#options.memory, queue, id, this.#epoch);
        if (id === 0) this.#executeAdmin(command);
        else this.#executeIo(command);
      }
    }
    this.#isProcessing = false;
  }

  // --- commands

  #bufferOf(command: nvme.NvmeCommand, bytes: number, toMemory: boolean): DmaBuffer | number {
    const { memory, maxTransferShift } = this.#options;
    const limit = maxTransferShift === 0 ? 2 ** 25 : 4096 * 2 ** maxTransferShift;
    if (bytes > limit) return nvme.INVALID_FIELD | nvme.DO_NOT_RETRY;
    const buffer = commandBuffer(memory, command, bytes, this.#pageBytes, toMemory);
    return typeof buffer === 'number' ? buffer | nvme.DO_NOT_RETRY : buffer;
  }

  #executeIo(command: nvme.NvmeCommand): void {
    this.#held++;
    const done = (status: number): void => {
      this.#release();
      this.#complete(command, status);
    };
    if (command.opcode === nvme.NVM_FLUSH && command.nsid === nvme.ALL_NAMESPACES) {
      this.#admin.flushAll(done);
      return;
    }
    const namespace = this.namespaces.get(command.nsid);
    if (namespace === undefined) {
      const isPossible = command.nsid >= 1 && command.nsid <= MAX_NAMESPACES;
      done((isPossible ? nvme.INVALID_FIELD : nvme.INVALID_NAMESPACE) | nvme.DO_NOT_RETRY);
      return;
    }
    this.#count(command);
    const bufferOf = (bytes: number, toMemory: boolean): DmaBuffer | number =>
      this.#bufferOf(command, bytes, toMemory);
    namespace.execute(command, !this.#admin.hasWriteCache, bufferOf, done);
  }

  #count(command: nvme.NvmeCommand): void {
    const { counters } = this.#admin;
    const bytes = ((nvme.dword(command, 12) & 0xffff) + 1) * 512;
    if (command.opcode === nvme.NVM_READ) {
      counters.reads++;
      counters.readBytes += bytes;
    } else if (command.opcode === nvme.NVM_WRITE) {
      counters.writes++;
      counters.writtenBytes += bytes;
    }
  }

  #executeAdmin(command: nvme.NvmeCommand): void {
    const status = this.#queueCommand(command);
    if (status !== undefined)
      this.#complete(
        command,
        status === nvme.SUCCESS ? status : status | nvme.DO_NOT_RETRY,
        command.opcode === nvme.ADMIN_ABORT ? 1 : 0,
      );
    else if (command.opcode === nvme.ADMIN_ABORT) this.#complete(command, nvme.SUCCESS, 0);
    else this.#admin.execute(command);
  }

  /** The status of a command about queues; undefined: it is another one, or an ABORT that found its victim. */
  #queueCommand(command: nvme.NvmeCommand): number | undefined {
    switch (command.opcode) {
      case nvme.ADMIN_CREATE_CQ:
        return this.#createCompletion(command);
      case nvme.ADMIN_CREATE_SQ:
        return this.#createSubmission(command);
      case nvme.ADMIN_DELETE_CQ:
        return this.#deleteCompletion(command);
      case nvme.ADMIN_DELETE_SQ:
        return this.#deleteSubmission(command);
      case nvme.ADMIN_ABORT: {
        const d10 = nvme.dword(command, 10);
        return this.#admin.events.abort(d10 & 0xffff, d10 >>> 16) ? undefined : nvme.SUCCESS;
      }
      default:
        return undefined;
    }
  }

  /** A queue's base, or a status (5.3, 5.4): contiguous, page aligned, of a possible size. */
  #queueBase(command: nvme.NvmeCommand): bigint | number {
    const entries = (nvme.dword(command, 10) >>> 16) + 1;
    const base = command.view.getBigUint64(24, true);
    if (entries < 2 || entries > MAX_ENTRIES + 1) return nvme.INVALID_QUEUE_SIZE;
    if ((nvme.dword(command, 11) & 1) === 0) return nvme.INVALID_FIELD;
    if (base === 0n || base % BigInt(this.#pageBytes) !== 0n || base > 2n ** 52n)
      return nvme.INVALID_PRP_OFFSET;
    return base;
  }

  #isFree(id: number, list: ReadonlyArray<{ readonly exists: boolean }>): boolean {
    return id >= 1 && id <= this.#options.queuePairs && list[id]?.exists === false;
  }

  #createCompletion(command: nvme.NvmeCommand): number {
    const id = nvme.dword(command, 10) & 0xffff;
    const vector = nvme.dword(command, 11) >>> 16;
    if (!this.#isFree(id, this.#s.completion)) return nvme.INVALID_QUEUE_ID;
    const base = this.#queueBase(command);
    if (typeof base === 'number') return base;
    if (vector >= Math.max(1, this.#options.vectors) || (this.#msix?.enabled !== true && vector !== 0))
      return nvme.INVALID_VECTOR;
    const size = (nvme.dword(command, 10) >>> 16) + 1;
    const isInterrupting = (nvme.dword(command, 11) & 2) !== 0;
    Object.assign(this.#s.completion[id]!, {
      exists: true,
      base,
      size,
      head: 0,
      tail: 0,
      phase: 1,
      isInterrupting,
      vector,
    });
    return nvme.SUCCESS;
  }

  #createSubmission(command: nvme.NvmeCommand): number {
    const id = nvme.dword(command, 10) & 0xffff;
    const cqid = nvme.dword(command, 11) >>> 16;
    if (cqid === 0 || this.#s.completion[cqid]?.exists !== true) return nvme.INVALID_CQ;
    if (!this.#isFree(id, this.#s.submission)) return nvme.INVALID_QUEUE_ID;
    const base = this.#queueBase(command);
    if (typeof base === 'number') return base;
    const size = (nvme.dword(command, 10) >>> 16) + 1;
    Object.assign(this.#s.submission[id]!, { exists: true, base, size, head: 0, tail: 0, cqid });
    return nvme.SUCCESS;
  }

  #deleteCompletion(command: nvme.NvmeCommand): number {
    const id = nvme.dword(command, 10) & 0xffff;
    const queue = this.#s.completion[id];
    if (id === 0 || queue?.exists !== true) return nvme.INVALID_QUEUE_ID;
    if (this.#s.submission.some((sq) => sq.exists && sq.cqid === id)) return nvme.INVALID_QUEUE_DELETION;
    Object.assign(queue, completionField.create());
    this.#waiting.delete(id);
    this.#updatePin();
    return nvme.SUCCESS;
  }

  /** Commands under way complete in their time, into nothing if their completion queue goes, too. */
  #deleteSubmission(command: nvme.NvmeCommand): number {
    const id = nvme.dword(command, 10) & 0xffff;
    const queue = this.#s.submission[id];
    if (id === 0 || queue?.exists !== true) return nvme.INVALID_QUEUE_ID;
    Object.assign(queue, submissionField.create());
    return nvme.SUCCESS;
  }

  // --- completions

  #complete(command: nvme.NvmeCommand, status: number, result = 0): void {
    if (command.epoch !== this.#epoch) return;
    this.#underWay[command.sqid]! -= this.#underWay[command.sqid]! > 0 ? 1 : 0;
    const sq = this.#s.submission[command.sqid]!;
    if (!sq.exists) return;
    const queue = this.#s.completion[sq.cqid]!;
    const waiting = this.#waiting.get(sq.cqid);
    if (isFull(queue) || (waiting !== undefined && waiting.length > 0)) {
      if (waiting === undefined) this.#waiting.set(sq.cqid, [{ command, status, result }]);
      else waiting.push({ command, status, result });
      return;
    }
    postCompletion(this.#options.memory, queue, command, sq.head, status, result);
    this.#interrupt(sq.cqid);
    if (!this.#isProcessing && sq.head !== sq.tail) this.#processAll();
  }

  #postWaiting(cqid: number): void {
    const queue = this.#s.completion[cqid]!;
    const waiting = this.#waiting.get(cqid) ?? [];
    let posted = 0;
    for (; posted < waiting.length && !isFull(queue); posted++) {
      const { command, status, result } = waiting[posted]!;
      postCompletion(
        this.#options.memory,
        queue,
        command,
        this.#s.submission[command.sqid]!.head,
        status,
        result,
      );
    }
    waiting.splice(0, posted);
    if (posted > 0) this.#interrupt(cqid);
  }

  #interrupt(cqid: number): void {
    const { isInterrupting, vector } = this.#s.completion[cqid]!;
    if (!isInterrupting) return;
    if (this.#msix?.enabled === true) this.#msix.notify(vector);
    else this.#updatePin();
  }

  /** 7.5.1: the pin is high while an unmasked queue has entries that the driver has not taken. */
  #updatePin(): void {
    const { completion, interruptMask } = this.#s;
    const isHigh =
      this.#msix?.enabled !== true &&
      completion.some(
        (q) =>
          q.exists && q.isInterrupting && q.head !== q.tail && (interruptMask & (1 << (q.vector & 31))) === 0,
      );
    this.pci.setIntx(isHigh);
  }
}

/** Interrupters: event rings and what tells the driver of them (xHCI 1.1, 4.9.4, 4.17, 5.5.2). */
import {
  array,
  below,
  defineState,
  type Stateful,
  type StateOf,
  stateful,
  struct,
  u32,
} from '../../core/vmstate.ts';
import type { UsbDma } from './usb-dma.ts';
import * as xhci from './xhci-codes.ts';

export const INTERRUPTERS = 16;
export const INTERRUPTER_BYTES = 32;
const IMAN_PENDING = 1;
const IMAN_ENABLE = 2;
const ERDP_BUSY = 8;
const MIN_SEGMENT = 16;
const MAX_SEGMENT = 4096;
const TWO_32 = 2 ** 32;

const schema = defineState('xhci-events', 1, {
  rings: array(
    INTERRUPTERS,
    struct({
      iman: u32(),
      imod: u32(4000),
      tableSize: u32(),
      tableLow: u32(),
      tableHigh: u32(),
      dequeueLow: u32(),
      dequeueHigh: u32(),
      /** The ring's only segment, and the producer's place in it. */
      segmentLow: u32(),
      segmentHigh: u32(),
      size: below(MAX_SEGMENT + 1),
      index: below(MAX_SEGMENT),
      cycle: below(2, 1),
    }),
  ),
});

type Ring = StateOf<typeof schema>['rings'][number];

export interface EventPorts {
  readonly dma: UsbDma;
  /** The pending bit of interrupter `n` rose while it may interrupt. */
  interrupt(n: number): void;
  /** Any pending bit has changed. */
  changed(): void;
  guestError(text: string): void;
}

export class XhciEvents {
  readonly vmstate: Stateful;
  readonly #s = schema.create();
  readonly #ports: EventPorts;

  constructor(ports: EventPorts) {
    this.#ports = ports;
    this.vmstate = stateful(schema, this.#s);
  }

  reset(): void {
    schema.reset(this.#s);
  }

  /** Whether interrupter 0 drives the pin. */
  get isPending(): boolean {
    const { iman } = this.#s.rings[0]!;
    return (iman & IMAN_PENDING) !== 0 && (iman & IMAN_ENABLE) !== 0;
  }

  /** A message was sent: the pending bit falls by itself (4.17.5). */
  messageSent(n: number): void {
    this.#s.rings[n]!.iman &= ~IMAN_PENDING;
  }

  read(n: number, offset: number): number {
    const ring = this.#s.rings[n];
    if (ring === undefined) return 0;
    switch (offset) {
      case 0x00:
        return ring.iman;
      case 0x04:
        return ring.imod;
      case 0x08:
        return ring.tableSize;
      case 0x10:
        return ring.tableLow;
      case 0x14:
        return ring.tableHigh;
      case 0x18:
        return ring.dequeueLow;
      case 0x1c:
        return ring.dequeueHigh;
      default:
        return 0;
    }
  }

  write(n: number, offset: number, value: number): void {
    const ring = this.#s.rings[n];
    if (ring === undefined) return;
    switch (offset) {
      case 0x00:
        ring.iman = (ring.iman & IMAN_PENDING & ~value) | (value & IMAN_ENABLE);
        this.#ports.changed();
        break;
      case 0x04:
        ring.imod = value;
        break;
      case 0x08:
        ring.tableSize = value & 0xffff;
        break;
      case 0x10:
        ring.tableLow = (value & ~0x3f) >>> 0;
        break;
      case 0x14:
        ring.tableHigh = value;
        this.#start(n);
        break;
      case 0x18:
        ring.dequeueLow = ((value & ~ERDP_BUSY) | (ring.dequeueLow & ~value & ERDP_BUSY)) >>> 0;
        break;
      case 0x1c:
        ring.dequeueHigh = value;
        break;
      default:
    }
  }

  /** The segment table was named: the ring begins anew (4.9.4). */
  #start(n: number): void {
    const ring = this.#s.rings[n]!;
    const { dma, guestError } = this.#ports;
    const table = ring.tableHigh * TWO_32 + ring.tableLow;
    ring.size = 0;
    ring.index = 0;
    ring.cycle = 1;
    if (ring.tableSize === 0) return;
    const size = dma.u32(table + 8) & 0xffff;
    if (ring.tableSize !== 1 || size < MIN_SEGMENT || size > MAX_SEGMENT) {
      guestError(`xhci: event ring ${n} of ${ring.tableSize} segments, the first of ${size}`);
      return;
    }
    ring.segmentLow = (dma.u32(table) & ~0x3f) >>> 0;
    ring.segmentHigh = dma.u32(table + 4);
    ring.size = size;
  }

  /** Entries that the driver has taken; one is always left (4.9.4). */
  #room(ring: Ring): number {
    const base = ring.segmentHigh * TWO_32 + ring.segmentLow;
    const dequeue = ring.dequeueHigh * TWO_32 + ring.dequeueLow - (ring.dequeueLow & 15);
    const at = (dequeue - base) / xhci.TRB_BYTES;
    if (at < 0 || at >= ring.size) {
      this.#ports.guestError('xhci: the dequeue pointer is outside of the event ring');
      return 0;
    }
    return (at - ring.index - 1 + ring.size) % ring.size;
  }

  /** Puts an event into the ring of interrupter `n`; what finds no room is lost, and the driver told so. */
  post(n: number, low: number, high: number, status: number, type: number, more = 0): void {
    const ring = this.#s.rings[n];
    if (ring === undefined || ring.size === 0) return;
    const room = this.#room(ring);
    if (room >= 2) this.#put(ring, low, high, status, type, more);
    else if (room === 1) this.#put(ring, 0, 0, xhci.CC_EVENT_RING_FULL << 24, xhci.ER_HOST_CONTROLLER, 0);
    const wasPending = (ring.iman & IMAN_PENDING) !== 0;
    ring.iman |= IMAN_PENDING;
    ring.dequeueLow = (ring.dequeueLow | ERDP_BUSY) >>> 0;
    if (!wasPending && (ring.iman & IMAN_ENABLE) !== 0) this.#ports.interrupt(n);
    this.#ports.changed();
  }

  #put(ring: Ring, low: number, high: number, status: number, type: number, more: number): void {
    const { dma } = this.#ports;
    const at = ring.segmentHigh * TWO_32 + ring.segmentLow + ring.index * xhci.TRB_BYTES;
    dma.setU32(at, low);
    dma.setU32(at + 4, high);
    dma.setU32(at + 8, status);
    dma.setU32(at + 12, ((type << 10) | more | ring.cycle) >>> 0);
    ring.index++;
    if (ring.index >= ring.size) {
      ring.index = 0;
      ring.cycle ^= 1;
    }
  }
}

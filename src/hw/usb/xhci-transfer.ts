/** Transfer descriptors: what a transfer ring holds becomes transactions and events (xHCI 1.1, 4.10, 4.11). */
import type { DmaSegment } from '../../core/dma.ts';
import * as usb from './usb-codes.ts';
import type { UsbDevice } from './usb-device.ts';
import type { UsbDma } from './usb-dma.ts';
import * as xhci from './xhci-codes.ts';
import { pointerOf, type RingPlace, type Trb, take } from './xhci-ring.ts';

/** Bounds of one descriptor. */
const MAX_BLOCKS = 1024;
const MAX_BYTES = 16 * 2 ** 20;

export type PostTransferEvent = (
  interrupter: number,
  pointer: { readonly low: number; readonly high: number },
  code: number,
  length: number,
  isEventData: boolean,
) => void;

/** What became of a descriptor. */
export type TransferOutcome = 'done' | 'waits' | 'empty' | 'halted' | 'error';

/** Gathers the blocks of the next descriptor; undefined: not all of it is there. An empty list: it has no end in sight. */
function gather(dma: UsbDma, place: RingPlace): Trb[] | undefined {
  const blocks: Trb[] = [];
  for (;;) {
    const trb = take(dma, place);
    if (trb === undefined) return undefined;
    blocks.push(trb);
    if ((trb.control & xhci.TRB_CHAIN) === 0) return blocks;
    if (blocks.length >= MAX_BLOCKS) return [];
  }
}

const lengthOf = (trb: Trb): number => trb.status & 0x1ffff;

const hasData = (trb: Trb): boolean => {
  const type = xhci.trbType(trb.control);
  return type === xhci.TR_NORMAL || type === xhci.TR_DATA || type === xhci.TR_SETUP;
};

function pidOf(trb: Trb, dci: number): number | undefined {
  switch (xhci.trbType(trb.control)) {
    case xhci.TR_SETUP:
      return usb.PID_SETUP;
    case xhci.TR_DATA:
    case xhci.TR_STATUS:
      return (trb.control & xhci.TRB_DIRECTION) !== 0 ? usb.PID_IN : usb.PID_OUT;
    case xhci.TR_NORMAL:
      return (dci & 1) !== 0 ? usb.PID_IN : usb.PID_OUT;
    default:
      return undefined;
  }
}

/** The bytes that a block carries itself. */
function immediate(trb: Trb): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, trb.parameterLow, true);
  view.setUint32(4, trb.parameterHigh, true);
  return bytes.subarray(0, Math.min(8, lengthOf(trb)));
}

function outgoing(dma: UsbDma, blocks: readonly Trb[], segments: readonly DmaSegment[]): Uint8Array {
  const first = blocks.find(hasData);
  if (first !== undefined && (first.control & xhci.TRB_IMMEDIATE) !== 0) return immediate(first);
  return dma.read(segments);
}

/** Carries out the next descriptor of a ring. `place` moves behind it unless it has to wait. */
export function transfer(
  dma: UsbDma,
  place: RingPlace,
  dci: number,
  device: UsbDevice | undefined,
  post: PostTransferEvent,
): TransferOutcome {
  const at = { ...place };
  const blocks = gather(dma, at);
  if (blocks === undefined) return 'empty';
  const first = blocks[0];
  if (first === undefined) return 'error';
  if (xhci.trbType(first.control) === xhci.TR_NOOP) {
    Object.assign(place, at);
    report(blocks, 0, xhci.CC_SUCCESS, post);
    return 'done';
  }
  const pid = pidOf(first, dci);
  const data = blocks.filter((trb) => hasData(trb) && (trb.control & xhci.TRB_IMMEDIATE) === 0);
  const segments = data.map((trb) => ({ addr: pointerOf(trb), sizeBytes: lengthOf(trb) }));
  const total = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (pid === undefined || total > MAX_BYTES) {
    Object.assign(place, at);
    report(blocks, 0, xhci.CC_TRB_ERROR, post);
    return 'error';
  }
  const bytes = pid === usb.PID_IN ? new Uint8Array(total) : outgoing(dma, blocks, segments);
  const result = device?.transact(pid, dci >> 1, bytes) ?? usb.USB_NO_DEVICE;
  if (result === usb.USB_NAK) return 'waits';
  Object.assign(place, at);
  if (result < 0) {
    report(blocks, 0, result === usb.USB_STALL ? xhci.CC_STALL : xhci.CC_TRANSACTION_ERROR, post);
    return 'halted';
  }
  if (pid === usb.PID_IN) dma.write(segments, bytes.subarray(0, result));
  report(blocks, result, xhci.CC_SUCCESS, post);
  return 'done';
}

/** Events of a descriptor (4.10.1): where it asks for one, at a short packet if it asks for that, at an error. */
function report(blocks: readonly Trb[], actual: number, code: number, post: PostTransferEvent): void {
  let left = actual;
  /** Bytes since the last block that reported them. */
  let sum = 0;
  let isShort = false;
  for (const trb of blocks) {
    const isEventData = xhci.trbType(trb.control) === xhci.TR_EVENT_DATA;
    const length = hasData(trb) ? lengthOf(trb) : 0;
    const moved = Math.min(length, left);
    left -= moved;
    sum += moved;
    if (moved < length) isShort = true;
    const isFailure = code !== xhci.CC_SUCCESS;
    const isWanted =
      (trb.control & xhci.TRB_IOC) !== 0 || (isShort && (trb.control & xhci.TRB_ISP) !== 0) || isFailure;
    if (!isWanted) continue;
    const what = isFailure ? code : isShort ? xhci.CC_SHORT_PACKET : xhci.CC_SUCCESS;
    const interrupter = trb.status >>> 22;
    if (isEventData) {
      const pointer = { low: trb.parameterLow, high: trb.parameterHigh };
      post(interrupter, pointer, what, sum & 0xffffff, true);
    } else {
      const pointer = { low: trb.address % 2 ** 32, high: Math.floor(trb.address / 2 ** 32) };
      post(interrupter, pointer, what, length - moved, false);
    }
    return;
  }
}

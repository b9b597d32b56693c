/** Rings of transfer request blocks in guest memory (xHCI 1.1, 4.9). */
import type { UsbDma } from './usb-dma.ts';
import * as xhci from './xhci-codes.ts';

export interface Trb {
  readonly address: number;
  readonly parameterLow: number;
  readonly parameterHigh: number;
  readonly status: number;
  readonly control: number;
}

/** Where a ring's consumer stands. */
export interface RingPlace {
  dequeue: number;
  cycle: number;
}

/** Links that lead to links are followed only so far. */
const MAX_LINKS = 32;

/** The block at `place`, or undefined: the producer has not written it. Links are followed, and `place` moved, up to a bound. */
export function peek(dma: UsbDma, place: RingPlace): Trb | undefined {
  for (let links = 0; links < MAX_LINKS; links++) {
    const { dequeue } = place;
    const control = dma.u32(dequeue + 12);
    if ((control & xhci.TRB_CYCLE) !== place.cycle) return undefined;
    if (xhci.trbType(control) !== xhci.TR_LINK) {
      return {
        address: dequeue,
        parameterLow: dma.u32(dequeue),
        parameterHigh: dma.u32(dequeue + 4),
        status: dma.u32(dequeue + 8),
        control,
      };
    }
    place.dequeue = Math.floor(dma.u64(dequeue) / 16) * 16;
    if ((control & xhci.TRB_TOGGLE) !== 0) place.cycle ^= 1;
  }
  return undefined;
}

/** Takes the block at `place`. */
export function take(dma: UsbDma, place: RingPlace): Trb | undefined {
  const trb = peek(dma, place);
  if (trb !== undefined) place.dequeue += xhci.TRB_BYTES;
  return trb;
}

/** 64-bit parameter without what a number cannot hold. */
export function pointerOf(trb: Trb): number {
  return (trb.parameterHigh & 0x1fffff) * 2 ** 32 + trb.parameterLow;
}

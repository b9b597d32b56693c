/** The commands of the command ring (xHCI 1.1, 4.6 and 6.4.3). */
import * as xhci from './xhci-codes.ts';
import { pointerOf, type Trb } from './xhci-ring.ts';
import type { XhciSlots } from './xhci-slots.ts';

export interface CommandResult {
  readonly code: number;
  readonly slot: number;
}

/** Bit 9 of a CONFIGURE ENDPOINT command: take everything away. */
const DECONFIGURE = 1 << 9;

export function executeCommand(slots: XhciSlots, trb: Trb, slotLimit: number): CommandResult {
  const slot = trb.control >>> 24;
  const type = xhci.trbType(trb.control);
  if (type === xhci.CR_ENABLE_SLOT) {
    const id = slots.enable(slotLimit);
    return { code: id === 0 ? xhci.CC_NO_SLOTS : xhci.CC_SUCCESS, slot: id };
  }
  if (type === xhci.CR_NOOP) return { code: xhci.CC_SUCCESS, slot: 0 };
  return { code: slotCommand(slots, trb, type, slot), slot };
}

function slotCommand(slots: XhciSlots, trb: Trb, type: number, slot: number): number {
  const input = Math.floor(pointerOf(trb) / 16) * 16;
  const dci = (trb.control >>> 16) & 0x1f;
  switch (type) {
    case xhci.CR_DISABLE_SLOT:
      return slots.disable(slot);
    case xhci.CR_ADDRESS_DEVICE:
      return slots.address(slot, input, (trb.control & xhci.TRB_BSR) !== 0);
    case xhci.CR_CONFIGURE_ENDPOINT:
      return slots.configure(slot, input, (trb.control & DECONFIGURE) !== 0);
    case xhci.CR_EVALUATE_CONTEXT:
      return slots.evaluate(slot, input);
    case xhci.CR_RESET_ENDPOINT:
      return slots.resetEndpoint(slot, dci);
    case xhci.CR_STOP_ENDPOINT:
      return slots.stopEndpoint(slot, dci);
    case xhci.CR_SET_DEQUEUE:
      return slots.setDequeue(slot, dci, pointerOf(trb));
    case xhci.CR_RESET_DEVICE:
      return slots.resetDevice(slot);
    default:
      return xhci.CC_TRB_ERROR;
  }
}

/** PCI Express root ports (PCI Express Base 3.0, 7.8): bridges to a link with one device, in a slot. */
import { PciBridge } from './pci-bridge.ts';

const CAPABILITY_EXPRESS = 0x10;
/** Version 2, root port, slot implemented (7.8.2). */
const EXPRESS_ROOT_PORT = 0x0142;
const DEVICE_CAPABILITIES = 0x8000; // role-based error reporting
const LINK_ACTIVE_REPORTING = 1 << 20;
/** Attention and power buttons and indicators, surprise, hot plug, interlock (7.8.9). */
const SLOT_CAPABILITIES = 0x0002_007b;
const SLOT_CONTROL_DEFAULT = 0x07c0;
const SLOT_CONTROL_WRITABLE = 0x07f9;
const SLOT_PRESENCE = 0x0040;
const LINK_ACTIVE = 0x2000;

export interface RootPortOptions {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
  readonly name: string;
  readonly port: number;
  /** Physical slot number. */
  readonly slot: number;
  /** Where the capability lies, and generation and width of the link. */
  readonly at: number;
  readonly speed: number;
  readonly width: number;
}

export function createRootPort(options: RootPortOptions): PciBridge {
  const { vendorId, deviceId, revision, name, at, speed, width } = options;
  const bridge = new PciBridge({ vendorId, deviceId, classCode: 0x060400, revision, interruptPin: 1 }, name);
  const { pci, bus } = bridge;
  bus.slotCount = 1;
  pci.addCapability(CAPABILITY_EXPRESS, 60, at);
  pci.set(at + 2, 2, EXPRESS_ROOT_PORT);
  pci.set(at + 4, 4, DEVICE_CAPABILITIES);
  pci.allow(at + 8, 2, 0x000f);
  pci.set(at + 12, 4, ((options.port << 24) | LINK_ACTIVE_REPORTING | (width << 4) | speed) >>> 0);
  pci.allow(at + 16, 2, 0x01fb);
  pci.set(at + 20, 4, ((options.slot << 19) | SLOT_CAPABILITIES) >>> 0);
  pci.set(at + 24, 2, SLOT_CONTROL_DEFAULT);
  pci.allow(at + 24, 2, SLOT_CONTROL_WRITABLE);
  pci.writeOneToClear[at + 26] = 0x1f;
  pci.allow(at + 28, 2, 0x0007);
  pci.set(at + 44, 4, (1 << (speed - 1)) << 1);
  pci.onConfigRead = () => {
    const isThere = bus.functions.length > 0;
    pci.config[at + 18] = (width << 4) | speed;
    pci.config[at + 19] = (width >> 4) | (isThere ? LINK_ACTIVE >> 8 : 0);
    pci.config[at + 26] = (pci.config[at + 26]! & ~SLOT_PRESENCE) | (isThere ? SLOT_PRESENCE : 0);
  };
  return bridge;
}

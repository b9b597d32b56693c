/** Descriptors of a device, from a table, for the speed it runs at (USB 2.0, 9.6; USB 3.2, 9.6.2 and 9.6.7). */
import * as usb from './usb-codes.ts';

export interface EndpointTable {
  /** Bit 7: to the host. */
  readonly address: number;
  readonly type: typeof usb.ENDPOINT_BULK | typeof usb.ENDPOINT_INTERRUPT;
  readonly maxPacket: number;
  readonly interval: number;
}

export interface InterfaceTable {
  readonly class: number;
  readonly subclass: number;
  readonly protocol: number;
  /** Class descriptors that follow the interface's. */
  readonly extra?: Uint8Array;
  readonly endpoints: readonly EndpointTable[];
}

export interface UsbIdentity {
  readonly vendorId: number;
  readonly productId: number;
  /** Release as binary-coded decimal. */
  readonly release: number;
  readonly manufacturer: string;
  readonly product: string;
  /** '': none. */
  readonly serial: string;
  readonly deviceClass: number;
  /** bmAttributes beyond bit 7: 0x40 self-powered, 0x20 remote wake-up. */
  readonly attributes: number;
  /** Milliamperes from the bus. */
  readonly power: number;
  interfaces(speed: usb.UsbSpeed): readonly InterfaceTable[];
}

const STRING_MANUFACTURER = 1;
const STRING_PRODUCT = 2;
const STRING_SERIAL = 3;
const ENGLISH = 0x0409;
const CONFIGURATION_VALUE = 1;

export const word = (value: number): readonly [number, number] => [value & 0xff, (value >> 8) & 0xff];

/** Undefined: there is no such descriptor at this speed. */
export function descriptor(
  identity: UsbIdentity,
  speed: usb.UsbSpeed,
  type: number,
  index: number,
  speeds: number,
): Uint8Array | undefined {
  const hasHigh = (speeds & usb.speedBit(usb.SPEED_HIGH)) !== 0;
  const other = speed === usb.SPEED_HIGH ? usb.SPEED_FULL : usb.SPEED_HIGH;
  switch (type) {
    case usb.DT_DEVICE:
      return deviceDescriptor(identity, speed);
    case usb.DT_CONFIGURATION:
      return index === 0 ? configuration(identity, speed, type) : undefined;
    case usb.DT_STRING:
      return stringDescriptor(identity, index);
    case usb.DT_QUALIFIER:
      return hasHigh && speed !== usb.SPEED_SUPER ? qualifier(identity) : undefined;
    case usb.DT_OTHER_SPEED:
      return hasHigh && speed !== usb.SPEED_SUPER ? configuration(identity, other, type) : undefined;
    case usb.DT_BOS:
      return speed === usb.SPEED_SUPER ? binaryObjectStore() : undefined;
    default:
      return undefined;
  }
}

/** Largest packet of endpoint 0. */
export function controlPacketBytes(speed: usb.UsbSpeed): number {
  return speed === usb.SPEED_SUPER ? 512 : speed === usb.SPEED_HIGH ? 64 : 8;
}

function deviceDescriptor(identity: UsbIdentity, speed: usb.UsbSpeed): Uint8Array {
  const { vendorId, productId, release, deviceClass, serial } = identity;
  const protocol = deviceClass === 9 && speed === usb.SPEED_HIGH ? 1 : 0;
  return Uint8Array.of(
    ...[18, usb.DT_DEVICE, ...word(speed === usb.SPEED_SUPER ? 0x0300 : 0x0200)],
    ...[deviceClass, 0, protocol, speed === usb.SPEED_SUPER ? 9 : controlPacketBytes(speed)],
    ...[...word(vendorId), ...word(productId), ...word(release)],
    ...[STRING_MANUFACTURER, STRING_PRODUCT, serial === '' ? 0 : STRING_SERIAL, 1],
  );
}

function qualifier({ deviceClass }: UsbIdentity): Uint8Array {
  return Uint8Array.of(10, usb.DT_QUALIFIER, 0x00, 0x02, deviceClass, 0, 0, 64, 1, 0);
}

function configuration(identity: UsbIdentity, speed: usb.UsbSpeed, type: number): Uint8Array {
  const interfaces = identity.interfaces(speed);
  const body = interfaces.flatMap((table, n) => interfaceDescriptor(table, n, speed));
  const power = identity.power / (speed === usb.SPEED_SUPER ? 8 : 2);
  return Uint8Array.of(
    ...[9, type, ...word(9 + body.length), interfaces.length, CONFIGURATION_VALUE, 0],
    ...[0x80 | identity.attributes, power & 0xff],
    ...body,
  );
}

function interfaceDescriptor(table: InterfaceTable, n: number, speed: usb.UsbSpeed): number[] {
  const { class: code, subclass, protocol, extra, endpoints } = table;
  const head = [9, usb.DT_INTERFACE, n, 0, endpoints.length, code, subclass, protocol, 0];
  const ends = endpoints.flatMap(({ address, type, maxPacket, interval }) => [
    ...[7, usb.DT_ENDPOINT, address, type, ...word(maxPacket), interval],
    ...(speed === usb.SPEED_SUPER
      ? [6, usb.DT_ENDPOINT_COMPANION, type === usb.ENDPOINT_BULK ? 15 : 0, 0]
      : []),
    ...(speed === usb.SPEED_SUPER ? word(type === usb.ENDPOINT_INTERRUPT ? maxPacket : 0) : []),
  ]);
  return [...head, ...(extra ?? []), ...ends];
}

function stringDescriptor(identity: UsbIdentity, index: number): Uint8Array | undefined {
  if (index === 0) return Uint8Array.of(4, usb.DT_STRING, ...word(ENGLISH));
  const { manufacturer, product, serial } = identity;
  const text = [manufacturer, product, serial][index - 1];
  if (text === undefined || text === '') return undefined;
  const units = [...text.slice(0, 126)].flatMap((char) => word(char.charCodeAt(0)));
  return Uint8Array.of(2 + units.length, usb.DT_STRING, ...units);
}

/** One capability: SuperSpeed, full speed and up, no latencies to speak of. */
function binaryObjectStore(): Uint8Array {
  const superSpeed = [10, 0x10, 3, 0, ...word(0x0e), 1, 10, ...word(0x7ff)];
  return Uint8Array.of(5, usb.DT_BOS, ...word(5 + superSpeed.length), 1, ...superSpeed);
}

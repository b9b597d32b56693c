/** Builds each type of `device-types.ts` from its specification. */
import type { AddressSpace } from '../core/address-space.ts';
import type { CharBackend } from '../core/char-backend.ts';
import type { MsiSink } from '../core/cpu-ports.ts';
import type { Drive } from '../core/drive.ts';
import type { IrqLine } from '../core/irq.ts';
import type { PowerControl } from '../core/reset.ts';
import type { TimerService } from '../core/timer.ts';
import { UserError } from '../util/errors.ts';
import type { BuiltDevice } from './device-registry.ts';
import type { DeviceSpec, PropertyValue } from './device-spec.ts';
import type { DeviceType } from './device-types.ts';
import { buildVirtioBlk, buildVirtioPci, buildVirtioRng, type VirtioBuilder } from './virtio-factories.ts';

/** What the board and the machine offer to devices. */
export interface DeviceContext {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly timers: TimerService;
  readonly power: PowerControl;
  readonly msi: MsiSink;
  /** A line of its own to an ISA interrupt. */
  isaIrq(n: number): IrqLine;
  /** A `-chardev` by its id. */
  chardev(id: string): CharBackend | undefined;
  /** What `-drive` and `-blockdev` named `id` opened. */
  drive(id: string): Drive | undefined;
  /** Fills bytes outside of guest memory at random; at most 64 KiB a call. */
  randomBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** Tells control-protocol peers of an event. */
  notify(name: string, data: object): void;
  /** A line of the guest-error log. */
  guestError(text: string): void;
}

/** What a factory works with. */
export interface BuildRequest {
  readonly context: DeviceContext;
  readonly type: DeviceType;
  readonly spec: DeviceSpec;
  /** The id, or a name made up. */
  readonly name: string;
  number(property: string): number;
  flag(property: string): boolean;
  text(property: string): string | undefined;
  error(reason: string): UserError;
}

export type DeviceFactory = (request: BuildRequest) => BuiltDevice;

/** The virtio devices by the stem of their names: what sits behind each transport. */
const VIRTIO: Readonly<Record<string, VirtioBuilder>> = {
  'virtio-blk': { classCode: 0x010000, vectors: (r) => r.number('num-queues') + 1, build: buildVirtioBlk },
  'virtio-rng': { classCode: 0x00ff00, vectors: () => 2, build: buildVirtioRng },
};

const FACTORIES: Readonly<Record<string, DeviceFactory>> = {
  ...Object.fromEntries(
    Object.entries(VIRTIO).flatMap(([name, builder]) =>
      ['', '-transitional', '-non-transitional'].map((suffix) => [
        `${name}-pci${suffix}`,
        (request: BuildRequest) => buildVirtioPci(request, builder, suffix),
      ]),
    ),
  ),
};

/** `UserError` for a value that the device cannot work with. */
export function createDevice(
  context: DeviceContext,
  type: DeviceType,
  spec: DeviceSpec,
  name: string,
): BuiltDevice {
  const value = (property: string): PropertyValue | undefined =>
    spec.properties[property] ?? type.properties.find((p) => p.name === property)?.default;
  const factory = Object.hasOwn(FACTORIES, type.name) ? FACTORIES[type.name] : undefined;
  if (factory === undefined)
    throw new UserError('GenericError', `${spec.what}: not available on this machine`);
  return factory({
    context,
    type,
    spec,
    name,
    number: (property) => Number(value(property) ?? 0),
    flag: (property) => value(property) === true || value(property) === 'on',
    text: (property) => {
      const found = value(property);
      return found === undefined ? undefined : String(found);
    },
    error: (reason) => new UserError('GenericError', `${spec.what}: ${reason}`),
  });
}

/** What a virtio device is to its transport, and what the transport is to the device (virtio 1.2, 2). */
import type { Device } from '../../core/device.ts';
import type { AccessSize } from '../../core/memory-region.ts';
import type { Stateful } from '../../core/vmstate.ts';
import type { VirtQueue } from './virtqueue.ts';

// Device ids (5)
export const VIRTIO_ID_NET = 1;
export const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_ID_CONSOLE = 3;
export const VIRTIO_ID_RNG = 4;
export const VIRTIO_ID_BALLOON = 5;
export const VIRTIO_ID_SCSI = 8;
export const VIRTIO_ID_9P = 9;
export const VIRTIO_ID_INPUT = 18;

/** The part that knows what the device does. Calls come in the order configure → queueNotified …; `reset` at any moment. */
export interface VirtioBackend {
  readonly id: number;
  /** Features beyond those of rings and transport. */
  readonly features: bigint;
  /** Size of each queue, largest index included. */
  readonly queueSizes: readonly number[];
  readonly configSize: number;
  readConfig(offset: number, size: AccessSize): number;
  writeConfig(offset: number, size: AccessSize, value: number): void;
  /** Called once, before anything else. */
  connect(port: VirtioPort): void;
  /** The driver is ready (DRIVER_OK). */
  start?(features: bigint): void;
  /** The driver made buffers available in queue `index`. */
  queueNotified(index: number): void;
  /** Back to the state after power-on; requests under way end without a trace in the rings. */
  reset(): void;
  readonly vmstate: Stateful;
}

/** The device's way to its driver. */
export interface VirtioPort {
  readonly queues: readonly VirtQueue[];
  /** Features that both sides agreed on. */
  readonly negotiated: bigint;
  /** DRIVER_OK is set and nothing is broken. */
  readonly isRunning: boolean;
  /** Interrupts the driver for queue `index` if it wants that. */
  notifyQueue(index: number): void;
  /** The device configuration changed. */
  notifyConfig(): void;
  /** The device holds a request whose memory it may still touch: a reset is complete when none is left. */
  hold(): void;
  release(): void;
  guestError(text: string): void;
}

export type VirtioDeviceParts = Device;

/**
 * The drives of a machine: those of the command line, nodes that devices may name, the empty ones of devices that were given none,
 * and what goes in and out of them while the machine runs.
 */
import type { BlockChannel, ChannelBackend, MediumInfo } from '../block/io/block-channel.ts';
import type { OpenedDrive } from '../block/io/protocol.ts';
import type { Drive, DriveInterface, DriveUser } from '../core/drive.ts';
import { UserError } from '../util/errors.ts';

export interface DriveEvents {
  notify(name: string, data: object): void;
  /** The I/O thread may close the medium. */
  release(handle: number): void;
}

/** `drive`: has a name of its own; `node`: a node as its own drive; `device`: of a device that was given none. */
export type DriveKind = 'drive' | 'node' | 'device';

export class MachineDrive implements Drive {
  readonly kind: DriveKind;
  readonly id: string;
  readonly interface: DriveInterface;
  readonly bus: number;
  readonly unit: number;
  readonly media: 'disk' | 'cdrom';
  readonly backend: ChannelBackend;
  /** The node that was put into it; undefined: the medium was opened for this drive alone, or there is none. */
  node: MachineDrive | undefined;
  medium: MediumInfo | undefined;
  #user: DriveUser | undefined;
  readonly #events: DriveEvents;

  constructor(
    kind: DriveKind,
    { config, medium }: OpenedDrive,
    backend: ChannelBackend,
    events: DriveEvents,
  ) {
    this.kind = kind;
    this.id = config.id;
    this.interface = config.interface;
    this.bus = config.bus;
    this.unit = config.unit;
    this.media = config.media;
    this.medium = medium;
    this.backend = backend;
    this.#events = events;
  }

  get user(): DriveUser | undefined {
    return this.#user;
  }

  set user(user: DriveUser | undefined) {
    this.#user = user;
    const removable = user?.removable;
    if (removable !== undefined) removable.onTrayMoved = (isOpen) => this.#trayMoved(isOpen);
  }

  /** As the control protocol names it: empty for a drive that only its device names. */
  get name(): string {
    return this.kind === 'drive' ? this.id : '';
  }

  get label(): string {
    return this.name || (this.#user?.id ?? this.#user?.path ?? this.id);
  }

  /** `UserError` if the guest holds it and `force` does not overrule. */
  openTray(force: boolean): void {
    const removable = this.#user?.removable;
    if (removable === undefined) {
      if (this.#user === undefined) return;
      throw new UserError('GenericError', `Device '${this.label}' is not removable`);
    }
    if (!removable.hasTray || removable.isTrayOpen) return;
    if (removable.isLocked) removable.requestEject();
    if (removable.isLocked && !force)
      throw new UserError(
        'GenericError',
        `Device '${this.label}' is locked and force was not specified, wait for tray to open and try again`,
      );
    removable.setTrayOpen(true);
    this.#trayMoved(true);
  }

  closeTray(): void {
    const removable = this.#user?.removable;
    if (removable === undefined && this.#user !== undefined)
      throw new UserError('GenericError', `Device '${this.label}' is not removable`);
    if (removable?.hasTray !== true || !removable.isTrayOpen) return;
    removable.setTrayOpen(false);
    this.#trayMoved(false);
  }

  /** `UserError` unless what is in it can be reached. */
  requireOpen(): void {
    const removable = this.#user?.removable;
    if (this.#user !== undefined && removable === undefined)
      throw new UserError('GenericError', `Device '${this.label}' is not removable`);
    if (removable?.hasTray === true && !removable.isTrayOpen)
      throw new UserError('GenericError', `Tray of device '${this.label}' is not open`);
  }

  removeMedium(): void {
    const { medium, node } = this;
    if (medium === undefined) return;
    this.medium = undefined;
    this.node = undefined;
    this.backend.changeMedium(undefined);
    if (node !== undefined) node.user = undefined;
    else if (this.kind !== 'node') this.#events.release(medium.handle);
  }

  insert(medium: MediumInfo, node: MachineDrive | undefined): void {
    this.medium = medium;
    this.node = node;
    if (node !== undefined) node.user = this.#user;
    this.backend.changeMedium(medium);
  }

  #trayMoved(isOpen: boolean): void {
    this.#events.notify('DEVICE_TRAY_MOVED', {
      device: this.name,
      id: this.#user?.id ?? this.#user?.path ?? '',
      'tray-open': isOpen,
    });
  }
}

export class MachineDrives {
  /** The board looks drives up here at any time. */
  readonly list: MachineDrive[] = [];
  readonly #channel: BlockChannel | undefined;
  readonly #events: DriveEvents;

  constructor(channel: BlockChannel | undefined, events: DriveEvents) {
    this.#channel = channel;
    this.#events = events;
  }

  add(kind: DriveKind, opened: OpenedDrive): MachineDrive {
    const { config } = opened;
    if (this.list.some((drive) => drive.id === config.id))
      throw new UserError('GenericError', `Duplicate ID '${config.id}' for drive`);
    const backend = this.#requireChannel().createBackend(opened.medium, config);
    const drive = new MachineDrive(kind, opened, backend, this.#events);
    this.list.push(drive);
    return drive;
  }

  /** A drive without medium for a device that was given none. */
  createEmpty(name: string, media: 'disk' | 'cdrom'): MachineDrive {
    const config = {
      option: '',
      id: `#${name}`,
      interface: 'none',
      bus: 0,
      unit: 0,
      media,
      node: undefined,
      isReadOnly: media === 'cdrom',
      isSnapshot: false,
      isWritethrough: false,
      readError: 'report',
      writeError: 'enospc',
    } as const;
    return this.add('device', { config, medium: undefined });
  }

  /** By the name of the drive, or by id or path of its device. `UserError` if there is none. */
  find(device: string | undefined, id: string | undefined): MachineDrive {
    if ((device === undefined) === (id === undefined))
      throw new UserError('GenericError', "Need exactly one of 'device' and 'id'");
    const found =
      device !== undefined
        ? this.list.find((drive) => drive.name === device)
        : (this.list.find(({ kind, user }) => kind !== 'node' && (user?.id === id || user?.path === id)) ??
          this.list.find(({ user }) => user?.id === id || user?.path === id));
    if (found === undefined) throw new UserError('DeviceNotFound', `Device '${device ?? id}' not found`);
    return found;
  }

  node(name: string): MachineDrive {
    const found = this.list.find((drive) => drive.kind === 'node' && drive.id === name);
    if (found === undefined) throw new UserError('DeviceNotFound', `Cannot find node '${name}'`);
    return found;
  }

  /** The device is gone; a drive of its own goes with it, a node stays. */
  unused(drive: Drive): void {
    const known = this.list.find((other) => other === drive);
    if (known === undefined) return;
    known.user = undefined;
    if (known.kind !== 'node') this.remove(known);
  }

  remove(drive: MachineDrive): void {
    const at = this.list.indexOf(drive);
    if (at >= 0) this.list.splice(at, 1);
    drive.removeMedium();
  }

  #requireChannel(): BlockChannel {
    if (this.#channel === undefined) throw new UserError('GenericError', 'this machine has no block layer');
    return this.#channel;
  }
}

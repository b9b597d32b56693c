/** What the control protocol does with a machine's drives. The main thread has opened media before, and closes them after. */
import type { MediumInfo } from '../block/io/block-channel.ts';
import type { OpenedDrive } from '../block/io/protocol.ts';
import { UserError } from '../util/errors.ts';
import type { Machine } from './machine.ts';
import type { MachineDrive } from './machine-drives.ts';

type Args = Readonly<Record<string, unknown>>;

/** A drive as `query-block` needs it; JSON. */
export interface DriveFacts {
  readonly kind: 'drive' | 'node' | 'device';
  readonly id: string;
  readonly name: string;
  readonly qdev: string | undefined;
  readonly isUsed: boolean;
  readonly isRemovable: boolean;
  readonly isLocked: boolean;
  /** Undefined: it has none. */
  readonly isTrayOpen: boolean | undefined;
  readonly handle: number | undefined;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly media: 'disk' | 'cdrom';
  readonly counters: Readonly<Record<string, number>>;
}

function target(machine: Machine, { device, id }: Args): MachineDrive {
  return machine.drives.find(device as string | undefined, id as string | undefined);
}

function facts(drive: MachineDrive): DriveFacts {
  const { user, medium, backend } = drive;
  const removable = user?.removable;
  return {
    kind: drive.kind,
    id: drive.id,
    name: drive.name,
    qdev: user === undefined ? undefined : (user.id ?? user.path),
    isUsed: user !== undefined,
    isRemovable: user === undefined || removable !== undefined,
    isLocked: removable?.isLocked ?? false,
    isTrayOpen: removable?.hasTray === true ? removable.isTrayOpen : undefined,
    handle: medium?.handle,
    sizeBytes: backend.sizeBytes,
    isReadOnly: backend.isReadOnly,
    media: drive.media,
    counters: { ...backend.counters },
  };
}

export const DRIVE_COMMANDS: Readonly<Record<string, (machine: Machine, args: Args) => unknown>> = {
  'x-drive-list': (machine) => machine.drives.list.map(facts),
  'x-drive-find': (machine, args) => facts(target(machine, args)),
  'x-drive-add': (machine, { drive, isNode }) => {
    machine.drives.add(isNode === true ? 'node' : 'drive', drive as OpenedDrive);
    return {};
  },
  /** Before a node is closed. */
  'x-node-remove': (machine, { name }) => {
    const node = machine.drives.list.find(({ kind, id }) => kind === 'node' && id === name);
    if (node === undefined)
      throw new UserError('DeviceNotFound', `Failed to find node with node-name='${String(name as string)}'`);
    if (node.user !== undefined) throw new UserError('GenericError', `Node ${node.id} is in use`);
    machine.drives.remove(node);
    return {};
  },
  'x-drive-del': (machine, { id }) => {
    const drive = machine.drives.list.find(({ kind, name }) => kind === 'drive' && name === id);
    if (drive === undefined)
      throw new UserError('DeviceNotFound', `Device '${String(id as string)}' not found`);
    machine.drives.remove(drive);
    return {};
  },
  eject: (machine, args) => {
    const drive = target(machine, args);
    if (args['force'] === true && drive.user?.removable === undefined && drive.user !== undefined)
      throw new UserError('GenericError', `Device '${drive.label}' is not removable`);
    drive.openTray(args['force'] === true);
    drive.requireOpen();
    drive.removeMedium();
    return {};
  },
  'blockdev-open-tray': (machine, args) => {
    target(machine, args).openTray(args['force'] === true);
    return {};
  },
  'blockdev-close-tray': (machine, args) => {
    target(machine, args).closeTray();
    return {};
  },
  'blockdev-remove-medium': (machine, args) => {
    const drive = target(machine, args);
    drive.requireOpen();
    drive.removeMedium();
    return {};
  },
  'blockdev-insert-medium': (machine, args) => {
    const drive = target(machine, args);
    const node = machine.drives.node(String(args['node-name']));
    drive.requireOpen();
    if (drive.medium !== undefined)
      throw new UserError('GenericError', `There already is a medium in device '${drive.label}'`);
    if (node.user !== undefined) throw new UserError('GenericError', `Node '${node.id}' is already in use`);
    drive.insert(node.medium!, node);
    return {};
  },
  /** Tray open, the old medium out, the new one in, tray closed. */
  'x-drive-change': (machine, args) => {
    const drive = target(machine, args);
    drive.openTray(args['force'] === true);
    drive.requireOpen();
    drive.removeMedium();
    drive.insert(args['medium'] as MediumInfo, undefined);
    drive.closeTray();
    return {};
  },
  'x-drive-resized': (machine, args) => {
    const drive = machine.drives.list.find(({ medium }) => medium?.handle === args['handle']);
    for (const other of machine.drives.list) {
      if (other.medium?.handle !== args['handle']) continue;
      other.medium = args['medium'] as MediumInfo;
      other.backend.changeMedium(other.medium);
    }
    return { device: drive?.name ?? '' };
  },
};

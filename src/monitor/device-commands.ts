/** Commands of the human monitor about drives and devices. */
import { addDrive, blockResize, changeMedium, parseSizeText } from '../system/block-control.ts';
import { parseDeviceText } from '../system/device-info.ts';
import { UserError } from '../util/errors.ts';
import type { MonitorCommand, MonitorContext } from './commands.ts';

async function control(c: MonitorContext, command: string, args: unknown): Promise<string> {
  await c.machine.request('control', { command, args });
  return '';
}

export const DEVICE_COMMANDS: Readonly<Record<string, MonitorCommand>> = {
  eject: {
    args: '[-f] device',
    about: 'take the medium out of a drive',
    run: (c, args) => {
      const force = /^-f\s+/.test(args);
      return control(c, 'eject', { device: args.replace(/^-f\s+/, ''), force });
    },
  },
  change: {
    args: '[-f] device file [format]',
    about: 'put another medium into a drive',
    run: async (c, args) => {
      const [device = '', filename = '', format] = args.replace(/^-f\s+/, '').split(/\s+/);
      if (filename === '') throw new UserError('MissingValue', 'change: a drive and a file are needed');
      await changeMedium(c, { device, force: args.startsWith('-f') }, filename, format);
      return '';
    },
  },
  block_resize: {
    args: 'device size',
    about: 'give a disk another size',
    run: async (c, args) => {
      const [device = '', text = ''] = args.split(/\s+/);
      await blockResize(c, { device, size: parseSizeText(text.replace(/^(\d+)$/, '$1M')) });
      return '';
    },
  },
  drive_add: {
    args: '[-n] [bus:]slot options',
    about: 'add a drive that a device may name (if=none)',
    run: async (c, args) => {
      const text = args.replace(/^-n\s+/, '').replace(/^\S+\s+/, '');
      if (c.parseDrive === undefined) throw new UserError('NotSupported', 'drive_add: not here');
      const config = c.parseDrive(text);
      if (config.interface !== 'none') throw new UserError('GenericError', "Can't hot-add drive to type");
      await addDrive(c, config);
      return 'OK';
    },
  },
  drive_del: {
    args: 'device',
    about: 'take a drive away from its device and forget it',
    run: (c, args) => control(c, 'x-drive-del', { id: args }),
  },
  device_add: {
    args: 'driver[,property=value…]',
    about: 'plug a device',
    run: (c, args) => control(c, 'device_add', { spec: parseDeviceText(args) }),
  },
  device_del: {
    args: 'id',
    about: 'unplug a device',
    run: (c, args) => control(c, 'device_del', { id: args }),
  },
};

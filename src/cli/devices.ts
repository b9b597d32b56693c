/** `-device DRIVER[,property=value…]`: devices of the registry, and those that are parts of the board's own options. */
import { type DeviceSpec, parseDeviceOption } from '../machine/device-spec.ts';
import { deviceListText, devicePropertiesText, findDeviceType } from '../machine/device-types.ts';
import { UserError } from '../util/errors.ts';
import type { Collected } from './command-line.ts';

/** The text of `-device help` or `-device NAME,help`; undefined if it is neither. */
export function deviceHelp(text: string): string | undefined {
  if (text === 'help' || text === '?') return deviceListText();
  const match = /^([^,]+),(?:help|\?)$/.exec(text);
  if (match === null) return undefined;
  const type = findDeviceType(match[1]!);
  if (type === undefined)
    throw new UserError(
      'UnknownDevice',
      `-device ${text}: no device "${match[1]}" (-device help lists them)`,
    );
  return devicePropertiesText(type);
}

/** Adds all devices of the command line to the configuration. */
export function addDevices(c: Collected): void {
  const devices: DeviceSpec[] = [];
  for (const text of c.devices) {
    const spec = parseDeviceOption(text, c.globals);
    if (!addBoardDevice(c, spec)) devices.push(spec);
  }
  c.config.devices = devices;
}

/** What the board builds by options of its own. */
function addBoardDevice(c: Collected, spec: DeviceSpec): boolean {
  const number = (name: string, fallback: number): number => Number(spec.properties[name] ?? fallback);
  const chardev = (): string => {
    const id = spec.properties['chardev'];
    if (id === undefined) throw new UserError('BadOption', `${spec.what}: "chardev=" is missing`);
    return String(id);
  };
  switch (spec.driver) {
    case 'isa-debug-exit': {
      const iobase = number('iobase', 0x501);
      const iosize = number('iosize', 2);
      if (iosize < 1 || iobase + iosize > 0x10000)
        throw new UserError('BadOption', `${spec.what}: the ports are outside the I/O space`);
      c.config.debugExit = { iobase, iosize };
      return true;
    }
    case 'isa-debugcon': {
      const iobase = number('iobase', 0xe9);
      if (iobase > 0xffff)
        throw new UserError('BadOption', `${spec.what}: the port is outside the I/O space`);
      c.debugCon = { spec: { kind: 'chardev', id: chardev() }, mux: false, option: spec.what };
      c.config.debugCon = { iobase, readback: number('readback', 0xe9) };
      return true;
    }
    case 'isa-serial':
      c.serial.push({ spec: { kind: 'chardev', id: chardev() }, mux: false, option: spec.what });
      return true;
    case 'pc-testdev':
      c.config.testDevice = true;
      return true;
    default:
      return false;
  }
}

/** `-device DRIVER[,property=value…]`. */
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';
import type { Collected } from './command-line.ts';

/** Drivers with a line each for `-device help`. */
export const DEVICE_NAMES: Readonly<Record<string, string>> = {
  'isa-debug-exit': 'ends the emulator with status (value << 1) | 1 (iobase=0x501, iosize=2)',
  'isa-debugcon': 'bytes written to a port go to a character device (chardev=ID, iobase=0xe9, readback=0xe9)',
  'isa-serial': 'a further serial port (chardev=ID)',
};

export function parseDevice(c: Collected, text: string): void {
  const what = `-device ${text}`;
  const options = new OptionList(text, what, 'driver');
  const driver = options.required('driver');
  options.text('id');
  // -global gives the properties that -device does not.
  const property = (name: string, fallback: number): number => {
    const given = c.globals.get(`${driver}.${name}`);
    return options.number(name, given === undefined ? fallback : Number(given));
  };
  switch (driver) {
    case 'isa-debug-exit': {
      const iobase = property('iobase', 0x501);
      const iosize = property('iosize', 2);
      if (iosize < 1 || iobase + iosize > 0x10000) throw options.error('the ports are outside the I/O space');
      c.config.debugExit = { iobase, iosize };
      break;
    }
    case 'isa-debugcon': {
      const iobase = property('iobase', 0xe9);
      if (iobase > 0xffff) throw options.error('the port is outside the I/O space');
      const readback = property('readback', 0xe9);
      const id = options.required('chardev');
      c.debugCon = { spec: { kind: 'chardev', id }, mux: false, option: what };
      c.config.debugCon = { iobase, readback };
      break;
    }
    case 'isa-serial': {
      const id = options.required('chardev');
      c.serial.push({ spec: { kind: 'chardev', id }, mux: false, option: what });
      break;
    }
    default:
      throw new UserError('UnknownDevice', `${what}: no device "${driver}" (-device help lists them)`);
  }
  options.finish();
}

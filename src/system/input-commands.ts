/** Keys and movements that the control protocol and the monitor send, and what they tell of pointing devices and USB. */
import {
  ABSOLUTE_MAX,
  type Axis,
  BUTTONS,
  type Button,
  INPUT_ABSOLUTE,
  INPUT_BUTTON,
  INPUT_KEY,
  INPUT_RELATIVE,
  type InputEvent,
} from '../hw/input/input-core.ts';
import { keyOf } from '../hw/input/key-sender.ts';
import { describeDevice } from '../hw/usb/usb-port.ts';
import { isUsbBus } from '../machine/usb-factories.ts';
import { UserError } from '../util/errors.ts';
import type { Machine } from './machine.ts';

type Args = Readonly<Record<string, unknown>>;
type Command = (machine: Machine, args: Args) => unknown;

const MAX_EVENTS = 4096;
const KINDS: Readonly<Record<InputEvent['type'], { readonly name: string; readonly mask: number }>> = {
  key: { name: 'key', mask: INPUT_KEY },
  button: { name: 'btn', mask: INPUT_BUTTON },
  relative: { name: 'rel', mask: INPUT_RELATIVE },
  absolute: { name: 'abs', mask: INPUT_ABSOLUTE },
};

export const INPUT_COMMANDS: Readonly<Record<string, Command>> = {
  'input-send-event': (machine, { events }) => {
    if (!Array.isArray(events) || events.length > MAX_EVENTS) throw invalid('events', 'a list of events');
    const list = events.map(parseEvent);
    send(machine, list);
    return {};
  },
  'query-mice': (machine) => machine.board.input.mice.map((mouse, n) => ({ ...mouse, current: n === 0 })),
  mouse_move: (machine, { dx, dy, dz }) => {
    const wheel: Button | undefined = Number(dz) < 0 ? 'wheel-up' : Number(dz) > 0 ? 'wheel-down' : undefined;
    send(machine, [
      { type: 'relative', axis: 'x', value: Number(dx) },
      { type: 'relative', axis: 'y', value: Number(dy) },
    ]);
    if (wheel === undefined) return {};
    send(machine, [{ type: 'button', button: wheel, down: true }]);
    send(machine, [{ type: 'button', button: wheel, down: false }]);
    return {};
  },
  /** Bits: 1 left, 2 middle, 4 right. */
  mouse_button: (machine, { state }) => {
    const names: readonly Button[] = ['left', 'middle', 'right'];
    const bits = Number(state);
    send(
      machine,
      names.map((button, n) => ({ type: 'button', button, down: (bits & (1 << n)) !== 0 })),
    );
    return {};
  },
  mouse_set: (machine, { index }) => {
    if (!machine.board.input.selectMouse(Number(index)))
      throw new UserError('GenericError', `Mouse at index '${Number(index)}' not found`);
    return {};
  },
};

function invalid(name: string, expected: string): UserError {
  return new UserError('GenericError', `Invalid parameter for '${name}', expected: ${expected}`);
}

/** A pointing device that is told a distance although it wants a place is told nothing, as ever. */
function send(machine: Machine, events: readonly InputEvent[]): void {
  const { input } = machine.board;
  for (const event of events) {
    const { name, mask } = KINDS[event.type];
    if (!input.takes(mask))
      throw new UserError('GenericError', `Input handler not found for event type ${name}`);
  }
  input.send(events);
}

function record(value: unknown, name: string): Args {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, 'object');
  return value as Args;
}

/** One `InputEvent` of the protocol. */
export function parseEvent(value: unknown): InputEvent {
  const event = record(value, 'events');
  const data = record(event['data'], 'data');
  switch (event['type']) {
    case 'key':
      return { type: 'key', key: parseKey(record(data['key'], 'key')), down: parseDown(data) };
    case 'btn':
      if (!(BUTTONS as readonly unknown[]).includes(data['button']))
        throw invalid('button', BUTTONS.join(', '));
      return { type: 'button', button: data['button'] as Button, down: parseDown(data) };
    case 'rel':
      return { type: 'relative', axis: parseAxis(data), value: parseValue(data, -0x8000, 0x7fff) };
    case 'abs':
      return { type: 'absolute', axis: parseAxis(data), value: parseValue(data, 0, ABSOLUTE_MAX) };
    default:
      throw invalid('type', 'key, btn, rel or abs');
  }
}

function parseKey(key: Args): Extract<InputEvent, { type: 'key' }>['key'] {
  const { type, data } = key;
  if (type === 'qcode' && typeof data === 'string') return keyOf(data);
  if (type === 'number' && Number.isInteger(data)) return keyOf(`0x${(data as number).toString(16)}`);
  throw invalid('key', 'a qcode or a number');
}

function parseDown(data: Args): boolean {
  if (typeof data['down'] !== 'boolean') throw invalid('down', 'boolean');
  return data['down'];
}

function parseAxis(data: Args): Axis {
  if (data['axis'] !== 'x' && data['axis'] !== 'y') throw invalid('axis', 'x or y');
  return data['axis'];
}

function parseValue(data: Args, low: number, high: number): number {
  const value = Number(data['value']);
  if (!Number.isInteger(value)) throw invalid('value', 'integer');
  return Math.max(low, Math.min(high, value));
}

/** `info mice`. */
export function miceText(machine: Machine): string {
  const { mice } = machine.board.input;
  if (mice.length === 0) return 'No mouse devices connected';
  return mice
    .map(({ name, index, absolute }, n) => {
      const mark = n === 0 ? '*' : ' ';
      return `${mark} Mouse #${index}: ${name}${absolute ? ' (absolute)' : ''}`;
    })
    .join('\n');
}

/** `info usb`. */
export function usbText(machine: Machine): string {
  const { plugged } = machine.board.registry;
  const buses = plugged.flatMap(({ built }) => (isUsbBus(built.bus) ? [built.bus] : []));
  if (buses.length === 0) return 'USB support not enabled';
  return buses
    .flatMap((bus, n) =>
      bus.usb.devices.map(([port, device]) => {
        const id = plugged.find(({ built }) => built.part === device)?.spec.id;
        return describeDevice(n, port, device, id);
      }),
    )
    .join('\n');
}

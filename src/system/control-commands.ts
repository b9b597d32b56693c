/** Commands of the control protocol that need the machine itself. Arguments and results are JSON. */

import type { DeviceSpec } from '../machine/device-spec.ts';
import { UserError } from '../util/errors.ts';
import { DRIVE_COMMANDS } from './drive-commands.ts';
import { INPUT_COMMANDS } from './input-commands.ts';
import type { Machine } from './machine.ts';
import { pciInfo } from './pci-info.ts';
import { machineWorld, qomGet, qomList, qomSet } from './qom.ts';

type Args = Readonly<Record<string, unknown>>;
type Command = (machine: Machine, args: Args) => unknown;

const COMMANDS: Readonly<Record<string, Command>> = {
  'query-cpus-fast': (machine) =>
    machine.accelerator.vcpus.map(({ index }) => ({
      'cpu-index': index,
      'qom-path': `/machine/unattached/device[${index}]`,
      'thread-id': 1,
      props: { 'core-id': index, 'thread-id': 0, 'socket-id': 0 },
      target: 'x86_64',
    })),
  'query-pci': pciInfo,
  ...DRIVE_COMMANDS,
  'query-balloon': (machine) => {
    const actual = machine.board.registry.plugged
      .map((p) => p.built.live?.['actual']?.())
      .find((v) => v !== undefined);
    if (actual === undefined) throw noBalloon();
    return { actual };
  },
  balloon: (machine, { value }) => {
    for (const { built } of machine.board.registry.plugged) {
      if (built.setBalloon === undefined) continue;
      built.setBalloon(Number(value));
      return {};
    }
    throw noBalloon();
  },
  'query-vm-generation-id': (machine) => {
    const guid = machine.board.registry.plugged
      .map((p) => p.built.live?.['guid']?.())
      .find((v) => v !== undefined);
    if (guid === undefined) throw new UserError('GenericError', 'VM Generation ID device not found');
    return { guid };
  },
  /** Cards for `info network`. */
  'x-nics': (machine) =>
    machine.board.registry.plugged.flatMap(({ spec, type, built }) =>
      built.nic === undefined
        ? []
        : [
            {
              name: spec.id ?? `${type.name}.0`,
              model: type.name,
              netdev: built.nic.netdev ?? null,
              mac: [...built.nic.mac()].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
            },
          ],
    ),
  set_link: (machine, { name, up }) => {
    const nic = machine.board.registry.find(String(name))?.built.nic;
    if (!machine.setLink(nic?.netdev ?? String(name), up === true))
      throw new UserError('DeviceNotFound', `Device '${String(name)}' not found`);
    return {};
  },
  device_add: (machine, { spec }) => {
    machine.board.hotplug(spec as DeviceSpec);
    return {};
  },
  device_del: (machine, { id }) => {
    machine.board.requestUnplug(String(id));
    return {};
  },
  ...INPUT_COMMANDS,
  'qom-list': (machine, { path }) => qomList(machineWorld(machine), String(path)),
  'qom-get': (machine, { path, property }) => qomGet(machineWorld(machine), String(path), String(property)),
  'qom-set': (machine, { path, property, value }) =>
    qomSet(machineWorld(machine), String(path), String(property), value),
};

/** `UserError` whose code is the error class, if the protocol has one for it. */
export function runControlCommand(machine: Machine, command: string, args: unknown): unknown {
  const run = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (run === undefined) throw new UserError('GenericError', `${command}: not supported by this machine`);
  return run(machine, args as Args);
}

function noBalloon(): UserError {
  return new UserError('DeviceNotActive', 'No balloon device has been activated');
}

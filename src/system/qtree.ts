/** `info qtree`: buses, devices and their properties. */
import { type ChildBus, childBuses, type PluggedDevice } from '../machine/device-registry.ts';
import type { Machine } from './machine.ts';

export function qtreeText(machine: Machine): string {
  const { board } = machine;
  const top = board.registry.plugged.filter((p) => p.parent === undefined);
  const on = (bus: string): PluggedDevice[] => top.filter((p) => p.busName === bus);
  const lines = ['bus: main-system-bus', '  type System'];
  for (const name of board.devices.keys()) if (!name.startsWith('/')) lines.push(`  dev: ${name}, id ""`);
  lines.push(
    `  bus: ${board.chipset.pciBusName}`,
    '    type PCI',
    ...on(board.chipset.pciBusName).flatMap((p) => deviceLines(machine, p, 4)),
  );
  lines.push('  bus: isa.0', '    type ISA', ...on('isa.0').flatMap((p) => deviceLines(machine, p, 4)));
  lines.push(...on('').flatMap((p) => deviceLines(machine, p, 2)));
  return lines.join('\n');
}

function deviceLines(machine: Machine, plugged: PluggedDevice, indent: number): string[] {
  const { spec, type, built, devfn } = plugged;
  const pad = ' '.repeat(indent);
  const lines = [`${pad}dev: ${type.name}, id "${spec.id ?? ''}"`];
  for (const { name, kind, default: initial } of type.properties) {
    if (kind === 'pci-slot') lines.push(`${pad}  addr = ${hex(devfn >> 3)}.${devfn & 7}`);
    else {
      const value = built.live?.[name]?.() ?? spec.properties[name] ?? initial ?? '';
      lines.push(`${pad}  ${name} = ${JSON.stringify(value)}`);
    }
  }
  for (const bus of childBuses(built)) lines.push(...busLines(machine, bus, indent + 2));
  return lines;
}

function busLines(machine: Machine, bus: ChildBus, indent: number): string[] {
  const pad = ' '.repeat(indent);
  const children = machine.board.registry.plugged.filter((p) => p.parent === bus);
  return [
    `${pad}bus: ${bus.name}`,
    `${pad}  type ${bus.kind}`,
    ...children.flatMap((child) => deviceLines(machine, child, indent + 2)),
  ];
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

/** What the configuration spaces on PCI bus 0 say: `query-pci`, `info pci`. */
import type { PciFunction } from '../hw/pci/pci-device.ts';
import type { Machine } from './machine.ts';

export interface PciRegionInfo {
  readonly bar: number;
  readonly type: 'io' | 'memory';
  /** −1: not assigned. */
  readonly address: number;
  readonly size: number;
  readonly prefetch: boolean;
  readonly mem_type_64: boolean;
}

const CLASS_NAMES: Readonly<Record<number, string>> = {
  256: 'SCSI controller',
  257: 'IDE controller',
  258: 'Floppy controller',
  262: 'SATA controller',
  264: 'NVMe controller',
  512: 'Ethernet controller',
  768: 'VGA controller',
  1280: 'RAM controller',
  1536: 'Host bridge',
  1537: 'ISA bridge',
  1540: 'PCI bridge',
  1664: 'Bridge',
  1792: 'Serial port',
  1920: 'Communication controller',
  2304: 'Keyboard',
  3075: 'USB controller',
};

/** `query-pci`. */
export function pciInfo(machine: Machine): unknown {
  return [
    {
      bus: 0,
      devices: machine.board.pci.functions.map(([devfn, device]) => deviceInfo(machine, devfn, device)),
    },
  ];
}

function deviceInfo(machine: Machine, devfn: number, device: PciFunction): unknown {
  const kind = device.readConfig(10, 2);
  const pin = device.readConfig(0x3d, 1);
  const subsystem = { 'subsystem-vendor': device.readConfig(0x2c, 2), subsystem: device.readConfig(0x2e, 2) };
  const plugged = machine.board.registry.plugged.find((p) => p.devfn === devfn);
  return {
    bus: 0,
    slot: devfn >> 3,
    function: devfn & 7,
    class_info: { class: kind, ...(CLASS_NAMES[kind] !== undefined && { desc: CLASS_NAMES[kind] }) },
    id: { device: device.readConfig(2, 2), vendor: device.readConfig(0, 2), ...subsystem },
    ...(pin !== 0 && { irq: device.readConfig(0x3c, 1) }),
    irq_pin: pin,
    qdev_id: plugged?.spec.id ?? '',
    regions: device.regions.map((region) => ({
      bar: region.bar,
      type: region.type,
      address: region.address,
      size: region.size,
      ...(region.type === 'memory' && { prefetch: region.prefetch, mem_type_64: region.mem_type_64 }),
    })),
  };
}

/** `info pci`. */
export function pciText(machine: Machine): string {
  return machine.board.pci.functions.map(([devfn, device]) => deviceText(machine, devfn, device)).join('\n');
}

function deviceText(machine: Machine, devfn: number, device: PciFunction): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const kind = device.readConfig(10, 2);
  const plugged = machine.board.registry.plugged.find((p) => p.devfn === devfn);
  const name = CLASS_NAMES[kind] ?? `Class ${hex(kind, 4)}`;
  const pin = device.readConfig(0x3d, 1);
  const lines = [
    `  Bus  0, device ${String(devfn >> 3).padStart(3)}, function ${devfn & 7}:`,
    `    ${name}: PCI device ${hex(device.readConfig(0, 2), 4)}:${hex(device.readConfig(2, 2), 4)}`,
    `      PCI subsystem ${hex(device.readConfig(0x2c, 2), 4)}:${hex(device.readConfig(0x2e, 2), 4)}`,
  ];
  if (pin !== 0) lines.push(`      IRQ ${device.readConfig(0x3c, 1)}, pin ${'ABCD'[pin - 1] ?? '?'}`);
  for (const region of device.regions) lines.push(`      BAR${region.bar}: ${regionText(region)}`);
  lines.push(`      id "${plugged?.spec.id ?? ''}"`);
  return lines.join('\n');
}

function regionText({ type, address, size, prefetch, mem_type_64 }: PciRegionInfo): string {
  const digits = type === 'io' ? 4 : mem_type_64 ? 16 : 8;
  const hex = (value: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
  const start = address < 0 ? (type === 'io' ? 0xffff : mem_type_64 ? 2 ** 53 - 1 : 0xffffffff) : address;
  const at = `at ${hex(start)} [${hex(address < 0 ? size - 2 : start + size - 1)}].`;
  if (type === 'io') return `I/O ${at}`;
  return `${mem_type_64 ? 64 : 32} bit ${prefetch ? 'prefetchable ' : ''}memory ${at}`;
}

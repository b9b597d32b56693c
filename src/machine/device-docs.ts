/** The text of docs/devices.md: every type of the registry with its properties, what of it is missing, and what proves the rest. */
import { isBuildable } from './device-factories.ts';
import { type DeviceType, deviceTypes, type PropertySpec } from './device-types.ts';

interface Notes {
  /** What QEMU's device of this name does and this one does not. */
  readonly missing?: string;
  /** Guest, driver or test program that uses it. */
  readonly proof?: string;
}

/** By name, or by the beginning of several names; the longest that fits counts. */
const NOTES: Readonly<Record<string, Notes>> = {
  'virtio-blk': {
    missing: 'iothread; SCSI passthrough; zoned disks',
    proof: 'Linux virtio_blk: root disk of Debian, data compared (tests/boot/virtio, debian)',
  },
  'virtio-rng': { missing: 'rng= (the source is the host)', proof: 'Linux virtio-rng (tests/boot/virtio)' },
  'virtio-serial': { proof: 'Linux virtio_console (tests/boot/virtio)' },
  AC97: {
    missing: 'recording gives silence',
    proof: 'Linux snd-intel8x0 plays a tone (tests/boot/sound)',
  },
  'intel-hda': { proof: 'Linux snd-hda-intel plays a tone (tests/boot/sound)' },
  'ich9-intel-hda': { proof: 'unit tests of intel-hda' },
  'hda-output': { missing: 'mixer=', proof: 'unit tests' },
  'hda-duplex': {
    missing: 'mixer=, recording gives silence',
    proof: 'Linux snd-hda-codec-generic plays a tone (tests/boot/sound)',
  },
  'hda-micro': { missing: 'mixer=, recording gives silence', proof: 'unit tests of hda-duplex' },
  virtconsole: { proof: 'Linux virtio_console (tests/boot/virtio)' },
  virtserialport: { proof: 'Linux virtio_console (tests/boot/virtio)' },
  'virtio-balloon': {
    missing: 'free page hinting and reporting give nothing back to the host',
    proof: 'Linux virtio_balloon (tests/boot/virtio)',
  },
  'virtio-scsi': {
    missing: 'T10 protection, task queues per target',
    proof: 'Linux virtio_scsi: root disk of Debian (tests/boot/debian)',
  },
  'ide-hd': {
    missing: 'security, queued commands',
    proof: 'SeaBIOS, GRUB, Linux ata_piix with root on ext4 (tests/boot/firmware); QEMU ide-test',
  },
  'ide-cd': {
    missing: 'audio, writing',
    proof: 'GRUB rescue CD (tests/boot/firmware); QEMU ide-test, cdrom-test',
  },
  floppy: {
    missing: 'SCAN compares nothing; FORMAT fills the track',
    proof: 'own boot sectors in every format (tests/boot/firmware); QEMU fdc-test',
  },
  'scsi-hd': {
    missing: 'persistent reservations',
    proof: 'Linux sd: root disk of Debian (tests/boot/debian)',
  },
  'scsi-cd': { missing: 'audio, writing', proof: 'unit tests' },
  nvme: {
    missing: 'SR-IOV, zoned namespaces, controller memory buffer',
    proof: 'Linux nvme: root disk of Debian (tests/boot/debian)',
  },
  'nvme-ns': { proof: 'unit tests' },
  'virtio-net': {
    missing: 'vhost, RSS, notification coalescing; tx=, x-txtimer= and x-txburst= have no effect',
    proof:
      'Linux virtio_net: DHCP, ping, TCP both ways with checksums over IPv4 and IPv6 (tests/boot/network)',
  },
  e1000: { missing: 'wake-up, management, delays of RDTR and TIDV', proof: 'unit tests after the manual' },
  rtl8139: { missing: 'wake-up, twister', proof: 'unit tests after the data sheet' },
  ne2k_pci: { proof: 'unit tests after the data sheet' },
  ne2k_isa: { proof: 'unit tests of the common part' },
  edu: { proof: 'unit tests after QEMU docs/specs/edu' },
  i6300esb: { proof: 'unit tests after the data sheet' },
  'pci-testdev': { proof: 'kvm-unit-tests' },
  pvpanic: { proof: 'QEMU pvpanic-test, pvpanic-pci-test' },
  vmgenid: { proof: 'unit tests; SeaBIOS places its page' },
  'isa-debug-exit': { proof: 'every guest of our own; kvm-unit-tests' },
  'pc-testdev': { proof: 'kvm-unit-tests; QEMU endianness-test' },
  'isa-debugcon': { proof: 'SeaBIOS, test386' },
  'isa-serial': { missing: 'index=, iobase=, irq= are accepted in order of ports only', proof: 'Linux 8250' },
};

/** Properties that every PCI and every virtio device has are listed once. */
const SHARED: ReadonlyArray<readonly [title: string, has: (type: DeviceType) => boolean, sample: string]> = [
  ['every PCI device', (type) => type.bus === 'PCI', 'edu'],
];

function notesOf(name: string): Notes {
  const keys = Object.keys(NOTES).filter((key) => name === key || name.startsWith(`${key}-`));
  const longest = keys.sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? {} : NOTES[longest]!;
}

function propertyText({ name, kind, default: value, choices }: PropertySpec): string {
  const shown = value === undefined ? '' : ` = ${String(value) === '' ? '""' : String(value)}`;
  const type = kind === 'enum' ? choices!.join('\\|') : kind === 'pci-slot' ? 'slot' : kind;
  return `\`${name}\` (${type})${shown}`;
}

function sharedNames(): ReadonlySet<string> {
  const names = SHARED.flatMap(([, , sample]) => pciProperties(sample).map(({ name }) => name));
  return new Set(names);
}

/** The properties that `sample` has only because it sits on its bus. */
function pciProperties(sample: string): readonly PropertySpec[] {
  const type = deviceTypes().find(({ name }) => name === sample);
  return type?.properties.filter(({ name }) => name !== 'dma_mask') ?? [];
}

function row(type: DeviceType): string {
  const { missing, proof } = notesOf(type.name);
  const state = isBuildable(type.name)
    ? (missing ?? '–')
    : 'known by name only: no board of ours has its bus';
  const hot = type.hotpluggable ? 'yes' : 'no';
  const shown = isBuildable(type.name) ? (proof ?? '–') : '–';
  return `| \`${type.name}\` | ${type.bus === 'none' ? '–' : type.bus} | ${type.about} | ${hot} | ${state} | ${shown} |`;
}

/** Types that differ only in their transport have their properties shown once. */
function propertySections(): string[] {
  const shared = sharedNames();
  const sections: string[] = [];
  for (const type of deviceTypes()) {
    if (/-(transitional|device)$/.test(type.name)) continue;
    const isPci = type.bus === 'PCI';
    const own = type.properties.filter(({ name }) => !isPci || !shared.has(name));
    if (own.length > 0) sections.push(`- **${type.name}**: ${own.map(propertyText).join(', ')}`);
  }
  return sections;
}

export function deviceDocs(): string {
  const categories = [...new Set(deviceTypes().map(({ category }) => category))].sort();
  const tables = categories.map((category) => {
    const rows = deviceTypes().filter((type) => type.category === category);
    return [
      `## ${category}`,
      '',
      '| name | bus | what it is | hot plug | not implemented | proven by |',
      '|---|---|---|---|---|---|',
      ...rows.map(row),
      '',
    ].join('\n');
  });
  return [
    '# Devices that `-device` and `device_add` plug',
    '',
    'Written by `node tools/gen-device-docs.mjs` from the registry (`src/machine/device-types.ts`); do not edit. What the boards bring',
    'themselves is in [machines/](machines/) and [devices/](devices/README.md).',
    '',
    ...tables,
    '## Properties',
    '',
    'Name, type and default. `-device NAME,help` shows the same.',
    '',
    ...SHARED.map(
      ([title, , sample]) => `- **${title}**: ${pciProperties(sample).map(propertyText).join(', ')}`,
    ),
    ...propertySections(),
    '',
  ].join('\n');
}

/**
 * The types of device a user can plug, by QEMU's names, with their properties. Plain data that loads nothing: the command line, the
 * control protocol and `docs/devices.md` read it; what builds the devices is `device-factories.ts`, which must have an entry for each.
 */

export type PropertyKind =
  | 'bool'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'int32'
  | 'uint64'
  | 'size'
  | 'str'
  | 'enum'
  | 'OnOffAuto'
  /** Slot and function of a PCI device. */
  | 'pci-slot'
  /** Ids of -drive, -chardev, -audiodev, -fsdev, -object. */
  | 'drive'
  | 'chardev'
  | 'audiodev'
  | 'fsdev'
  | 'link';

export interface PropertySpec {
  readonly name: string;
  readonly kind: PropertyKind;
  readonly default?: string | number | boolean;
  readonly choices?: readonly string[];
  readonly about?: string;
}

export type BusKind =
  | 'PCI'
  | 'ISA'
  | 'System'
  | 'virtio-bus'
  | 'virtio-serial-bus'
  | 'SCSI'
  | 'nvme-bus'
  | 'IDE'
  | 'floppy-bus'
  | 'HDA'
  | 'usb-bus';
export type DeviceCategory =
  | 'Controller/Bridge/Hub'
  | 'Display'
  | 'Input'
  | 'Misc'
  | 'Network'
  | 'Sound'
  | 'Storage'
  | 'USB'
  | 'Watchdog';

export interface DeviceType {
  readonly name: string;
  /** Where it plugs in; `none`: into nothing (vmgenid). */
  readonly bus: BusKind | 'none';
  /** Ancestors in QEMU's object model, nearest first. */
  readonly parents: readonly string[];
  readonly category: DeviceCategory;
  readonly about: string;
  readonly hotpluggable: boolean;
  readonly properties: readonly PropertySpec[];
}

const p = (
  name: string,
  kind: PropertyKind,
  fallback?: string | number | boolean,
  about?: string,
  choices?: readonly string[],
): PropertySpec => ({
  name,
  kind,
  ...(fallback !== undefined && { default: fallback }),
  ...(about !== undefined && { about }),
  ...(choices !== undefined && { choices }),
});

/** Every PCI device has them. */
const PCI: readonly PropertySpec[] = [
  p('addr', 'pci-slot', undefined, 'Slot and optional function number, example: 06.0 or 06'),
  p('multifunction', 'bool', false),
  p('rombar', 'uint32', 1),
  p('romfile', 'str'),
  p('romsize', 'uint32', 0xffffffff),
  p('failover_pair_id', 'str'),
  p('acpi-index', 'uint32', 0),
];
const VIRTIO: readonly PropertySpec[] = [
  p('indirect_desc', 'bool', true),
  p('event_idx', 'bool', true),
  p('notify_on_empty', 'bool', true),
  p('any_layout', 'bool', true),
  p('iommu_platform', 'bool', false),
  p('packed', 'bool', false),
  p('queue_reset', 'bool', false),
  p('use-started', 'bool', true),
  p('use-disabled-flag', 'bool', true),
];
const VIRTIO_PCI: readonly PropertySpec[] = [
  p('disable-legacy', 'OnOffAuto', 'auto'),
  p('disable-modern', 'bool', false),
  p('ioeventfd', 'bool', true),
  p('vectors', 'uint32'),
  p('ats', 'bool', false),
  p('aer', 'bool', false),
  p('modern-pio-notify', 'bool', false),
  p('page-per-vq', 'bool', false),
  p('x-disable-pcie', 'bool', false),
  p('migrate-extra', 'bool', true),
];
const BLOCK: readonly PropertySpec[] = [
  p('drive', 'drive', undefined, 'Node name or ID of a block device to use as a backend'),
  p('logical_block_size', 'size', 0),
  p('physical_block_size', 'size', 0),
  p('min_io_size', 'size', 0),
  p('opt_io_size', 'size', 0),
  p('discard_granularity', 'size', 0xffffffff),
  p('write-cache', 'OnOffAuto', 'auto'),
  p('share-rw', 'bool', false),
  p('rerror', 'enum', 'auto', undefined, ['auto', 'ignore', 'report', 'stop']),
  p('werror', 'enum', 'auto', undefined, ['auto', 'ignore', 'report', 'enospc', 'stop']),
  p('bootindex', 'int32', -1),
];
/** Every network card has them. */
const NIC: readonly PropertySpec[] = [
  p('mac', 'str', undefined, 'Ethernet 6-byte MAC Address, example: 52:54:00:12:34:56'),
  p('netdev', 'str', undefined, 'ID of a netdev to use as a backend'),
  p('bootindex', 'int32', -1),
];
const VIRTIO_NET_FLAGS = [
  ...['csum', 'guest_csum', 'guest_tso4', 'guest_tso6', 'guest_ecn', 'guest_ufo', 'guest_announce'],
  ...['host_tso4', 'host_tso6', 'host_ecn', 'host_ufo', 'mrg_rxbuf', 'status', 'ctrl_vq', 'ctrl_rx'],
  ...['ctrl_vlan', 'ctrl_rx_extra', 'ctrl_mac_addr', 'ctrl_guest_offloads'],
];
const CHS: readonly PropertySpec[] = [
  p('cyls', 'uint32', 0),
  p('heads', 'uint32', 0),
  p('secs', 'uint32', 0),
];

interface VirtioRow {
  readonly about: string;
  readonly category: DeviceCategory;
  readonly properties: readonly PropertySpec[];
}

const VIRTIO_DEVICES: Readonly<Record<string, VirtioRow>> = {
  'virtio-blk': {
    about: 'disk',
    category: 'Storage',
    properties: [
      ...BLOCK,
      ...CHS,
      p('serial', 'str'),
      p('num-queues', 'uint16', 1),
      p('queue-size', 'uint16', 256),
      p('seg-max-adjust', 'bool', true),
      p('config-wce', 'bool', true),
      p('discard', 'bool', true),
      p('write-zeroes', 'bool', true),
      p('max-discard-sectors', 'uint32', 0x3fffff),
      p('max-write-zeroes-sectors', 'uint32', 0x3fffff),
      p('report-discard-granularity', 'bool', true),
      p('request-merging', 'bool', true),
      p('scsi', 'bool', false),
      p('iothread', 'link'),
    ],
  },
  'virtio-net': {
    about: 'network card',
    category: 'Network',
    properties: [
      ...NIC,
      ...VIRTIO_NET_FLAGS.map((name) => p(name, 'bool', true)),
      p('mq', 'bool', false),
      p('gso', 'bool', true),
      p('x-queue-pairs', 'uint16', 1, 'pairs of queues'),
      p('rx_queue_size', 'uint16', 256),
      p('tx_queue_size', 'uint16', 256),
      p('host_mtu', 'uint16', 0),
      p('tx', 'str'),
      p('x-txtimer', 'uint32', 150000),
      p('x-txburst', 'int32', 256),
      p('speed', 'int32', -1),
      p('duplex', 'str'),
      p('failover', 'bool', false),
      p('x-mtu-bypass-backend', 'bool', true),
    ],
  },
  'virtio-rng': {
    about: 'source of entropy',
    category: 'Misc',
    properties: [
      p('max-bytes', 'uint64', '9223372036854775807'),
      p('period', 'uint32', 65536),
      p('rng', 'link'),
    ],
  },
  'virtio-serial': {
    about: 'controller of consoles and serial ports',
    category: 'Input',
    properties: [p('max_ports', 'uint32', 31), p('emergency-write', 'bool', true)],
  },
  'virtio-balloon': {
    about: 'memory balloon',
    category: 'Misc',
    properties: [
      p('deflate-on-oom', 'bool', false),
      p('free-page-hint', 'bool', false),
      p('free-page-reporting', 'bool', false),
      p('guest-stats-polling-interval', 'int32', 0),
      p('page-poison', 'bool', true),
      p('iothread', 'link'),
    ],
  },
  'virtio-scsi': {
    about: 'SCSI controller',
    category: 'Storage',
    properties: [
      p('num_queues', 'uint32', 1),
      p('virtqueue_size', 'uint32', 256),
      p('seg_max_adjust', 'bool', true),
      p('max_sectors', 'uint32', 65535),
      p('cmd_per_lun', 'uint32', 128),
      p('hotplug', 'bool', true),
      p('param_change', 'bool', true),
      p('iothread', 'link'),
    ],
  },
  ...Object.fromEntries(
    (['keyboard', 'mouse', 'tablet'] as const).map((kind) => [
      `virtio-${kind}`,
      {
        about: kind,
        category: 'Input' as const,
        properties: [p('serial', 'str'), p('display', 'str'), p('head', 'uint32', 0)],
      },
    ]),
  ),
  'virtio-9p': {
    about: 'folder of the host',
    category: 'Storage',
    properties: [p('mount_tag', 'str'), p('fsdev', 'fsdev')],
  },
};

function virtioTypes(): DeviceType[] {
  return Object.entries(VIRTIO_DEVICES).flatMap(([name, row]) => {
    const pci = (suffix: string, about: string, generic: boolean): DeviceType => ({
      name: `${name}-pci${suffix}`,
      bus: 'PCI',
      parents: [`${name}-pci-base`, 'virtio-pci', 'pci-device', 'device', 'object'],
      category: row.category,
      about: `${row.about} (virtio over PCI${about})`,
      hotpluggable: true,
      properties: [
        ...row.properties,
        ...VIRTIO,
        ...(generic ? VIRTIO_PCI : VIRTIO_PCI.filter((q) => !q.name.startsWith('disable-'))),
        ...PCI,
      ],
    });
    return [
      pci('', '', true),
      pci('-transitional', ', transitional', false),
      pci('-non-transitional', ', modern only', false),
      {
        name: `${name}-device`,
        bus: 'virtio-bus' as const,
        parents: ['virtio-device', 'device', 'object'],
        category: row.category,
        about: `${row.about} (on a virtio-mmio transport)`,
        hotpluggable: true,
        properties: [...row.properties, ...VIRTIO],
      },
    ];
  });
}

const pciType = (
  name: string,
  category: DeviceCategory,
  about: string,
  properties: readonly PropertySpec[] = [],
  hotpluggable = true,
): DeviceType => ({
  name,
  bus: 'PCI',
  parents: ['pci-device', 'device', 'object'],
  category,
  about,
  hotpluggable,
  properties: [...properties, ...PCI],
});
const isaType = (
  name: string,
  category: DeviceCategory,
  about: string,
  properties: readonly PropertySpec[],
): DeviceType => ({
  name,
  bus: 'ISA',
  parents: ['isa-device', 'device', 'object'],
  category,
  about,
  hotpluggable: false,
  properties,
});
const hdaType = (name: string, about: string): DeviceType => ({
  name,
  bus: 'HDA',
  parents: ['hda-audio', 'hda-codec', 'device', 'object'],
  category: 'Sound',
  about,
  hotpluggable: false,
  properties: [
    p('audiodev', 'audiodev', undefined, 'ID of an audiodev'),
    p('cad', 'uint32', 0xffffffff, 'Address on the link'),
    p('mixer', 'bool', true),
  ],
});
const portType = (name: string, about: string): DeviceType => ({
  name,
  bus: 'virtio-serial-bus',
  parents: [...(name === 'virtconsole' ? ['virtserialport'] : []), 'virtio-serial-port', 'device', 'object'],
  category: 'Input',
  about,
  hotpluggable: true,
  properties: [p('chardev', 'chardev'), p('nr', 'uint32', 0xffffffff), p('name', 'str')],
});
const scsiType = (name: string, about: string): DeviceType => ({
  name,
  bus: 'SCSI',
  parents: ['scsi-disk-base', 'scsi-device', 'device', 'object'],
  category: 'Storage',
  about,
  hotpluggable: true,
  properties: [
    ...BLOCK,
    p('channel', 'uint32', 0),
    p('scsi-id', 'uint32', 0xffffffff),
    p('lun', 'uint32', 0xffffffff),
    p('serial', 'str'),
    p('vendor', 'str'),
    p('product', 'str'),
    p('ver', 'str'),
    p('wwn', 'uint64', 0),
    ...(name === 'scsi-hd' ? [p('removable', 'bool', false), p('rotation_rate', 'uint16', 0)] : []),
    p('device_id', 'str'),
  ],
});

const BIOS_TRANSLATION = p('bios-chs-trans', 'enum', 'auto', 'Logical CHS translation algorithm', [
  'auto',
  'none',
  'lba',
  'large',
  'rechs',
]);

const ideType = (name: string, about: string): DeviceType => ({
  name,
  bus: 'IDE',
  parents: ['ide-device', 'device', 'object'],
  category: 'Storage',
  about,
  hotpluggable: false,
  properties: [
    ...BLOCK,
    p('unit', 'uint32', 0xffffffff),
    p('serial', 'str'),
    p('model', 'str'),
    p('ver', 'str'),
    p('wwn', 'uint64', 0),
    ...(name === 'ide-hd' ? [...CHS, BIOS_TRANSLATION] : []),
  ],
});

const bridgeType = (name: string, about: string, properties: readonly PropertySpec[]): DeviceType => ({
  ...pciType(name, 'Controller/Bridge/Hub', about, properties, false),
  parents: ['pci-bridge-base', 'pci-device', 'device', 'object'],
});
const ROOT_PORT = [p('port', 'uint8', 0), p('chassis', 'uint8', 0), p('slot', 'uint16', 0)];

const usbType = (
  name: string,
  category: DeviceCategory,
  about: string,
  properties: readonly PropertySpec[] = [],
): DeviceType => ({
  name,
  bus: 'usb-bus',
  parents: ['usb-device', 'device', 'object'],
  category,
  about,
  hotpluggable: true,
  properties: [...properties, p('port', 'str'), p('serial', 'str'), p('attached', 'bool', true)],
});
const usbInput = (name: string, about: string): DeviceType =>
  usbType(name, 'Input', about, [p('usb_version', 'uint32', 2), p('display', 'str')]);

const TYPES: readonly DeviceType[] = [
  bridgeType('pcie-root-port', 'PCI Express root port', [...ROOT_PORT, p('hotplug', 'bool', true)]),
  bridgeType('ioh3420', 'Intel IOH PCI Express root port', ROOT_PORT),
  bridgeType('pci-bridge', 'standard PCI bridge', [
    p('chassis_nr', 'uint8', 0),
    p('msi', 'OnOffAuto', 'auto'),
    p('shpc', 'bool', false),
  ]),
  pciType('ich9-ahci', 'Storage', 'AHCI controller', [], false),
  pciType('piix3-usb-uhci', 'USB', 'USB 1.1 host controller (UHCI)', [], false),
  pciType('piix4-usb-uhci', 'USB', 'USB 1.1 host controller (UHCI)', [], false),
  ...[1, 2, 3, 4, 5, 6].map((n) =>
    pciType(`ich9-usb-uhci${n}`, 'USB', 'USB 1.1 host controller (UHCI)', [], false),
  ),
  ...['usb-ehci', 'ich9-usb-ehci1', 'ich9-usb-ehci2'].map((name) =>
    pciType(name, 'USB', 'USB 2.0 host controller (EHCI)'),
  ),
  ...['qemu-xhci', 'nec-usb-xhci'].map((name) =>
    pciType(name, 'USB', 'USB 3 host controller (xHCI), for devices of all speeds', [
      p('p2', 'uint32', 4),
      p('p3', 'uint32', 4),
      p('slots', 'uint32', 32),
      p('intrs', 'uint32', 16),
      p('msi', 'OnOffAuto', 'auto'),
      p('msix', 'OnOffAuto', 'auto'),
      p('streams', 'bool', false),
    ]),
  ),
  usbInput('usb-kbd', 'USB keyboard'),
  usbInput('usb-mouse', 'USB mouse'),
  usbInput('usb-tablet', 'USB tablet: absolute positions'),
  usbType('usb-storage', 'Storage', 'USB disk', [...BLOCK, p('removable', 'bool', false)]),
  usbType('usb-hub', 'Misc', 'USB hub with eight ports'),
  ...virtioTypes(),
  portType('virtconsole', 'console on a virtio-serial controller'),
  portType('virtserialport', 'named serial port on a virtio-serial controller'),
  ideType('ide-hd', 'IDE disk'),
  ideType('ide-cd', 'IDE CD-ROM'),
  {
    name: 'floppy',
    bus: 'floppy-bus',
    parents: ['device', 'object'],
    category: 'Storage',
    about: 'virtual floppy drive',
    hotpluggable: false,
    properties: [
      ...BLOCK,
      p('unit', 'uint32', 0xffffffff),
      p('drive-type', 'enum', 'auto', undefined, ['144', '288', '120', 'none', 'auto']),
    ],
  },
  scsiType('scsi-hd', 'SCSI disk'),
  scsiType('scsi-cd', 'SCSI CD-ROM'),
  pciType('nvme', 'Storage', 'Non-Volatile Memory Express', [
    ...BLOCK,
    p('serial', 'str'),
    p('max_ioqpairs', 'uint32', 64),
    p('msix_qsize', 'uint16', 65),
    p('mdts', 'uint8', 7),
    p('aerl', 'uint8', 3),
    p('aer_max_queued', 'uint32', 64),
    p('use-intel-id', 'bool', false),
  ]),
  {
    name: 'nvme-ns',
    bus: 'nvme-bus',
    parents: ['device', 'object'],
    category: 'Storage',
    about: 'Virtual NVMe namespace',
    hotpluggable: true,
    properties: [
      ...BLOCK,
      p('nsid', 'uint32', 0),
      p('uuid', 'str'),
      p('eui64', 'uint64', 0),
      p('shared', 'bool', true),
    ],
  },
  ...(['intel-hda', 'ich9-intel-hda'] as const).map((name) =>
    pciType(name, 'Sound', `Intel HD Audio Controller (${name === 'intel-hda' ? 'ich6' : 'ich9'})`, [
      p('msi', 'OnOffAuto', 'auto'),
    ]),
  ),
  hdaType('hda-output', 'HDA Audio Codec, output-only (line-out)'),
  hdaType('hda-duplex', 'HDA Audio Codec, duplex (line-out, line-in)'),
  hdaType('hda-micro', 'HDA Audio Codec, duplex (speaker, microphone)'),
  pciType('AC97', 'Sound', 'Intel 82801AA AC97 Audio', [
    p('audiodev', 'audiodev', undefined, 'ID of an audiodev'),
  ]),
  pciType('e1000', 'Network', 'Intel 82540EM gigabit Ethernet', [
    ...NIC,
    p('autonegotiation', 'bool', true),
    p('mitigation', 'bool', true),
    p('extra_mac_registers', 'bool', true),
  ]),
  pciType('rtl8139', 'Network', 'Realtek RTL8139C+ Fast Ethernet', NIC),
  pciType('ne2k_pci', 'Network', 'NE2000 on PCI (Realtek RTL8029AS)', NIC),
  isaType('ne2k_isa', 'Network', 'NE2000', [...NIC, p('iobase', 'uint32', 0x300), p('irq', 'uint32', 9)]),
  pciType('edu', 'Misc', 'educational device', [p('dma_mask', 'uint64', 0x0fffffff)]),
  pciType('i6300esb', 'Watchdog', 'Intel 6300ESB watchdog'),
  pciType('pci-testdev', 'Misc', 'device for programs that test accesses', [p('membar', 'size', 0)]),
  isaType('pvpanic', 'Misc', 'tells the host of a panic of the guest', [
    p('ioport', 'uint16', 0x505),
    p('events', 'uint8', 3),
  ]),
  pciType('pvpanic-pci', 'Misc', 'tells the host of a panic of the guest', [p('events', 'uint8', 3)], false),
  {
    name: 'vmgenid',
    bus: 'none',
    parents: ['device', 'object'],
    category: 'Misc',
    about: 'identifier of this incarnation of the machine',
    hotpluggable: false,
    properties: [p('guid', 'str', 'auto')],
  },
  isaType('isa-debug-exit', 'Misc', 'ends the emulator with status (value << 1) | 1', [
    p('iobase', 'uint32', 0x501),
    p('iosize', 'uint32', 2),
  ]),
  isaType('pc-testdev', 'Misc', 'ports and registers for programs that test the processor', []),
  isaType('isa-debugcon', 'Misc', 'bytes written to a port go to a character device', [
    p('iobase', 'uint32', 0xe9),
    p('readback', 'uint32', 0xe9),
    p('chardev', 'chardev'),
  ]),
  isaType('isa-serial', 'Input', 'a further serial port', [
    p('chardev', 'chardev'),
    p('index', 'uint32', 0xffffffff),
    p('iobase', 'uint32', 0xffffffff),
    p('irq', 'uint32', 0xffffffff),
  ]),
];

/** Other names of a type: QEMU's aliases on a PC. */
const ALIASES: Readonly<Record<string, string>> = {
  ahci: 'ich9-ahci',
  'virtio-blk': 'virtio-blk-pci',
  'virtio-net': 'virtio-net-pci',
  'virtio-rng': 'virtio-rng-pci',
  'virtio-serial': 'virtio-serial-pci',
  'virtio-balloon': 'virtio-balloon-pci',
  'virtio-scsi': 'virtio-scsi-pci',
  'virtio-9p': 'virtio-9p-pci',
  'virtio-keyboard': 'virtio-keyboard-pci',
  'virtio-mouse': 'virtio-mouse-pci',
  'virtio-tablet': 'virtio-tablet-pci',
};

const BY_NAME: ReadonlyMap<string, DeviceType> = new Map(TYPES.map((type) => [type.name, type]));

/** All types, in the order of `-device help`. */
export function deviceTypes(): readonly DeviceType[] {
  return TYPES;
}

/** The type of a name or an alias. */
export function findDeviceType(name: string): DeviceType | undefined {
  return BY_NAME.get(Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name);
}

/** `-device help`: a paragraph for each category. */
export function deviceListText(): string {
  const categories = [...new Set(TYPES.map((type) => type.category))].sort();
  const aliasOf = (name: string): string => {
    const alias = Object.keys(ALIASES).find((key) => ALIASES[key] === name);
    return alias === undefined ? '' : `, alias "${alias}"`;
  };
  const row = (type: DeviceType): string =>
    `name "${type.name}"${type.bus === 'none' ? '' : `, bus ${type.bus}`}${aliasOf(type.name)}, desc "${type.about}"`;
  return categories
    .map((category) => {
      const rows = TYPES.filter((type) => type.category === category).map(row);
      return `${category} devices:\n${rows.join('\n')}\n`;
    })
    .join('\n');
}

/** `-device NAME,help`. */
export function devicePropertiesText(type: DeviceType): string {
  const rows = [...type.properties]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((property) => {
      const { name, kind, about } = property;
      const shown = property.default === undefined ? '' : ` (default: ${shownDefault(property)})`;
      const shownKind = kind === 'pci-slot' ? 'int32' : kind === 'enum' ? property.choices!.join('|') : kind;
      const described = about === undefined ? (kind === 'bool' ? ' - on/off' : '') : ` - ${about}`;
      return `  ${name}=<${shownKind}>${' '.repeat(Math.max(0, 20 - name.length - shownKind.length))}${described}${shown}`.trimEnd();
    });
  return `${type.name} options:\n${rows.join('\n')}\n`;
}

function shownDefault({ kind, default: value }: PropertySpec): string {
  if (kind === 'bool') return value === true ? 'true' : 'false';
  return typeof value === 'string' && kind !== 'uint64' ? `"${value}"` : String(value);
}
